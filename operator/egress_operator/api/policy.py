"""EgressPolicy: what an app team writes."""

from collections.abc import Hashable, Iterator
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from egress_operator.api.destination import Destination
from egress_operator.api.host import is_wildcard
from egress_operator.api.metadata import ObjectMeta
from egress_operator.api.model import REFERENCE_FIELDS, Model
from egress_operator.api.port import HTTP_LIKE, HTTP_PORT, TLS_PORT
from egress_operator.api.rule import Check, Finding, ListType, Omittable
from egress_operator.api.scalar import GatewayName, Location, Moment
from egress_operator.api.size import TEXT_CHECK
from egress_operator.api.source import From
from egress_operator.api.traffic import list_http_traffic
from egress_operator.api.wildcard import POLICY_CHECKS, find_tls_wildcard
from egress_operator.api.word import END, POLICY_WORDS, Words

GROUP = "egress-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "EgressPolicy"
PLURAL = "egresspolicies"

MOST_DESTINATIONS = 16
MOST_HOSTS = 64
MOST_PAIRS = 128
"""Each pair of a host, or an address without one, and a port is a row of the status, and with each
backend up to five objects."""

Pairs = Iterator[tuple[tuple[int, Destination], tuple[int, Destination]]]


def _pair(spec: "EgressPolicySpec") -> Pairs:
    return combinations(enumerate(spec.destinations), 2)


def _numbers(destination: Destination) -> set[int]:
    return {port.number for port in destination.resolve_ports()}


def _find_too_many_hosts(spec: "EgressPolicySpec") -> Iterator[Finding]:
    count = sum(len(destination.hosts) for destination in spec.destinations)
    if count > MOST_HOSTS:
        yield Finding(f"the policy names {count} hosts, at most {MOST_HOSTS} are allowed")


def _count_backends(destination: Destination) -> int:
    """Count the backends that each port leads to; those of a failover are one, beside a mirror."""
    if destination.backends and not destination.failover:
        return len(destination.backends)
    is_copied = destination.http is not None and destination.http.mirror is not None
    return 2 if is_copied else 1


def _find_too_many_pairs(spec: "EgressPolicySpec") -> Iterator[Finding]:
    count = sum(
        len(destination.hosts or destination.addresses)
        * len(destination.resolve_ports())
        * _count_backends(destination)
        for destination in spec.destinations
    )
    if count > MOST_PAIRS:
        yield Finding(
            f"the policy names {count} pairs of host and port, each backend counted, at most "
            f"{MOST_PAIRS} are allowed"
        )


def _find_equal_names(spec: "EgressPolicySpec") -> Iterator[Finding]:
    for (first, one), (second, other) in _pair(spec):
        if one.name is not None and one.name == other.name:
            yield Finding(
                f"destinations {first} and {second} are both named {one.name}",
                ("destinations", second, "name"),
            )


def _find_equal_host_ports(spec: "EgressPolicySpec") -> Iterator[Finding]:
    for (first, one), (second, other) in _pair(spec):
        ports = sorted(_numbers(one) & _numbers(other))
        for index, host in enumerate(other.hosts if ports else ()):
            if host in one.hosts:
                yield Finding(
                    f"{host} port {ports[0]} stands in destination {first} too",
                    ("destinations", second, "hosts", index),
                )


def _find_equal_address_ports(spec: "EgressPolicySpec") -> Iterator[Finding]:
    for (first, one), (second, other) in _pair(spec):
        ports = sorted(_numbers(one) & _numbers(other))
        for index, address in enumerate(other.addresses if ports else ()):
            if address in one.addresses:
                yield Finding(
                    f"{address} port {ports[0]} stands in destination {first} too",
                    ("destinations", second, "addresses", index),
                )


def _compare_per_host(destination: Destination) -> dict[str, Hashable]:
    """Collect what Istio keeps per host.

    As in CEL, sets and maps are equal in any order; but that of failover counts.
    """
    return {
        "addresses": frozenset(destination.addresses),
        "backends": frozenset(
            (backend.name, backend.weight, frozenset(backend.endpoints))
            for backend in destination.backends
        ),
        "failover": tuple(backend.name for backend in destination.backends)
        if destination.failover
        else (),
        "location": destination.location or Location.EXTERNAL,
        "traffic": destination.traffic,
    }


def _find_unequal_settings(spec: "EgressPolicySpec") -> Iterator[Finding]:
    for (first, one), (second, other) in _pair(spec):
        shared = next((host for host in other.hosts if host in one.hosts), None)
        if shared is None:
            continue
        before, after = _compare_per_host(one), _compare_per_host(other)
        for field, value in after.items():
            if value != before[field]:
                what = "another order of failover" if field == "failover" else f"other {field}"
                yield Finding(
                    f"{shared} stands in destination {first} too, with {what}",
                    ("destinations", second, field),
                    _fix_traffic(shared, one, other) if field == "traffic" else "",
                )


def _fix_traffic(host: str, *shares: Destination) -> str:
    """Tell what to remove where a host cannot have the same traffic with all ports, else nothing.

    A wildcard has two ports at most, so one of two destinations has that with TLS.
    """
    if is_wildcard(host):
        return "remove traffic, which a wildcard with a TLS port cannot have"
    ports = [port for share in shares for port in share.resolve_ports()]
    if all(port.protocol in HTTP_LIKE for port in ports):
        return ""
    given = [share.traffic for share in shares if share.traffic is not None]
    names = dict.fromkeys(
        ".".join(loc[1:]) for traffic in given for loc in list_http_traffic(traffic)
    )
    if not names:
        return ""
    return (
        f"remove {' and '.join(names)}, with all around it that is empty then, because not all "
        "ports of the host are HTTP, HTTP2 or GRPC; and write the rest the same in each of them"
    )


def _find_accounts_without_gateway(spec: "EgressPolicySpec") -> Iterator[Finding]:
    if spec.from_ is None or not spec.from_.service_accounts or spec.gateway_ref is not None:
        return
    fixes = []
    if all(_can_use_gateway(destination) for destination in spec.destinations):
        files = any(one.originate_tls and one.originate_tls.files for one in spec.destinations)
        secrets = ", and name Secrets in place of originateTLS.files" if files else ""
        fixes.append(f"add gatewayRef, because only a gateway sees who calls{secrets}")
    if spec.from_.workloads is not None:
        fixes.append("remove serviceAccounts, so that workloads alone choose the pods")
    elif all(_can_choose_workloads(destination) for destination in spec.destinations):
        fixes.append("write from.workloads in its place, to choose pods by their labels")
    elif not fixes:
        fixes.append(
            "move what can only be called directly (destinations without hosts, location Internal) "
            "into a policy without from, where every workload may call it"
        )
    yield Finding(loc=("from", "serviceAccounts"), fix="; or ".join(fixes))


def _can_use_gateway(destination: Destination) -> bool:
    """Whether nothing but its policy keeps a destination from a gateway."""
    return bool(destination.hosts) and destination.location is not Location.INTERNAL


def _can_choose_workloads(destination: Destination) -> bool:
    """Whether `from.workloads` can hold for a destination."""
    return bool(destination.hosts) and not find_tls_wildcard(destination)


def _find_refs_without_gateway(spec: "EgressPolicySpec") -> Iterator[Finding]:
    if spec.gateway_ref is not None:
        return
    for index, destination in enumerate(spec.destinations):
        tls = destination.originate_tls
        for field, ref in (
            ("caCertificateRef", tls and tls.ca_certificate_ref),
            ("clientCertificateRef", tls and tls.client_certificate_ref),
        ):
            if ref:
                yield Finding(
                    f"{field} needs gatewayRef",
                    ("destinations", index, "originateTLS", field),
                )


def _find_files_with_gateway(spec: "EgressPolicySpec") -> Iterator[Finding]:
    if spec.gateway_ref is None:
        return
    for index, destination in enumerate(spec.destinations):
        if destination.originate_tls is not None and destination.originate_tls.files is not None:
            yield Finding(loc=("destinations", index, "originateTLS", "files"))


def _find_dialled_not_direct(spec: "EgressPolicySpec") -> Iterator[Finding]:
    # A range has no name by which a route or a gateway could know it.
    restricted = {
        "gatewayRef": spec.gateway_ref,
        "from.workloads": spec.from_ and spec.from_.workloads,
    }
    if not (given := [name for name, value in restricted.items() if value]):
        return
    for index, destination in enumerate(spec.destinations):
        if not destination.hosts:
            yield Finding(
                f"the destination names no host, so {' and '.join(given)} cannot hold for it",
                ("destinations", index),
            )


def _find_internal_through_gateway(spec: "EgressPolicySpec") -> Iterator[Finding]:
    if spec.gateway_ref is None:
        return
    for index, destination in enumerate(spec.destinations):
        if destination.location is Location.INTERNAL:
            yield Finding(loc=("destinations", index, "location"))


def _ports_cel(item: str) -> str:
    default = f"has({item}.originateTLS) ? [{HTTP_PORT}] : [{TLS_PORT}]"
    return f"(has({item}.ports) ? {item}.ports.map(p, p.number) : {default})"


def _alone_cel(field: str) -> str:
    """CEL: no two destinations hold the same entry of `field` with the same port.

    Each destination is compared with all, itself among them, so exactly one may match.
    """
    return (
        f"self.destinations.all(d, !has(d.{field}) || d.{field}.size() == 0"
        f" || self.destinations.filter(e, has(e.{field}) && sets.intersects(d.{field}, e.{field})"
        f" && sets.intersects({_ports_cel('d')}, {_ports_cel('e')})).size() == 1)"
    )


def _same_cel(field: str) -> str:
    return f"(has(d.{field}) ? has(e.{field}) && d.{field} == e.{field} : !has(e.{field}))"


def _order_cel(item: str) -> str:
    """CEL: the names of the backends where their order counts. A list of `map` has an order."""
    return (
        f"(has({item}.failover) && {item}.failover && has({item}.backends)"
        f" ? {item}.backends.map(b, b.name) : [])"
    )


_LOCATION_CEL = (
    "(has(d.location) ? d.location : 'External') == (has(e.location) ? e.location : 'External')"
)


class GatewayRef(Model):
    """An EgressGateway."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        REFERENCE_FIELDS, "remove it: EgressGateways are cluster-scoped, the name is enough"
    )
    name: Annotated[GatewayName, Field(examples=["shared"])]
    """The name of the EgressGateway."""


class EgressPolicySpec(Model):
    """What is allowed."""

    absent_fields: ClassVar[Words] = {"ttl": END}
    words: ClassVar[Words] = POLICY_WORDS
    gateway_ref: Annotated[Omittable[GatewayRef], Field(examples=[{"name": "shared"}])] = None
    """The EgressGateway that all destinations go through; left out: directly."""
    from_: Annotated[
        Omittable[From],
        Field(alias="from", examples=[{"workloads": {"matchLabels": {"app": "checkout"}}}]),
    ] = None
    """Who in the namespace may call; left out: every workload."""
    expires_at: Annotated[Omittable[Moment], Field(examples=["2027-01-31T00:00:00Z"])] = None
    """The time (RFC 3339) after which the policy's Istio objects are removed, everywhere: at the
    sidecars and at the gateway; left out: the policy does not expire."""
    destinations: Annotated[
        tuple[Destination, ...],
        Field(
            min_length=1, max_length=MOST_DESTINATIONS, examples=[[{"hosts": ["api.stripe.com"]}]]
        ),
        ListType("atomic"),
    ]
    """The outside hosts that the namespace may call, 1 to 16 destinations with 64 hosts together,
    and 128 pairs of host and port, each backend counted."""
    justification: Annotated[
        Omittable[str],
        Field(min_length=1, max_length=512, strict=True, examples=["card payments, PAY-123"]),
    ] = None
    """Why these hosts are needed, for those who review it."""

    height: ClassVar[int] = 6
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "EG021",
            f"self.destinations.map(d, has(d.hosts) ? d.hosts.size() : 0).sum() <= {MOST_HOSTS}",
            _find_too_many_hosts,
            "destinations",
        ),
        Check(
            "EG032",
            "self.destinations.map(d, (has(d.hosts) && d.hosts.size() > 0 ? d.hosts.size()"
            " : has(d.addresses) ? d.addresses.size() : 0)"
            " * (has(d.ports) ? d.ports.size() : 1)"
            " * (has(d.backends) && !(has(d.failover) && d.failover) ? d.backends.size()"
            " : has(d.http) && has(d.http.mirror) ? 2 : 1)"
            f").sum() <= {MOST_PAIRS}",
            _find_too_many_pairs,
            "destinations",
        ),
        Check(
            "EG022",
            "self.destinations.all(d, !has(d.name)"
            " || self.destinations.filter(e, has(e.name) && e.name == d.name).size() == 1)",
            _find_equal_names,
            "destinations",
        ),
        Check("EG023", _alone_cel("hosts"), _find_equal_host_ports, "destinations"),
        Check("EG024", _alone_cel("addresses"), _find_equal_address_ports, "destinations"),
        Check(
            "EG215",
            "self.destinations.all(d, !has(d.hosts) || self.destinations.all(e, !has(e.hosts)"
            " || !sets.intersects(d.hosts, e.hosts)"
            f" || ({_same_cel('addresses')} && {_same_cel('backends')}"
            f" && {_same_cel('traffic')} && {_LOCATION_CEL}"
            f" && {_order_cel('d')} == {_order_cel('e')})))",
            _find_unequal_settings,
            "destinations",
        ),
        Check(
            "EG216",
            "!has(self.from) || !has(self.from.serviceAccounts) || has(self.gatewayRef)",
            _find_accounts_without_gateway,
            "from.serviceAccounts",
        ),
        Check(
            "EG218",
            "has(self.gatewayRef) || !self.destinations.exists(d, has(d.originateTLS)"
            " && (has(d.originateTLS.caCertificateRef)"
            " || has(d.originateTLS.clientCertificateRef)))",
            _find_refs_without_gateway,
            "destinations",
        ),
        Check(
            "EG219",
            "!has(self.gatewayRef) || !self.destinations.exists(d,"
            " has(d.originateTLS) && has(d.originateTLS.files))",
            _find_files_with_gateway,
            "destinations",
        ),
        Check(
            "EG223",
            "!has(self.gatewayRef) && (!has(self.from) || !has(self.from.workloads))"
            " || self.destinations.all(d, has(d.hosts) && d.hosts.size() > 0)",
            _find_dialled_not_direct,
            "destinations",
        ),
        Check(
            "EG224",
            "!has(self.gatewayRef) || !self.destinations.exists(d,"
            " has(d.location) && d.location == 'Internal')",
            _find_internal_through_gateway,
            "destinations",
        ),
        TEXT_CHECK,
        *POLICY_CHECKS,
    )


class EgressPolicy(Model):
    """EgressPolicy allows the workloads of its namespace to call the outside hosts it names."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        ("selector", "podSelector", "workloadSelector"), "write spec.from.workloads.matchLabels"
    )
    api_version: Literal["egress-operator.io/v1alpha1"]
    kind: Literal["EgressPolicy"]
    metadata: ObjectMeta
    spec: Annotated[
        EgressPolicySpec, Field(examples=[{"destinations": [{"hosts": ["api.stripe.com"]}]}])
    ]
    """What is allowed."""
    status: Any = None
