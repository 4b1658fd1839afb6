"""How far the objects of one set are: what the controller tells the status."""

from dataclasses import dataclass
from enum import StrEnum

from egress_operator.istio.kind import ObjectKey


class SetState(StrEnum):
    """How far a set is."""

    APPLIED = "Applied"
    """Every write is acknowledged, and nothing is left to do but for `squatted`."""
    PENDING = "Pending"
    """Being written, settling, or not begun."""
    FAILING = "Failing"
    """The last write failed; it is tried again."""


@dataclass(frozen=True, slots=True)
class SetProgress:
    """What is known of one set."""

    state: SetState
    message: str = ""
    """Why it is failing, in one line for the user; empty otherwise."""
    code: str = ""
    """The rule of a failing set, `EG301` or `EG302`; empty otherwise."""
    squatted: tuple[ObjectKey, ...] = ()
    """As in the set's last `Step`."""
    objects: tuple[ObjectKey, ...] = ()
    """Our objects of the set that are there."""


NOT_BEGUN = SetProgress(SetState.PENDING)
