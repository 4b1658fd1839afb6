"""Operators that end in the middle of their work, one after the other.

`python -m mesh.gateway.mortal WRITES SIGNAL` is `egressctl run` until the API server has answered
so many of its writes, events left out. Then it sends itself the signal, by name.
"""

import itertools
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from egress_operator.cli.main import main
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import RequestHook, Transport
from egress_operator.runtime import operator as runtime
from mesh.traffic.operated_mesh import check_end
from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.stoppable import Stoppable

VERBS = frozenset({"create", "patch", "delete"})
ENDS = (("SIGKILL", -signal.SIGKILL), ("SIGTERM", 0))
"""What ends them in turn, with the code: a kill, and the end that a Deployment gives them."""
WRITES = (1, 2, 3, 5, 8)
"""After how many writes, in turn."""
UPGRADES = (
    {"EGRESS_SETTLE": "1"},
    {"EGRESS_SETTLE": "1"},
    {"EGRESS_SETTLE": "2", "EGRESS_LOG_FORMAT": "json"},
)
"""Their settings in turn: where two differ, the second is an upgrade."""


class MortalOperators(Stoppable):
    """One operator at a time; when it has ended, `ensure_operator` starts the next."""

    def __init__(self, plane: ControlPlane, settings: Mapping[str, str]) -> None:
        self.count = 0
        """How many have been started."""
        self._plane = plane
        self._settings = settings
        self._operator: Operator | None = None

    def ensure_operator(self) -> Operator | None:
        """Start the next operator if there is none alive; return it when it is ready."""
        if self._operator is not None and not self._operator.process.is_alive:
            self._check_end(self._operator)
            self._operator = None
        if self._operator is None:
            self._operator = self._start()
        try:
            return self._operator if self._operator.is_ready() else None
        except OSError:
            return None

    def stop(self) -> None:
        """End the present one."""
        if self._operator is not None:
            self._operator.stop()

    def _start(self) -> Operator:
        self.count += 1
        sign, _ = ENDS[self.count % len(ENDS)]
        writes = WRITES[self.count % len(WRITES)]
        upgrade = UPGRADES[self.count % len(UPGRADES)]
        option = OperatorOption(
            settings={**self._settings, **upgrade},
            program=["mesh.gateway.mortal", str(writes), sign],
            wait=False,
        )
        return start_operator(self._plane, option)

    def _check_end(self, operator: Operator) -> None:
        _, code = ENDS[self.count % len(ENDS)]
        check_end(operator, operator.stop(), code)


def end_after(writes: int, sign: signal.Signals, hook: RequestHook) -> RequestHook:
    """Wrap a hook of the transport: after so many writes the process gets the signal."""
    numbers = itertools.count(1)

    def count(verb: str, resource: Resource, code: int) -> None:
        hook(verb, resource, code)
        if verb in VERBS and resource.plural != "events" and next(numbers) == writes:
            os.kill(os.getpid(), sign)

    return count


def run(writes: int, sign: signal.Signals) -> None:
    """Be the operator."""

    def build(*args: Any, on_request: RequestHook, **more: Any) -> Transport:  # noqa: ANN401
        return Transport(*args, on_request=end_after(writes, sign, on_request), **more)

    runtime.Transport = build  # type: ignore[attr-defined, assignment]
    sys.argv.append("run")
    main()


if __name__ == "__main__":
    name = sys.argv.pop()
    run(int(sys.argv.pop()), signal.Signals[name])
