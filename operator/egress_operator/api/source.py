"""Who in the namespace may call."""

from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.label import Labels
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, ListType, NotNull, build_not_empty_check
from egress_operator.api.scalar import ServiceAccountName

MOST_ACCOUNTS = 16


class Workloads(Model):
    """Pods of the namespace."""

    match_labels: Annotated[
        Labels,
        Field(
            description="The labels of the pods, 1 to 16; a pod must have all of them.",
            examples=[{"app": "checkout"}],
        ),
    ]


class From(Model):
    """Who may call. Both given: both must hold."""

    workloads: Annotated[
        Workloads | None,
        NotNull(),
        Field(
            description="The pods that may call, enforced by their own sidecars.",
            examples=[{"matchLabels": {"app": "checkout"}}],
        ),
    ] = None
    service_accounts: Annotated[
        tuple[ServiceAccountName, ...],
        Field(
            min_length=1,
            max_length=MOST_ACCOUNTS,
            description="The ServiceAccounts of the namespace whose pods may call, 1 to 16; "
            "enforced by the gateway, so this needs gatewayRef.",
            examples=[["checkout"]],
        ),
        ListType("set"),
    ] = ()

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("workloads", "serviceAccounts"),)
