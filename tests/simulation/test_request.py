"""Who asks for another look at a policy gets one at once, and the status confirms it."""

import asyncio
import random
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.plan.source import (
    PAUSED_ANNOTATION,
    REQUEST_LENGTH,
    REQUESTED_ANNOTATION,
)
from egress_operator.reconcile.budget import PERIOD_S
from egress_operator.reconcile.resource import POLICIES, RESOURCES
from egress_operator.reconcile.sync import LOOK_BURST

from .run import start_controller, stop
from .server import Object, Server

pytestmark = pytest.mark.looptime

ENTRY = RESOURCES[Kind.SERVICE_ENTRY]
WEB = (POLICIES, "shop", "web")
QUIET_S = 60.0


def build_server(**metadata: Any) -> Server:  # noqa: ANN401 - fields
    server = Server(random.Random(0))  # noqa: S311 - of a test
    hosts = ["a.example.com", "b.example.com"]
    body = {"metadata": {"namespace": "shop", "name": "web", **metadata}}
    server.apply(POLICIES, body | {"spec": {"destinations": [{"hosts": hosts}]}})
    return server


def annotate(server: Server, **annotations: str | None) -> None:
    """Set or take away annotations by their Python names."""
    names = {"paused": PAUSED_ANNOTATION, "requested": REQUESTED_ANNOTATION}

    def change(body: Object) -> None:
        found = body["metadata"].setdefault("annotations", {})
        for name, value in annotations.items():
            found.pop(names[name], None)
            if value is not None:
                found[names[name]] = value

    server.change(WEB, change)


def handled(server: Server) -> str:
    status = server.objects[WEB].get("status") or {}
    return str(status.get("lastHandledReconcileAt", ""))


def refuse(verb: str, resource: Resource, _: Object) -> ApiError | None:
    is_entry = resource == ENTRY and verb == "create"
    return ApiError(403, "Forbidden", "under review") if is_entry else None


async def test_it_is_confirmed_once_with_one_write_and_never_again() -> None:
    server = build_server()
    controller = start_controller(server)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == ""
    for token in ("one", "two", "three"):
        mark = len(server.writes)
        annotate(server, requested=token)
        await asyncio.sleep(1)
        assert handled(server) == token
        await asyncio.sleep(QUIET_S)
        assert [write.subresource for write in server.writes[mark:]] == ["status"]
    mark = len(server.writes)
    server.change(WEB, lambda body: body["metadata"].update(labels={"team": "shop"}))
    annotate(server, requested=None)
    await asyncio.sleep(QUIET_S)
    assert server.writes[mark:] == []
    assert handled(server) == "three"
    await stop(controller, server)


async def test_what_waits_after_a_failure_is_tried_at_once() -> None:
    """Without it the next attempt is up to a minute away."""
    server = build_server()
    server.refusals.append(refuse)
    controller = start_controller(server)
    await asyncio.sleep(300)
    annotate(server, requested="before")
    await asyncio.sleep(3)
    assert handled(server) == "before"
    await asyncio.sleep(300)
    mark = len(server.writes)
    server.refusals.clear()
    await asyncio.sleep(1)
    assert server.writes[mark:] == []
    annotate(server, requested="now")
    await asyncio.sleep(1)
    assert len([*server.select(ENTRY)]) == 2
    assert handled(server) == "now"
    assert server.objects[WEB]["status"]["hosts"] == "2/2"
    await stop(controller, server)


async def test_it_is_confirmed_after_the_look_and_not_before() -> None:
    server = build_server()
    server.latency = 0.2
    controller = start_controller(server)
    await asyncio.sleep(QUIET_S)
    mark = len(server.writes)
    for body in [*server.select(ENTRY)]:
        server.remove((ENTRY, "shop", body["metadata"]["name"]))
    annotate(server, requested="now")
    await asyncio.sleep(QUIET_S)
    order = [write.subresource or write.verb for write in server.writes[mark:]]
    confirmed = [at for at, what in enumerate(order) if what == "status"]
    assert order.count("create") == 2
    assert confirmed[0] > max(at for at, what in enumerate(order) if what == "create")
    assert handled(server) == "now"
    await stop(controller, server)


def spoil_unseen(server: Server) -> None:
    """Take an object away and edit another one, while no watch tells of it."""
    gone, other = ((ENTRY, "shop", body["metadata"]["name"]) for body in [*server.select(ENTRY)])
    del server.objects[gone]
    edited = {**server.objects[other], "spec": {"hosts": ["other.example.com"]}}
    edited["metadata"] = {**edited["metadata"], "resourceVersion": str(server.version + 1)}
    server.version += 1
    server.objects[other] = edited


async def test_what_no_watch_has_told_is_found() -> None:
    server = build_server()
    controller = start_controller(server)
    await asyncio.sleep(QUIET_S)
    spoil_unseen(server)
    await asyncio.sleep(QUIET_S)
    assert len([*server.select(ENTRY)]) == 1
    mark = len(server.writes)
    annotate(server, requested="now")
    await asyncio.sleep(2)
    assert sorted(write.verb for write in server.writes[mark:]) == ["create", "patch", "patch"]
    hosts = {body["spec"]["hosts"][0] for body in server.select(ENTRY)}
    assert hosts == {"a.example.com", "b.example.com"}
    assert handled(server) == "now"
    await stop(controller, server)


async def test_who_asks_all_the_time_costs_no_more_reads() -> None:
    server = build_server()
    controller = start_controller(server)
    await asyncio.sleep(QUIET_S)
    read, reads = server.list_page, []

    async def count(*arguments: Any, **fields: Any) -> Any:  # noqa: ANN401 - whatever is read
        reads.append(arguments)
        return await read(*arguments, **fields)

    server.list_page = count  # type: ignore[method-assign]
    for number in range(300):
        annotate(server, requested=str(number))
        await asyncio.sleep(0.1)
    # Of each of the two sets: a burst, and two in each period that follows.
    assert len(reads) <= 2 * (LOOK_BURST + 2 * 30 / PERIOD_S + 1)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == "299"
    await stop(controller, server)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_paused_policy_is_looked_at_when_the_pause_ends_and_confirms_then(
    *, restart: bool
) -> None:
    server = build_server()
    controller = start_controller(server)
    await asyncio.sleep(QUIET_S)
    annotate(server, requested="first")
    await asyncio.sleep(QUIET_S)
    annotate(server, paused="true")
    await asyncio.sleep(QUIET_S)
    if restart:
        await stop(controller, server)
        controller = start_controller(server)
        await asyncio.sleep(QUIET_S)
    annotate(server, requested="second")
    await asyncio.sleep(QUIET_S)
    spoil_unseen(server)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == "first"
    mark = len(server.writes)
    annotate(server, paused=None)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == "second"
    order = [write.subresource or write.verb for write in server.writes[mark:]]
    assert sorted(order[:2]) == ["create", "patch"]
    assert order[2:] == ["status"]
    hosts = {body["spec"]["hosts"][0] for body in server.select(ENTRY)}
    assert hosts == {"a.example.com", "b.example.com"}
    await stop(controller, server)


async def test_a_paused_policy_that_has_expired_confirms_nothing() -> None:
    server = build_server()
    controller = start_controller(server)
    annotate(server, paused="true", requested="now")
    server.change(WEB, lambda body: body["spec"].update(expiresAt="2020-01-01T00:00:00Z"))
    await asyncio.sleep(QUIET_S)
    assert server.objects[WEB]["status"]["conditions"][0]["reason"] == "Expired"
    assert handled(server) == ""
    annotate(server, paused=None)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == "now"
    await stop(controller, server)


async def test_what_was_asked_while_no_operator_ran_is_confirmed_at_the_start() -> None:
    server = build_server()
    first = start_controller(server)
    await asyncio.sleep(QUIET_S)
    await stop(first, server)
    annotate(server, requested="now")
    mark = len(server.writes)
    second = start_controller(server)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == "now"
    assert [write.subresource for write in server.writes[mark:]] == ["status"]
    await stop(second, server)
    third = start_controller(server)
    await asyncio.sleep(QUIET_S)
    assert len(server.writes) == mark + 1
    await stop(third, server)


async def test_of_a_long_token_the_beginning_counts() -> None:
    server = build_server()
    controller = start_controller(server)
    annotate(server, requested="x" * 5000)
    await asyncio.sleep(QUIET_S)
    assert handled(server) == "x" * REQUEST_LENGTH
    await stop(controller, server)


async def test_a_policy_that_is_refused_confirms_too() -> None:
    server = build_server()
    controller = start_controller(server)
    spec = {"destinations": [{"hosts": ["not a host"]}]}
    server.apply(POLICIES, {"metadata": {"namespace": "shop", "name": "web"}, "spec": spec})
    await asyncio.sleep(QUIET_S)
    annotate(server, requested="now")
    await asyncio.sleep(1)
    assert handled(server) == "now"
    assert server.objects[WEB]["status"]["conditions"][0]["status"] == "False"
    await stop(controller, server)
