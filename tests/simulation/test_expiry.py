"""What has an end goes at its time, by the clock on the wall alone, whatever that does."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.istio.kind import Kind
from egress_operator.istio.object import HOST_ANNOTATION, MANAGED_BY_LABEL
from egress_operator.plan.life import NOTICE_S
from egress_operator.plan.source import PAUSED_ANNOTATION, REQUESTED_ANNOTATION
from egress_operator.reconcile.expiry import LOOK_S
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES
from testbed.seed import SEED
from wiring import ORIGIN

from .history import SHARED, TENANTS, History, build_gateway
from .run import start_controller, stop, wait
from .server import Key, Object, Server, read_key
from .test_history import QUIET_S, find_late, find_missed

pytestmark = pytest.mark.looptime

PROMPT_S = 2.0
"""So long after its time nothing is left of a policy."""
DAY_S = NOTICE_S
SHOP = TENANTS[0]
ENTRY, ACCESS = RESOURCES[Kind.SERVICE_ENTRY], RESOURCES[Kind.AUTHORIZATION_POLICY]


class WallClock:
    """The time of day: that of the loop, and what somebody has set it forward or back by."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return ORIGIN + timedelta(seconds=asyncio.get_running_loop().time()) + self.shift

    def jump(self, seconds: float) -> None:
        self.shift += timedelta(seconds=seconds)

    def tell(self, seconds: float) -> str:
        """Write down the moment in so many seconds."""
        return (self.now() + timedelta(seconds=seconds)).isoformat()


class Events:
    """Remembers the events about policies; everything else that it is told it forgets."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, str]] = []

    def announce(self, key: Any, _: str, event: tuple[str, str, str]) -> None:  # noqa: ANN401
        if key.namespace:
            self.posted.append((key.name, *event[:2]))

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - whatever is called
        return lambda *_: None


def build_policy(name: str, ends: str = "", **spec: Any) -> Object:  # noqa: ANN401 - fields
    found = {"destinations": [{"hosts": [f"{name}.example.com"]}], **spec}
    if ends:
        found["expiresAt"] = ends
    return {"metadata": {"namespace": SHOP, "name": name}, "spec": found}


def list_ours(server: Server) -> list[Key]:
    """List the Istio objects that stand."""
    return [read_key(kind, body) for kind in RESOURCES.values() for body in server.select(kind)]


def find_condition(server: Server, name: str, type_: str) -> tuple[str, str]:
    status = server.objects[POLICIES, SHOP, name]["status"]
    found = {item["type"]: item for item in status["conditions"]}
    return (found[type_]["status"], found[type_]["reason"]) if type_ in found else ("", "")


def build_server(number: int = 0) -> Server:
    server = Server(random.Random(number))  # noqa: S311 - of a test
    server.apply(GATEWAYS, build_gateway(SHARED))
    server.apply(NAMESPACES, {"metadata": {"name": SHOP, "labels": {"egress": SHARED}}})
    return server


ACCOUNTS: dict[str, Any] = {
    "gatewayRef": {"name": SHARED},
    "from": {"serviceAccounts": ["checkout"]},
}
WAYS: dict[str, dict[str, Any]] = {
    "direct": {},
    "some workloads": {"from": {"workloads": {"matchLabels": {"app": "checkout"}}}},
    "gateway": {"gatewayRef": {"name": SHARED}},
    "service accounts": ACCOUNTS,
}


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_it_goes_within_two_seconds_and_comes_back_with_more_time(
    way: str, *, paused: bool
) -> None:
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    server.apply(POLICIES, build_policy("web", clock.tell(60), **WAYS[way]))
    await asyncio.sleep(30)
    there = list_ours(server)
    assert there
    assert find_condition(server, "web", "Ready") == ("True", "Applied")
    if paused:
        server.change(
            (POLICIES, SHOP, "web"),
            lambda body: body["metadata"].update(annotations={PAUSED_ANNOTATION: "true"}),
        )
    await asyncio.sleep(29.9)
    assert list_ours(server) == there
    await asyncio.sleep(0.1 + PROMPT_S)
    # The gateway goes on to deny strangers: that is its own.
    left = [key for key in list_ours(server) if key[0] != ACCESS]
    assert left == []
    allows = [body for body in server.select(ACCESS) if body["spec"].get("rules")]
    assert allows == []
    for type_ in ("Accepted", "Programmed", "Ready"):
        assert find_condition(server, "web", type_) == ("False", "Expired")
    assert find_condition(server, "web", "Stalled") == ("True", "Expired")
    assert find_condition(server, "web", "Paused") == (("True", "Paused") if paused else ("", ""))
    status = server.objects[POLICIES, SHOP, "web"]["status"]
    assert (status["hosts"], status["objectCount"]) == ("0/1", 0)
    writes = len(server.writes)
    await asyncio.sleep(600)
    assert len(server.writes) == writes

    def prolong(body: Object) -> None:
        body["metadata"].pop("annotations", None)
        body["spec"]["expiresAt"] = clock.tell(10 * DAY_S)

    server.change((POLICIES, SHOP, "web"), prolong)
    await asyncio.sleep(10)
    assert sorted(map(str, list_ours(server))) == sorted(map(str, there))
    assert find_condition(server, "web", "Ready") == ("True", "Applied")
    await stop(controller, server)


@pytest.mark.parametrize("follows", [False, True])
async def test_a_paused_policy_tells_that_its_host_went_with_another_policy_s_time(
    *, follows: bool
) -> None:
    """Whether or not a policy in force has a part in the host, and goes on with it."""
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    hosts = [{"hosts": ["web.example.com"]}]
    server.apply(POLICIES, build_policy("web", clock.tell(60)))
    server.apply(POLICIES, build_policy("paused", destinations=hosts))
    if follows:
        server.apply(POLICIES, build_policy("follows", destinations=hosts))
    await asyncio.sleep(10)
    server.change(
        (POLICIES, SHOP, "paused"),
        lambda body: body["metadata"].update(annotations={PAUSED_ANNOTATION: "true"}),
    )
    await asyncio.sleep(40)
    assert find_condition(server, "paused", "Ready") == ("True", "Applied")
    await asyncio.sleep(20)
    assert len([*server.select(ENTRY)]) == int(follows)
    assert find_condition(server, "paused", "Ready") == ("Unknown", "Paused")
    status = server.objects[POLICIES, SHOP, "paused"]["status"]
    assert (status["hosts"], status["objectCount"]) == ("0/1", 0)
    writes = len(server.writes)
    server.remove((POLICIES, SHOP, "web"))
    await asyncio.sleep(60)
    assert find_condition(server, "paused", "Ready") == ("Unknown", "Paused")
    assert len(server.writes) == writes
    server.change((POLICIES, SHOP, "paused"), lambda body: body["metadata"].pop("annotations"))
    await asyncio.sleep(10)
    assert find_condition(server, "paused", "Ready") == ("True", "Applied")
    await stop(controller, server)


async def test_one_that_is_over_when_it_is_made_makes_nothing() -> None:
    server, clock, events = build_server(), WallClock(), Events()
    controller = start_controller(server, now=clock.now, told=events)
    server.apply(POLICIES, build_policy("web", clock.tell(-DAY_S)))
    await asyncio.sleep(10)
    assert not [*server.select(ENTRY)]
    assert find_condition(server, "web", "Accepted") == ("False", "Expired")
    assert [
        (write.key[0], write.subresource) for write in server.writes if write.key[1] == SHOP
    ] == [(POLICIES, "status")]
    assert events.posted == [("web", "Warning", "Expired")]
    await stop(controller, server)


async def test_it_is_told_a_day_before() -> None:
    server, clock, events = build_server(), WallClock(), Events()
    controller = start_controller(server, now=clock.now, told=events)
    server.apply(POLICIES, build_policy("web", clock.tell(DAY_S + 100)))
    await asyncio.sleep(99)
    assert find_condition(server, "web", "Expiring") == ("", "")
    await asyncio.sleep(1 + PROMPT_S)
    assert find_condition(server, "web", "Expiring") == ("True", "ExpiresSoon")
    assert find_condition(server, "web", "Ready") == ("True", "Applied")
    assert events.posted == [("web", "Warning", "ExpiresSoon")]
    writes = len(server.writes)
    await asyncio.sleep(600)
    assert len(server.writes) == writes
    clock.jump(DAY_S - 1200)
    await asyncio.sleep(600 - PROMPT_S - 1)
    assert len(server.writes) == writes
    await asyncio.sleep(1 + PROMPT_S)
    assert find_condition(server, "web", "Expiring") == ("", "")
    assert find_condition(server, "web", "Ready") == ("False", "Expired")
    assert events.posted[1:] == [("web", "Warning", "Expired")]
    await stop(controller, server)


async def test_it_ends_in_time_although_a_look_was_asked_for_and_nothing_can_be_read() -> None:
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    server.apply(POLICIES, build_policy("web", clock.tell(100)))
    await asyncio.sleep(60)

    async def refuse(*_: object, **__: object) -> NoReturn:
        raise ApiError(429, "TooManyRequests", "storage is (re)initializing")

    server.list_page = refuse  # type: ignore[method-assign]
    annotations = {REQUESTED_ANNOTATION: "now"}
    server.change(
        (POLICIES, SHOP, "web"), lambda body: body["metadata"].update(annotations=annotations)
    )
    await asyncio.sleep(39)
    assert [*server.select(ENTRY)]
    await asyncio.sleep(1 + PROMPT_S)
    assert not [*server.select(ENTRY)]
    await stop(controller, server)


async def test_the_clock_decides_however_it_is_set() -> None:
    """It jumps forward and back, over the moment, over the notice, and between two looks."""
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    end = clock.now() + timedelta(days=3)
    server.apply(POLICIES, build_policy("web", end.isoformat(), gatewayRef={"name": SHARED}))
    await asyncio.sleep(20)
    rng = random.Random(SEED)  # noqa: S311 - of a test
    for days in [4, -4, 2.5, 0.6, -0.2, -3, 3.2, *(rng.uniform(-3, 3) for _ in range(20))]:
        clock.jump(days * DAY_S)
        await asyncio.sleep(20)
        is_over = end <= clock.now()
        is_soon = not is_over and end - timedelta(days=1) <= clock.now()
        assert bool([*server.select(ENTRY)]) is not is_over, days
        assert find_condition(server, "web", "Ready")[1] == ("Expired" if is_over else "Applied")
        assert find_condition(server, "web", "Expiring")[0] == ("True" if is_soon else "")
    await stop(controller, server)


async def test_a_jump_there_and_back_between_two_looks_is_made_up_for() -> None:
    """A plan that was made in between holds for a moment that is over, or not come yet."""
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    server.apply(POLICIES, build_policy("web", clock.tell(2 * DAY_S)))
    await asyncio.sleep(10 + LOOK_S / 10)
    clock.jump(3 * DAY_S)
    server.apply(POLICIES, build_policy("other"))
    await asyncio.sleep(LOOK_S / 4)
    clock.jump(-3 * DAY_S)
    await asyncio.sleep(10)
    assert find_condition(server, "web", "Ready") == ("True", "Applied")
    await stop(controller, server)


@pytest.mark.parametrize("paused", [False, True])
async def test_what_ends_while_no_operator_runs_goes_at_the_start(*, paused: bool) -> None:
    server, clock = build_server(), WallClock()
    first = start_controller(server, now=clock.now)
    server.apply(POLICIES, build_policy("web", clock.tell(60), **ACCOUNTS))
    server.apply(POLICIES, build_policy("other", **ACCOUNTS))
    await asyncio.sleep(30)
    if paused:
        server.change(
            (POLICIES, SHOP, "web"),
            lambda body: body["metadata"].update(annotations={PAUSED_ANNOTATION: "true"}),
        )
        await asyncio.sleep(5)
    await stop(first, server)
    await asyncio.sleep(100)
    assert len([*server.select(ENTRY, SHOP)]) == 4
    second = start_controller(server, now=clock.now)
    await asyncio.sleep(PROMPT_S)
    assert len([*server.select(ENTRY, SHOP)]) == 2
    await asyncio.sleep(PROMPT_S)
    assert find_condition(server, "web", "Ready") == ("False", "Expired")
    assert find_condition(server, "other", "Ready") == ("True", "Applied")
    names = Counter(body["spec"]["hosts"][0].split(".")[0][:5] for body in server.select(ENTRY))
    assert set(names) == {"other"}
    await stop(second, server)


async def test_what_cannot_be_deleted_is_told_and_tried_again() -> None:
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    server.apply(POLICIES, build_policy("web", clock.tell(30)))
    await asyncio.sleep(20)
    for body in [*server.select(ENTRY)]:
        server.change(
            read_key(ENTRY, body), lambda found: found["metadata"].update(finalizers=["x/y"])
        )
    await asyncio.sleep(30)
    status = server.objects[POLICIES, SHOP, "web"]["status"]
    ready = next(item for item in status["conditions"] if item["type"] == "Ready")
    assert ready["reason"] == "Expired"
    assert "still there: 1 object" in ready["message"]
    assert status["objectCount"] == 1
    for body in [*server.select(ENTRY)]:
        server.change(read_key(ENTRY, body), lambda found: found["metadata"].pop("finalizers"))
        server.remove(read_key(ENTRY, body))
    await asyncio.sleep(30)
    assert server.objects[POLICIES, SHOP, "web"]["status"]["objectCount"] == 0
    await stop(controller, server)


async def test_a_plan_that_fails_is_tried_no_more_often_than_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, clock, tries = build_server(), WallClock(), 0
    controller = start_controller(server, now=clock.now)
    server.apply(POLICIES, build_policy("web", clock.tell(30)))
    await asyncio.sleep(20)

    async def fail(scope: str | None, **_: Any) -> None:  # noqa: ANN401 - whatever is asked for
        nonlocal tries
        tries += scope == SHOP
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(controller.planner, "plan", fail)
        await asyncio.sleep(120)
    assert 2 < tries < 15
    await asyncio.sleep(80)
    assert find_condition(server, "web", "Ready") == ("False", "Expired")
    await stop(controller, server)


async def test_there_is_one_timer_for_all() -> None:
    server, clock = build_server(), WallClock()
    controller = start_controller(server, now=clock.now)
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(30)
    before = count_timers(loop)
    for number in range(200):
        server.apply(POLICIES, build_policy(f"p{number}", clock.tell(10 * DAY_S + number)))
    await asyncio.sleep(60)
    assert len([*server.select(ENTRY)]) == 200
    assert count_timers(loop) <= before
    assert controller.planner.find_next_expiry() is not None
    await stop(controller, server)


def count_timers(loop: Any) -> int:  # noqa: ANN401 - of the loop's own
    return sum(not handle.cancelled() for handle in loop._scheduled)  # noqa: SLF001


class MortalHistory(History):
    """A history in which most policies end soon, have ended, or get more time."""

    def __init__(self, server: Server, rng: random.Random, clock: WallClock) -> None:
        super().__init__(server, rng)
        self._clock = clock

    def _draw_policy(self, namespace: str, name: str) -> Object:
        policy = super()._draw_policy(namespace, name)
        if self._rng.random() < 0.8:
            ends = self._rng.choice([-60, 0, 1, 5, 20, 100, DAY_S + 2, 2 * DAY_S])
            policy["spec"]["expiresAt"] = self._clock.tell(ends)
        if self._rng.random() < 0.2:
            jump = self._rng.choice([-DAY_S, -60, -5, 5, 60, DAY_S])
            self._clock.jump(jump)
            self.log.append(f"the clock jumps by {jump} s")
        return policy


def list_leftovers(server: Server, clock: WallClock) -> Iterator[str]:
    """Name what policies own whose time is over.

    What others took a mark of ours off while nothing wanted it, label or annotation, stays until
    its policy goes.
    """
    now = clock.now()
    over = {
        body["metadata"]["uid"]
        for body in server.select(POLICIES)
        if (ends := body["spec"].get("expiresAt")) and datetime.fromisoformat(ends) <= now
    }
    for kind in RESOURCES.values():
        for body in server.select(kind):
            metadata = body["metadata"]
            owners = metadata.get("ownerReferences") or []
            is_marked = HOST_ANNOTATION in (metadata.get("annotations") or {})
            is_marked &= MANAGED_BY_LABEL in (metadata.get("labels") or {})
            if is_marked and owners and {owner["uid"] for owner in owners} <= over:
                yield f"left over: {read_key(kind, body)}"


async def find_problems(server: Server, history: MortalHistory, clock: WallClock) -> list[str]:
    history.begin()
    first = start_controller(server, now=clock.now)
    await wait(first, 20)
    await history.take_steps()
    history.end()
    await wait(first, QUIET_S)
    mark = len(server.writes)
    await wait(first, QUIET_S)
    late = [*find_late(server, mark), *list_leftovers(server, clock)]
    await stop(first, server)
    before, mark = dict(server.objects), len(server.writes)
    second = start_controller(server, now=clock.now)
    await wait(second, QUIET_S)
    await stop(second, server)
    return [*late, *find_missed(server.writes[mark:], before, server.objects)]


@pytest.mark.parametrize("number", range(12))
async def test_nothing_is_left_to_do_after_a_history(number: int) -> None:
    seed = f"{SEED}/expiry/{number}"
    clock = WallClock()
    server = Server(random.Random(f"{seed}/server"))  # noqa: S311 - of a test
    history = MortalHistory(server, random.Random(f"{seed}/history"), clock)  # noqa: S311
    problems = await find_problems(server, history, clock)
    assert not problems, "\n".join([f"EGRESS_SEED={SEED}", *history.log, *problems])
