"""Plans a namespace again when one of its policies expires, or is about to."""

import asyncio
import logging

from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.startup import Startup

logger = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often the time of day is looked at."""


class ExpiryTimer:
    """One timer for all policies. Needs a running loop.

    Nothing sleeps until a moment: the clock may be set in the meantime, forward or back, or the
    machine may sleep. Each look compares the time of day with what the plans were made for.
    """

    def __init__(self, planner: Planner, startup: Startup) -> None:
        self._planner = planner
        self._startup = startup
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and again and again until `stop`."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self.start)
        try:
            for scope in self._planner.find_outdated():
                # One that waits is planned in any case, and would be marked at each look.
                self._startup.mark(scope, hurry=False)
        except Exception:
            logger.exception("cannot tell which policies have expired; tried again")

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
