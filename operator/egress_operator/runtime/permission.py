"""What the operator may do in the cluster: the one list that the chart's roles are compared with.

Every row is used by the code named beside it; nothing else is asked for. Verbs are those of the API
server's authorisation, so a chunked list and a watch are `list` and `watch` of one resource.
"""

from dataclasses import dataclass

from egress_operator.istio.kinds import KINDS


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One rule of a role."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    resource_names: tuple[str, ...] = ()
    namespaced: bool = True
    """Needed in each served namespace. Otherwise cluster-wide."""
    for_gateways: bool = False
    """Cluster-wide, and only without `--namespaces`: gateways belong to the whole cluster."""
    own_namespace: str = ""
    """The setting that names the one namespace it is needed in; empty: every served one."""


ADMISSION_POLICIES = ("reserved-names.egress-operator.io", "gateway-exports.egress-operator.io")
"""The policies of the chart, and their bindings: fixed, whatever the release is called."""

PERMISSIONS: tuple[Permission, ...] = (
    # the watches of reconcile/cluster.py, and kopf's (runtime/shell.py)
    Permission("egress-operator.io", "egresspolicies", ("list", "watch")),
    # reconcile/report.py: one JSON patch, never the object itself
    Permission("egress-operator.io", "egresspolicies/status", ("patch",)),
    # the same for gateways, and reconcile/gateway_report.py
    Permission(
        "egress-operator.io",
        "egressgateways",
        ("list", "watch"),
        namespaced=False,
        for_gateways=True,
    ),
    Permission(
        "egress-operator.io",
        "egressgateways/status",
        ("patch",),
        namespaced=False,
        for_gateways=True,
    ),
    # reconcile/cluster.py is fed by watches, reconcile/writer.py writes; nothing is read singly
    *(
        Permission(
            row.group,
            row.plural,
            ("list", "watch", "create", "patch", "delete"),
            namespaced=not row.for_gateways,
            for_gateways=row.for_gateways,
        )
        for row in sorted(KINDS.values(), key=lambda row: (row.group, row.plural))
    ),
    # runtime/gateway_watch.py: whether a gateway can serve, in the namespaces of gateways only
    Permission("", "services", ("list", "watch"), namespaced=False, for_gateways=True),
    Permission(
        "discovery.k8s.io", "endpointslices", ("list", "watch"), namespaced=False, for_gateways=True
    ),
    # runtime/admission.py
    Permission(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        ("get",),
        ADMISSION_POLICIES,
        namespaced=False,
        for_gateways=True,
    ),
    Permission(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        ("get",),
        ADMISSION_POLICIES,
        namespaced=False,
        for_gateways=True,
    ),
    # names such as db.shop are names inside the cluster when there is a namespace shop
    Permission("", "namespaces", ("list", "watch"), namespaced=False),
    # runtime/event_recorder.py
    Permission("events.k8s.io", "events", ("create",)),
    # runtime/mesh.py: the outbound mode and DNS capture; done without when refused
    Permission("", "configmaps", ("get",), ("istio",), own_namespace="istio-namespace"),
)
"""Sorted as the chart writes them."""
