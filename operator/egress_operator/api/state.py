"""The status of our kinds: their schemas alone. The operator writes it as plain data."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.model import Model
from egress_operator.api.rule import ListType, Omittable

MOST_ROWS = 64
"""Rows of `destinations`; the rest is counted, so that a status stays small."""

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]
Generation = Annotated[
    Omittable[int], Field(ge=0, json_schema_extra={"format": "int64"}, examples=[3])
]
NOT_OBSERVED = -1
"""The `observedGeneration` of an object at which nobody has looked yet: without one, tools that
wait would take it for done."""
LatestGeneration = Annotated[
    Omittable[int], Field(ge=NOT_OBSERVED, json_schema_extra={"format": "int64"}, examples=[3])
]


class Truth(StrEnum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class StateModel(Model):
    """A part of a status."""

    null_is_left_out: ClassVar[bool] = True


class Condition(StateModel):
    """One aspect of the state, as Kubernetes' own conditions are."""

    type: Annotated[str, Field(max_length=316, examples=["Ready"])]
    """Which aspect: of a policy Accepted, ResolvedRefs, Programmed, Ready; Reconciling, Stalled,
    Paused, Shadowed, RestrictionLifted, PartlyHidden and Expiring stand here only while they are
    true; of a gateway Accepted, Ready, Isolated."""
    status: Annotated[Truth, Field(examples=["True"])]
    """Whether it holds: True, False or Unknown."""
    observed_generation: Generation = None
    """The generation of the object that this judges."""
    last_transition_time: Annotated[
        str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00Z"])
    ]
    """When the status of this condition last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, examples=["Applied"])]
    """The reason in one word, for programs."""
    message: Annotated[
        str, Field(max_length=32768, examples=["4 objects for 4 hosts are applied."])
    ]
    """The reason in a sentence, for people."""


class DestinationState(StateModel):
    """What became of one host and port."""

    name: Annotated[Omittable[str], Field(max_length=63, examples=["stripe"])] = None
    """The name of the destination, if it has one."""
    host: Annotated[str, Field(max_length=253, examples=["api.stripe.com"])]
    """The host, or the address of a destination without hosts."""
    port: Annotated[
        int, Field(ge=1, le=65535, json_schema_extra={"format": "int32"}, examples=[443])
    ]
    """The port that the application dials."""
    route: Annotated[str, Field(max_length=63, examples=["Direct"])]
    """The way that traffic takes."""
    state: Annotated[str, Field(max_length=63, examples=["Applied"])]
    """What became of it."""
    reason: Annotated[Omittable[str], Field(max_length=1024, examples=["Conflicted"])] = None
    """Why it is not as asked for, in one word."""
    message: Annotated[
        Omittable[str],
        Field(
            max_length=32768,
            examples=["EgressPolicy payments, which is older, claims it with another timeout."],
        ),
    ] = None
    """Why it is not as asked for, in a sentence."""


class ObjectCount(StateModel):
    """How many objects of a kind belong to the policy."""

    kind: Annotated[str, Field(max_length=63, examples=["ServiceEntry"])]
    """The kind."""
    count: Annotated[Count, Field(examples=[2])]
    """How many."""


class EgressPolicyStatus(StateModel):
    """What the operator made of the policy."""

    observed_generation: LatestGeneration = None
    """The generation of the object that this judges; -1: it has not been looked at yet."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=16, examples=[[{"type": "Ready", "status": "True", "reason": "Applied"}]]),
        ListType("map", "type"),
    ] = ()
    """The state aspect by aspect, in a fixed order; Ready sums them up."""
    last_handled_reconcile_at: Annotated[
        Omittable[str], Field(max_length=128, examples=["2026-01-31T12:00:00Z"])
    ] = None
    """The last value of the annotation egress-operator.io/reconcile-requested-at for which the
    policy was looked at again."""
    hosts: Annotated[Omittable[str], Field(max_length=63, examples=["2/2"])] = None
    """How many of the policy's hosts are applied, of how many."""
    object_count: Annotated[Omittable[Count], Field(examples=[3])] = None
    """How many Istio objects belong to the policy."""
    objects: Annotated[
        tuple[ObjectCount, ...],
        Field(max_length=16, examples=[[{"kind": "ServiceEntry", "count": 2}]]),
        ListType("map", "kind"),
    ] = ()
    """The Istio objects that belong to the policy, counted by kind."""
    destinations: Annotated[
        tuple[DestinationState, ...],
        Field(
            max_length=MOST_ROWS,
            examples=[[{"host": "api.stripe.com", "port": 443, "route": "Direct"}]],
        ),
        ListType("atomic"),
    ] = ()
    """What became of each host and port, at most 64."""
    more_destinations: Annotated[Omittable[Count], Field(examples=[12])] = None
    """How many hosts and ports there are in addition to those in destinations."""


class EgressGatewayStatus(StateModel):
    """What the operator made of the gateway."""

    observed_generation: LatestGeneration = None
    """The generation of the object that this judges; -1: it has not been looked at yet."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=16, examples=[[{"type": "Ready", "status": "True", "reason": "Serving"}]]),
        ListType("map", "type"),
    ] = ()
    """The state aspect by aspect, in a fixed order."""
    namespaces: Annotated[Omittable[Count], Field(examples=[12])] = None
    """How many namespaces have something at the gateway, wanted or not."""
    hosts: Annotated[Omittable[Count], Field(examples=[40])] = None
    """How many hosts go through the gateway, those of each namespace counted by themselves."""
