"""Who in the namespace may call."""

from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.label import Labels
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, ListType, Omittable, build_not_empty_check
from egress_operator.api.scalar import ServiceAccountName
from egress_operator.api.word import Words

MOST_ACCOUNTS = 16


class Workloads(Model):
    """Pods of the namespace."""

    match_labels: Annotated[Labels, Field(examples=[{"app": "checkout"}])]
    """The labels of the pods, 1 to 16; a pod must have all of them."""


class From(Model):
    """Who may call. Both given: both must hold."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        ("labels", "podLabels", "selector", "matchLabels", "podSelector", "workloadSelector"),
        "write workloads.matchLabels, with the labels of the pods that may call",
    )
    workloads: Annotated[
        Omittable[Workloads], Field(examples=[{"matchLabels": {"app": "checkout"}}])
    ] = None
    """The pods that may call, enforced by their own sidecars."""
    service_accounts: Annotated[
        tuple[ServiceAccountName, ...],
        Field(min_length=1, max_length=MOST_ACCOUNTS, examples=[["checkout"]]),
        ListType("set"),
    ] = ()
    """The ServiceAccounts of the namespace whose pods may call, 1 to 16; enforced by the gateway,
    so this needs gatewayRef."""

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("workloads", "serviceAccounts"),)
