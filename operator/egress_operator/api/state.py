"""The status of our kinds: their schemas alone. The operator writes it as plain data."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from egress_operator.api.model import Model
from egress_operator.api.rule import ListType, NotNull

MOST_ROWS = 64
"""Rows of `destinations`; the rest is counted, so that a status stays small."""

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]
ObservedGeneration = Annotated[
    int | None,
    NotNull(),
    Field(
        ge=0,
        json_schema_extra={"format": "int64"},
        description="The generation of the object that this judges.",
        examples=[3],
    ),
]


class Truth(StrEnum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One aspect of the state, as Kubernetes' own conditions are."""

    type: Annotated[
        str,
        Field(
            max_length=316,
            description="Which aspect: of a policy Accepted, ResolvedRefs, Programmed, Ready; "
            "Reconciling, Stalled, Paused, Shadowed and RestrictionLifted stand here only while "
            "they are true; of a gateway Accepted, Ready, Isolated.",
            examples=["Ready"],
        ),
    ]
    status: Annotated[
        Truth, Field(description="Whether it holds: True, False or Unknown.", examples=["True"])
    ]
    observed_generation: ObservedGeneration = None
    last_transition_time: Annotated[
        str,
        Field(
            json_schema_extra={"format": "date-time"},
            description="When the status of this condition last changed.",
            examples=["2026-01-31T12:00:00Z"],
        ),
    ]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="The reason in one word, for programs.",
            examples=["Applied"],
        ),
    ]
    message: Annotated[
        str,
        Field(
            max_length=32768,
            description="The reason in a sentence, for people.",
            examples=["4 objects for 4 hosts are applied."],
        ),
    ]


class DestinationState(Model):
    """What became of one host and port."""

    name: Annotated[
        str | None,
        NotNull(),
        Field(
            max_length=63,
            description="The name of the destination, if it has one.",
            examples=["stripe"],
        ),
    ] = None
    host: Annotated[
        str,
        Field(
            max_length=253,
            description="The host, or the address of a destination without hosts.",
            examples=["api.stripe.com"],
        ),
    ]
    port: Annotated[
        int,
        Field(
            ge=1,
            le=65535,
            json_schema_extra={"format": "int32"},
            description="The port that the application dials.",
            examples=[443],
        ),
    ]
    route: Annotated[
        str,
        Field(max_length=63, description="The way that traffic takes.", examples=["Direct"]),
    ]
    state: Annotated[
        str,
        Field(
            max_length=63,
            description="What became of it.",
            examples=["Applied"],
        ),
    ]
    reason: Annotated[
        str | None,
        NotNull(),
        Field(
            max_length=1024,
            description="Why it is not as asked for, in one word.",
            examples=["Conflicted"],
        ),
    ] = None
    message: Annotated[
        str | None,
        NotNull(),
        Field(
            max_length=32768,
            description="Why it is not as asked for, in a sentence.",
            examples=["EgressPolicy payments, which is older, claims it with another timeout."],
        ),
    ] = None


class ObjectCount(Model):
    """How many objects of a kind belong to the policy."""

    kind: Annotated[str, Field(max_length=63, description="The kind.", examples=["ServiceEntry"])]
    count: Annotated[
        Count,
        Field(
            description="How many.",
            examples=[2],
        ),
    ]


class EgressPolicyStatus(Model):
    """What the operator made of the policy."""

    observed_generation: ObservedGeneration = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            description="The state aspect by aspect, in a fixed order; Ready sums them up.",
            examples=[[{"type": "Ready", "status": "True", "reason": "Applied"}]],
        ),
        ListType("map", "type"),
    ] = ()
    hosts: Annotated[
        str | None,
        NotNull(),
        Field(
            max_length=63,
            description="How many of the policy's hosts are applied, of how many.",
            examples=["2/2"],
        ),
    ] = None
    object_count: Annotated[
        Count | None,
        NotNull(),
        Field(
            description="How many Istio objects belong to the policy.",
            examples=[3],
        ),
    ] = None
    objects: Annotated[
        tuple[ObjectCount, ...],
        Field(
            max_length=16,
            description="The Istio objects that belong to the policy, counted by kind.",
            examples=[[{"kind": "ServiceEntry", "count": 2}]],
        ),
        ListType("map", "kind"),
    ] = ()
    destinations: Annotated[
        tuple[DestinationState, ...],
        Field(
            max_length=MOST_ROWS,
            description="What became of each host and port, at most 64.",
            examples=[[{"host": "api.stripe.com", "port": 443, "route": "Direct"}]],
        ),
        ListType("atomic"),
    ] = ()
    more_destinations: Annotated[
        Count | None,
        NotNull(),
        Field(
            description="How many hosts and ports there are in addition to those in destinations.",
            examples=[12],
        ),
    ] = None


class EgressGatewayStatus(Model):
    """What the operator made of the gateway."""

    observed_generation: ObservedGeneration = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            description="The state aspect by aspect, in a fixed order.",
            examples=[[{"type": "Ready", "status": "True", "reason": "Serving"}]],
        ),
        ListType("map", "type"),
    ] = ()
    namespaces: Annotated[
        Count | None,
        NotNull(),
        Field(
            description="How many namespaces have something at the gateway, wanted or not.",
            examples=[12],
        ),
    ] = None
    hosts: Annotated[
        Count | None,
        NotNull(),
        Field(
            description="How many hosts go through the gateway, those of each namespace counted "
            "by themselves.",
            examples=[40],
        ),
    ] = None
