"""Writes, and a step: those that may be sent together."""

from dataclasses import dataclass

from egress_operator.istio.kind import UNOWNED, Kind, ObjectKey
from egress_operator.istio.object import Desired, Owner, Stray


@dataclass(frozen=True, slots=True)
class Create:
    """POST. `owners` are the final ownerReferences."""

    desired: Desired
    owners: tuple[Owner, ...]

    @property
    def key(self) -> ObjectKey:
        """What it is about."""
        return self.desired.key


@dataclass(frozen=True, slots=True)
class Replace:
    """Set everything that we own of the object `uid` to `desired` with these owners."""

    desired: Desired
    owners: tuple[Owner, ...]
    uid: str
    maps: frozenset[str]
    """The maps of the metadata that are there (`Observed.maps`): they get single keys, and the
    others are written whole."""
    strays: frozenset[Stray]
    """The keys that are removed (`Observed.strays`)."""

    @property
    def key(self) -> ObjectKey:
        """What it is about."""
        return self.desired.key


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object `key` if it still has this uid."""

    key: ObjectKey
    uid: str
    heirs: tuple[Owner, ...] = ()
    """Who will own the object when it is made anew; empty when it is not."""


Write = Create | Replace | Delete


def takes_permission(write: Write) -> bool:
    """Whether a write closes a way through a gateway: it goes before all others. Pure.

    That is the deletion of an AuthorizationPolicy or an EnvoyFilter, and an AuthorizationPolicy
    that allows nothing from then on.
    """
    if isinstance(write, Delete):
        return write.key.kind in UNOWNED
    return write.key.kind is Kind.AUTHORIZATION_POLICY and write.desired.facts.is_closed


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: send, wait, or nothing.

    `writes` may be sent together. When all are acknowledged, ask again; with no writes, ask again
    after `wait` seconds, or not at all when it is None: then all is as desired but for `squatted`.
    """

    writes: tuple[Write, ...] = ()
    wait: float | None = None
    squatted: tuple[ObjectKey, ...] = ()
    """Desired objects whose name somebody else's object has."""
    refused: tuple[Write, ...] = ()
    """Writes that are due but for the API server, which refuses them."""


def build_step(*writes: Write | None, wait: float | None = None) -> Step:
    """Return the step with those writes that there are."""
    return Step(tuple(write for write in writes if write is not None), wait)
