"""The transport against the real API server, and every fault on every kind of write."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from egress_operator.engine.answer import build_error, cut_message, parse_retry_after
from egress_operator.engine.credential import Credentials, Login
from egress_operator.engine.failure import ApiError, CredentialError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import ClientTiming, JsonObject, PatchType, Transport
from engine.harness import TOKEN, Kind, build_credentials, eventually, read_admin_token
from testbed.controlplane import ControlPlane
from testbed.faultproxy import (
    Answer,
    Call,
    Delay,
    Fault,
    FaultProxy,
    Hang,
    ResetAfter,
    ResetBefore,
    build_refusal,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def fail(call: Awaitable[object]) -> ApiError:
    """Await a call that must fail."""
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


def read_identity(obj: JsonObject) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["uid"]


async def test_the_life_of_an_object(kind: Kind, transport: Transport) -> None:
    resource, namespace = kind.resource, kind.namespace
    created = await transport.create(resource, namespace, kind.build("a", size=1))
    name, uid = read_identity(created)
    assert (await fail(transport.create(resource, namespace, kind.build("a")))).status == 409
    assert (await transport.get(resource, namespace, name))["spec"] == {"size": 1}
    merged = await transport.patch(resource, namespace, name, {"spec": {"size": 2}})
    assert merged["spec"] == {"size": 2}
    listed = await transport.list_page(resource, namespace=namespace)
    assert [read_identity(item) for item in listed["items"]] == [(name, uid)]
    assert merged["metadata"]["managedFields"][0]["manager"] == "test"
    assert await transport.delete(resource, namespace, name, uid=uid) is None
    absent = await fail(transport.delete(resource, namespace, name))
    assert absent.status == 404
    assert absent.denies(resource, name)
    assert (await fail(transport.get(resource, namespace, name))).status == 404


async def test_a_json_patch_removes_what_a_post_set(kind: Kind, transport: Transport) -> None:
    created = await transport.create(kind.resource, kind.namespace, kind.build("a", one=1, two=2))
    operations = [
        {"op": "replace", "path": "/metadata/uid", "value": created["metadata"]["uid"]},
        {"op": "replace", "path": "/spec", "value": {"one": 1}},
    ]
    replaced = await transport.patch(
        kind.resource, kind.namespace, "a", operations, patch_type=PatchType.JSON
    )
    assert replaced["spec"] == {"one": 1}


async def test_another_incarnation_is_left_alone(kind: Kind, transport: Transport) -> None:
    created = await transport.create(kind.resource, kind.namespace, kind.build("a", size=1))
    other = "00000000-0000-0000-0000-000000000000"
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": other},
        {"op": "add", "path": "/spec", "value": {"size": 2}},
    ]
    error = await fail(
        transport.patch(kind.resource, kind.namespace, "a", operations, patch_type=PatchType.JSON)
    )
    assert error.is_failed_test
    error = await fail(transport.delete(kind.resource, kind.namespace, "a", uid=other))
    assert (error.status, error.reason) == (409, "Conflict")
    assert await transport.get(kind.resource, kind.namespace, "a") == created


async def test_an_object_with_a_finalizer_waits(kind: Kind, transport: Transport) -> None:
    body = kind.build("a")
    body["metadata"]["finalizers"] = ["engine.test/wait"]
    await transport.create(kind.resource, kind.namespace, body)
    waiting = await transport.delete(kind.resource, kind.namespace, "a")
    assert waiting is not None
    assert waiting["metadata"]["deletionTimestamp"]
    await transport.patch(kind.resource, kind.namespace, "a", {"metadata": {"finalizers": None}})
    assert (await fail(transport.get(kind.resource, kind.namespace, "a"))).status == 404


async def test_discovery_tells_what_is_served(
    kind: Kind, transport: Transport, proxy: FaultProxy
) -> None:
    group = kind.resource.group
    assert await transport.serves(kind.resource)
    assert await transport.serves(Resource("", "v1", "configmaps"))
    assert not await transport.serves(Resource("", "v1", "things"))
    assert not await transport.serves(Resource(group, "v1", "others"))
    assert not await transport.serves(Resource(group, "v2", "things"))
    assert not await transport.serves(Resource("absent.test", "v1", "things"))
    proxy.inject(Answer(404, b"no such page", "text/html"), Call.DISCOVERY, times=2)
    assert (await fail(transport.serves(kind.resource))).status == 404


WRITE_FAULTS: dict[str, tuple[Fault, int, str, float | None, bool]] = {
    # fault: status, reason, retry_after, whether the API server acts
    "409": (build_refusal(409, "Conflict"), 409, "Conflict", None, False),
    "410": (build_refusal(410, "Gone"), 410, "Gone", None, False),
    "422": (build_refusal(422, "Invalid"), 422, "Invalid", None, False),
    "413": (Answer(413, b"too large", "text/plain"), 413, "RequestEntityTooLarge", None, False),
    "429-1": (
        build_refusal(429, "TooManyRequests", Retry_After="1"),
        429,
        "TooManyRequests",
        1,
        False,
    ),
    "429-120": (build_refusal(429, "Busy", Retry_After="120"), 429, "Busy", 120, False),
    "429-garbage": (build_refusal(429, "Busy", Retry_After="-1s"), 429, "Busy", None, False),
    "500": (build_refusal(500, "InternalError"), 500, "InternalError", None, False),
    "502": (Answer(502, b"<html>x</html>", "text/html"), 502, "BadGateway", None, False),
    "503-7": (build_refusal(503, "Down", Retry_After="7"), 503, "Down", 7, False),
    "504": (build_refusal(504, "Timeout"), 504, "Timeout", None, False),
    "401": (build_refusal(401, "Unauthorized"), 401, "Unauthorized", None, False),
    "403": (build_refusal(403, "Forbidden"), 403, "Forbidden", None, False),
    "html-200": (Answer(200, b"<html>x</html>", "text/html"), 0, "Undecodable", None, False),
    "list-200": (Answer(200, b"[]"), 0, "Undecodable", None, False),
    "reset-before": (ResetBefore(), 0, "ConnectionFailed", None, False),
    "reset-after": (ResetAfter(), 0, "ConnectionFailed", None, True),
}


@pytest.mark.parametrize("call", [Call.CREATE, Call.PATCH, Call.DELETE])
@pytest.mark.parametrize("name", sorted(WRITE_FAULTS))
async def test_every_fault_of_a_write_is_an_api_error(
    name: str,
    call: Call,
    kind: Kind,
    transport: Transport,
    proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "egress_operator")
    fault, status, reason, retry_after, acts = WRITE_FAULTS[name]
    if call is not Call.CREATE:
        await transport.create(kind.resource, kind.namespace, kind.build("a"))
    # The HTTP client itself sends a DELETE again when a connection that it kept was closed.
    proxy.inject(fault, call, times=2)

    def write() -> Awaitable[object]:
        if call is Call.CREATE:
            return transport.create(kind.resource, kind.namespace, kind.build("a", pin=TOKEN))
        if call is Call.PATCH:
            return transport.patch(kind.resource, kind.namespace, "a", {"spec": {"pin": TOKEN}})
        return transport.delete(kind.resource, kind.namespace, "a")

    error = await fail(write())
    if not (acts and call is Call.DELETE and error.status == 404):
        assert (error.status, error.reason, error.retry_after) == (status, reason, retry_after)
    assert TOKEN not in f"{error!r} {error} {caplog.text}"
    assert len(error.message) <= 256
    proxy.clear()
    if not acts or call is Call.PATCH:
        await write()
    else:
        assert (await fail(write())).status == (409 if call is Call.CREATE else 404)


@pytest.mark.parametrize("fault", [Hang(), Delay(5.0)], ids=["half-open", "slow"])
async def test_every_call_ends_in_time(
    fault: Fault, kind: Kind, control_plane: ControlPlane, proxy: FaultProxy
) -> None:
    resource, namespace = kind.resource, kind.namespace
    credentials = build_credentials(proxy.url, read_admin_token(control_plane))
    timing = ClientTiming(call=0.3, list_page=0.3)
    async with Transport(
        credentials, field_manager="test", user_agent="test", timing=timing
    ) as transport:
        proxy.inject(fault, *Call, times=-1)
        for call in (
            transport.get(resource, namespace, "a"),
            transport.create(resource, namespace, kind.build("a")),
            transport.patch(resource, namespace, "a", {}),
            transport.delete(resource, namespace, "a"),
            transport.list_page(resource),
            transport.serves(resource),
            transport.watch(resource, resource_version="1", timeout_seconds=9).__aenter__(),
        ):
            error = await fail(call)
            assert (error.status, error.reason) == (0, "Timeout")


async def test_at_most_so_many_writes_in_flight_and_reads_pass_by(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy
) -> None:
    credentials = build_credentials(proxy.url, read_admin_token(control_plane))
    async with Transport(
        credentials, field_manager="test", user_agent="test", writes=3
    ) as transport:
        proxy.inject(Hang(), Call.CREATE, times=-1)
        tasks = [
            asyncio.create_task(
                transport.create(kind.resource, kind.namespace, kind.build(f"a{number}"))
            )
            for number in range(10)
        ]
        await eventually(lambda: proxy.hit[Call.CREATE] == 3, "three are under way")
        await transport.list_page(kind.resource)
        assert proxy.hit[Call.CREATE] == 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_requests_are_counted_by_verb_and_code(
    kind: Kind, control_plane: ControlPlane, proxy: FaultProxy
) -> None:
    seen: list[tuple[str, str, int]] = []
    credentials = build_credentials(proxy.url, read_admin_token(control_plane))
    async with Transport(
        credentials,
        field_manager="test",
        user_agent="test",
        on_request=lambda verb, resource, code: seen.append((verb, resource.label, code)),
    ) as transport:
        await transport.create(kind.resource, kind.namespace, kind.build("a"))
        await fail(transport.create(kind.resource, kind.namespace, kind.build("a")))
        proxy.inject(ResetBefore(), Call.PATCH)
        await fail(transport.patch(kind.resource, kind.namespace, "a", {}))
        await transport.delete(kind.resource, kind.namespace, "a")
        page = await transport.list_page(kind.resource, namespace=kind.namespace)
        async with transport.watch(
            kind.resource,
            namespace=kind.namespace,
            resource_version=page["metadata"]["resourceVersion"],
            timeout_seconds=1,
        ) as events:
            assert [event async for event in events if event["type"] != "BOOKMARK"] == []
    assert seen == [
        ("create", kind.resource.label, 201),
        ("create", kind.resource.label, 409),
        ("patch", kind.resource.label, 0),
        ("delete", kind.resource.label, 200),
        ("list", kind.resource.label, 200),
        ("watch", kind.resource.label, 200),
    ]


@pytest.fixture
async def renewed(
    control_plane: ControlPlane, proxy: FaultProxy
) -> AsyncIterator[tuple[Transport, list[str]]]:
    """Make a transport whose first token is refused; the tokens that were loaded."""
    tokens = [TOKEN, read_admin_token(control_plane)]
    loaded: list[str] = []

    def load() -> Login:
        if not tokens:
            raise CredentialError("no more tokens")
        loaded.append(tokens.pop(0))
        return Login(proxy.url, None, f"Bearer {loaded[-1]}")

    async with Transport(Credentials(load), field_manager="test", user_agent="test") as transport:
        yield transport, loaded


async def test_a_401_makes_one_new_login_for_all(
    kind: Kind, renewed: tuple[Transport, list[str]]
) -> None:
    transport, loaded = renewed
    calls = [
        transport.create(kind.resource, kind.namespace, kind.build(f"a{number}"))
        for number in range(5)
    ]
    await asyncio.gather(*calls)
    assert len(loaded) == 2


async def test_a_second_401_is_given_up(
    kind: Kind, renewed: tuple[Transport, list[str]], proxy: FaultProxy
) -> None:
    transport, _ = renewed
    proxy.inject(build_refusal(401, "Unauthorized"), Call.LIST, times=2)
    assert (await fail(transport.list_page(kind.resource))).status == 401
    assert proxy.seen[Call.LIST] == 2


async def test_without_a_name_nothing_is_sent(
    kind: Kind, transport: Transport, proxy: FaultProxy
) -> None:
    for call in (
        transport.delete(kind.resource, kind.namespace, ""),
        transport.patch(kind.resource, kind.namespace, "", {}),
        transport.get(kind.resource, kind.namespace, ""),
    ):
        with pytest.raises(ValueError, match="a name is needed"):
            await call
    assert not proxy.seen


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("120", 120),
        ("86400", 300),
        ("9" * 4000, 300),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 0),
        ("Sat, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    headers = {"Retry-After": value, "Date": format_datetime(NOW, usegmt=True)}
    assert parse_retry_after(headers) == seconds


def test_retry_after_from_the_body() -> None:
    body = b'{"kind":"Status","reason":"Busy","details":{"retryAfterSeconds":4}}'
    assert build_error(504, {}, body).retry_after == 4
    assert build_error(504, {"Retry-After": "2"}, body).retry_after == 2


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"kind":7}', b"\xff", b"<html>" * 999])
def test_any_body_makes_an_error_that_does_not_quote_it(body: bytes) -> None:
    error = build_error(500, {"Content-Type": "text/html\nInjected: x"}, body)
    assert (error.status, error.reason) == (500, "InternalServerError")
    assert "<html>" not in str(error)
    assert "\n" not in str(error)


def test_messages_are_one_short_line_without_secrets() -> None:
    text = cut_message("a\x1b[31m\r\nb " + TOKEN + " " + "x" * 9999, TOKEN)
    assert text.startswith("a [31m b *** xxx")
    assert len(text) == 256
    assert text.endswith("…")
    assert build_error(799, {}, b"").reason == "Unknown"


def test_paths_are_escaped() -> None:
    resource = Resource("g.test", "v1", "things")
    path = resource.build_path("../../kube-system", "a/b?c", "status")
    assert path == "/apis/g.test/v1/namespaces/..%2F..%2Fkube-system/things/a%2Fb%3Fc/status"
    assert Resource("", "v1", "nodes").build_path(name="n") == "/api/v1/nodes/n"
    assert (resource.label, Resource("", "v1", "nodes").label) == ("things.g.test", "nodes")


def test_a_login_does_not_show_its_token() -> None:
    assert TOKEN not in repr(Login("https://x", None, f"Bearer {TOKEN}"))
