"""The reflector against the real API server, healthy and with every fault in between."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from egress_operator.engine.cache import Cache
from egress_operator.engine.peers import Peers
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import RestartReason
from egress_operator.engine.sink import CacheSink
from egress_operator.engine.timing import ReflectorState, ReflectorTiming
from egress_operator.engine.transport import Transport
from engine.harness import FAST, Follower, Kind, eventually
from testbed.controlplane import ControlPlane
from testbed.faultproxy import (
    Answer,
    BreakOff,
    Call,
    Delay,
    Fault,
    FaultProxy,
    Garble,
    Hang,
    Line,
    Replay,
    ResetAfter,
    ResetBefore,
    Silence,
    Truncate,
    build_error_event,
    build_refusal,
)

Follow = Callable[..., Follower]

HTML = Answer(502, b"<html><h1>Bad gateway</h1></html>", "text/html")
LIST_FAULTS: dict[str, tuple[Fault, RestartReason]] = {
    "429": (build_refusal(429, "TooManyRequests"), RestartReason.THROTTLED),
    "429-seconds": (
        build_refusal(429, "TooManyRequests", Retry_After="1"),
        RestartReason.THROTTLED,
    ),
    "429-garbage": (
        build_refusal(429, "TooManyRequests", Retry_After="soon"),
        RestartReason.THROTTLED,
    ),
    "500": (build_refusal(500, "InternalError"), RestartReason.SERVER_ERROR),
    "502-html": (HTML, RestartReason.SERVER_ERROR),
    "503": (build_refusal(503, "ServiceUnavailable"), RestartReason.SERVER_ERROR),
    "504": (build_refusal(504, "Timeout"), RestartReason.SERVER_ERROR),
    "401": (build_refusal(401, "Unauthorized"), RestartReason.UNAUTHORIZED),
    "403": (build_refusal(403, "Forbidden"), RestartReason.FORBIDDEN),
    "404-of-a-proxy": (Answer(404, b"not here", "text/html"), RestartReason.OTHER),
    "410": (build_refusal(410, "Expired"), RestartReason.EXPIRED),
    "302": (Answer(302, b"", headers={"Location": "/login"}), RestartReason.OTHER),
    "reset-before": (ResetBefore(), RestartReason.CONNECTION),
    "reset-after": (ResetAfter(), RestartReason.CONNECTION),
}
ONLY_LIST: dict[str, tuple[Fault, RestartReason]] = {
    "html-with-200": (Answer(200, b"<html>hello</html>", "text/html"), RestartReason.UNDECODABLE),
    "not-a-list": (Answer(200, b'{"kind":"Status"}'), RestartReason.UNDECODABLE),
    "items-no-list": (
        Answer(200, b'{"metadata":{"resourceVersion":"1"},"items":7}'),
        RestartReason.UNDECODABLE,
    ),
}
ONLY_WATCH: dict[str, tuple[Fault, RestartReason]] = {
    "410-event": (build_error_event(410, "Expired"), RestartReason.EXPIRED),
    "500-event": (build_error_event(500, "InternalError"), RestartReason.ERROR_EVENT),
    "bad-line": (Line(b'{"type": "ADDED", "obj\n'), RestartReason.UNDECODABLE),
    "no-event": (Line(b'{"kind": "Status"}\n'), RestartReason.UNDECODABLE),
    "unknown-type": (
        Line(b'{"type":"NEWS","object":{"metadata":{"resourceVersion":"99999999"}}}\n'),
        RestartReason.UNDECODABLE,
    ),
    "no-version": (
        Line(b'{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n'),
        RestartReason.UNDECODABLE,
    ),
    "cut-line": (Line(b'{"type": "ADDED", "object": {"meta'), RestartReason.UNDECODABLE),
    "html-with-200": (Answer(200, b"<html>", "text/html"), RestartReason.UNDECODABLE),
    "ended-at-once": (Answer(200), RestartReason.CLOSED),
    "broken-off": (BreakOff(), RestartReason.CONNECTION),
    "silent": (Silence(), RestartReason.INACTIVE),
    "went-back": (
        Line(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1"}}}\n'),
        RestartReason.ROLLBACK,
    ),
}
WATCH_FAULTS = LIST_FAULTS | ONLY_WATCH
SHORT = ReflectorTiming(
    inactivity=0.5, retry_min=0.02, retry_max=0.3, forbidden=0.3, missing=0.3, retry_after_max=1.0
)


async def test_it_lists_then_watches(
    kind: Kind, control_plane: ControlPlane, follow: Follow
) -> None:
    admin = control_plane.admin
    admin.create(kind.build("before"))
    follower = follow(kind)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    assert follower.mirror.names() == {"before"}
    assert follower.reflector.state is ReflectorState.WATCHING
    admin.create(kind.build("after"))
    await follower.sees("before", "after")
    admin.merge_patch(kind.build("after"), {"spec": {"size": 2}})
    await eventually(
        lambda: follower.mirror.objects[kind.namespace, "after"]["spec"] == {"size": 2}, "the edit"
    )
    kind.delete(admin, "before")
    await follower.sees("after")
    assert follower.mirror.lists == 1
    assert follower.restarts == []
    assert follower.reflector.last_event <= asyncio.get_running_loop().time()


@pytest.mark.parametrize("name", sorted(LIST_FAULTS | ONLY_LIST))
async def test_a_failing_list_is_tried_again(
    name: str, kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    fault, reason = (LIST_FAULTS | ONLY_LIST)[name]
    control_plane.admin.create(kind.build("a"))
    # A GET on a reused connection is sent again by the HTTP client, so a reset must come twice.
    proxy.inject(fault, Call.LIST, times=3)
    follower = follow(kind)
    await eventually(lambda: reason in follower.restarts, f"{reason}, not {follower.restarts}")
    await follower.sees("a")
    await eventually(
        lambda: follower.reflector.state is ReflectorState.WATCHING, "it watches in the end"
    )
    assert follower.reflector.last_error == ""


@pytest.mark.parametrize("name", sorted(WATCH_FAULTS))
async def test_a_failing_watch_misses_nothing(
    name: str, kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    fault, reason = WATCH_FAULTS[name]
    admin = control_plane.admin
    admin.create(kind.build("kept"))
    admin.create(kind.build("gone"))
    proxy.inject(fault, Call.WATCH, times=4)
    follower = follow(kind, SHORT)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    kind.delete(admin, "gone")
    admin.create(kind.build("new"))
    await eventually(lambda: reason in follower.restarts, f"{reason}, not {follower.restarts}")
    await follower.sees("kept", "new")


@pytest.mark.parametrize("fault", [Garble(), Truncate()], ids=["garbled", "truncated"])
async def test_a_spoilt_event_is_asked_for_again(
    fault: Fault, kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    proxy.inject(fault, Call.WATCH, times=2)
    follower = follow(kind)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    control_plane.admin.create(kind.build("a"))
    control_plane.admin.create(kind.build("b"))
    await follower.sees("a", "b")
    assert follower.restarts


async def test_a_version_that_stays_garbled_is_given_up(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    follower = follow(kind)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    proxy.inject(build_error_event(500, "InternalError"), Call.WATCH, times=-1)
    control_plane.admin.create(kind.build("a"))
    follower.reflector.poke()
    await _break_watches(proxy, follower)
    await eventually(lambda: follower.mirror.lists >= 2, "it lists again")
    proxy.clear()
    await follower.sees("a")


async def test_what_somebody_else_has_seen_and_the_watch_lost_is_listed(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    """The bell: a version that must come, and does not."""
    # A watch that says nothing at all, not even that it ends.
    proxy.inject(Silence(), Call.WATCH)
    follower = follow(kind, replace(FAST, inactivity=3600, lost=0.5))
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    created = control_plane.admin.create(kind.build("a"))
    await asyncio.sleep(1)
    assert follower.mirror.names() == set()
    follower.reflector.poke(created["metadata"]["resourceVersion"])
    await follower.sees("a")
    assert follower.restarts == [RestartReason.LOST]


async def test_what_the_watch_brings_is_not_listed_though_somebody_else_saw_it_first(
    kind: Kind, control_plane: ControlPlane, follow: Follow
) -> None:
    follower = follow(kind, replace(FAST, inactivity=3600, lost=0.5))
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    for name in "abc":
        created = control_plane.admin.create(kind.build(name))
        follower.reflector.poke(created["metadata"]["resourceVersion"])
        await asyncio.sleep(0.3)
    await asyncio.sleep(1)
    assert follower.mirror.names() == set("abc")
    assert (follower.mirror.lists, follower.restarts) == (1, [])


async def test_what_a_watch_lost_is_noticed_by_the_next_list(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    """An edit, a deletion and a new object that no event ever tells of."""
    admin = control_plane.admin
    for name in "ab":
        admin.create(kind.build(name))
    proxy.inject(Silence(), Call.WATCH)
    follower = follow(kind, ReflectorTiming(watch=2, relist=1))
    await follower.sees(*"ab")
    admin.merge_patch(kind.build("a"), {"spec": {"size": 2}})
    kind.delete(admin, "b")
    admin.create(kind.build("c"))
    await follower.sees(*"ac")
    assert follower.mirror.objects[kind.namespace, "a"]["spec"] == {"size": 2}
    assert follower.restarts == []


async def test_an_object_that_cannot_be_read_holds_up_no_other(
    kind: Kind, control_plane: ControlPlane, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    admin, cache = control_plane.admin, Cache[str, int](lambda _: "")
    unreadable = list[Resource]()
    sink = CacheSink(
        kind.resource,
        cache,
        lambda obj: str(obj["metadata"]["name"]),
        lambda obj: int(obj.get("spec", {}).get("size", 0)),
        on_unreadable=unreadable.append,
    )
    admin.create(kind.build("bad", size="large"))
    admin.create(kind.build("good", size=1))
    follower = follow(kind, ReflectorTiming(watch=2, relist=1), sink=sink)
    await eventually(lambda: dict(cache.select("")) == {"bad": 0, "good": 1}, "both are there")
    admin.merge_patch(kind.build("bad"), {"spec": {"size": "huge"}})
    admin.merge_patch(kind.build("good"), {"spec": {"size": 2}})
    await eventually(lambda: dict(cache.select("")) == {"bad": 0, "good": 2}, "the other goes on")
    admin.merge_patch(kind.build("bad"), {"spec": {"size": 3}})
    await eventually(lambda: cache.get("bad") == 3, "it is read as soon as it can be")
    assert unreadable == [kind.resource]
    (line,) = [record for record in caplog.records if "cannot be read" in record.getMessage()]
    assert f"{kind.namespace}/bad" in line.getMessage()
    assert follower.restarts == []


async def test_replayed_events_do_no_harm(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    proxy.inject(Replay(), Call.WATCH, times=-1)
    follower = follow(kind)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    for name in ("a", "b"):
        control_plane.admin.create(kind.build(name))
    kind.delete(control_plane.admin, "a")
    await follower.sees("b")


async def test_a_half_open_watch_is_cut(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    """The proxy takes the request and is never heard of again: the head's time limit acts."""
    follower = follow(kind, SHORT)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    proxy.inject(Hang(), Call.WATCH)
    await _break_watches(proxy, follower)
    control_plane.admin.create(kind.build("a"))
    await follower.sees("a")
    assert RestartReason.TIMEOUT in follower.restarts


async def test_a_slow_list_arrives(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    control_plane.admin.create(kind.build("a"))
    proxy.inject(Delay(1.0), Call.LIST)
    follower = follow(kind)
    await follower.sees("a")
    assert follower.restarts == []


async def test_pages_and_a_token_that_expires(
    kind: Kind, transport: Transport, proxy: FaultProxy, follow: Follow
) -> None:
    """Over 500 objects come in pages; a 410 in the middle starts again without losing one."""
    names = {f"n{number:04}" for number in range(1040)}
    await asyncio.gather(
        *(transport.create(kind.resource, kind.namespace, kind.build(name)) for name in names)
    )
    follower = follow(kind)
    await follower.sees(*names)
    assert proxy.seen[Call.LIST] == 3
    assert follower.mirror.upserts == 1040

    second = follow(kind, ReflectorTiming(page=100))
    await eventually(lambda: second.mirror.upserts >= 200, "some pages")
    proxy.inject(build_refusal(410, "Expired"), Call.LIST)
    await second.sees(*names)
    assert second.restarts == [RestartReason.EXPIRED]


async def test_deletions_during_an_outage_are_noticed(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    for name in "abcd":
        control_plane.admin.create(kind.build(name))
    follower = follow(kind)
    await follower.sees(*"abcd")
    proxy.inject(ResetBefore(), Call.LIST, Call.WATCH, times=-1)
    await _break_watches(proxy, follower)
    for name in "bd":
        kind.delete(control_plane.admin, name)
    await eventually(lambda: len(follower.restarts) > 5, "it tries again and again")
    assert follower.mirror.names() == set("abcd")
    assert follower.reflector.state is ReflectorState.RETRYING
    assert "Connection" in follower.reflector.last_error
    # The version is too old when the outage ends.
    proxy.clear()
    proxy.inject(build_error_event(410, "Expired"), Call.WATCH)
    await follower.sees(*"ac")


async def test_forbidden_serves_what_it_has_and_comes_back(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    control_plane.admin.create(kind.build("a"))
    follower = follow(kind)
    await follower.sees("a")
    proxy.inject(build_refusal(403, "Forbidden"), Call.LIST, Call.WATCH, times=-1)
    await _break_watches(proxy, follower)
    await eventually(
        lambda: follower.reflector.state is ReflectorState.FORBIDDEN, "it is forbidden"
    )
    assert follower.mirror.names() == {"a"}
    proxy.clear()
    control_plane.admin.create(kind.build("b"))
    await follower.sees("a", "b")
    assert follower.reflector.state is ReflectorState.WATCHING


async def test_the_first_refusal_after_an_outage_is_tried_again_soon(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy, follow: Follow
) -> None:
    """An API server that starts refuses everybody until it has read its roles."""
    control_plane.admin.create(kind.build("a"))
    proxy.inject(build_refusal(503, "ServiceUnavailable"), Call.LIST, times=-1)
    # So long that the test would fail if the pause grew with the failures before.
    follower = follow(kind, replace(FAST, retry_max=0.02, forbidden=600.0))
    await eventually(lambda: len(follower.restarts) > 16, "it tries again and again")
    proxy.clear()
    proxy.inject(build_refusal(403, "Forbidden"), Call.LIST)
    await follower.sees("a")
    assert follower.restarts[-1] is RestartReason.FORBIDDEN


async def test_a_crd_comes_goes_and_comes_again(
    absent_kind: Kind, control_plane: ControlPlane, follow: Follow
) -> None:
    kind, admin = absent_kind, control_plane.admin
    follower = follow(kind)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    assert follower.reflector.state is ReflectorState.MISSING
    try:
        for _ in range(2):
            await asyncio.to_thread(kind.install, admin)
            admin.create(kind.build("a"))
            await follower.sees("a")
            await eventually(
                lambda: follower.reflector.state is ReflectorState.WATCHING, "it watches"
            )
            await asyncio.to_thread(kind.remove, admin)
            await eventually(
                lambda: follower.reflector.state is ReflectorState.MISSING, "it is missing"
            )
            assert follower.mirror.objects == {}
    finally:
        await asyncio.to_thread(kind.remove, admin)


async def test_a_poke_finds_a_crd_at_once(
    absent_kind: Kind, control_plane: ControlPlane, follow: Follow
) -> None:
    follower = follow(absent_kind, ReflectorTiming(missing=3600))
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    try:
        await asyncio.to_thread(absent_kind.install, control_plane.admin)
        control_plane.admin.create(absent_kind.build("a"))
        follower.reflector.poke()
        await follower.sees("a")
    finally:
        await asyncio.to_thread(absent_kind.remove, control_plane.admin)


async def test_success_of_one_wakes_the_others(
    kind: Kind, proxy: FaultProxy, follow: Follow
) -> None:
    peers = Peers()
    patient = ReflectorTiming(retry_min=3600, retry_max=3600)
    proxy.inject(build_refusal(503, "ServiceUnavailable"), Call.LIST)
    slow = follow(kind, patient, peers=peers)
    await eventually(lambda: slow.reflector.state is ReflectorState.RETRYING, "the slow one fails")
    proxy.inject(build_refusal(503, "ServiceUnavailable"), Call.LIST)
    quick = follow(kind, FAST, peers=peers)
    await quick.watches()
    await slow.watches()


async def test_when_one_notices_that_etcd_was_restored_the_others_list_too(
    kind: Kind, installed_kind: Kind, proxy: FaultProxy, follow: Follow
) -> None:
    """The versions of the others may have passed those from before: they see nothing wrong."""
    peers = Peers()
    other = follow(installed_kind, peers=peers)
    await other.watches()
    await eventually(lambda: proxy.seen[Call.WATCH] == 1, "its watch")
    fault, reason = ONLY_WATCH["went-back"]
    proxy.inject(fault, Call.WATCH)
    first = follow(kind, peers=peers)
    await eventually(lambda: (first.mirror.lists, other.mirror.lists) == (2, 2), "both list")
    assert (first.restarts, other.restarts) == ([reason], [])
    await asyncio.sleep(1)
    assert (first.mirror.lists, other.mirror.lists) == (2, 2)


@pytest.mark.parametrize("fault", ["403", "503"])
async def test_one_that_is_told_so_lists_until_the_api_server_answers(
    kind: Kind, proxy: FaultProxy, follow: Follow, fault: str
) -> None:
    """It has just started with what was restored: it refuses until it has read its roles."""
    peers = Peers()
    other = follow(kind, peers=peers)
    await other.watches()
    refusal, reason = LIST_FAULTS[fault]
    proxy.inject(refusal, Call.LIST)
    peers.report_rollback(by=lambda: None)
    await eventually(lambda: reason in other.restarts, "the list fails")
    await eventually(lambda: other.mirror.lists == 2, "then it lists")


async def test_the_others_list_too_when_a_list_that_was_due_shows_it(
    kind: Kind, installed_kind: Kind, proxy: FaultProxy, follow: Follow
) -> None:
    peers = Peers()
    other = follow(installed_kind, peers=peers)
    first = follow(kind, replace(FAST, lost=0.1), peers=peers)
    await first.watches()
    await other.watches()
    body = json.dumps({"items": [], "metadata": {"resourceVersion": "1"}}).encode()
    proxy.inject(Answer(200, body), Call.LIST)
    first.reflector.doubt()
    await eventually(lambda: other.mirror.lists == 2, "the other lists")
    assert RestartReason.ROLLBACK in first.restarts


async def test_a_sink_that_raises_does_not_end_it(
    kind: Kind, control_plane: ControlPlane, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow(kind)
    await asyncio.wait_for(follower.reflector.synced.wait(), 10)
    upsert, calls = follower.mirror.upsert, 0

    def fail_once(obj: dict[str, object]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("spec")
        upsert(obj)

    monkeypatch.setattr(follower.mirror, "upsert", fail_once)
    control_plane.admin.create(kind.build("a"))
    await follower.sees("a")


async def _break_watches(proxy: FaultProxy, follower: Follower) -> None:
    """End the watch that is open and wait until the reflector noticed."""
    before = len(follower.restarts)
    seen = proxy.seen[Call.WATCH]
    proxy.cut()
    await eventually(
        lambda: len(follower.restarts) > before or proxy.seen[Call.WATCH] > seen, "the cut"
    )


async def test_one_namespace_or_all(kind: Kind, transport: Transport, follow: Follow) -> None:
    one = follow(kind)
    all_of_them, other = follow(kind, FAST, namespace=""), follow(kind, FAST, namespace="default")
    await asyncio.wait_for(other.reflector.synced.wait(), 10)
    await transport.create(kind.resource, kind.namespace, kind.build("a"))
    await one.sees("a")
    await eventually(lambda: (kind.namespace, "a") in all_of_them.mirror.objects, "seen by all")
    assert other.mirror.objects == {}
