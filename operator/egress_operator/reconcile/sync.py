"""One set of objects: ask for the next safe writes, send them, until nothing is left."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import cast

from egress_operator.engine.failure import ApiError
from egress_operator.engine.ready import Share
from egress_operator.engine.timing import TICK
from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Desired, Observed, Owner
from egress_operator.istio.object_set import ObjectSet, list_keys
from egress_operator.istio.set_key import (
    GatewaySet,
    HostSet,
    Scope,
    SetKey,
    TenantSet,
    find_scope,
)
from egress_operator.plan.plan import Plan
from egress_operator.reconcile.budget import Budget
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.dependencies import Dependencies
from egress_operator.reconcile.doubt import Doubts
from egress_operator.reconcile.drift import Drift
from egress_operator.reconcile.owner_check import OwnerCheck
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.record import OwnKind
from egress_operator.reconcile.refusal import (
    TOLD_S,
    Refusal,
    Refusals,
    Retry,
    find_failure,
)
from egress_operator.reconcile.writer import BlockedError, MissingKindError, StaleError, Writer
from egress_operator.rollout.pair import Clock, RolloutContext, find_references
from egress_operator.rollout.step import next_step
from egress_operator.rollout.write import Delete, Step, Write

STEP_LIMIT = 16
"""Steps in one go. A change has eight at most; more means that somebody undoes each write, so the
set goes to the back of the queue with a back-off."""

ANSWER_S = 1.2
"""Seconds without any answer after which a gateway goes on without the writes under way.

Fewer than `engine.shares.PATIENCE_S`, so that those that wait for a slot meanwhile go on without it
as well.
"""
LOOK_BURST = 5.0
"""Times that the objects of one set may be read at once because somebody asks for it."""
WriteHook = Callable[[SetKey, Sequence[Write]], None]
"""Called with the acknowledged writes of one step of a set."""
RetryHook = Callable[[Retry], None]
"""Called for each write of a set that is left out, to be tried alone; often for the same one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a set has come: what the status of its policies is made of."""

    settled: bool
    problem: str = ""
    """Why it is not settled, in one line; empty while it is merely under way."""
    settling: bool = False
    """Nothing is wrong, and the next write has to wait."""
    lasting: bool = False
    """The problem will not pass by itself: said in status at once."""
    code: str = ""
    """The rule of the problem, if it has one."""
    squatted: tuple[ObjectKey, ...] = ()
    refused: tuple[Refusal, ...] = ()
    """Of the set of a gateway: the writes that are left out until the API server takes them."""


UNDER_WAY = Outcome(settled=False)
SETTLING = Outcome(settled=False, settling=True)
SETTLED = Outcome(settled=True)


@dataclass(slots=True)
class _State:
    since: float
    """When it last stopped being settled."""
    outcome: Outcome = UNDER_WAY
    drift: Drift = field(default_factory=Drift)
    looks: Budget | None = None
    """None while nobody has asked for one."""


class WriteTimes:
    """When objects were last written or deleted, by us or as seen; in monotonic seconds.

    Only what may still settle is kept: of the others the time does not count.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self.times: dict[ObjectKey, float] = {}
        """Oldest first."""

    def note(self, key: ObjectKey, now: float) -> None:
        """Note a write of this moment."""
        self.times.pop(key, None)
        self.times[key] = now
        for other, at in list(islice(self.times.items(), 2)):
            if at + self._settle < now:
                del self.times[other]


class FightError(Exception):
    """Writes do not last: somebody else changes our objects each time."""

    def __init__(
        self, key: SetKey, wait: float | None = None, squatted: tuple[ObjectKey, ...] = ()
    ) -> None:
        words = f"the objects of {key} do not stay as written: another controller changes them"
        rest = "" if wait is None else "; they are repaired less often now"
        super().__init__(words + rest)
        self.wait = wait
        """Seconds until the objects may be put right again; None: the back-off tells."""
        self.squatted = squatted
        """As of `Step`."""


class _Wish:
    """The object set that a step was made for, and whether the present plan still has it."""

    def __init__(self, planner: Planner, plan: Plan, object_set: ObjectSet) -> None:
        self.object_set = object_set
        self._planner = planner
        self._plan: Plan | None = plan
        self._is_current = True

    def is_current(self) -> bool:
        key = self.object_set.key
        plan = self._planner.get(find_scope(key))
        if plan is not self._plan:
            self._plan = plan
            wanted = None if plan is None else plan.sets.get(key, ObjectSet(key))
            self._is_current = wanted == self.object_set
        return self._is_current


class SetWorker:
    """Brings the objects of sets to what their plans want."""

    def __init__(
        self,
        cluster: Cluster,
        planner: Planner,
        writer: Writer,
        outside: Dependencies,
        on_refused: RetryHook,
        on_late: Callable[[SetKey], None],
    ) -> None:
        """`on_late` is called when a write that has left its step is answered."""
        self._on_refused = on_refused
        self._on_late = on_late
        self._late: set[asyncio.Task[bool]] = set()
        self._cluster = cluster
        self._planner = planner
        self._writer = writer
        self._owner_check = OwnerCheck(outside.transport, cluster)
        self._metrics = outside.metrics
        self._clock = outside.clock
        self._settle = cluster.settings.settle
        self._started_at = self._clock()
        self._written = WriteTimes(self._settle)
        self._states: dict[SetKey, _State] = {}
        self._settling: defaultdict[Scope, dict[SetKey, None]] = defaultdict(dict)
        """By namespace, in the order in which they began to wait."""
        self._refusals: defaultdict[SetKey, Refusals] = defaultdict(Refusals)
        self._doubts = Doubts()
        """Objects whose last write may have been made or not, or of which somebody asks."""
        self._heirs: dict[SetKey, dict[ObjectKey, tuple[Owner, ...]]] = {}
        """Of the objects that each set deletes to make them anew; lost with the process."""
        self._news: set[SetKey] = set()
        self._lacking: dict[SetKey, frozenset[ObjectKey]] = {}
        """What was said to lack last, by set."""

    def take_news(self, key: SetKey) -> bool:
        """Whether the outcome of a set has changed since the last call."""
        is_news = key in self._news
        self._news.discard(key)
        return is_news

    def get_outcome(self, key: SetKey) -> tuple[Outcome, float]:
        """Return how far a set has come, and since when it is not settled (loop time)."""
        state = self._states.get(key)
        return (state.outcome, state.since) if state else (UNDER_WAY, self._clock())

    def take_lacking(self, key: SetKey) -> frozenset[ObjectKey]:
        """Name the objects that a set cannot write, squatted or refused, since the last call."""
        outcome, _ = self.get_outcome(key)
        lacking = {*outcome.squatted, *(refusal.write.key for refusal in outcome.refused)}
        before = self._lacking.pop(key, frozenset())
        if lacking:
            self._lacking[key] = frozenset(lacking)
        return frozenset(lacking - before)

    def note_change(self, key: SetKey) -> None:
        """Record that the desired objects changed: the set is under way from now on."""
        state = self._states.get(key)
        if state is None:
            self._states[key] = _State(self._clock())
            return
        state.drift.note_change()
        if state.outcome.settled or (state.outcome.lasting and self._find_fight(key) == 0):
            state.since = self._clock()
            state.outcome = UNDER_WAY
            self._index_settling(key, UNDER_WAY)

    def doubt(self, key: SetKey) -> float:
        """Have what a set wants read before its next step, whatever the watches have told.

        After `note_change`. Return the seconds until that step may be made; 0: now. What closes a
        way never waits for a look.
        """
        plan, state = self._planner.get(find_scope(key)), self._states.get(key)
        object_set = None if plan is None else plan.sets.get(key)
        if object_set is None or state is None or object_set.is_closing:
            return 0.0
        self._doubts.add(key, (desired.key for desired in object_set.objects))
        if state.looks is None:
            state.looks = Budget(LOOK_BURST)
        return state.looks.take(self._clock())

    def note_seen(self, key: ObjectKey) -> None:
        """Record that somebody else changed an object: proxies settle after that as well."""
        self._written.note(key, self._clock())

    def forget(self, key: ObjectKey) -> None:
        """Forget what the API server answered about an object that is gone."""
        self._writer.forget(key)

    def list_settling(self, scope: Scope) -> list[SetKey]:
        """List the sets of a namespace that wait for something; for None, of all."""
        scopes = list(self._settling) if scope is None else [scope]
        return [key for each in scopes for key in self._settling.get(each, ())]

    def is_applied(self, desired: Desired) -> bool:
        """Whether an object that nobody owns stands as desired."""
        item = self._cluster.objects.get(desired.key)
        return item is not None and is_as_desired(self._translate(item), desired, desired.owners)

    def find_objects(self, key: SetKey) -> tuple[ObjectKey, ...]:
        """Name our objects of a set that are there, and the permissions that it needs."""
        plan = self._planner.get(find_scope(key))
        object_set = plan.sets.get(key) if plan else None
        allows = (
            self._cluster.objects.get(item.key)
            for item in (object_set.allows if object_set else ())
        )
        found = [*self._select(object_set or ObjectSet(key)), *filter(None, allows)]
        return tuple(sorted(item.key for item in found if item.ours))

    async def sync(self, key: SetKey, on_writes: WriteHook) -> float | None:
        """Bring a set as far as it may go now. Seconds: come back then. Raises for a retry."""
        start = self._clock()
        result = "error"
        try:
            step = await self._advance(key, on_writes)
            result = "settled" if step.wait is None else "waiting"
        except (BlockedError, MissingKindError) as error:
            result = "blocked"
            self._set(
                key, Outcome(settled=False, problem=str(error), lasting=True, code=error.code)
            )
            raise
        except StaleError:
            if self._find_fight(key) == 0:
                self._set(key, UNDER_WAY)
            raise
        except FightError as error:
            outcome = Outcome(settled=False, problem=str(error), lasting=True, code="EG301")
            refused = self._list_refused(key)
            self._set(key, replace(outcome, squatted=error.squatted, refused=refused))
            if error.wait is None:
                raise
            return error.wait
        except ApiError as error:
            self._set(key, Outcome(settled=False, problem=str(error), code="EG301"))
            raise
        finally:
            self._metrics.count_reconcile(result, self._clock() - start)
        return step.wait

    async def _advance(self, key: SetKey, on_writes: WriteHook) -> Step:
        scope, steps = find_scope(key), 0
        held = frozenset[Write]()
        while steps < STEP_LIMIT:
            found = await self._look(key)
            if found is None:
                self._forget(key)
                return Step()
            plan, object_set = found
            step = self._ask(plan, object_set, held)
            if isinstance(key, GatewaySet):
                self._retry_refused(key, (write for write in step.refused if write not in held))
            writes = tuple(write for write in step.writes if write not in held)
            if not writes:
                self._check_fight(key, step, held)
                return self._conclude(key, plan, object_set, step)
            drift = self._begin_writes(key)
            repairs = drift.find_repairs(object_set, writes)
            if repairs and drift.take(self._clock()) > 0:
                held |= repairs
                continue
            if any(self._gives_back(write) for write in repairs):
                kind = OwnKind.POLICY if isinstance(key, HostSet) else OwnKind.GATEWAY
                await self._owner_check.refresh(kind, scope or "")
                if not self._has_owners(scope, repairs):
                    # The plan that follows says what this set is to be.
                    return Step()
            wish = _Wish(self._planner, plan, object_set)
            await self._send(wish, writes, on_writes, repairs)
            if wish.is_current():
                # A step that is cut short because the plan has changed does not count.
                steps += 1
            elif held:
                # The change brings the set back; a plan that changes all the time hides no fight.
                raise FightError(key, self._find_fight(key), step.squatted)
        raise FightError(key)

    async def _look(self, key: SetKey) -> tuple[Plan, ObjectSet] | None:
        """Return the plan and what it wants of a set, once it is known what stands there.

        None: nothing is to be done for its namespace. What became of a write that was not answered
        is read: its watch tells of it too, but others may tell of a new plan before. What closes a
        way is written before anything is read. Raises ApiError.
        """
        scope = find_scope(key)
        while True:
            plan = self._planner.get(scope)
            terminating = scope is not None and self._cluster.namespaces.is_terminating(scope)
            if plan is None or terminating:
                return None
            object_set = plan.sets.get(key) or ObjectSet(key)
            unsure = self._doubts.find(key, _find_needs(object_set)) if self._doubts else ()
            closes = object_set.is_closing or key not in plan.sets
            if not unsure or (closes and self._ask(plan, object_set).writes):
                return plan, object_set
            for each in unsure:
                await self._writer.read(each, key.namespace)
                self._doubts.discard(each)

    def _check_fight(self, key: SetKey, step: Step, held: frozenset[Write]) -> None:
        """Raise FightError while drift is held back, and until a set has been left alone since.

        `step`: the last one, which has nothing to write but what is held back.
        """
        wait = self._find_fight(key)
        if held or wait > 0:
            if step.wait is None and (refusals := self._refusals.get(key)) is not None:
                refusals.keep(step.refused)
            wait = wait if step.wait is None else min(wait, step.wait)
            raise FightError(key, wait, step.squatted)

    def _find_fight(self, key: SetKey) -> float:
        """Return the seconds until a set counts as left alone; 0: nobody fights for it."""
        state = self._states.get(key)
        return 0.0 if state is None else state.drift.find_wait(self._clock())

    def _list_refused(self, key: SetKey) -> tuple[Refusal, ...]:
        """Return the writes of a gateway to tell of; of another set there are none."""
        refusals = self._refusals.get(key)
        return () if refusals is None else refusals.list(self._clock())

    def _retry_refused(self, key: GatewaySet, writes: Iterable[Write]) -> None:
        refusals = self._refusals[key]
        for write in writes:
            if not refusals.is_sent(write):
                self._on_refused(Retry(key, write))

    def _gives_back(self, write: Write) -> bool:
        """Whether it makes an object again or gives it an owner again: an owner may be gone."""
        if isinstance(write, Delete) or not write.owners:
            return False
        there = self._cluster.objects.get(write.key)
        return there is None or not there.owners.issuperset(write.owners)

    def _has_owners(self, scope: Scope, writes: Iterable[Write]) -> bool:
        """Whether every policy and EgressGateway that is to own something is still there."""
        return all(
            self._cluster.is_owner(owner, scope or "")
            for write in writes
            if not isinstance(write, Delete)
            for owner in write.owners
        )

    def _ask(self, plan: Plan, object_set: ObjectSet, held: frozenset[Write] = frozenset()) -> Step:
        """Ask for the next step; a gateway goes on without the writes that are held back."""
        observed = [self._translate(item) for item in self._select(object_set)]
        clock = Clock(self._clock(), self._started_at, self._written.times, self._settle)
        around = self._look_around(plan, object_set)
        if held:
            around = replace(around, refused={*around.refused, *held})
        return next_step(object_set, observed, around, clock)

    def _translate(self, item: Observed) -> Observed:
        """Return an object of ours with the digest to compare with what is wanted."""
        digest = self._writer.translate(item) if item.ours else item.spec_digest
        return item if digest == item.spec_digest else replace(item, spec_digest=digest)

    def _look_around(self, plan: Plan, object_set: ObjectSet) -> RolloutContext:
        objects = self._cluster.objects
        found = [
            self._translate(item)
            for item in map(objects.get, _find_needs(object_set))
            if item is not None and item.ours
        ]
        referenced = frozenset[str]()
        if not object_set.objects and isinstance(object_set.key, TenantSet):
            referenced = find_references(objects.select(object_set.key.namespace), object_set.key)
        return RolloutContext(
            plan.held,
            plan.live,
            found,
            referenced,
            self._cluster.gone,
            self._cluster.orphans,
            plan.expired,
            self._refusals[object_set.key].writes if object_set.access else (),
            self._heirs.get(object_set.key, {}),
        )

    def _select(self, object_set: ObjectSet) -> list[Observed]:
        """Everything that stands where objects of the set do, and all others of it."""
        objects = self._cluster.objects
        found = {
            item.key: item for item in map(objects.get, list_keys(object_set)) if item is not None
        }
        found |= {item.key: item for item in self._cluster.select_set(object_set.key)}
        return list(found.values())

    def _begin_writes(self, key: SetKey) -> Drift:
        """Note that the set is under way."""
        now = self._clock()
        state = self._states.setdefault(key, _State(now))
        if state.outcome.settled:
            state.since, state.outcome = now, UNDER_WAY
        return state.drift

    def _note_written(self, key: SetKey, write: Write, now: float) -> None:
        """Record that the API server has taken a write of a set."""
        self._written.note(write.key, now)
        if (state := self._states.get(key)) is not None:
            state.drift.note_written(write)

    async def _send(
        self,
        wish: "_Wish",
        writes: Sequence[Write],
        on_writes: WriteHook,
        repairs: Collection[Write],
    ) -> None:
        """Send the writes of a step. Each that fails raises, or is left out at a gateway.

        As soon as the plan wants something else, the rest is left out: a permission that is
        withdrawn does not wait for hundreds of others.
        """
        key = wish.object_set.key
        refusals = self._refusals[key] if wish.object_set.access else None
        patience = None if refusals is None else ANSWER_S
        self._note_heirs(key, writes)
        answers, late = await self._send_all(wish, writes, patience)
        now = self._clock()
        done = [write for write, answer in answers.items() if answer is None]
        for write in done:
            self._note_written(key, write, now)
            if write in repairs:
                self._metrics.count_drift(write.key.kind)
        if done:
            on_writes(key, done)
        failures = {write: error for write, error in answers.items() if error is not None}
        failure = next(iter(failures.values()), None)
        if refusals is None:
            self._note_unsure(key, failures)
        else:
            failure = find_failure(failures.values(), is_whole=not done and not late)
            for write, task in late.items():
                refusals.note_sent(write, now)
                self._late.add(task)
                task.add_done_callback(partial(self._take_late, key, write, on_writes))
        if failure is not None:
            raise failure
        if refusals is not None:
            for write, error in failures.items():
                refusals.note(write, error)

    def _note_heirs(self, key: SetKey, writes: Iterable[Write]) -> None:
        """Remember before it is sent who owns what is made anew: the answer may be lost."""
        for write in writes:
            if isinstance(write, Delete) and write.heirs:
                self._heirs.setdefault(key, {})[write.key] = write.heirs

    def _note_unsure(self, key: SetKey, failures: Mapping[Write, Exception]) -> None:
        """Remember the writes that may have been made. A gateway's have no order to keep."""
        for write, error in failures.items():
            if isinstance(error, ApiError) and error.may_be_done:
                self._doubts.add(key, [write.key])

    async def _send_all(
        self, wish: "_Wish", writes: Sequence[Write], patience: float | None
    ) -> tuple[dict[Write, Exception | None], dict[Write, asyncio.Task[bool]]]:
        """Send writes side by side while they are wanted; return what each sent one raised.

        And those that still wait for an answer, if none has been answered for `patience` seconds,
        or the plan has changed for as long.
        """
        key, loop = wish.object_set.key, asyncio.get_running_loop()
        answered_at = loop.time()

        def note_answer(_: asyncio.Task[bool]) -> None:
            nonlocal answered_at
            answered_at = loop.time()

        tasks: dict[Write, asyncio.Task[bool]] = {}
        for write in writes:
            send = self._writer.send(write, self._find_share(key, write), wish.is_current)
            tasks[write] = loop.create_task(send)
            tasks[write].add_done_callback(note_answer)
        waiting = set(tasks.values())
        try:
            while waiting:
                timeout = None if patience is None else answered_at + patience - loop.time()
                if timeout is not None and (timeout < TICK or not wish.is_current()):
                    break
                _, waiting = await asyncio.wait(waiting, timeout=timeout)
        except asyncio.CancelledError:
            for task in waiting:
                task.cancel()
            raise
        late = {write: task for write, task in tasks.items() if not task.done()}
        answers = {
            write: cast("Exception | None", task.exception())
            for write, task in tasks.items()
            if task.done() and (task.exception() or task.result())
        }
        return answers, late

    def _take_late(
        self, key: SetKey, write: Write, on_writes: WriteHook, task: asyncio.Task[bool]
    ) -> None:
        """Take over the answer to a write that has left its step."""
        self._late.discard(task)
        if task.cancelled():
            return
        error = cast("Exception | None", task.exception())
        is_sent = error is not None or task.result()
        if (refusals := self._refusals.get(key)) is not None:
            if is_sent:
                refusals.note_answer(write, error)
            else:
                refusals.note_unsent(write)
        if error is None and is_sent:
            self._note_written(key, write, self._clock())
            on_writes(key, [write])
        self._on_late(key)

    def _find_share(self, key: SetKey, write: Write) -> Share:
        item = self._cluster.objects.get(write.key) if isinstance(write, Delete) else write.desired
        return self._cluster.lanes.find_write_share(key, write, "" if item is None else item.tenant)

    def find_share(self, retry: Retry) -> Share:
        """Return whose turn a write takes that is tried alone."""
        return self._find_share(retry.set_key, retry.write)

    async def stop(self) -> None:
        """Give up the writes that are not answered yet."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def retry(self, retry: Retry, on_writes: WriteHook) -> None:
        """Try a refused write alone if it is still due. Raises what `Writer.send` raises."""
        key, write = retry.set_key, retry.write
        is_due = partial(self._is_due, key, write)
        if not is_due():
            return
        refusals = self._refusals[key]
        try:
            if not await self._writer.send(write, self.find_share(retry), is_due):
                return
        except Exception as error:
            refusals.note_answer(write, error, is_retry=True)
            raise
        refusals.note_answer(write, None)
        self._note_written(key, write, self._clock())
        on_writes(key, [write])

    def _is_due(self, key: SetKey, write: Write) -> bool:
        """Whether a refused write of a gateway is still wanted, and nobody waits for its answer."""
        plan, refusals = self._planner.get(None), self._refusals.get(key)
        object_set = plan.sets.get(key) if plan else None
        if plan is None or object_set is None or refusals is None or refusals.is_sent(write):
            return False
        return write in self._ask(plan, object_set).refused

    def _conclude(self, key: SetKey, plan: Plan, object_set: ObjectSet, step: Step) -> Step:
        """Note how far a set has come when there is nothing to write; return what to wait for."""
        if step.wait is not None:
            self._set(key, self._find_obstacle(object_set) or SETTLING)
            return step
        if key not in plan.sets:
            self._forget(key)
            return step
        self._heirs.pop(key, None)
        refused: tuple[Refusal, ...] = ()
        if object_set.access:
            refusals = self._refusals[key]
            refusals.keep(step.refused)
            refused = self._list_refused(key)
            if len(refused) < len(refusals.writes):
                step = replace(step, wait=TOLD_S)
        # One value for nearly all sets: there is one outcome for each host of the cluster.
        news = step.squatted or refused
        outcome = replace(SETTLED, squatted=step.squatted, refused=refused) if news else SETTLED
        self._set(key, outcome)
        lacking = {*step.squatted, *(refusal.write.key for refusal in refused)}
        self._states[key].drift.note_settled(object_set, frozenset(lacking))
        for desired in object_set.objects:
            self._cluster.objects.share(desired)
        return step

    def _find_obstacle(self, object_set: ObjectSet) -> Outcome | None:
        """Return why a set waits in vain: an object of another set that it needs is not written."""
        for key in sorted(_find_needs(object_set)):
            desired = self._planner.find_desired(key)
            if desired is None:
                continue
            outcome, _ = self.get_outcome(desired.set_key)
            if key in outcome.squatted:
                return replace(SETTLING, problem=f"waits for {key}", lasting=True, squatted=(key,))
            for refusal in outcome.refused:
                if refusal.write.key == key:
                    problem = f"waits for {key}, which is refused: {refusal.words}"
                    return replace(SETTLING, problem=problem, lasting=True, code="EG301")
            if outcome.problem and self._cluster.objects.get(key) is None:
                return replace(
                    SETTLING,
                    problem=f"waits for {desired.set_key}: {outcome.problem}",
                    lasting=outcome.lasting,
                    code=outcome.code,
                )
        return None

    def _forget(self, key: SetKey) -> None:
        self._states.pop(key, None)
        self._refusals.pop(key, None)
        self._lacking.pop(key, None)
        self._doubts.forget(key)
        self._heirs.pop(key, None)
        self._index_settling(key, UNDER_WAY)

    def _set(self, key: SetKey, outcome: Outcome) -> None:
        state = self._states.setdefault(key, _State(self._clock()))
        changed = state.outcome != outcome
        if state.outcome.settled and not outcome.settled:
            state.since = self._clock()
        state.outcome = outcome
        self._index_settling(key, outcome)
        if changed:
            self._news.add(key)

    def _index_settling(self, key: SetKey, outcome: Outcome) -> None:
        scope = find_scope(key)
        if outcome.settling:
            self._settling[scope][key] = None
        elif scope in self._settling:
            self._settling[scope].pop(key, None)
            if not self._settling[scope]:
                del self._settling[scope]


def _find_needs(object_set: ObjectSet) -> set[ObjectKey]:
    """Name the objects of other sets that have to be there for this one."""
    needs = {desired.key for desired in object_set.allows}
    return needs.union(*(desired.after for desired in object_set.objects))
