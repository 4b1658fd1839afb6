"""Ctrl-C and SIGTERM: end the demo in order, and within a few seconds whatever it is doing."""

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

LIMIT_S = 3.0
"""After this the leash ends the children and removes the files instead, which takes a moment."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal has asked the demo to end."""


class Stop:
    """The request to end. Raises Stopped in the main thread, once."""

    def __init__(self) -> None:
        self.is_requested = False
        self.code = 0
        """The exit code: 128 and the number of the signal, or 0 for the end that is meant."""
        self._is_staying = False
        self._timer = threading.Timer(LIMIT_S, self._give_up)
        self._timer.daemon = True
        self._telling = threading.Lock()
        self._is_told = False

    def handle(self) -> None:
        """Set the handlers; a program that a script starts in the background ignores SIGINT."""
        for number in SIGNALS:
            signal.signal(number, self._stop)

    def stay(self) -> NoReturn:
        """Wait for Ctrl-C, which is the end that is meant from now on."""
        self._is_staying = True
        while True:
            signal.pause()

    def _stop(self, number: int, _frame: FrameType | None) -> NoReturn:
        # A second signal must not interrupt the cleaning up.
        for each in SIGNALS:
            signal.signal(each, lambda *_: None)
        self.is_requested = True
        self.code = 0 if self._is_staying and number == signal.SIGINT else 128 + number
        self._timer.start()
        raise Stopped

    def _give_up(self) -> NoReturn:
        """Leave without waiting for the main thread."""
        from testbed import leash  # noqa: PLC0415 - the handlers are set before the rest is imported

        self._tell("stopped; cleaning up")
        leash.leave(self.code)

    def finish(self) -> None:
        """Wait until no process and no temporary file is left, and print the last line."""
        from testbed import leash  # noqa: PLC0415 - same

        self._timer.cancel()
        leash.end()
        self._tell("stopped; no process is left, what was built stays in ~/.cache")

    def _tell(self, text: str) -> None:
        """Print the last line, once."""
        with self._telling:
            if self._is_told:
                return
            self._is_told = True
            # Perhaps nobody reads it any more.
            with suppress(OSError):
                sys.stderr.write(f"demo: {text}\n")
                sys.stderr.flush()
