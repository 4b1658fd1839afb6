"""`compile_host`: the objects of one host, and what becomes of each claim on it."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.compiler.claim import Claim, Verdicts
from egress_operator.compiler.name import build_group_name
from egress_operator.compiler.object import Desired, Kind, ObjectKey, Owner, digest_spec
from egress_operator.compiler.service_entry import build_ports, build_service_entry_spec
from egress_operator.compiler.verdict import ClaimState, ClaimVerdict, build_claim_row
from egress_operator.compiler.virtual_service import build_needs, build_virtual_service_spec


@dataclass(frozen=True, slots=True)
class Group:
    """The objects of one host, written together: the unit of order, settling and back-off."""

    key: str
    """The host (or the synthetic name of an address): unique in the namespace."""
    name: str
    """The name that all objects of the group have."""
    objects: tuple[Desired, ...]
    """In the order of `Kind`. An observed object of the group that is not among them is pruned."""


@dataclass(frozen=True, slots=True)
class CompiledHost:
    """One host of a namespace."""

    group: Group | None
    """None when no claim on it holds."""
    claims: Mapping[str, tuple[ClaimVerdict, ...]]
    """By policy name: the fate of its claims on this host, by port."""


def compile_host(namespace: str, key: str, verdicts: Verdicts) -> CompiledHost:
    """Make the objects of one host from the judged claims on it. Pure.

    Every policy that claims the host owns its objects, also one that lost: when the winner goes,
    the objects are changed in place, never deleted and made anew.
    """
    group = None
    if verdicts.won:
        owners = {claim.owner for claim in verdicts.won}
        owners |= {loss.claim.owner for loss in verdicts.lost}
        group = _build_group(namespace, key, verdicts.won, tuple(sorted(owners)))
    rows: dict[str, list[ClaimVerdict]] = {}
    for claim in verdicts.won:
        row = build_claim_row(claim, ClaimState.CLAIMED)
        rows.setdefault(claim.owner.name, []).append(row)
    for loss in verdicts.lost:
        row = build_claim_row(
            loss.claim, ClaimState.CONFLICTED, message=loss.message, code=loss.code
        )
        rows.setdefault(loss.claim.owner.name, []).append(row)
    return CompiledHost(group, {name: tuple(found) for name, found in rows.items()})


def _build_group(
    namespace: str, key: str, won: tuple[Claim, ...], owners: tuple[Owner, ...]
) -> Group:
    first = won[0]
    ports = {claim.port.number: claim.port for claim in won}
    name = build_group_name(key)
    entry_ports = build_ports(ports.values(), as_dialled=first.as_dialled)
    entry_spec = build_service_entry_spec(
        key, first.settings, entry_ports, as_dialled=first.as_dialled
    )
    entry = Desired(
        ObjectKey(Kind.SERVICE_ENTRY, namespace, name),
        key,
        owners,
        entry_spec,
        digest_spec(entry_spec),
        ports=entry_ports,
    )
    route_spec = build_virtual_service_spec(key, ports.values())
    if route_spec is None:
        return Group(key, name, (entry,))
    route = Desired(
        ObjectKey(Kind.VIRTUAL_SERVICE, namespace, name),
        key,
        owners,
        route_spec,
        digest_spec(route_spec),
        needs=build_needs(ports.values()),
    )
    return Group(key, name, (entry, route))
