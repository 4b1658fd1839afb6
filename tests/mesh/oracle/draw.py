"""Small sets of policies at random, and calls to ask about. Pure: a seed always gives the same."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from egress_operator.api.check import check_spec
from egress_operator.explain.world import Payload
from mesh.gateway.tenant import SHARED, TENANTS, WORKLOADS
from mesh.traffic.policy import POLICY
from testbed.client import Object
from testbed.outside import GRPC_PORT, GRPCS_PORT, MUTUAL_PORTS

CLOSED = "closed"
"""An EgressGateway that is open to no namespace."""
DOWN = "down"
"""One without pods, which checks no service accounts: policies that ask for it are on hold."""
ABSENT = "absent"
"""None: all policies that name it are on hold."""
PORTS = {
    80: Payload.HTTP,
    8080: Payload.HTTP,
    GRPC_PORT: Payload.HTTP,
    443: Payload.TLS,
    8443: Payload.TLS,
    5432: Payload.BYTES,
    6379: Payload.BYTES,
}
TARGETS = {80: 8080, 8080: 80, 443: 8443, 8443: 443, 5432: 6379, 6379: 5432}
"""Another port of the same servers that speaks the same."""
TLS_TARGETS = (443, 8443, 443, 8443, *MUTUAL_PORTS)
KNOWN_TARGETS = (443, *MUTUAL_PORTS, *MUTUAL_PORTS, *MUTUAL_PORTS)
"""Ports of TLS, the second for those who have a certificate themselves."""
DIALLED_PORT = 9000
"""Of addresses without a host."""
MOST_POLICIES = 4
SLOW_S = 0.6
FAILS = "/fail?times=1&status=503"
FROM = ({"app": "checkout"}, {"app": "batch"}, {"app": "app"})
ACCOUNTS = ("checkout", "batch", "default")
TIMEOUTS = ("200ms", "200ms", "20s")
RETRIES: tuple[Object, ...] = (
    {"attempts": 0},
    {"attempts": 1, "codes": [503]},
    {"attempts": 2, "codes": [500, 503], "perTryTimeout": "10s"},
    {"attempts": 1, "conditions": ["gateway-error", "reset"]},
    {"attempts": 1, "conditions": ["connect-failure", "retriable-4xx"], "codes": [500]},
)
PROTOCOLS = {
    Payload.HTTP: ("HTTP",),
    Payload.TLS: ("TLS", "TLS", "HTTPS"),
    Payload.BYTES: ("TCP", "TCP", "MONGO", "REDIS", "MYSQL"),
}
"""Those that the servers speak, or that say no more than how a connection begins."""
GRPC_PROTOCOLS = ("GRPC", "HTTP2")
RIGHT_CA, WRONG_CA = "right-ca", "wrong-ca"
"""Secrets, and files, with the authority that signed the servers' certificates and with another."""
CLIENT = "client"
"""The Secret with a client's certificate and the right authority; the files begin so."""
REFERENCES: tuple[Object, ...] = (
    {},
    {"caCertificateRef": {"name": RIGHT_CA}},
    {"caCertificateRef": {"name": WRONG_CA}},
    {"clientCertificateRef": {"name": CLIENT}},
    {"clientCertificateRef": {"name": CLIENT}},
    {
        "clientCertificateRef": {"name": CLIENT},
        "caCertificateRef": {"name": f"{CLIENT}-cacert"},
    },
)
FILES: tuple[Object, ...] = (
    {},
    {"ca": RIGHT_CA},
    {"ca": WRONG_CA},
    {"certificate": f"{CLIENT}.crt", "key": f"{CLIENT}.key"},
    {"ca": RIGHT_CA, "certificate": f"{CLIENT}.crt", "key": f"{CLIENT}.key"},
)
"""Names in the directory of files."""


@dataclass(frozen=True)
class Site:
    """An outside host that a set is about."""

    host: str
    address: str


@dataclass(frozen=True)
class Probe:
    """A call of a workload (`shop/checkout`); `path` is of HTTP."""

    workload: str
    site: Site
    port: int
    payload: Payload
    path: str = "/"

    @property
    def is_grpc(self) -> bool:
        """Whether the server at this port speaks gRPC, and the client does."""
        return self.port == GRPC_PORT


@dataclass(frozen=True)
class Synthetic:
    """A name of the operator's own, and a port of it."""

    host: str
    port: int
    payload: Payload


def draw_policies(seed: str, name: str, sites: tuple[Site, ...], files: str = "/") -> list[Object]:
    """Draw 1 to 4 valid policies of two namespaces for these hosts.

    `files` is the directory of the certificates that sidecars read. What is on hold does what it
    did before: policies on hold have names of their own, so that they never did anything.
    """
    rng = Random(seed)  # noqa: S311 - not a secret
    count = rng.randint(1, MOST_POLICIES)
    return [_draw_policy(rng, f"{name}-{number}", sites, files) for number in range(count)]


def draw_probes(
    seed: str, sites: tuple[Site, ...], policies: Iterable[Object], most: int
) -> list[Probe]:
    """Draw calls of every kind by every workload, as many as `most`, a third for what is closed."""
    rng = Random(f"{seed} asks")  # noqa: S311 - not a secret
    probes = [
        Probe(workload, site, port, payload, path)
        for workload in (name for names in WORKLOADS.values() for name in names)
        for site in sites
        for port, payload in (*PORTS.items(), (DIALLED_PORT, Payload.BYTES))
        for path in _draw_paths(rng, port)
    ]
    named = set(_list_named(policies))
    groups: dict[bool, list[Probe]] = {True: [], False: []}
    for probe in rng.sample(probes, len(probes)):
        calls = {(probe.site.host, probe.port), (probe.site.address, probe.port)}
        groups[named.isdisjoint(calls)].append(probe)
    closed = groups[True][: most // 3]
    return groups[False][: most - len(closed)] + closed


def _list_named(policies: Iterable[Object]) -> Iterator[tuple[str, int]]:
    """List the hosts and addresses with the ports that policies name."""
    for policy in policies:
        for destination in policy["spec"]["destinations"]:
            default = 80 if "originateTLS" in destination else 443
            ports = [port["number"] for port in destination.get("ports", ())] or [default]
            yield from product(
                (*destination.get("hosts", ()), *destination.get("addresses", ())), ports
            )


def draw_synthetic_probes(
    seed: str, sites: tuple[Site, ...], names: list[Synthetic], most: int
) -> list[Probe]:
    """Draw calls for names that no workload has any business to know, dialled where hosts are."""
    rng = Random(f"{seed} synthetic")  # noqa: S311 - not a secret
    known = [
        (name, site)
        for name in names
        for site in sites
        if name.host.startswith(site.host.replace(".", "-"))
    ]
    workloads = [name for names in WORKLOADS.values() for name in names]
    return [
        Probe(rng.choice(workloads), Site(name.host, site.address), name.port, name.payload)
        for name, site in rng.sample(known, min(most, len(known)))
    ]


def _draw_paths(rng: Random, port: int) -> tuple[str, ...]:
    """Draw an ordinary path, and where servers read it one that shows timeouts or retries."""
    if PORTS.get(port) is not Payload.HTTP or port == GRPC_PORT:
        return ("/",)
    number = rng.randrange(10**9)
    return "/", rng.choice((f"/slow?seconds={SLOW_S}", f"{FAILS}&n={number}"))


def _draw_policy(rng: Random, name: str, sites: tuple[Site, ...], files: str) -> Object:
    """Draw until the API takes it: its rules forbid some combinations."""
    namespace = rng.choice(TENANTS)
    while True:
        spec = _draw_spec(rng, sites, files)
        if check_spec(spec)[0] is not None:
            return {
                "apiVersion": POLICY[0],
                "kind": POLICY[1],
                "metadata": {
                    "name": f"{name}-held" if _is_on_hold(spec) else name,
                    "namespace": namespace,
                },
                "spec": spec,
            }


def _is_on_hold(spec: Object) -> bool:
    gateway = spec.get("gatewayRef", {}).get("name")
    accounts = "serviceAccounts" in spec.get("from", {})
    return gateway == ABSENT or (gateway == DOWN and accounts)


def _draw_spec(rng: Random, sites: tuple[Site, ...], files: str) -> Object:
    gateway = rng.choices(("", SHARED, CLOSED, DOWN, ABSENT), (44, 44, 5, 4, 3))[0]
    certificates = REFERENCES if gateway else [_place_files(entry, files) for entry in FILES]
    spec: Object = {
        "justification": "drawn",
        "destinations": [
            {
                **_draw_destination(rng, sites, certificates, direct=not gateway),
                "name": f"d{number}",
            }
            for number in range(_draw_few(rng))
        ],
    }
    if gateway:
        spec["gatewayRef"] = {"name": gateway}
    source: Object = {}
    if rng.random() < 0.35:
        source["workloads"] = {"matchLabels": rng.choice(FROM)}
    if gateway and rng.random() < 0.35:
        source["serviceAccounts"] = rng.sample(ACCOUNTS, rng.randint(1, 2))
    if source:
        spec["from"] = source
    return spec


def _place_files(names: Object, directory: str) -> Object:
    files = {field: f"{directory.rstrip('/')}/{name}" for field, name in names.items()}
    return {"files": files} if files else {}


def _draw_few(rng: Random) -> int:
    """Draw 1 or 2: each object costs the mesh time, and most faults need one."""
    return rng.choices((1, 2), (70, 30))[0]


def _draw_destination(
    rng: Random, sites: tuple[Site, ...], certificates: Sequence[Object], *, direct: bool
) -> Object:
    payload = rng.choice((Payload.HTTP, Payload.HTTP, Payload.TLS, Payload.BYTES))
    if direct and payload is Payload.BYTES and rng.random() < 0.3:
        chosen = rng.sample(sites, rng.randint(1, len(sites)))
        return {
            "addresses": [site.address for site in chosen],
            "ports": [{"number": DIALLED_PORT, "protocol": "TCP"}],
        }
    one = payload is Payload.BYTES or rng.random() < 0.6
    chosen = rng.sample(sites, 1 if one else len(sites))
    has_ports = payload is Payload.BYTES or rng.random() < 0.8
    # Without ports plain HTTP is HTTP that the mesh puts into TLS.
    tls: Object | None = None
    if payload is Payload.HTTP and (rng.random() < 0.5 or not has_ports):
        tls = _draw_tls(rng, sites) | rng.choice(certificates)
    destination: Object = {"hosts": [site.host for site in chosen]}
    if has_ports:
        destination["ports"] = list(_draw_ports(rng, payload, tls))
    if payload is Payload.BYTES:
        destination["addresses"] = [chosen[0].address]
    if tls is not None:
        destination["originateTLS"] = tls
    if payload is Payload.HTTP and rng.random() < 0.7:
        destination["http"] = _draw_http(rng)
    if rng.random() < 0.25:
        destination |= _draw_place(rng, sites, direct=direct)
    return destination


def _draw_place(rng: Random, sites: tuple[Site, ...], *, direct: bool) -> Object:
    """Draw where a host is: inside the mesh, the proxy of its machine may have an account."""
    address = rng.choice([text for site in sites for text in (site.address, site.host)])
    endpoint = {"address": address, **rng.choice(({}, {"locality": "region/zone"}))}
    place: Object = {"backends": [{"name": "v1", "endpoints": [endpoint]}]}
    if direct and rng.random() < 0.5:
        place["location"] = "Internal"
        endpoint |= rng.choice(({}, {"serviceAccount": "warehouse"}))
    return place


def _draw_ports(rng: Random, payload: Payload, tls: Object | None) -> Iterator[Object]:
    numbers = [number for number, spoken in PORTS.items() if spoken is payload]
    for number in rng.sample(numbers, _draw_few(rng)):
        protocols = GRPC_PROTOCOLS if number == GRPC_PORT else PROTOCOLS[payload]
        port: Object = {"number": number, "protocol": rng.choice(protocols)}
        if tls is not None:
            port["targetPort"] = rng.choice(_list_tls_targets(number, tls))
        elif number in TARGETS and rng.random() < 0.3:
            port["targetPort"] = TARGETS[number]
        yield port


def _list_tls_targets(number: int, tls: Object) -> tuple[int, ...]:
    if number == GRPC_PORT:
        return (GRPCS_PORT,)
    has_certificate = "clientCertificateRef" in tls or "certificate" in tls.get("files", {})
    return KNOWN_TARGETS if has_certificate else TLS_TARGETS


def _draw_tls(rng: Random, sites: tuple[Site, ...]) -> Object:
    tls: Object = {}
    if rng.random() < 0.35:
        tls["serverName"] = rng.choice(sites).host
    if rng.random() < 0.3:
        tls["subjectAltNames"] = [rng.choice(sites).host]
    return tls


def _draw_http(rng: Random) -> Object:
    http: Object = {}
    if rng.random() < 0.6:
        http["timeout"] = rng.choice(TIMEOUTS)
    if rng.random() < 0.6:
        retries = rng.choice(RETRIES)
        # A try must not be longer than the whole.
        if http.get("timeout") == TIMEOUTS[0]:
            retries = {key: value for key, value in retries.items() if key != "perTryTimeout"}
        http["retries"] = retries
    return http
