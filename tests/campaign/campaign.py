"""The operator's lives during a burst: started, killed at a random point, started again."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from testbed.client import TOO_MANY_REQUESTS, ApiError, ConnectError
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.seed import build_rng

from .burst import Burst, place_squatters
from .convergence import check_convergence
from .cost import count_necessary_writes
from .evidence import Evidence, gather_evidence
from .history import CHILDREN, POLICY, Change, History, Key
from .invariant import check_orphan, count_writes, find_breaches

CONVERGE_S = 90.0
QUIET_S = 2.0
"""How long nothing may be written by an operator that has nothing to do."""
READY_S = 30.0
LIFE_S = 8.0
"""A life ends after so long even where its point was not reached."""
MOST_OPERATIONS = 30
"""In one life: more would only pile up where the operator takes long to start."""
MOST_WRITES = 16
"""The point of a kill is after 0 to this many writes of a life."""
EARLY = 0.1
"""Share of lives that end before they are ready: most of that time they load code."""
PAUSES_S = (0.0, 0.0, 0.01, 0.05, 0.2)
"""Between two operations of the burst."""


@dataclass
class Campaign:
    """One burst on one control plane. Every choice comes from the seed."""

    plane: ControlPlane
    history: History
    seed: str
    operator: Operator | None = None
    faults: int = 0
    outages: int = 0
    """Kills of the API server; they are faults too."""
    points: list[str] = field(default_factory=list)
    """Where each life ended."""
    user: str = ""
    most: int = 0
    squatters: dict[Key, dict[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = build_rng("kills", self.seed)
        self.burst = Burst(self.plane.admin, build_rng("burst", self.seed))
        self.squatters = place_squatters(self.plane.admin)

    def live_and_die(self) -> None:
        """Start the operator, kill it at a random point of the burst, and change more meanwhile."""
        early = self.rng.random() < EARLY
        writes = 0 if early else self.rng.randint(0, MOST_WRITES)
        delay = self.rng.uniform(0, 1.5 if early else 0.15)
        self.most = self.burst.count + MOST_OPERATIONS
        mark = self.start()
        operator = self.operator
        assert operator is not None
        begun = time.monotonic()
        if not early:
            self.work_until(
                lambda: is_up(operator) and self.count_since(mark) >= writes,
                deadline=begun + LIFE_S,
            )
        self.work_until(lambda: False, deadline=time.monotonic() + delay)
        self.points.append(
            f"{'starting' if early else 'working'}, {self.count_since(mark)} writes, "
            f"{time.monotonic() - begun:.2f} s"
        )
        self.kill()
        for _ in range(self.rng.randint(0, 3)):
            self.operate(away=True)

    def break_apiserver(self) -> None:
        """Kill the API server at a random point, with the operator at work, and start it again."""
        assert self.operator is not None
        writes = self.rng.randint(1, MOST_WRITES)
        mark, begun = self.history.length, time.monotonic()
        self.most = self.burst.count + MOST_OPERATIONS
        self.work_until(lambda: self.count_since(mark) >= writes, deadline=begun + LIFE_S)
        self.work_until(lambda: False, deadline=time.monotonic() + self.rng.uniform(0, 0.15))
        self.points.append(f"API server, {self.count_since(mark)} writes")
        self.plane.kill_apiserver()
        self.faults += 1
        self.outages += 1
        for _ in range(self.rng.randint(0, 5)):
            self.operate()
        self.plane.start_apiserver()

    def start(self, **settings: str) -> int:
        """Start the operator without waiting; a mark for `count_since`."""
        option = OperatorOption(settings=settings, wait=False)
        mark = self.history.length
        self.operator = start_operator(self.plane, option)
        self.user = self.operator.user
        return mark

    def start_ready(self, **settings: str) -> Operator:
        """Start the operator and wait until it is ready."""
        self.start(**settings)
        operator = self.operator
        assert operator is not None
        wait_until(lambda: is_up(operator), READY_S, "the operator is not ready")
        return operator

    def kill(self) -> None:
        """SIGKILL: one fault."""
        assert self.operator is not None
        assert self.operator.process.is_alive, self.operator.process.tail(50)
        self.operator.kill()
        self.operator = None
        self.faults += 1

    def delete_while_away(self) -> None:
        """Delete a policy while no operator runs: in a few lives chance may not have done it."""
        assert self.operator is None
        self.burst.do(self.burst.delete, away=True)

    def operate(self, *, away: bool = False) -> None:
        """Do one operation of the burst; one that the API server does not answer is lost."""
        with suppress(ConnectError):
            self.burst.step(away=away)

    def work_until(self, reached: Callable[[], bool], deadline: float) -> None:
        """Go on with the burst until the point is reached, or the time is over."""
        while not reached() and (rest := deadline - time.monotonic()) > 0:
            if self.burst.count < self.most:
                self.operate()
            # The burst's own rhythm.
            time.sleep(min(self.rng.choice(PAUSES_S), rest))

    def count_since(self, mark: int) -> int:
        """Count the writes that only the operator makes: statuses and objects with our label."""
        return sum(is_progress(change) for change in self.history.read(mark))

    def converge(self) -> Evidence:
        """Wait until all is in order, with an operator at work; then judge the past too."""

        def look() -> Evidence:
            evidence = self.gather()
            open_ends = [*check_convergence(evidence), *check_orphan(evidence)]
            assert not open_ends, "\n".join(open_ends[:20])
            return evidence

        evidence = wait_until(look, CONVERGE_S, self.describe("it does not converge"))
        breaches = find_breaches(evidence)
        assert not breaches, "\n".join([self.describe("rules are broken"), *breaches[:20]])
        return evidence

    def gather(self) -> Evidence:
        return wait_until(self._try_gather, READY_S, "the API server has not read everything")

    def _try_gather(self) -> Evidence | None:
        """Gather, unless the server has just started and still reads what it stores."""
        try:
            return gather_evidence(
                self.plane,
                self.history,
                user=self.user,
                squatters=self.squatters,
                faults=self.faults,
                outages=self.outages,
                drifts=self.burst.drifts,
            )
        except ApiError as error:
            if error.code == TOO_MANY_REQUESTS:
                return None
            raise

    def list_quiet_writes(self) -> list[str]:
        """List the operator's writes in a while after it has become idle, its events left out."""
        assert self.operator is not None
        self.operator.wait_idle()
        mark = self.plane.audit.position()
        time.sleep(QUIET_S)
        return [
            f"{record.verb} {record.resource} {record.namespace}/{record.name} {record.code}"
            for record in self.plane.audit.records(since=mark, user=self.user, writes=True)
            if record.resource != "events"
        ]

    def describe(self, what: str) -> str:
        """Say how to repeat the run, and where the kills were."""
        return f"{what}; seed {self.seed}; kills: {' | '.join(self.points)}"

    def summarise(self, evidence: Evidence) -> str:
        """Tell in one line what the campaign went through."""
        policies = sum(1 for _ in evidence.select(POLICY))
        children = sum(1 for _ in evidence.select_ours())
        return (
            f"seed {self.seed}: {self.burst.count} operations ({self.burst.refused} refused, "
            f"{self.burst.drifts} by hand on objects, {self.burst.deleted_while_away} deletions "
            f"while away), {self.faults} faults, {len(evidence.history)} changes recorded, "
            f"{count_writes(evidence)} writes of {count_necessary_writes(evidence)} needed one by "
            f"one; {policies} policies and {children} objects at the end"
        )


def is_up(operator: Operator) -> bool:
    try:
        return operator.is_ready()
    except OSError:
        return False


def is_progress(change: Change) -> bool:
    if change.key.kind in CHILDREN:
        return change.after is not None
    before, after = change.before or {}, change.after or {}
    return bool(after) and before.get("status") != after.get("status")
