"""What the operator may do in the cluster: the list of which `make gen` makes the chart's rules.

Every row is used by the code named beside it; nothing else is asked for. Verbs are those of the API
server's authorisation, so a chunked list and a watch are `list` and `watch` of one resource.
"""

from dataclasses import dataclass
from enum import StrEnum

from egress_operator.istio.kinds import KINDS
from egress_operator.reconcile.kind import KindRow
from egress_operator.reconcile.kinds import OWN_KINDS
from egress_operator.reconcile.resource import SIDECARS


class Reach(StrEnum):
    """Where a permission is needed. The value is the name of the chart's list of rules."""

    SERVED = "namespacedRules"
    """In each served namespace."""
    GATEWAYS = "gatewayRules"
    """Cluster-wide, and only without `--namespaces`: gateways belong to the whole cluster."""
    CLUSTER = "clusterRules"
    """Cluster-wide, always."""
    MESH = "meshRules"
    """In the namespace that the setting `istio-namespace` names."""


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One rule of a role."""

    reach: Reach
    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str = ""
    """A line for the reader of the role; empty: that of the row before it."""
    resource_names: tuple[str, ...] = ()
    name_setting: str = ""
    """The setting that names the only object; `resource_names` holds its default."""


STRICT_POLICIES = ("tenant-exports.egress-operator.io", "gateway-selectors.egress-operator.io")
"""The policies that the level Strict adds."""
ADMISSION_POLICIES = (
    "reserved-names.egress-operator.io",
    "gateway-exports.egress-operator.io",
    "managed-objects.egress-operator.io",
    "operator-account.egress-operator.io",
    *STRICT_POLICIES,
)
"""The policies of the chart, and their bindings: fixed, whatever the release is called."""

_WATCH = ("list", "watch")


def _allow_own(row: KindRow) -> tuple[Permission, Permission]:
    """Return the rules of a kind of ours: its watches, and one JSON patch of its status."""
    reach = Reach.SERVED if row.namespaced else Reach.GATEWAYS
    group, plural = row.resource.group, row.resource.plural
    return (
        # reconcile/record.py, and kopf's (runtime/handlers.py)
        Permission(reach, group, plural, _WATCH, row.purpose),
        # reconcile/report.py
        Permission(reach, group, f"{plural}/status", ("patch",)),
    )


PERMISSIONS: tuple[Permission, ...] = (
    *(rule for row in OWN_KINDS.values() for rule in _allow_own(row)),
    # reconcile/cluster.py is fed by watches, reconcile/writer.py writes; nothing is read singly
    *(
        Permission(
            Reach.GATEWAYS if row.for_gateways else Reach.SERVED,
            row.group,
            row.plural,
            (*_WATCH, "create", "patch", "delete"),
            "What the operator makes of policies and gateways.",
        )
        for row in sorted(KINDS.values(), key=lambda row: (row.group, row.plural))
    ),
    # reconcile/sidecar.py
    Permission(
        Reach.SERVED,
        SIDECARS.group,
        SIDECARS.plural,
        _WATCH,
        "Whether a Sidecar hides a policy's hosts from its workloads.",
    ),
    # runtime/gateway_watch.py
    Permission(
        Reach.GATEWAYS,
        "",
        "services",
        _WATCH,
        "Whether a gateway can serve; watched in the namespaces of gateways only.",
    ),
    Permission(Reach.GATEWAYS, "discovery.k8s.io", "endpointslices", _WATCH),
    # runtime/admission.py
    *(
        Permission(
            Reach.GATEWAYS,
            "admissionregistration.k8s.io",
            resource,
            ("get",),
            "Whether tenants are kept from each other's names.",
            ADMISSION_POLICIES,
        )
        for resource in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    ),
    # reconcile/namespace.py, and kopf where single namespaces are served
    Permission(
        Reach.CLUSTER,
        "",
        "namespaces",
        _WATCH,
        "Which labels select a gateway's tenants, and which namespaces are being deleted.",
    ),
    # runtime/event_recorder.py; those about gateways stand in the namespace default: gateways are
    # seen only where each namespace is served
    Permission(
        Reach.SERVED,
        "events.k8s.io",
        "events",
        ("create",),
        "Changes of the state of a policy or gateway.",
    ),
    # runtime/mesh.py; done without when refused
    Permission(
        Reach.MESH,
        "",
        "configmaps",
        ("get",),
        "Whether proxies resolve names through Istio, and whether undeclared hosts are blocked.",
        ("istio",),
        "mesh-config-map",
    ),
)
"""In the order of the chart's rules."""
