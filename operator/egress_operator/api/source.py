"""Who in the namespace may call."""

from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.label import Labels
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, ListType, Omittable, build_not_empty_check
from egress_operator.api.scalar import ServiceAccountName

MOST_ACCOUNTS = 16


class Workloads(Model):
    """Pods of the namespace."""

    match_labels: Annotated[Labels, Field(examples=[{"app": "checkout"}])]
    """The labels of the pods, 1 to 16; a pod must have all of them."""


class From(Model):
    """Who may call. Both given: both must hold."""

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
