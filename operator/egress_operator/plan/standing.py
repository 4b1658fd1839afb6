"""What stands of the hosts of a namespace, and whose it is, whatever is asked for."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from egress_operator.istio.kind import Kind
from egress_operator.istio.name import build_host_name, find_behind_port
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
    has_route: bool = False
    """Whether the VirtualService of its clients is there."""


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
    routed: set[str] = set()
    for item in observed:
        if not isinstance(item.set_key, HostSet):
            continue
        host = item.set_key.host
        owners[host].update(item.owners)
        if item.key.kind is Kind.SERVICE_ENTRY:
            gateways[host].update(item.facts.refs)
        elif item.key.kind is Kind.VIRTUAL_SERVICE:
            if item.key.name == build_host_name(host):
                routed.add(host)
        elif item.label:
            servers[host].add((item.label, find_behind_port(item.key.name)))
    return tuple(
        HostStanding(
            host,
            frozenset(found.intersection(policies)),
            frozenset(gateways[host]),
            frozenset(servers[host]),
            host in routed,
        )
        for host, found in owners.items()
    )


def find_kept(
    namespace: str, standing: Iterable[HostStanding], policies: Collection[Owner]
) -> Mapping[Owner, frozenset[SetKey]]:
    """Return the sets of hosts of which each of these policies owns something. Pure; linear."""
    found: defaultdict[Owner, set[SetKey]] = defaultdict(set)
    for host in standing if policies else ():
        for owner in host.owners.intersection(policies):
            found[owner].add(HostSet(namespace, host.host))
    return {owner: frozenset(sets) for owner, sets in found.items()}
