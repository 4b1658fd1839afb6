"""The states of a reflector and its times."""

from dataclasses import dataclass
from enum import StrEnum

TICK = 0.001
"""Seconds by which a wait may end too soon, because some event loops count in milliseconds. A wait
that is shorter may end when it begins, and then begin again."""


class ReflectorState(StrEnum):
    """What a reflector is doing."""

    STARTING = "Starting"
    LISTING = "Listing"
    WATCHING = "Watching"
    RETRYING = "Retrying"
    """The last call failed; the cache is served as it is."""
    FORBIDDEN = "Forbidden"
    """403: the cache is served as it is."""
    MISSING = "Missing"
    """404: the API server does not serve the resource (its CRD is absent). The sink is emptied."""


@dataclass(frozen=True, slots=True)
class ReflectorTiming:
    """All in seconds, but for `page`."""

    page: int = 500
    """Objects per page of a list."""
    watch: int = 300
    """How long a watch is asked to last; up to a fifth more by chance, so that they spread."""
    relist: float = 300.0
    """A watch that ends after this long is followed by a list, which shows what it has lost."""
    lost: float = 5.0
    """What somebody else has seen, and the watch does not bring for this long, it has lost."""
    inactivity: float = 90.0
    """A watch without any event is cut after this. The API server sends a bookmark each minute,
    once it has seen an event of the kind."""
    retry_min: float = 0.2
    retry_max: float = 10.0
    retry_after_max: float = 30.0
    """A Retry-After beyond it is shortened: one list is no load, a stale cache is a harm."""
    forbidden: float = 30.0
    """Pauses after a 403 grow up to this, in place of `retry_max`."""
    missing: float = 10.0
