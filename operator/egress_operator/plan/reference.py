"""The gateway that a policy names: whether it is there, accepted, and open to the namespace."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.kind import Kind
from egress_operator.istio.virtual_service import HTTPS_PORT
from egress_operator.plan.gateway import Gateway, GatewayResult
from egress_operator.plan.intent import Authorization, Intent
from egress_operator.plan.limit import GatewayRoom
from egress_operator.plan.option import GatewayObjects
from egress_operator.plan.source import HandWritten, NamespaceInput
from egress_operator.plan.tenant import Tenant

_ASK = "ask the platform team to create it"
NOT_FOUND = "EG111"
NOT_ACCEPTED = "EG112"
NOT_ENFORCED = "EG113"
NOT_ALLOWED = "EG114"
NOT_READY = "EG115"
NO_WILDCARDS = "EG125"
NOT_GUARDED = "EG126"

HOLDING = frozenset({NOT_FOUND, NOT_ACCEPTED, NOT_ENFORCED, NOT_GUARDED})
"""What the author, or the platform team, has to fix: until then nothing is changed."""

_DEFAULT_EXPORT = (".",)
_PATH = "spec.gatewayRef.name"
_FIX_TLS = (
    "ask the platform team for wildcards: HTTPAndTLS in its spec; or leave ports out, add "
    "originateTLS: {} and call http://..., for which wildcards: HTTP is enough; or name each host; "
    "or move the wildcard into a policy without gatewayRef"
)


@dataclass(frozen=True, slots=True)
class GatewayView:
    """All gateways as one namespace sees them."""

    results: Mapping[str, GatewayResult]
    tenants: Mapping[str, Tenant | None]
    """By the name of each accepted gateway; None: it is not open to the namespace."""
    unready: Mapping[str, str]
    closed: Mapping[str, str]
    """Why an accepted gateway is not open to the namespace, by its name."""
    guards_sockets: bool = True
    """As of `NamespaceInput`."""

    @property
    def limits(self) -> dict[str, GatewayRoom]:
        """How much a namespace may have at each accepted gateway, by its name."""
        return {
            name: GatewayRoom(result.gateway.label, result.gateway.intent.limits)
            for name, result in self.results.items()
            if result.gateway is not None
        }


def build_gateway_view(inputs: NamespaceInput, results: Mapping[str, GatewayResult]) -> GatewayView:
    """Look at the gateways from one namespace. Pure."""
    tenants: dict[str, Tenant | None] = {}
    closed: dict[str, str] = {}
    for name, result in results.items():
        gateway = result.gateway
        if gateway is None:
            continue
        tenants[name] = None
        if gateway.is_open_to(inputs.labels):
            tenants[name] = Tenant(
                namespace=inputs.namespace,
                gateway=gateway,
                export_to=_find_export(inputs.hand_written, gateway.host),
                is_scoped=inputs.settings.gateway_objects is GatewayObjects.GATEWAY_NAMESPACE,
                lookup_family=inputs.settings.gateway_lookup_family,
            )
        else:
            closed[name] = _explain_closed(gateway, inputs.labels or {})
    return GatewayView(results, tenants, inputs.unready, closed, inputs.guards_sockets)


def _explain_closed(gateway: Gateway, labels: Mapping[str, str]) -> str:
    tenants = gateway.intent.tenants
    return "it selects no namespace" if tenants is None else tenants.explain_mismatch(labels)


def find_reference_problem(intent: Intent, around: GatewayView) -> Diagnostic | None:
    """Tell what is wrong with the gateway that a policy names; None for nothing. Pure."""
    name = intent.gateway
    if not name:
        return None
    result = around.results.get(name)
    if result is None:
        names = ", ".join(sorted(around.results))
        what = f"there is no EgressGateway {name}{'' if names else ', and no other one'}"
        fix = f"write the name of one that is there ({names}), or {_ASK}" if names else _ASK
        return build_diagnostic(NOT_FOUND, _PATH, what, fix)
    if result.gateway is None:
        return build_diagnostic(NOT_ACCEPTED, _PATH, f"EgressGateway {name} is not accepted")
    return _find_use_problem(intent, result.gateway, around)


def _find_use_problem(intent: Intent, gateway: Gateway, around: GatewayView) -> Diagnostic | None:
    """Tell what keeps the policy from using a gateway that is accepted.

    First of all that it is not open to the namespace: then nothing is held.
    """
    name, authorization = gateway.name, gateway.authorization
    if around.tenants[name] is None:
        return build_diagnostic(
            NOT_ALLOWED,
            _PATH,
            f"EgressGateway {name} is not open to this namespace, so nothing gets out: "
            f"{around.closed[name]}",
        )
    if intent.source.accounts and authorization is not Authorization.MANAGED:
        return build_diagnostic(
            NOT_ENFORCED,
            "spec.from.serviceAccounts",
            f"EgressGateway {name} has authorization {authorization} and does not check service "
            "accounts, so nothing is set up for this policy, and what it set up earlier is open to "
            "every workload of the namespace",
        )
    if intent.wildcard and (problem := _find_wildcard_problem(intent, gateway, around)):
        return problem
    if reason := around.unready.get(name):
        return Diagnostic(
            NOT_READY, _PATH, f"EgressGateway {name} cannot carry traffic now: {reason}"
        )
    return None


def _find_wildcard_problem(
    intent: Intent, gateway: Gateway, around: GatewayView
) -> Diagnostic | None:
    """Tell what keeps the wildcards of a policy from going through.

    Without the admission policies a tenant could open the socket by which another one's come in.
    """
    name, host = gateway.name, intent.wildcard
    if gateway.refuses_wildcards:
        what = (
            f"{host} is a wildcard, and EgressGateway {name} lets none through, so it is closed; "
            "hosts that the policy names in full still work"
        )
        return build_diagnostic(NO_WILDCARDS, _PATH, what, _FIX_TLS if intent.tls_wildcard else "")
    if not around.guards_sockets:
        return build_diagnostic(
            NOT_GUARDED,
            _PATH,
            f"{host} is a wildcard, and the admission policies are not known to be in force at the "
            f"level Strict, so nothing new is set up for this policy at EgressGateway {name}, and "
            "existing objects are kept",
            f"ask the platform team to look at the condition Isolated of EgressGateway {name}, "
            "which tells why; or name each host; or move the wildcard into a policy without "
            "gatewayRef",
        )
    # Not before the other one: with it, what is HTTP goes through.
    if intent.tls_wildcard and gateway.refuses_tls_wildcards:
        what = (
            f"{intent.tls_wildcard} is a wildcard with TLS on port {HTTPS_PORT}, and EgressGateway "
            f"{name} lets only HTTP of wildcards through, so that port is closed; what else the "
            "policy names still works"
        )
        return build_diagnostic(NO_WILDCARDS, _PATH, what, _FIX_TLS)
    return None


def _find_export(hand_written: tuple[HandWritten, ...], host: str) -> tuple[str, ...]:
    """Return the `exportTo` of the oldest DestinationRule by hand for a gateway's Service.

    It is empty where that one has none: to Istio this is not the same as `*`. What somebody has
    made of a DestinationRule of ours is restored, not followed.
    """
    rules = sorted(
        (item.created, item.name, item.export_to)
        for item in hand_written
        if item.kind == Kind.DESTINATION_RULE and host in item.hosts and not item.is_damaged
    )
    return rules[0][2] if rules else _DEFAULT_EXPORT
