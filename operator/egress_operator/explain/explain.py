"""`explain`: what becomes of a call, and why."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from itertools import chain

from egress_operator.api.gateway import Authorization, Wildcards
from egress_operator.api.selector import LabelExpression, LabelSelector, SelectorOperator
from egress_operator.explain.limit import find_excesses
from egress_operator.explain.sidecar import Sidecar, find_sidecar
from egress_operator.explain.want import Retry, Source, Tls, Want, decide, list_wants
from egress_operator.explain.world import Call, Caller, Payload, Policy, World


class Fate(StrEnum):
    """What becomes of a call."""

    DIRECT = "direct"
    """It leaves the mesh from the caller's own proxy."""
    GATEWAY = "through the gateway"
    UNDECLARED = "undeclared"
    """No policy of the namespace that takes part names the host with this port: refused."""
    HIDDEN = "hidden"
    """A policy does, but a Sidecar keeps the host from the caller's proxy: refused."""
    GATEWAY_HIDDEN = "gateway hidden"
    """A policy does, but a Sidecar keeps the gateway's Service from the caller's proxy: refused."""
    NOT_CHOSEN = "not chosen"
    """A policy does, but not for this caller: refused."""
    WITHDRAWN = "withdrawn"
    """A policy does, through a gateway that is not open to the namespace: refused."""
    NOT_ALLOWED = "not allowed"
    """A policy does, but not this request: answered with 403."""
    RESERVED = "reserved"
    """The name is the operator's own: refused."""


CODES_OF_CONDITION: Mapping[str, Iterable[int]] = {
    "5xx": range(500, 600),
    "gateway-error": (502, 503, 504),
    "retriable-4xx": (409,),
}
"""Of the conditions that speak of codes."""

UNNAMED = "address"
"""Stands for the first label of the name that an address without a host has in Istio."""

REFUSED = frozenset(
    {
        Fate.UNDECLARED,
        Fate.HIDDEN,
        Fate.GATEWAY_HIDDEN,
        Fate.NOT_CHOSEN,
        Fate.WITHDRAWN,
        Fate.NOT_ALLOWED,
        Fate.RESERVED,
    }
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a call. What comes after `reason` is told of calls that get through."""

    fate: Fate
    reason: str
    """One sentence."""
    policies: tuple[str, ...] = ()
    """The policies that decide, the oldest first."""
    gateway: str = ""
    servers: tuple[str, ...] = ()
    """Host names or addresses that the call may end at."""
    port: int = 0
    """The server's own."""
    tls: Tls | None = None
    """TLS that the mesh opens."""
    timeout_ms: int | None = None
    retry_codes: frozenset[int] = frozenset()
    """Answers that are asked for again, as often as `attempts` says."""
    attempts: int | None = None
    """None: Istio's own choice."""
    account: str = ""
    """The ServiceAccount of the namespace that the server must prove to be, in mutual TLS between
    proxies of the mesh; empty: none."""
    host: str = ""
    """What the server gets as Host."""
    path: str = ""
    """What it gets as path, with the query."""
    abort: int | None = None
    """The status with which the mesh answers instead of a server; None: a server answers."""
    wildcard: str = ""
    """The wildcard that the call goes by, also to a refusal; empty: its host is named in full."""


def find_holds(world: World, namespace: str) -> dict[str, str]:
    """Tell why policies of a namespace take no part, by the names of those that do not. Pure.

    What they did before, when they did take part, goes on: that is not known here.
    """
    references = {
        policy.name: reason
        for policy in world.policies.get(namespace, ())
        if (reason := _find_reference_problem(world, policy))
    }
    return references | find_excesses(world, namespace)


def _find_reference_problem(world: World, policy: Policy) -> str:
    if policy.spec.gateway_ref is None:
        return ""
    name, source = policy.spec.gateway_ref.name, policy.spec.from_
    gateway = world.gateways.get(name)
    if gateway is None:
        return f"there is no EgressGateway {name}"
    if not _is_open(world, name, policy.namespace):
        return ""
    if source and source.service_accounts and gateway.authorization is not Authorization.MANAGED:
        return f"EgressGateway {name} does not check service accounts"
    return ""


def explain(world: World, call: Call) -> Explanation:
    """Tell what becomes of a call. Pure. The gateways are taken to be up."""
    namespace = call.caller.namespace
    sidecar = _find_sidecar(world, call.caller)
    if sidecar is not None and sidecar.is_open is not None:
        world = replace(world, open_by_default=sidecar.is_open)
    policies = world.policies.get(namespace, ())
    holds = find_holds(world, namespace)
    kept, _ = decide(policy for policy in policies if policy.name not in holds)
    shown = [want for want in kept if sidecar is None or _is_shown(sidecar, want, namespace)]
    found = _find_wants(shown, call)
    if not found:
        hidden = _find_wants(kept, call)
        return _explain_hidden(world, call, hidden) if hidden else _explain_unnamed(world, call)
    first = found[0]
    gateway = first.way.gateway
    names, named = _name_policies(found)
    wildcard = first.host if first.is_any else ""
    if gateway and (closed := _find_closed(world, first, namespace)):
        return Explanation(Fate.WITHDRAWN, f"{named}: {closed}", names, gateway)
    if not any(_is_chosen(want.source, call.caller) for want in found):
        reason = f"{named}: `from` does not choose this workload"
        return Explanation(Fate.NOT_CHOSEN, reason, names, gateway, wildcard=wildcard)
    if sidecar is not None and gateway and not _knows_gateway(world, sidecar, first, namespace):
        reason = f"{named}: Sidecar {sidecar.name} does not import the Service of gateway {gateway}"
        return Explanation(Fate.GATEWAY_HIDDEN, reason, names, gateway, wildcard=wildcard)
    if call.payload is Payload.HTTP and not _is_allowed(first, call):
        reason = f"{named}: `allow` does not hold for {call.method} {call.path}"
        return Explanation(Fate.NOT_ALLOWED, reason, names, gateway)
    retry = first.way.retry
    return Explanation(
        fate=Fate.GATEWAY if gateway else Fate.DIRECT,
        reason=f"allowed by {named}",
        policies=names,
        gateway=gateway,
        servers=_find_servers(first, call),
        port=first.way.target,
        tls=_find_tls(first, call),
        timeout_ms=first.way.timeout_ms,
        retry_codes=frozenset() if retry is None else _find_retried(retry),
        attempts=None if retry is None else retry.attempts,
        account=_find_account(first),
        host=first.way.host or call.host,
        path=first.way.path_prefix + call.path,
        abort=first.way.abort,
        wildcard=wildcard,
    )


def _name_policies(found: Iterable[Want]) -> tuple[tuple[str, ...], str]:
    names = tuple(dict.fromkeys(want.policy.name for want in found))
    return names, f"{'policy' if len(names) == 1 else 'policies'} {', '.join(names)}"


def _find_sidecar(world: World, caller: Caller) -> Sidecar | None:
    return find_sidecar(world.sidecars, caller.namespace, caller.labels, world.root_namespace)


def _is_shown(sidecar: Sidecar, want: Want, namespace: str) -> bool:
    """Whether a Sidecar shows what a policy opens; an address has a name of the operator's."""
    host = want.host or f"{UNNAMED}.{namespace}.direct.internal"
    is_http = want.way.payload is Payload.HTTP
    return sidecar.shows(host, want.port, namespace, is_http=is_http)


def _knows_gateway(world: World, sidecar: Sidecar, want: Want, namespace: str) -> bool:
    gateway = world.gateways[want.way.gateway]
    service = f"{gateway.service.name}.{gateway.namespace}.svc.{world.cluster_domain}"
    return sidecar.knows(service, gateway.namespace, gateway.service.port, want.host, namespace)


def _explain_hidden(world: World, call: Call, hidden: list[Want]) -> Explanation:
    names, named = _name_policies(hidden)
    sidecar = _find_sidecar(world, call.caller)
    reason = f"{named}: Sidecar {sidecar.name if sidecar else ''} does not import the host"
    if not world.open_by_default:
        return Explanation(Fate.HIDDEN, reason, names)
    return _let_out(call, f"{reason}, and lets everything through (ALLOW_ANY)")


def _let_out(call: Call, reason: str) -> Explanation:
    server = call.address or call.host
    return Explanation(
        Fate.DIRECT,
        reason,
        servers=(server,),
        port=call.port,
        host=call.host,
        path=call.path,
    )


def _is_allowed(want: Want, call: Call) -> bool:
    return not want.way.allow or any(entry.holds_for(call) for entry in want.way.allow)


def _find_retried(retry: Retry) -> frozenset[int]:
    """Find the answers of HTTP that are asked for again (Envoy, `x-envoy-retry-on`)."""
    named = (CODES_OF_CONDITION.get(condition, ()) for condition in retry.conditions)
    return frozenset(chain(retry.codes, *named))


def _explain_unnamed(world: World, call: Call) -> Explanation:
    if _is_reserved(world, call):
        return Explanation(Fate.RESERVED, f"{call.host} is a name of the operator's own")
    what = f"no policy of namespace {call.caller.namespace} names {call.host} port {call.port}"
    what = "; ".join([what, *_list_holds(world, call)])
    if not world.open_by_default:
        return Explanation(Fate.UNDECLARED, what)
    return _let_out(call, f"{what}, and the mesh lets everything through (ALLOW_ANY)")


def _list_holds(world: World, call: Call) -> Iterator[str]:
    """List the policies that would name the call, were they not on hold, or over."""
    holds = find_holds(world, call.caller.namespace)
    for policy in world.policies.get(call.caller.namespace, ()):
        if (why := holds.get(policy.name)) and _find_wants([*list_wants(policy)], call):
            yield f"policy {policy.name} is on hold: {why}"
    for policy in world.expired.get(call.caller.namespace, ()):
        if _find_wants([*list_wants(policy)], call):
            yield f"policy {policy.name} expired at {policy.spec.expires_at}"


def _is_reserved(world: World, call: Call) -> bool:
    """Whether the name leads nowhere because it is the operator's own.

    Where the mesh is open, what is not there for the caller's proxy is a name like any other.
    """
    if world.open_by_default:
        return call.host.endswith(f".{call.caller.namespace}.{world.direct_domain}")
    return call.host.endswith((f".{world.direct_domain}", f".{world.gateway_domain}"))


def _find_wants(kept: list[Want], call: Call) -> list[Want]:
    """Find what holds for a call. An address has a listener of its own, which comes first."""
    dialled = [want for want in kept if _is_dialled(want, call)]
    named = [want for want in kept if _is_named(want, call)]
    wide = [want for want in kept if want.covers(call.host) and _fits(want, call)]
    narrowest = max((want.host for want in wide), key=len, default="")
    return dialled or named or [want for want in wide if want.host == narrowest]


def _is_dialled(want: Want, call: Call) -> bool:
    """Whether the call is known by its address: TCP, and TLS where the policy names the address."""
    if want.port != call.port or want.way.payload is Payload.HTTP or not call.address:
        return False
    address = ip_address(call.address)
    if not any(address in network for network in want.place.addresses):
        return False
    return want.way.payload is Payload.BYTES or not want.host or _is_same(want, call)


def _is_named(want: Want, call: Call) -> bool:
    """Whether the call is known by its name: HTTP, and TLS where the policy names no address."""
    if want.port != call.port or not _is_same(want, call):
        return False
    return want.way.payload is Payload.HTTP or not want.place.addresses


def _fits(want: Want, call: Call) -> bool:
    """Whether the port and what the client speaks are those of a wildcard."""
    return (want.port, want.way.payload) == (call.port, call.payload)


def _is_same(want: Want, call: Call) -> bool:
    return (want.host, want.way.payload) == (call.host, call.payload)


def _find_closed(world: World, want: Want, namespace: str) -> str:
    """Tell why a port of a host may not go through its gateway, empty when it may."""
    gateway = want.way.gateway
    if not _is_open(world, gateway, namespace):
        return f"gateway {gateway} is not open to namespace {namespace}"
    allowed = world.gateways[gateway].wildcards
    if want.is_any and allowed in {None, Wildcards.DISABLED}:
        return f"gateway {gateway} lets no wildcards through"
    if want.is_any and not want.way.is_http and allowed is not Wildcards.HTTP_AND_TLS:
        return f"gateway {gateway} lets only HTTP of wildcards through"
    return ""


def _is_open(world: World, gateway: str, namespace: str) -> bool:
    selector = world.gateways[gateway].namespaces
    return selector is not None and _selects(selector, world.labels.get(namespace, {}))


def _selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    plain = all(labels.get(key) == value for key, value in selector.match_labels.items())
    return plain and all(_holds(entry, labels) for entry in selector.match_expressions)


def _holds(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case SelectorOperator.IN:
            return value in expression.values
        case SelectorOperator.NOT_IN:
            return value not in expression.values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None


def _is_chosen(source: Source, caller: Caller) -> bool:
    if not source.labels <= set(caller.labels.items()):
        return False
    return not source.accounts or caller.service_account in source.accounts


def _find_account(want: Want) -> str:
    """Find whom the server must prove to be."""
    accounts = (account for share in want.place.used for _, _, account in share.endpoints)
    return next(accounts, "")


def _find_servers(want: Want, call: Call) -> tuple[str, ...]:
    if want.place.backends:
        return tuple(address for share in want.place.used for address, _, _ in share.endpoints)
    if not want.host:
        return (call.address,)
    if want.place.addresses:
        return tuple(sorted(str(network.network_address) for network in want.place.addresses))
    return (call.host if want.is_any else want.host,)


def _find_tls(want: Want, call: Call) -> Tls | None:
    """Find the TLS of the mesh; of a wildcard the called host is the server name."""
    tls = want.way.tls
    if tls is None or not want.is_any:
        return tls
    return replace(tls, server_name=call.host, names=frozenset([call.host]))
