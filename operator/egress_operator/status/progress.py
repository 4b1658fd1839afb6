"""How far the objects of one group are: what the reconciler tells the status."""

from dataclasses import dataclass
from enum import StrEnum

from egress_operator.istio.kind import ObjectKey


class GroupState(StrEnum):
    """How far a group is."""

    APPLIED = "Applied"
    """Every write is acknowledged, and nothing is left to do but for `squatted`."""
    PENDING = "Pending"
    """Being written, settling, or not begun."""
    FAILING = "Failing"
    """The last write failed; it is tried again."""


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """What is known of one group."""

    state: GroupState
    message: str = ""
    """Why it is failing, in one line for the user; empty otherwise."""
    code: str = ""
    """The rule of a failing group, `EG301` or `EG302`; empty otherwise."""
    squatted: tuple[ObjectKey, ...] = ()
    """As in the group's last `Step`."""
    objects: tuple[ObjectKey, ...] = ()
    """Our objects of the group that are there."""


NOT_BEGUN = GroupProgress(GroupState.PENDING)
