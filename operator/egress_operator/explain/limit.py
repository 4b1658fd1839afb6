"""Policies that ask for more than a namespace may have; older policies come first."""

from collections.abc import Collection, Iterator

from egress_operator.explain.want import Want, list_wants
from egress_operator.explain.world import Payload, World

DEFAULT_HOSTS = 500
DEFAULT_SERVERS = 100
"""At a gateway that says nothing else."""
PAIRS = 4
"""Pairs of host and port, each backend counted, for each host of a limit."""

Count = tuple[str, int, frozenset[object]]
"""What is counted, how many there may be, and those of one policy."""


def find_excesses(world: World, namespace: str) -> dict[str, str]:
    """Tell why policies of a namespace are refused, by their names. Pure."""
    taken: dict[str, set[object]] = {}
    found: dict[str, str] = {}
    for policy in world.policies.get(namespace, ()):
        counts = list(_list_counts(world, list(list_wants(policy))))
        reason = next(
            (
                f"more than {most} {what}"
                for what, most, items in counts
                if len(taken.get(what, set()) | items) > most
            ),
            "",
        )
        if reason:
            found[policy.name] = reason
            continue
        for what, _, items in counts:
            taken.setdefault(what, set()).update(items)
    return found


def _list_counts(world: World, wants: Collection[Want]) -> Iterator[Count]:
    subjects = frozenset(want.subject for want in wants)
    pairs = frozenset(pair for want in wants for pair in _list_pairs(want))
    yield "hosts in the namespace", world.max_hosts, subjects
    yield "pairs in the namespace", PAIRS * world.max_hosts, pairs
    name = next(iter(wants)).way.gateway
    gateway = world.gateways.get(name)
    if gateway is None:
        return
    limits = gateway.limits
    hosts = (limits and limits.hosts) or DEFAULT_HOSTS
    servers = (limits and limits.servers) or DEFAULT_SERVERS
    yield f"hosts at EgressGateway {name}", hosts, subjects
    yield f"pairs at EgressGateway {name}", PAIRS * hosts, pairs
    own = frozenset((want.subject, want.port) for want in wants if _has_server(want))
    yield f"servers at EgressGateway {name}", servers, own


def _list_pairs(want: Want) -> Iterator[tuple[str, int, str]]:
    """List the backends of a port, each by its name; what is reached by one name is one."""
    place = want.place
    is_shared = len(place.backends) > 1 and not place.failover
    names = {share.name for share in place.used} if is_shared else {""}
    for name in sorted(names | {want.way.mirror} if want.way.mirror else names):
        yield want.subject, want.port, name


def _has_server(want: Want) -> bool:
    """Whether the gateway tells the port apart by a server; HTTP for everyone shares one."""
    return want.way.payload is not Payload.HTTP or bool(want.source.accounts) or want.is_any
