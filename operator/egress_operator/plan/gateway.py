"""EgressGateways as the plans of namespaces see them: where each one is and whom it lets in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.gateway import Place
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.name import build_gateway_label
from egress_operator.istio.object import GATEWAY_KIND, Owner
from egress_operator.istio.set_key import GatewaySet
from egress_operator.plan.intent import (
    Authorization,
    GatewayIntent,
    Wildcards,
    parse_gateway,
    parse_tenants,
)
from egress_operator.plan.result import has_error
from egress_operator.plan.selector import Selector
from egress_operator.plan.source import SENIOR, GatewaySource, Settings

ROOT_NAMESPACE = "EG060"
SAME_PODS = "EG110"
NO_SHARED_KEY = "EG117"


@dataclass(frozen=True, slots=True)
class Gateway:
    """An accepted EgressGateway."""

    name: str
    owner: Owner
    label: str
    """`build_gateway_label`: of its name and place."""
    host: str
    """The full name of its Service."""
    intent: GatewayIntent

    @property
    def namespace(self) -> str:
        """Where its pods run."""
        return self.intent.namespace

    @property
    def authorization(self) -> Authorization:
        """What it checks of those who come."""
        return self.intent.authorization

    @property
    def place(self) -> Place:
        """Its pods and port, as its servers name them."""
        return self.intent.selector, self.intent.port

    @property
    def set_key(self) -> GatewaySet:
        """The set of its AuthorizationPolicies and EnvoyFilters."""
        return GatewaySet(self.name, self.namespace)

    @property
    def baseline_key(self) -> ObjectKey:
        """Where its own AuthorizationPolicy stands."""
        return ObjectKey(Kind.AUTHORIZATION_POLICY, self.namespace, self.label)

    def is_open_to(self, labels: Mapping[str, str] | None) -> bool:
        """Whether a namespace with these labels may use it; with None they are not known."""
        tenants = self.intent.tenants
        return tenants is not None and (labels is None or tenants.matches(labels))

    @property
    def refuses_wildcards(self) -> bool:
        """Whether no wildcard may go through it."""
        return self.intent.wildcards is Wildcards.DISABLED

    @property
    def refuses_tls_wildcards(self) -> bool:
        """Whether no wildcard may go through it with TLS that the application opens."""
        return self.intent.wildcards is not Wildcards.HTTP_AND_TLS

    def build_export(self, namespace: str) -> str:
        """Return the entry of `exportTo` that shows it an object of this namespace.

        Istio refuses the name of the object's own namespace beside or in place of `.`
        (pkg/config/validation, validateExportTo).
        """
        return "." if namespace == self.namespace else self.namespace


@dataclass(frozen=True, slots=True)
class GatewayResult:
    """What is to be said of one EgressGateway by its own text and that of the others."""

    source: GatewaySource
    diagnostics: tuple[Diagnostic, ...]
    """Errors first; with one the gateway is not accepted."""
    gateway: Gateway | None
    """None when it is not accepted."""
    tenants: tuple[Selector, ...] | None
    """Which namespaces it selects, by any of these; None when that cannot be read."""

    @property
    def set_key(self) -> GatewaySet:
        """The set of its own objects, at the place that it names if that can be read."""
        return GatewaySet(self.source.name, self.source.place)

    def is_open_to(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects a namespace with these labels, also while it is not accepted.

        Where `namespaces` cannot be read nothing is withdrawn. The API server refuses that, but for
        a CRD that is newer than this operator.
        """
        return self.tenants is None or any(tenants.matches(labels) for tenants in self.tenants)


def judge_gateways(
    sources: Iterable[GatewaySource], settings: Settings
) -> dict[str, GatewayResult]:
    """Judge all EgressGateways, by name: the oldest with given pods is accepted. Pure."""
    results: dict[str, GatewayResult] = {}
    accepted: list[Gateway] = []
    for source in sorted(sources, key=lambda source: (source.created, source.name)):
        intent, diagnostics = parse_gateway(source)
        if intent is not None:
            diagnostics = (*diagnostics, *_check(intent, settings, accepted))
            diagnostics = (*diagnostics, *_warn(intent, accepted))
        gateway = None
        if intent is not None and not has_error(diagnostics):
            gateway = _build_gateway(source, intent, settings)
            accepted.append(gateway)
        results[source.name] = GatewayResult(
            source, diagnostics, gateway, parse_tenants(source.spec)
        )
    return results


def _check(
    intent: GatewayIntent, settings: Settings, older: Iterable[Gateway]
) -> Iterable[Diagnostic]:
    # With authorization None too: the admission policy `operator-account` lets the operator neither
    # write into Istio's own namespace nor export to it.
    if intent.namespace in {settings.root_namespace, settings.istio_namespace}:
        yield build_diagnostic(ROOT_NAMESPACE, "spec.namespace")
    for other in older:
        if other.namespace == intent.namespace and _may_share_pods(other.intent, intent):
            yield build_diagnostic(
                SAME_PODS,
                "spec.selector",
                f"EgressGateway {other.name} {SENIOR} may select the same pods of "
                f"{intent.namespace}",
            )


def _warn(intent: GatewayIntent, older: Iterable[Gateway]) -> Iterable[Diagnostic]:
    """Tell of an older gateway that no label of a Gateway can contradict together with this one.

    The admission policy gateway-selectors refuses a Gateway that does not contradict each of them.
    """
    keys = dict(intent.selector).keys()
    for other in older:
        both = {intent.authorization, other.authorization}
        if both == {Authorization.MANAGED} and keys.isdisjoint(dict(other.intent.selector)):
            yield build_diagnostic(
                NO_SHARED_KEY,
                "spec.selector",
                f"EgressGateway {other.name} {SENIOR} has none of the keys "
                f"{', '.join(sorted(keys))} in its selector: the admission policies refuse a "
                "tenant's Gateway that has not a key of each, with another value",
            )
            return


def _may_share_pods(one: GatewayIntent, other: GatewayIntent) -> bool:
    """Whether a pod can have all labels of both: no label is asked for with two values."""
    first, second = dict(one.selector), dict(other.selector)
    return all(second.get(key, value) == value for key, value in first.items())


def _build_gateway(source: GatewaySource, intent: GatewayIntent, settings: Settings) -> Gateway:
    host = f"{intent.service}.{intent.namespace}.svc.{settings.cluster_domain}"
    selector = ",".join(f"{key}={value}" for key, value in intent.selector)
    return Gateway(
        name=source.name,
        owner=Owner(source.name, source.uid, GATEWAY_KIND),
        label=build_gateway_label(
            source.name, intent.namespace, selector, intent.service, str(intent.port)
        ),
        host=host,
        intent=intent,
    )
