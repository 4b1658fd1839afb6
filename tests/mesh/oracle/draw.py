"""Small sets of policies at random, and calls to ask about. Pure: a seed always gives the same."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from egress_operator.api.check import check_spec
from egress_operator.explain.world import Payload
from mesh.gateway.tenant import SHARED, TENANTS, WORKLOADS
from mesh.oracle.setting import (
    TIMEOUTS,
    draw_failover_traffic,
    draw_fault,
    draw_retries,
    draw_traffic,
)
from mesh.traffic.policy import POLICY
from testbed.client import Object
from testbed.outside import GRPC_PORT, GRPCS_PORT, MUTUAL_PORTS, TLS_LINE_PORTS

CLOSED = "closed"
"""An EgressGateway that is open to no namespace."""
DOWN = "down"
"""One without pods, which checks no service accounts and lets no wildcards through: policies that
ask for these are on hold."""
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
PAST, FUTURE = "2026-01-01T00:00:00+01:00", "2999-12-31T23:59:59Z"
NOW = 1_780_000_000.0
"""A moment between the two, in Unix time."""
ACCOUNTS = ("checkout", "batch", "default")
WEIGHTS = ((1, 0), (0, 1), (1, 3))
ALLOW: tuple[list[Object], ...] = (
    [{"methods": ["GET"]}],
    [{"methods": ["POST", "PUT"]}],
    [{"paths": ["/", "/slow"]}],
    [{"paths": ["/fail"]}, {"methods": ["GET"], "paths": ["/slow"]}],
    [{"paths": ["/*"]}, {"methods": ["POST"]}],
    [{"headers": [{"name": "x-team", "value": "shop"}]}],
    [{"headers": [{"name": "x-team", "value": "shop"}]}, {"methods": ["GET"]}],
    [{"headers": [{"name": "x-team", "value": "shop"}], "methods": ["PUT"]}, {"paths": ["/*"]}],
)
HEADERS: Object = {
    "request": {
        "set": [{"name": "x-team", "value": "100%"}],
        "add": [{"name": "x-way", "value": "mesh"}],
        "remove": ["x-inner"],
    },
    "response": {
        "set": [{"name": "x-kind", "value": "drawn"}],
        "add": [{"name": "x-mesh", "value": "yes"}],
        "remove": ["x-powered-by"],
    },
}
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

    @property
    def wildcard(self) -> str:
        """The wildcard over it and the other sites of the set."""
        return f"*.{self.host.partition('.')[2]}"


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
    """Draw calls of every kind by every workload, `most` at most.

    A sixth of them go where no policy leads, and another one where only one of another namespace
    does.
    """
    rng = Random(f"{seed} asks")  # noqa: S311 - not a secret
    probes = [
        Probe(workload, site, port, payload, path)
        for workload in (name for names in WORKLOADS.values() for name in names)
        for site in sites
        for port, payload in (*PORTS.items(), (DIALLED_PORT, Payload.BYTES))
        for path in _draw_paths(rng, port)
    ]
    owners: dict[tuple[str, int], set[str]] = {}
    for namespace, subject, port in list_named(policies):
        owners.setdefault((subject, port), set()).add(namespace)
    own: list[Probe] = []
    foreign: list[Probe] = []
    closed: list[Probe] = []
    for probe in rng.sample(probes, len(probes)):
        subjects = (probe.site.host, probe.site.wildcard, probe.site.address)
        namespaces = set[str]().union(*(owners.get((item, probe.port), ()) for item in subjects))
        is_own = probe.workload.partition("/")[0] in namespaces
        (own if is_own else foreign if namespaces else closed).append(probe)
    others = foreign[: most // 6] + closed[: most // 6]
    return own[: most - len(others)] + others


def list_named(policies: Iterable[Object]) -> Iterator[tuple[str, str, int]]:
    """List the hosts and addresses with the ports that policies name, and their namespaces."""
    for policy in policies:
        for destination in policy["spec"]["destinations"]:
            default = 80 if "originateTLS" in destination else 443
            ports = [port["number"] for port in destination.get("ports", ())] or [default]
            subjects = (*destination.get("hosts", ()), *destination.get("addresses", ()))
            yield from product([policy["metadata"]["namespace"]], subjects, ports)


def draw_synthetic_probes(
    seed: str, sites: tuple[Site, ...], names: list[Synthetic], most: int
) -> list[Probe]:
    """Draw calls for names that no workload has any business to know, dialled where hosts are."""
    rng = Random(f"{seed} synthetic")  # noqa: S311 - not a secret
    known = [
        (name, site)
        for name in names
        for site in sites
        for slug in [_slug(site.wildcard[2:])]
        if name.host.startswith((_slug(site.host), f"any-{slug}", f"x.any-{slug}"))
    ]
    workloads = [name for names in WORKLOADS.values() for name in names]
    return [
        Probe(rng.choice(workloads), Site(name.host, site.address), name.port, name.payload)
        for name, site in rng.sample(known, min(most, len(known)))
    ]


def _slug(host: str) -> str:
    return host.replace(".", "-")


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
    hosts = (host for item in spec["destinations"] for host in item.get("hosts", ()))
    return gateway == ABSENT or (gateway == DOWN and (accounts or any("*" in h for h in hosts)))


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
    if expires_at := rng.choices(("", PAST, FUTURE), (84, 8, 8))[0]:
        spec["expiresAt"] = expires_at
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
    if rng.random() < 0.2:
        return _draw_wildcard(rng, sites, certificates)
    one = payload is Payload.BYTES or rng.random() < 0.6
    chosen = rng.sample(sites, 1 if one else len(sites))
    has_ports = payload is Payload.BYTES or rng.random() < 0.8
    # Without ports plain HTTP is HTTP that the mesh puts into TLS.
    tls: Object | None = None
    share = {Payload.HTTP: 0.5, Payload.BYTES: 0.3}.get(payload, 0)
    if rng.random() < share or (payload is Payload.HTTP and not has_ports):
        tls = _draw_tls(rng, sites) | rng.choice(certificates)
    destination: Object = {"hosts": [site.host for site in chosen]}
    if has_ports:
        destination["ports"] = list(_draw_ports(rng, payload, tls))
    if payload is Payload.BYTES or (one and rng.random() < 0.3):
        destination["addresses"] = [chosen[0].address]
    if tls is not None:
        destination["originateTLS"] = tls
    if payload is Payload.HTTP and rng.random() < 0.7:
        numbers = {port["number"] for port in destination.get("ports", ())}
        destination["http"] = _draw_http(rng, sites, numbers)
    _add_place(rng, sites, destination, direct=direct)
    return destination


def _add_place(rng: Random, sites: tuple[Site, ...], destination: Object, *, direct: bool) -> None:
    """Add where the hosts are and how connections are used, or leave them out."""
    if rng.random() < 0.35:
        destination |= _draw_place(rng, sites, direct=direct)
    if rng.random() < 0.4:
        destination["traffic"] = draw_traffic(rng, is_http=_is_http(destination))
    if "backends" in destination and rng.random() < 0.7:
        _add_backend(rng, sites, destination)


def _is_http(destination: Object) -> bool:
    """Whether the mesh sees requests on all ports."""
    protocols = {port["protocol"] for port in destination.get("ports", ())}
    if not protocols:
        return "originateTLS" in destination
    return protocols <= {"HTTP", *GRPC_PROTOCOLS}


def _add_backend(rng: Random, sites: tuple[Site, ...], destination: Object) -> None:
    """Add a second backend, with weights or failover, and copies for it if it has no weight."""
    (first,) = destination["backends"]
    (endpoint,) = first["endpoints"]
    # Another server: copies must not be counted where requests are.
    address = rng.choice(
        [
            text
            for site in sites
            if endpoint["address"] not in {site.address, site.host}
            for text in (site.address, site.host)
        ]
    )
    second: Object = {"name": "v2", "endpoints": [{**endpoint, "address": address}]}
    destination["backends"] = [first, second]
    protocols = {port["protocol"] for port in destination.get("ports", ())}
    # Each gRPC server has a certificate of its own, so only one of them may be asked.
    several = protocols.isdisjoint(GRPC_PROTOCOLS)
    if rng.random() < 0.5:
        for backend in destination["backends"]:
            backend["endpoints"][0].pop("locality", None)
        traffic = draw_failover_traffic(rng, is_http=_is_http(destination))
        destination |= {"failover": True, "traffic": traffic}
        idle = second["name"]
    else:
        first["weight"], second["weight"] = rng.choice(WEIGHTS[: 3 if several else 2])
        idle = next((item["name"] for item in destination["backends"] if not item["weight"]), "")
        destination |= rng.choice(({}, {"failover": False}))
    if idle and "http" in destination and rng.random() < 0.9:
        share = {"percentage": 100} if rng.random() < 0.75 else {}
        destination["http"]["mirror"] = {"backend": idle, **share}


def _draw_wildcard(rng: Random, sites: tuple[Site, ...], certificates: Sequence[Object]) -> Object:
    """Draw a wildcard over all sites, perhaps with one of them by its name beside it."""
    beside = [rng.choice(sites).host] if rng.random() < 0.3 else []
    destination: Object = {"hosts": [sites[0].wildcard, *beside]}
    http, tls = {"number": 80, "protocol": "HTTP"}, {"number": 443, "protocol": "TLS"}
    ports = rng.choice(([], [http], [tls], [http, tls]))
    if ports:
        destination["ports"] = ports
    elif rng.random() < 0.7:
        destination["originateTLS"] = rng.choice(certificates)
    if ports == [http] or "originateTLS" in destination:
        settings = _draw_http(rng, sites, {80}) if rng.random() < 0.6 else {}
        settings.pop("rewrite", None)
        if settings:
            destination["http"] = settings
        if rng.random() < 0.3:
            destination["traffic"] = {"connectionPool": {"maxConnections": 50}}
    return destination


def _draw_place(rng: Random, sites: tuple[Site, ...], *, direct: bool) -> Object:
    """Draw where a host is: inside the mesh, the proxy of its machine may have an account."""
    address = rng.choice([text for site in sites for text in (site.address, site.host)])
    endpoint = {"address": address, **rng.choice(({}, {"locality": "region/zone"}))}
    place: Object = {"backends": [{"name": "v1", "endpoints": [endpoint]}]}
    if direct and rng.random() < 0.5:
        place["location"] = "Internal"
        if rng.random() < 0.9:
            endpoint["serviceAccount"] = "warehouse"
    elif rng.random() < 0.3:
        place["location"] = "External"
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
    if PORTS[number] is Payload.BYTES:
        return TLS_LINE_PORTS
    has_certificate = "clientCertificateRef" in tls or "certificate" in tls.get("files", {})
    return KNOWN_TARGETS if has_certificate else TLS_TARGETS


def _draw_tls(rng: Random, sites: tuple[Site, ...]) -> Object:
    tls: Object = {}
    if rng.random() < 0.35:
        tls["serverName"] = rng.choice(sites).host
    if rng.random() < 0.3:
        tls["subjectAltNames"] = [rng.choice(sites).host]
    return tls


def _draw_http(rng: Random, sites: tuple[Site, ...], numbers: set[int]) -> Object:
    http: Object = {}
    if rng.random() < 0.6:
        http["timeout"] = rng.choice(TIMEOUTS)
    if rng.random() < 0.6:
        http["retries"] = draw_retries(rng, http.get("timeout", ""))
    if rng.random() < 0.3:
        http["headers"] = HEADERS
    if rng.random() < 0.2:
        http["rewrite"] = {"host": rng.choice([site.host for site in sites])}
    # A gRPC client has a path and a method of its own.
    if GRPC_PORT not in numbers:
        if rng.random() < 0.4:
            http["allow"] = rng.choice(ALLOW)
        if rng.random() < 0.25:
            http["rewrite"] = {**http.get("rewrite", {}), "pathPrefix": "/v2"}
        if rng.random() < 0.3:
            http["fault"] = draw_fault(rng)
    return http
