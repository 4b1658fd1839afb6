"""What the operator may do in the cluster: the list of which `make gen` makes the chart's rules.

Every row is used by the code named beside it; nothing else is asked for. Verbs are those of the API
server's authorisation, so a chunked list and a watch are `list` and `watch` of one resource.
"""

from dataclasses import dataclass
from enum import StrEnum

from egress_operator.istio.kinds import KINDS


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


ADMISSION_POLICIES = ("reserved-names.egress-operator.io", "gateway-exports.egress-operator.io")
"""The policies of the chart, and their bindings: fixed, whatever the release is called."""

_OURS = "egress-operator.io"
_WATCH = ("list", "watch")

PERMISSIONS: tuple[Permission, ...] = (
    # the watches of reconcile/cluster.py, and kopf's (runtime/shell.py)
    Permission(
        Reach.SERVED,
        _OURS,
        "egresspolicies",
        _WATCH,
        "What users ask for. Never update: the operator cannot change a policy's spec or metadata.",
    ),
    # reconcile/report.py: one JSON patch, never the object itself
    Permission(Reach.SERVED, _OURS, "egresspolicies/status", ("patch",)),
    # the same for gateways
    Permission(
        Reach.GATEWAYS,
        _OURS,
        "egressgateways",
        _WATCH,
        "The gateways that the platform team offers, for the whole cluster.",
    ),
    Permission(Reach.GATEWAYS, _OURS, "egressgateways/status", ("patch",)),
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
    # plan/check.py
    Permission(
        Reach.CLUSTER,
        "",
        "namespaces",
        _WATCH,
        "A host such as `api.shop` could be a Service of the namespace `shop`.",
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
