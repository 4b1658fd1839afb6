"""A destination: hosts, ports, addresses, where they are, and how HTTP behaves."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictBool

from egress_operator.api.address import parse_cidr
from egress_operator.api.backend import MOST_BACKENDS, Backend
from egress_operator.api.http import Http
from egress_operator.api.model import Model
from egress_operator.api.port import (
    HTTP_LIKE,
    HTTP_LIKE_CEL,
    HTTP_PORT,
    TLS_FIRST,
    TLS_FIRST_CEL,
    TLS_LIKE,
    TLS_PORT,
    Port,
)
from egress_operator.api.rule import Check, Finding, ListType, Omittable, quote
from egress_operator.api.scalar import AddressOrCidr, Host, Label, Location, Protocol
from egress_operator.api.split import BACKEND_CHECKS
from egress_operator.api.tls import OriginateTLS
from egress_operator.api.traffic import Traffic, list_http_traffic
from egress_operator.api.usual_port import PORT_CHECKS
from egress_operator.api.wildcard import DESTINATION_CHECKS
from egress_operator.api.word import END, Words

MOST_OF_EACH = 16
"""Bound of hosts, ports and addresses: it keeps the CEL rules within the API server's budget."""

DEFAULT_PORTS = (Port.model_construct(number=TLS_PORT, protocol=Protocol.TLS),)
"""What a destination without ports means. The CRD holds no default: the plan resolves it."""

DEFAULT_ORIGINATE_PORTS = (
    Port.model_construct(number=HTTP_PORT, protocol=Protocol.HTTP, target_port=TLS_PORT),
)
"""The same with originateTLS."""

_ANOTHER = "a destination of its own with the same host"
_OTHERS = "another destination with the same host"
_DIALLED = frozenset({*TLS_LIKE, Protocol.TCP})
_NO_HOST = "(!has(self.hosts) || self.hosts.size() == 0)"


def _find_nothing(destination: "Destination") -> Iterator[Finding]:
    if not destination.hosts and not destination.addresses:
        yield Finding()


def _find_many_hosts(destination: "Destination") -> Iterator[Finding]:
    # Two services on one address and port are one listener; Istio keeps the older in silence.
    if destination.addresses and len(destination.hosts) > 1:
        yield Finding(
            f"addresses belong to one host, and there are {len(destination.hosts)}",
            ("addresses",),
        )


def _find_cidr_of_host(destination: "Destination") -> Iterator[Finding]:
    # Istio refuses CIDRs with resolution DNS, and NONE would send the client wherever it dialled.
    if not destination.hosts:
        return
    for index, address in enumerate(destination.addresses):
        if "/" in address:
            network = parse_cidr(address)
            single = network is not None and network.num_addresses == 1
            yield Finding(
                f"{quote(address)} is a CIDR, and a host has single addresses",
                ("addresses", index),
                f"write {address.partition('/')[0]}" if single else "",
            )


def _find_protocol_without_host(destination: "Destination") -> Iterator[Finding]:
    if destination.hosts:
        return
    for index, port in enumerate(destination.ports):
        if port.protocol not in _DIALLED:
            yield Finding(
                f"protocol {port.protocol} needs a host",
                ("ports", index, "protocol"),
                "write protocol TCP, with which the proxy sees no requests; or give a single "
                "address a name in hosts: one of a domain of yours, which need not be in DNS if "
                "clients dial the address",
            )


def _find_backends_without_host(destination: "Destination") -> Iterator[Finding]:
    # Without a host the resolution is NONE, and Istio refuses endpoints there.
    if destination.backends and not destination.hosts:
        yield Finding(loc=("backends",))


def _find_target_without_host(destination: "Destination") -> Iterator[Finding]:
    # Resolution NONE is an ORIGINAL_DST cluster: the dialled port is used, whatever is written.
    if destination.hosts:
        return
    for index, port in enumerate(destination.ports):
        if port.target_port is not None:
            yield Finding(loc=("ports", index, "targetPort"))


def _find_http_on_opaque(destination: "Destination") -> Iterator[Finding]:
    if destination.http is None:
        return
    opaque = [port for port in destination.resolve_ports() if port.protocol not in HTTP_LIKE]
    if not opaque:
        return
    port = opaque[0]
    default = "" if destination.ports else " (the default)"
    if not destination.hosts:
        yield Finding(
            f"port {port.number} is {port.protocol}{default}, so Istio sees no requests and http "
            "has no effect",
            ("http",),
            "remove http; or give a single address a name in hosts, and write protocol HTTP where "
            "the application speaks it",
        )
    elif port.protocol in TLS_LIKE:
        fix = (
            "to keep TLS to the server, leave ports out, add originateTLS: {} and call http://...; "
            "for a plain-HTTP server use port 80 with protocol HTTP and call http://...; or remove "
            f"http; ports that stay {port.protocol} go into {_OTHERS}"
        )
        if len(opaque) < len(destination.ports):
            fix = f"move port {port.number} into {_ANOTHER}, without http"
        yield Finding(
            f"port {port.number} is {port.protocol}{default}, so Istio sees only encrypted bytes "
            "and http has no effect",
            ("http",),
            fix,
        )
    else:
        yield Finding(
            f"port {port.number} is {port.protocol}, so Istio sees no requests and http has no "
            "effect",
            ("http",),
            "write protocol HTTP, HTTP2 or GRPC where the application speaks it, or remove http; "
            f"other ports go into {_OTHERS}",
        )


def _find_originate_after_first_byte(destination: "Destination") -> Iterator[Finding]:
    if destination.originate_tls is None:
        return
    port = next((port for port in destination.ports if port.protocol not in TLS_FIRST), None)
    if port is None:
        return
    if port.protocol in TLS_LIKE:
        fix = (
            "remove originateTLS when the application calls https://...; or leave ports out (port "
            "80, HTTP; the mesh opens TLS to port 443) and call http://..."
        )
        if any(other.protocol in TLS_FIRST for other in destination.ports):
            fix = f"move port {port.number} into {_ANOTHER}, without originateTLS"
        yield Finding(
            f"port {port.number} is {port.protocol}, so the application opens TLS itself and "
            "originateTLS would put TLS into TLS",
            ("originateTLS",),
            fix,
        )
    else:
        yield Finding(
            f"port {port.number} is {port.protocol}, which begins in plain text and changes to TLS "
            "later, so only the application can open TLS",
            ("originateTLS",),
            "remove originateTLS, and switch TLS on in the client of the database; ports with "
            f"originateTLS go into {_OTHERS}",
        )


def _find_originate_without_host(destination: "Destination") -> Iterator[Finding]:
    # Without a host the resolution is NONE, and there is no name to check in the certificate.
    if destination.originate_tls is not None and not destination.hosts:
        yield Finding(loc=("originateTLS",))


def _find_internal_without_backends(destination: "Destination") -> Iterator[Finding]:
    if destination.location is Location.INTERNAL and not destination.backends:
        yield Finding(loc=("location",))


def _find_account_outside(destination: "Destination") -> Iterator[Finding]:
    if destination.location is Location.INTERNAL:
        return
    for index, backend in enumerate(destination.backends):
        for number, endpoint in enumerate(backend.endpoints):
            if endpoint.service_account is not None:
                yield Finding(loc=("backends", index, "endpoints", number, "serviceAccount"))


def _find_account_beside_tls(destination: "Destination") -> Iterator[Finding]:
    # originateTLS demands names of its own, and Istio those of service accounts with ISTIO_MUTUAL
    # alone (pilot/pkg/networking/core/cluster_tls.go).
    if destination.originate_tls is None:
        return
    for index, backend in enumerate(destination.backends):
        for number, endpoint in enumerate(backend.endpoints):
            if endpoint.service_account is not None:
                yield Finding(loc=("backends", index, "endpoints", number, "serviceAccount"))


def _find_http_traffic_on_opaque(destination: "Destination") -> Iterator[Finding]:
    ports = destination.resolve_ports()
    opaque = next((port for port in ports if port.protocol not in HTTP_LIKE), None)
    if destination.traffic is None or opaque is None:
        return
    default = "" if destination.ports else " (the default)"
    for loc in list_http_traffic(destination.traffic):
        yield Finding(
            f"port {opaque.number} is {opaque.protocol}{default}, so Istio sees no requests and "
            f"{loc[-1]} has no effect",
            loc,
        )


def _find_traffic_without_host(destination: "Destination") -> Iterator[Finding]:
    # Without a host the resolution is NONE: an ORIGINAL_DST cluster has no endpoints to choose.
    traffic = destination.traffic
    if traffic is None or destination.hosts:
        return
    if traffic.load_balancer is not None:
        yield Finding("loadBalancer needs a host", ("traffic", "loadBalancer"))
    if traffic.outlier_detection is not None:
        yield Finding("outlierDetection needs a host", ("traffic", "outlierDetection"))


_HTTP_POOL_CEL = (
    "(has(self.traffic.connectionPool) && (has(self.traffic.connectionPool.maxPendingRequests)"
    " || has(self.traffic.connectionPool.maxRequestsPerConnection)))"
)
_HTTP_HASH_CEL = (
    "(has(self.traffic.loadBalancer) && has(self.traffic.loadBalancer.consistentHash)"
    " && !has(self.traffic.loadBalancer.consistentHash.sourceIP))"
)


class Destination(Model):
    """Hosts that share ports and settings."""

    absent_fields: ClassVar[Words] = {"ttl": END}
    name: Annotated[Omittable[Label], Field(examples=["stripe"])] = None
    """A name for status and messages, a DNS label, unique in the policy."""
    hosts: Annotated[
        tuple[Host, ...],
        Field(max_length=MOST_OF_EACH, examples=[["api.stripe.com"]]),
        ListType("set"),
    ] = ()
    """The outside hosts by their full names in lower case, at most 16; international names as
    A-labels. A name may begin with *. and then stands for all names below the rest of it, which is
    two labels at least; a host that is named in full goes its own way."""
    ports: Annotated[
        tuple[Port, ...],
        Field(
            min_length=1, max_length=MOST_OF_EACH, examples=[[{"number": 443, "protocol": "TLS"}]]
        ),
        ListType("map", "number"),
    ] = ()
    """The ports of each host, 1 to 16; left out: port 443 with TLS that the application opens
    itself."""
    addresses: Annotated[
        tuple[AddressOrCidr, ...],
        Field(min_length=1, max_length=MOST_OF_EACH, examples=[["203.0.113.20"]]),
        ListType("set"),
    ] = ()
    """The addresses that clients dial: single IPs of exactly one host, or, without hosts, IPs and
    CIDRs that are allowed as they are dialled."""
    location: Annotated[Omittable[Location], Field(examples=["External"])] = None
    """Where the hosts are: External (meant when left out), or Internal for machines inside the
    mesh, which need backends."""
    backends: Annotated[
        tuple[Backend, ...],
        Field(
            min_length=1,
            max_length=MOST_BACKENDS,
            examples=[[{"name": "v1", "endpoints": [{"address": "203.0.113.10"}]}]],
        ),
        ListType("map", "name"),
    ] = ()
    """Where the hosts really are, 1 to 8 backends, each with a weight, or in the order of failover;
    left out: at their own DNS names, or at the single IPs of addresses."""
    failover: Annotated[Omittable[StrictBool], Field(examples=[True])] = None
    """true: everything goes to the first backend, and to the next one while the endpoints before it
    fail; in place of weights. Failures are counted as traffic.outlierDetection says; left out: five
    connections in a row that fail, or responses 502, 503 and 504, for 30s."""
    originate_tls: Annotated[
        Omittable[OriginateTLS],
        Field(alias="originateTLS", examples=[{}]),
    ] = None
    """The application speaks in plain text, such as http://..., and the mesh opens TLS; {} is
    enough. Every port must be HTTP, HTTP2, GRPC, TCP, MONGO or REDIS; ports left out: port 80 with
    HTTP, to the destination's port 443."""
    http: Annotated[Omittable[Http], Field(examples=[{"timeout": "3s"}])] = None
    """Settings of HTTP requests; every port must be HTTP, HTTP2 or GRPC."""
    traffic: Annotated[
        Omittable[Traffic], Field(examples=[{"connectionPool": {"maxConnections": 100}}])
    ] = None
    """Load balancing, limits of connections and what happens to endpoints that fail, on the last
    hop, to the outside: in the caller's sidecar, or in the gateway. Each proxy counts for itself,
    for each host and port."""

    height: ClassVar[int] = 5
    checks: ClassVar[tuple[Check, ...]] = (
        Check("EG202", f"!{_NO_HOST} || has(self.addresses)", _find_nothing),
        Check(
            "EG203",
            "!has(self.addresses) || !has(self.hosts) || self.hosts.size() <= 1",
            _find_many_hosts,
            "addresses",
        ),
        Check(
            "EG204",
            f"{_NO_HOST} || !has(self.addresses) || !self.addresses.exists(a, a.contains('/'))",
            _find_cidr_of_host,
            "addresses",
        ),
        Check(
            "EG205",
            f"!{_NO_HOST} || !has(self.ports)"
            " || self.ports.all(p, p.protocol in ['TCP', 'TLS', 'HTTPS'])",
            _find_protocol_without_host,
            "ports",
        ),
        Check(
            "EG206",
            f"!{_NO_HOST} || !has(self.backends)",
            _find_backends_without_host,
            "backends",
        ),
        Check(
            "EG207",
            f"!{_NO_HOST} || !has(self.ports) || !self.ports.exists(p, has(p.targetPort))",
            _find_target_without_host,
            "ports",
        ),
        Check(
            "EG208",
            "!has(self.http) || (has(self.ports)"
            f" ? self.ports.all(p, p.protocol in {HTTP_LIKE_CEL}) : has(self.originateTLS))",
            _find_http_on_opaque,
            "http",
        ),
        Check(
            "EG211",
            "!has(self.location) || self.location != 'Internal' || has(self.backends)",
            _find_internal_without_backends,
            "location",
        ),
        Check(
            "EG212",
            "(has(self.location) && self.location == 'Internal') || !has(self.backends)"
            " || !self.backends.exists(b, b.endpoints.exists(e, has(e.serviceAccount)))",
            _find_account_outside,
            "backends",
        ),
        Check(
            "EG249",
            "!has(self.originateTLS) || !has(self.backends)"
            " || !self.backends.exists(b, b.endpoints.exists(e, has(e.serviceAccount)))",
            _find_account_beside_tls,
            "backends",
        ),
        Check(
            "EG217",
            "!has(self.originateTLS) || !has(self.ports)"
            f" || self.ports.all(p, p.protocol in {TLS_FIRST_CEL})",
            _find_originate_after_first_byte,
            "originateTLS",
        ),
        Check(
            "EG225",
            f"!{_NO_HOST} || !has(self.originateTLS)",
            _find_originate_without_host,
            "originateTLS",
        ),
        Check(
            "EG227",
            f"!has(self.traffic) || !({_HTTP_POOL_CEL} || {_HTTP_HASH_CEL}) || (has(self.ports)"
            f" ? self.ports.all(p, p.protocol in {HTTP_LIKE_CEL}) : has(self.originateTLS))",
            _find_http_traffic_on_opaque,
            "traffic",
        ),
        Check(
            "EG228",
            f"!{_NO_HOST} || !has(self.traffic)"
            " || !(has(self.traffic.loadBalancer) || has(self.traffic.outlierDetection))",
            _find_traffic_without_host,
            "traffic",
        ),
        *BACKEND_CHECKS,
        *PORT_CHECKS,
        *DESTINATION_CHECKS,
    )

    def resolve_ports(self) -> tuple[Port, ...]:
        """Return the ports, or the default that no port means."""
        default = DEFAULT_PORTS if self.originate_tls is None else DEFAULT_ORIGINATE_PORTS
        return self.ports or default
