"""What policies ask for, one (host, port) at a time, and which of it they get."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import gcd

from egress_operator.api.destination import Destination
from egress_operator.api.duration import parse_duration
from egress_operator.api.http import Http, Retries
from egress_operator.api.model import Model
from egress_operator.api.port import HTTP_LIKE, TLS_LIKE, TLS_PORT, Port
from egress_operator.api.request import Abort, AllowedRequest, Delay, Fault, Headers, Mirror
from egress_operator.api.source import From
from egress_operator.api.tls import OriginateTLS
from egress_operator.api.traffic import ConnectionPool, LoadBalancer, OutlierDetection, Traffic
from egress_operator.explain.text import ENTRY, Texts
from egress_operator.explain.world import Call, Payload, Policy

Network = IPv4Network | IPv6Network
TLS = "TLS"
Frozen = Hashable
"""Settings that only have to be told apart."""
UNUSED: Frozen = frozenset()
"""Those that say nothing but what holds anyway."""
_LEFT_OUT: Mapping[type[Model], Mapping[str, Frozen]] = {
    Abort: {"percentage": 100},
    Delay: {"percentage": 100},
    Mirror: {"percentage": 100},
    OutlierDetection: {
        "consecutive_5xx_errors": 5,
        "interval": 10_000,
        "base_ejection_time": 30_000,
        "max_ejection_percent": 100,
    },
    ConnectionPool: {"max_requests_per_connection": 0},
    LoadBalancer: {"policy": "LeastRequest"},
    Traffic: {"connection_pool": frozenset(), "load_balancer": frozenset()},
}
"""What it means to leave a field out; times in milliseconds."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries that a policy asks for. 0 attempts: none."""

    attempts: int
    per_try_ms: int | None
    conditions: frozenset[str]
    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS that the mesh opens to the server."""

    server_name: str
    """Sent as SNI. Of a wildcard empty, and then the called host."""
    names: frozenset[str]
    """The server's certificate must carry one of them."""
    ca: str = ""
    """The Secret (through a gateway) or file with the authorities; empty: those of the system."""
    certificate: str = ""
    """The same, of the client's certificate; empty: none."""
    key: str = ""
    """The file with the client's key; empty: none, or in the Secret."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Requests that a policy allows; what is empty always holds."""

    methods: frozenset[str]
    paths: frozenset[str]
    headers: frozenset[tuple[str, str]]

    def holds_for(self, call: Call) -> bool:
        """Whether a request is one of them."""
        return (
            (not self.methods or call.method in self.methods)
            and (not self.paths or any(_is_below(call.path, path) for path in self.paths))
            and self.headers <= {*call.headers.items()}
        )


def _is_below(path: str, pattern: str) -> bool:
    path = path.partition("?")[0]
    return path.startswith(pattern[:-1]) if pattern.endswith("/*") else path == pattern


@dataclass(frozen=True, slots=True)
class Way:
    """How a port of a host is reached. Policies that ask for the same port must agree on it."""

    gateway: str
    protocol: str
    target: int
    """The server's own port."""
    tls: Tls | None
    timeout_ms: int | None
    retry: Retry | None
    allow: frozenset[Allowed] = frozenset()
    """One of them must hold; none: every request is allowed."""
    host: str = ""
    """What the server gets as Host; empty: what the client asked for."""
    path_prefix: str = ""
    """What the server gets before the path that the client asked for."""
    abort: int | None = None
    """The status with which the mesh answers every request; None: the server answers some."""
    mirror: str = ""
    """The backend that gets copies; empty: none."""
    changes: Frozen = None
    """Headers, faults and copies."""
    header_text: int = 0
    """How much text the headers of `changes` are."""

    @property
    def is_copied(self) -> bool:
        """Whether a second backend gets copies."""
        return bool(self.mirror)

    @property
    def is_http(self) -> bool:
        """Whether the mesh sees requests."""
        return self.protocol in HTTP_LIKE

    @property
    def payload(self) -> Payload:
        """What the clients speak."""
        if self.is_http:
            return Payload.HTTP
        return Payload.TLS if self.protocol == TLS else Payload.BYTES


@dataclass(frozen=True, slots=True)
class Share:
    """A backend. The only one has weight 1 and no name, several have the smallest weights."""

    name: str
    weight: int
    endpoints: tuple[tuple[str, str, str], ...]
    """Address, locality and service account of each, sorted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is. Policies that name the same host must agree on it."""

    addresses: frozenset[Network]
    """What clients dial."""
    backends: tuple[Share, ...]
    """In the order of failover, else by name; none: the host's own name, or `addresses`."""
    location: str
    traffic: Frozen = UNUSED
    """How connections are used; it lets nobody in and keeps nobody out."""
    failover: bool = False
    """Whether the first backend gets everything as long as it answers."""

    @property
    def used(self) -> tuple[Share, ...]:
        """The backends that get requests while all of them answer."""
        if self.failover:
            return self.backends[:1]
        return tuple(share for share in self.backends if share.weight > 0)


@dataclass(frozen=True, slots=True)
class Source:
    """Who may call; both must hold, and what is empty always does."""

    labels: frozenset[tuple[str, str]] = frozenset()
    accounts: frozenset[str] = frozenset()


EVERYONE = Source()


@dataclass(frozen=True, slots=True)
class Want:
    """One port of one host that a policy asks for. Without a host: of addresses, as dialled."""

    policy: Policy
    host: str
    port: int
    way: Way
    place: Place
    source: Source

    @property
    def is_any(self) -> bool:
        """Whether it is for all names below a domain."""
        return self.host.startswith("*.")

    def covers(self, host: str) -> bool:
        """Whether a host, or all that a wildcard stands for, is below its domain."""
        return self.is_any and host != self.host and host.endswith(self.host[1:])

    @property
    def subject(self) -> str:
        """What policies may disagree on: the host, or the addresses without one."""
        return self.host or ", ".join(str(network) for network in self.place.addresses)


@dataclass(frozen=True, slots=True)
class Defeat:
    """A want that an older one (`by`) rules out, and in what they differ."""

    want: Want
    by: Want
    field: str


def list_wants(policy: Policy) -> Iterator[Want]:
    """List what a policy asks for, in its own order."""
    spec = policy.spec
    gateway = "" if spec.gateway_ref is None else spec.gateway_ref.name
    source = EVERYONE if spec.from_ is None else _read_source(spec.from_)
    for destination in spec.destinations:
        networks = [ip_network(text) for text in destination.addresses]
        subjects = [(host, networks) for host in destination.hosts]
        subjects = subjects or [("", [network]) for network in networks]
        for host, dialled in subjects:
            place = Place(
                frozenset(dialled),
                _read_shares(destination),
                destination.location or "External",
                _freeze(destination.traffic, has_times=True) if destination.traffic else UNUSED,
                bool(destination.failover),
            )
            for port in destination.resolve_ports():
                way = _read_way(gateway, destination, host, port)
                yield Want(policy, host, port.number, way, place, source)


def decide(policies: Iterable[Policy]) -> tuple[list[Want], list[Defeat]]:
    """Tell what the policies of a namespace get, and what not; `policies` come oldest first.

    Who came first has it: the place of a host, the way of a port, an address with a port.
    """
    kept: list[Want] = []
    lost: list[Defeat] = []
    texts = Texts()
    for policy in policies:
        for want in list_wants(policy):
            defeat = next(_find_defeats(want, kept), None)
            if defeat is None and not texts.take(want):
                by = next(other for other in kept if other.subject == want.subject)
                defeat = Defeat(want, by, "text")
            if defeat is None:
                kept.append(want)
            else:
                lost.append(defeat)
                texts.take_policy(want)
    return kept, lost


def _find_defeats(want: Want, kept: list[Want]) -> Iterator[Defeat]:
    for other in kept:
        if other.subject == want.subject and other.place != want.place:
            yield Defeat(want, other, _name_difference(other.place, want.place))
    yield from _find_other_ways(want, kept)
    same = [other for other in kept if (other.subject, other.port) == (want.subject, want.port)]
    if same and same[0].way != want.way:
        yield Defeat(want, same[0], _name_difference(same[0].way, want.way))
    if same and not _unites(same[0].source, want.source):
        yield Defeat(want, same[0], "from")
    for other in kept:
        if other.port == want.port and other.subject != want.subject and _overlap(other, want):
            yield Defeat(want, other, "addresses")
    for other in kept:
        over, host, beside = other, want.host, [*kept, want]
        if want.is_any and want.covers(other.host):
            over, host, beside = want, other.host, kept
        if over.covers(host) and _is_inseparable(over, host, beside):
            yield Defeat(want, other, "wildcard")


def _find_other_ways(want: Want, kept: list[Want]) -> Iterator[Defeat]:
    """Find what leads a wildcard another way: all of its ports go one."""
    for other in kept if want.is_any else ():
        if other.host == want.host and other.way.gateway != want.way.gateway:
            yield Defeat(want, other, "gateway")


def _is_inseparable(over: Want, host: str, wants: list[Want]) -> bool:
    """Whether TLS of a host cannot be told apart from that of a wildcard over it.

    Istio takes a route for the server name of the host to be one of the wildcard too. There is such
    a route for all of its TLS ports as soon as one port of it is not for everyone, directly. The
    route of a wildcard, which it has through a gateway alone, counts for all below in the same way.
    """
    own = [want for want in wants if want.host == host]
    is_routed = bool(over.way.gateway) or any(
        want.way.gateway
        or (want.source != EVERYONE and not want.is_any)
        or want.way.is_copied
        or (len(want.place.backends) > 1 and not want.place.failover)
        for want in own
    )
    return over.way.protocol == TLS and any(
        is_routed and want.way.protocol == TLS and want.port == over.port for want in own
    )


def _name_difference(one: Place | Way, other: Place | Way) -> str:
    return next(name for name in one.__slots__ if getattr(one, name) != getattr(other, name))


def _unites(one: Source, other: Source) -> bool:
    """Whether "one of the two" can be enforced.

    Labels are seen by the caller's own proxy and accounts by the gateway. So what has accounts
    goes only with what differs in the accounts alone, or with everyone.
    """
    if EVERYONE in {one, other} or not (one.accounts or other.accounts):
        return True
    return bool(one.accounts and other.accounts) and one.labels == other.labels


def _overlap(one: Want, other: Want) -> bool:
    return any(
        left.version == right.version and left.overlaps(right)
        for left in one.place.addresses
        for right in other.place.addresses
    )


def _read_shares(destination: Destination) -> tuple[Share, ...]:
    several = len(destination.backends) > 1
    whole = gcd(*(backend.weight or 0 for backend in destination.backends)) or 1
    shares = [
        Share(
            backend.name if several else "",
            (backend.weight or 0) // whole if several else 1,
            tuple(
                sorted(
                    (endpoint.address, endpoint.locality or "", endpoint.service_account or "")
                    for endpoint in backend.endpoints
                )
            ),
        )
        for backend in destination.backends
    ]
    return tuple(shares if destination.failover else sorted(shares, key=lambda share: share.name))


def _read_source(source: From) -> Source:
    labels = {} if source.workloads is None else source.workloads.match_labels
    return Source(frozenset(labels.items()), frozenset(source.service_accounts))


def _read_way(gateway: str, destination: Destination, host: str, port: Port) -> Way:
    http = destination.http or Http()
    tls = destination.originate_tls
    rewritten = (http.rewrite and http.rewrite.host) or ""
    return Way(
        gateway=gateway,
        protocol=TLS if port.protocol in TLS_LIKE else str(port.protocol),
        target=port.target_port or _find_target(destination, host, port),
        tls=None if tls is None else _read_tls(tls, rewritten, host),
        timeout_ms=None if http.timeout is None else parse_duration(http.timeout),
        retry=None if http.retries is None else _read_retry(http.retries),
        allow=frozenset(map(_read_allowed, http.allow)),
        host=rewritten,
        path_prefix=(http.rewrite and http.rewrite.path_prefix) or "",
        abort=None if http.fault is None else _find_abort(http.fault),
        mirror="" if http.mirror is None else http.mirror.backend,
        changes=(
            _freeze(http.headers),
            _freeze(http.fault, has_times=True),
            _freeze(http.mirror),
        ),
        header_text=_measure_headers(http.headers) if http.headers else 0,
    )


def _measure_headers(headers: Headers) -> int:
    changes = [change for change in (headers.request, headers.response) if change is not None]
    entries = [entry for change in changes for entry in (*change.set_, *change.add)]
    removed = [name for change in changes for name in change.remove]
    return sum(len(entry.name) + len(entry.value) + ENTRY for entry in entries) + sum(
        len(name) + ENTRY for name in removed
    )


def _find_target(destination: Destination, host: str, port: Port) -> int:
    """Find the server's port where none is written: of a wildcard the scheme's own."""
    if host.startswith("*.") and destination.originate_tls is not None:
        return TLS_PORT
    return port.number


def _read_allowed(entry: AllowedRequest) -> Allowed:
    return Allowed(
        frozenset(map(str, entry.methods)),
        frozenset(entry.paths),
        frozenset((header.name, header.value) for header in entry.headers),
    )


def _freeze(value: object, *, has_times: bool = False) -> Frozen:
    """Return settings in a form in which equal ones are equal, however they are written.

    `has_times`: every text that can be a duration is one.
    """
    if isinstance(value, Model):
        given = {
            name: _freeze(item, has_times=has_times)
            for name, item in value
            if item not in (None, ())
        }
        return frozenset(given.items() - _LEFT_OUT.get(type(value), {}).items())
    if isinstance(value, tuple):
        return frozenset(_freeze(item, has_times=has_times) for item in value)
    if has_times and isinstance(value, str) and (length := parse_duration(value)) is not None:
        return length
    return str(value) if isinstance(value, str) else value


def _find_abort(fault: Fault) -> int | None:
    abort = fault.abort
    return abort.status if abort is not None and abort.percentage in {None, 100} else None


def _read_tls(tls: OriginateTLS, rewritten: str, host: str) -> Tls:
    name = "" if host.startswith("*.") else tls.server_name or rewritten or host
    files, ca, client = tls.files, tls.ca_certificate_ref, tls.client_certificate_ref
    return Tls(
        server_name=name,
        names=frozenset(tls.subject_alt_names or [name]),
        ca=ca.name if ca else (files and files.ca) or "",
        certificate=client.name if client else (files and files.certificate) or "",
        key=(files and files.key) or "",
    )


def _read_retry(retries: Retries) -> Retry:
    per_try = retries.per_try_timeout
    return Retry(
        attempts=retries.attempts,
        per_try_ms=None if per_try is None else parse_duration(per_try),
        conditions=frozenset(map(str, retries.conditions)),
        codes=frozenset(retries.codes),
    )
