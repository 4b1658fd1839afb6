"""A stream of requests that runs while a test changes things, and what was lost of it."""

import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from testbed.caller import Order
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import DIRECT, call

PER_SECOND = 60
THREADS = 4
"""Half of them open a connection for each request, the others keep theirs."""
TIMEOUT_S = 60.0
SUCCESS = frozenset({None, 200})


class Stream:
    """Requests of one workload at a steady pace, taking turns between the calls.

    A context manager; leave it, then look at `lost`.
    """

    def __init__(self, mesh: Mesh, workload: str, *calls: str) -> None:
        self.lost: list[str] = []
        self.count = 0
        self._mesh = mesh
        self._workload = workload
        self._orders = [call(text) for text in calls]
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"stream-{number}")
            for number in range(THREADS)
        ]

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
        pause = THREADS / PER_SECOND
        due = time.monotonic()
        turn = number
        while not self._end.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic())
            turn += 1
            self._send(self._orders[turn % len(self._orders)], number)

    def _send(self, order: Order, number: int) -> None:
        keeps = number % 2 == 0 and order.scheme in {"http", "https"}
        session = f"stream-{id(self)}-{number}-{order.host}-{order.port}" if keeps else ""
        outcome = self._mesh.request(self._workload, replace(order, session=session))
        fine = outcome.verdict is DIRECT and outcome.status in SUCCESS
        with self._lock:
            self.count += 1
            if not fine:
                kept = "kept" if keeps else "new"
                self.lost.append(
                    f"request {self.count} to {order.host}:{order.port} on a {kept} connection: "
                    f"{outcome}"
                )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
