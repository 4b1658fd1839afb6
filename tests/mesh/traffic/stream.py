"""A stream of requests that runs while a test changes things, and what was lost of it."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from testbed.caller import Order
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import DIRECT, Verdict, call
from testbed.stoppable import Stoppable

PER_SECOND = 60
THREADS = 4
"""Half of them open a connection for each request, the others keep theirs."""
TIMEOUT_S = 60.0
SUCCESS = frozenset({None, 101, 200})
DIRECT_ONLY = frozenset({DIRECT})
KEPT_SCHEMES = frozenset({"http", "https", "tcp", "tls"})


@dataclass(frozen=True)
class Pace:
    """How fast a stream is, and by how many hands at once."""

    per_second: int = PER_SECOND
    threads: int = THREADS


class Load(Stoppable):
    """Requests at a steady pace by the clock, taking turns between workloads and calls.

    A context manager; leave it, then look at `lost`.
    """

    def __init__(
        self,
        mesh: Mesh,
        calls: Mapping[str, Sequence[str]],
        *,
        fine: frozenset[Verdict] = DIRECT_ONLY,
        pace: Pace | None = None,
    ) -> None:
        """Take the calls of each workload and the verdicts that are no loss."""
        self.lost: list[str] = []
        self.verdicts = Counter[Verdict]()
        # Of its connections: the applications keep them when a stream has ended.
        self._name = uuid.uuid4().hex
        self._mesh = mesh
        self._orders = [(name, call(text)) for name, texts in calls.items() for text in texts]
        self._fine = fine
        self._pace = pace or Pace()
        self._lock = threading.Lock()
        self._start = self._last = 0.0
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"stream-{number}")
            for number in range(self._pace.threads)
        ]

    @property
    def count(self) -> int:
        """How many requests have come to an end."""
        return self.verdicts.total()

    @property
    def rate(self) -> float:
        """Requests per second so far."""
        return self.count / max(self._last - self._start, 0.001)

    def wait(self, requests: int) -> None:
        """Wait until so many more requests have come to an end."""
        goal = self.count + requests
        wait_until(
            lambda: self.count >= goal or not self._is_alive(),
            TIMEOUT_S,
            f"the stream does not reach {goal} requests",
        )
        assert self._is_alive(), "the stream has broken off"

    def _is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def _run(self, number: int) -> None:
        threads = self._pace.threads
        pause = threads / self._pace.per_second
        due = self._start + pause * number / threads
        # Each of the hands that keep, and of those that do not, begins elsewhere.
        turn = number // 2
        while not self._end.wait(max(0.0, due - time.monotonic())):
            # Not from now on: what a slow moment has held up is made up for.
            due += pause
            turn += 1
            workload, order = self._orders[turn % len(self._orders)]
            self._send(workload, order, number)

    def _send(self, workload: str, order: Order, number: int) -> None:
        keeps = number % 2 == 0 and order.scheme in KEPT_SCHEMES
        session = f"{self._name}-{number}-{order.scheme}-{order.host}-{order.port}" if keeps else ""
        begin = time.monotonic()
        outcome = self._mesh.request(workload, replace(order, session=session))
        fine = outcome.verdict in self._fine and outcome.status in SUCCESS
        with self._lock:
            self._last = time.monotonic()
            self.verdicts[outcome.verdict] += 1
            if not fine:
                kept = "kept" if keeps else "new"
                self.lost.append(
                    f"request {self.count} to {order.host}:{order.port} on a {kept} connection of "
                    f"{workload}, {begin - self._start:.2f} s after the start: {outcome}"
                )

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Send nothing more and wait for what is on its way."""
        self._end.set()
        for thread in self._threads:
            thread.join()


class Stream(Load):
    """The load of one workload that reaches its servers directly."""

    def __init__(self, mesh: Mesh, workload: str, *calls: str) -> None:
        super().__init__(mesh, {workload: calls})
