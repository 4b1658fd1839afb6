"""What policies ask for, one (host, port) at a time, and which of it they get."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from egress_operator.api.destination import Destination
from egress_operator.api.duration import parse_duration
from egress_operator.api.http import Http, Retries
from egress_operator.api.port import HTTP_LIKE, TLS_LIKE, Port
from egress_operator.api.source import From
from egress_operator.api.tls import OriginateTLS
from egress_operator.explain.world import Payload, Policy

Network = IPv4Network | IPv6Network
TLS = "TLS"


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries that a policy asks for. 0 attempts: none."""

    attempts: int
    per_try_ms: int | None
    conditions: tuple[str, ...]
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS that the mesh opens to the server."""

    server_name: str
    """Sent as SNI."""
    names: frozenset[str]
    """The server's certificate must carry one of them."""
    ca: str = ""
    """The Secret (through a gateway) or file with the authorities; empty: those of the system."""
    certificate: str = ""
    """The same, of the client's certificate; empty: none."""


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

    @property
    def payload(self) -> Payload:
        """What the clients speak."""
        if self.protocol in HTTP_LIKE:
            return Payload.HTTP
        return Payload.TLS if self.protocol == TLS else Payload.BYTES


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is. Policies that name the same host must agree on it."""

    addresses: frozenset[Network]
    """What clients dial."""
    endpoints: tuple[tuple[str, str, str], ...]
    """Address, locality and service account of each; none: the host's own name, or `addresses`."""
    location: str


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
        endpoints = tuple(
            (endpoint.address, endpoint.locality or "", endpoint.service_account or "")
            for backend in destination.backends
            for endpoint in backend.endpoints
        )
        for host, dialled in subjects:
            place = Place(frozenset(dialled), endpoints, destination.location or "External")
            for port in destination.resolve_ports():
                way = _read_way(gateway, destination, host, port)
                yield Want(policy, host, port.number, way, place, source)


def decide(policies: Iterable[Policy]) -> tuple[list[Want], list[Defeat]]:
    """Tell what the policies of a namespace get, and what not; `policies` come oldest first.

    Who came first has it: the place of a host, the way of a port, an address with a port.
    """
    kept: list[Want] = []
    lost: list[Defeat] = []
    for policy in policies:
        for want in list_wants(policy):
            defeat = next(_find_defeats(want, kept), None)
            if defeat is None:
                kept.append(want)
            else:
                lost.append(defeat)
    return kept, lost


def _find_defeats(want: Want, kept: list[Want]) -> Iterator[Defeat]:
    for other in kept:
        if other.subject == want.subject and other.place != want.place:
            yield Defeat(want, other, _name_difference(other.place, want.place))
    same = [other for other in kept if (other.subject, other.port) == (want.subject, want.port)]
    if same and same[0].way != want.way:
        yield Defeat(want, same[0], _name_difference(same[0].way, want.way))
    if same and not _unites(same[0].source, want.source):
        yield Defeat(want, same[0], "from")
    for other in kept:
        if other.port == want.port and other.subject != want.subject and _overlap(other, want):
            yield Defeat(want, other, "addresses")


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


def _read_source(source: From) -> Source:
    labels = {} if source.workloads is None else source.workloads.match_labels
    return Source(frozenset(labels.items()), frozenset(source.service_accounts))


def _read_way(gateway: str, destination: Destination, host: str, port: Port) -> Way:
    http = destination.http or Http()
    tls = destination.originate_tls
    return Way(
        gateway=gateway,
        protocol=TLS if port.protocol in TLS_LIKE else str(port.protocol),
        target=port.target_port or port.number,
        tls=None if tls is None else _read_tls(tls, host),
        timeout_ms=None if http.timeout is None else parse_duration(http.timeout),
        retry=None if http.retries is None else _read_retry(http.retries),
    )


def _read_tls(tls: OriginateTLS, host: str) -> Tls:
    name = tls.server_name or host
    files, ca, client = tls.files, tls.ca_certificate_ref, tls.client_certificate_ref
    return Tls(
        server_name=name,
        names=frozenset(tls.subject_alt_names or [name]),
        ca=ca.name if ca else (files and files.ca) or "",
        certificate=client.name if client else (files and files.certificate) or "",
    )


def _read_retry(retries: Retries) -> Retry:
    per_try = retries.per_try_timeout
    return Retry(
        attempts=retries.attempts,
        per_try_ms=None if per_try is None else parse_duration(per_try),
        conditions=tuple(str(condition) for condition in retries.conditions),
        codes=tuple(retries.codes),
    )
