"""Calls of which it cannot be told what becomes of them, beside Sidecars. Pure."""

from collections.abc import Iterator

from egress_operator.explain.explain import find_holds
from egress_operator.explain.sidecar import Sidecar, find_sidecar
from egress_operator.explain.want import Want, decide
from egress_operator.explain.world import Call, Caller, Payload, World


def is_certain(world: World, call: Call) -> bool:
    """Whether it can be told what becomes of a call for a host."""
    sidecar = _find_sidecar(world, call.caller)
    if sidecar is None:
        return True
    if call.payload is not Payload.HTTP:
        return not _has_listener_beside(world, call, sidecar)
    return not any(_has_entry_below(sidecar, want) for want in _list_hidden(world, call, sidecar))


def _has_listener_beside(world: World, call: Call, sidecar: Sidecar) -> bool:
    """Whether a host may have a listener beside that of a port in a Sidecar.

    Those with addresses of their own that another listener of the Sidecar shows have one by their
    address. The listener of a port takes that port for all others, if it shows one of these itself:
    else there is none for the port alone (pilot/pkg/networking/core/listener.go,
    buildSidecarOutboundListener: what is locked is an address with a port).
    """
    if all(port != call.port for port, _, _ in sidecar.egress):
        return False
    namespace = call.caller.namespace
    own = [
        want
        for want in _list_kept(world, namespace)
        if want.port == call.port and want.way.payload is not Payload.HTTP
    ]
    return any(want.place.addresses for want in own) or not any(
        sidecar.shows(want.host, want.port, namespace, is_http=False) for want in own
    )


def _list_hidden(world: World, call: Call, sidecar: Sidecar) -> Iterator[Want]:
    """List the wildcards over a host that a Sidecar hides.

    Istio takes the routes of a wildcard to be shown by an entry for one host below it, but not the
    wildcard itself. Then they hold on port 80 for all hosts below, unless one of those is shown, or
    nothing else has that port.
    """
    namespace = call.caller.namespace
    for want in _list_kept(world, namespace):
        if (want.port, want.way.payload) != (call.port, Payload.HTTP) or not want.covers(call.host):
            continue
        if not sidecar.shows(want.host, want.port, namespace, is_http=True):
            yield want


def _list_kept(world: World, namespace: str) -> list[Want]:
    holds = find_holds(world, namespace)
    there = world.policies.get(namespace, ())
    kept, _ = decide(policy for policy in there if policy.name not in holds)
    return kept


def _has_entry_below(sidecar: Sidecar, want: Want) -> bool:
    return any(
        not entry.startswith("~") and entry.endswith(want.host[1:])
        for port, _, entries in sidecar.egress
        if port in {0, want.port}
        for entry in entries
    )


def is_certain_name(world: World, caller: Caller, payload: Payload) -> bool:
    """Whether it can be told what becomes of a call for one of the operator's own names.

    A proxy that lets everything out refuses those names that its Sidecar shows, by the hosts that
    lead there, and of TLS it lets out what has no certificate then.
    """
    sidecar = _find_sidecar(world, caller)
    if sidecar is None:
        return not world.open_by_default or payload is not Payload.TLS
    return not (world.open_by_default if sidecar.is_open is None else sidecar.is_open)


def _find_sidecar(world: World, caller: Caller) -> Sidecar | None:
    return find_sidecar(world.sidecars, caller.namespace, caller.labels, world.root_namespace)
