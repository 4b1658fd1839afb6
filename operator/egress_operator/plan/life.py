"""How long a policy lives: until when it holds, and what is said before and after.

Time decides here, and nothing else of a plan depends on it. So a plan says between which moments it
holds, and whoever keeps plans looks at a clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from egress_operator.diagnostic import Diagnostic, build_diagnostic

EXPIRED = "EG118"
EXPIRES_SOON = "EG119"

NOTICE_S = 86_400.0
"""So long before a policy expires its status and an event tell of it: a day."""

_PATH = "spec.expiresAt"


@dataclass(frozen=True, slots=True, order=True)
class Expiry:
    """When a policy expires."""

    at: float
    """Unix time."""
    text: str
    """As the user wrote it."""

    def is_over(self, now: float) -> bool:
        """Whether the moment has come."""
        return self.at <= now

    def judge(self, now: float) -> Diagnostic | None:
        """Tell that the policy has expired, or does so soon. Pure."""
        if self.is_over(now):
            what = f"the policy expired at {self.text}, so it opens nothing any more, and its "
            return build_diagnostic(EXPIRED, _PATH, f"{what}objects are removed")
        if self.at - NOTICE_S <= now:
            what = f"the policy expires at {self.text}, and its objects are removed then"
            return build_diagnostic(EXPIRES_SOON, _PATH, what)
        return None


@dataclass(frozen=True, slots=True)
class Span:
    """Between which moments (Unix time) something holds; with the first, without the second."""

    since: float = -inf
    until: float = inf

    def holds_at(self, now: float) -> bool:
        """Whether a moment is in it."""
        return self.since <= now < self.until


ALWAYS = Span()


def find_span(expiries: Iterable[Expiry], now: float) -> Span:
    """Return the span around `now` in which nothing is said anew of any of these. Pure."""
    moments = [moment for expiry in expiries for moment in (expiry.at - NOTICE_S, expiry.at)]
    if not moments:
        return ALWAYS
    return Span(
        max((moment for moment in moments if moment <= now), default=-inf),
        min((moment for moment in moments if moment > now), default=inf),
    )
