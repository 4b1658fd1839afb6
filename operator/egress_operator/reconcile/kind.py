"""One kind of ours: where it is served, how an object is read, and what follows from a change."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from egress_operator.engine.resource import Resource
from egress_operator.istio.set_key import Scope
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.record import OwnKey, Record
from egress_operator.reconcile.sync import SetWorker
from egress_operator.status.condition import Conditions
from egress_operator.status.event import Event

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What is known, what is planned, and how far it is written."""

    cluster: Cluster
    planner: Planner
    worker: SetWorker
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """The status that an object should have."""

    status: Status | None = None
    """None: leave it as it is."""
    wait: float | None = None
    """Look again after so many seconds."""
    note: Hashable = None
    """Handed over with the next look at the object."""


@dataclass(frozen=True, slots=True)
class KindRow:
    """A row of the table of our kinds (`kinds.py`)."""

    resource: Resource
    read_source: Callable[[Mapping[str, Any]], Any]
    """Takes what plans depend on from an object as the API server sent it."""
    find_scopes: Callable[[Cluster, OwnKey], Iterable[Scope]]
    """What to plan again when an object has come, changed or gone."""
    compute_answer: Callable[[View, Record[Any], Hashable, str], Answer]
    """The status of an object, by the last note and the time (UTC, RFC 3339)."""
    logged: frozenset[str]
    """The types of conditions of which a change is logged."""
    is_alarm: Callable[[Conditions, Conditions, str], bool]
    """Whether the log warns of a condition, by all conditions before and after, and its type."""
    purpose: str
    """Why the operator watches it: a line for the reader of its role."""
    diff_events: Callable[[Status | None, Status], list[Event]]
    """The Kubernetes events that tell of the change from one status to another."""
    namespaced: bool = True
