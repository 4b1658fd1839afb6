"""What stands of the hosts of a namespace, and whose it is, whatever is asked for."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from egress_operator.istio.kind import Kind
from egress_operator.istio.name import build_host_name, find_behind_port, is_behind_form
from egress_operator.istio.object import Observed, Owner
from egress_operator.istio.set_key import HostSet, SetKey


@dataclass(frozen=True, slots=True)
class HostStanding:
    """What stands of one host of a namespace."""

    host: str
    owners: frozenset[Owner]
    """The policies that own any of it; none when those that did are gone: it will be deleted."""
    gateways: frozenset[str] = frozenset()
    """The labels of the gateways that know the host."""
    servers: frozenset[tuple[str, int]] = frozenset()
    """(label of the gateway, port) of each server that it has for itself there."""
    routes: tuple[str, ...] = ()
    """What the VirtualService of its clients has rules for: `http`, `tls`, `tcp`; none: it is not
    there."""
    pairs: frozenset[tuple[str, int, int]] = frozenset()
    """(label of the gateway, port, place among the upstreams of the port) of each upstream that is
    known there, with an empty label of every one wherever it is."""


_OPEN = "*"
"""In place of the label of a gateway: the host itself."""


def build_host_standings(
    observed: Iterable[Observed], policies: Collection[Owner]
) -> tuple[HostStanding, ...]:
    """Gather what stands of the hosts of a namespace. Pure; linear.

    `observed`: its objects, also those in the namespaces of gateways. `policies`: those that are
    there, also while they are being deleted.
    """
    owners: defaultdict[str, set[Owner]] = defaultdict(set)
    gateways: defaultdict[str, set[str]] = defaultdict(set)
    servers: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    ports: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    """By host: how many upstreams each (label of a gateway, port) has; an empty label: directly."""
    routes: dict[str, tuple[str, ...]] = {}
    for item in observed:
        if not isinstance(item.set_key, HostSet):
            continue
        host = item.set_key.host
        owners[host].update(item.owners)
        if item.key.kind is Kind.SERVICE_ENTRY:
            gateways[host].update(item.facts.refs)
            ports[host].update(_list_ports(item))
        elif item.key.kind is Kind.VIRTUAL_SERVICE:
            if item.key.name == build_host_name(host):
                routes[host] = item.facts.parts
        elif item.label and is_behind_form(item.key.name):
            servers[host].add((item.label, find_behind_port(item.key.name)))
    return tuple(
        HostStanding(
            host,
            frozenset(found.intersection(policies)),
            frozenset(gateways[host]),
            frozenset(servers[host]),
            routes.get(host, ()),
            frozenset(_list_pairs(ports[host])),
        )
        for host, found in owners.items()
    )


def _list_ports(entry: Observed) -> Iterator[tuple[str, int]]:
    """List where a ServiceEntry is an upstream: (label of the gateway, port of the host).

    That of the host itself has all ports, and stands for their upstreams while they have no others.
    """
    if is_behind_form(entry.key.name):
        port = find_behind_port(entry.key.name)
        yield from ((label, port) for label in entry.facts.refs or ("",))
    else:
        yield from ((_OPEN, port.number) for port in entry.facts.ports)


def _list_pairs(ports: Mapping[tuple[str, int], int]) -> Iterator[tuple[str, int, int]]:
    """List the upstreams of each port by number, for each gateway and all together."""
    totals: Counter[int] = Counter()
    for (label, port), count in ports.items():
        if label != _OPEN:
            totals[port] += count
        if label and label != _OPEN:
            yield from ((label, port, place) for place in range(count))
    for port in {port for _, port in ports}:
        yield from (("", port, place) for place in range(totals[port] or 1))


def find_kept(
    namespace: str, standing: Iterable[HostStanding], policies: Collection[Owner]
) -> Mapping[Owner, frozenset[SetKey]]:
    """Return the sets of hosts of which each of these policies owns something. Pure; linear."""
    found: defaultdict[Owner, set[SetKey]] = defaultdict(set)
    for host in standing if policies else ():
        for owner in host.owners.intersection(policies):
            found[owner].add(HostSet(namespace, host.host))
    return {owner: frozenset(sets) for owner, sets in found.items()}
