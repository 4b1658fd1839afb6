"""The API server of this test alone is killed, restarted, and set back to an older state."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.reflector import Reflector
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import RestartReason
from egress_operator.engine.timing import ReflectorState, ReflectorTiming
from egress_operator.engine.transport import Transport
from engine.harness import (
    Follower,
    Kind,
    Mirror,
    build_credentials,
    eventually,
    read_admin_token,
)
from testbed.controlplane import ControlPlane, ControlPlaneOption


@pytest.fixture
def own_plane(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> ControlPlane:
    """Start an API server that this test alone may kill."""
    return fresh_control_plane(ControlPlaneOption(controller_manager=False))


@pytest.fixture
async def direct(own_plane: ControlPlane) -> AsyncIterator[Transport]:
    """Make a transport over TLS to the test's own API server."""
    credentials = build_credentials(own_plane.url, read_admin_token(own_plane), own_plane)
    async with Transport(credentials, field_manager="test", user_agent="test") as transport:
        yield transport


@pytest.fixture
async def follower(own_plane: ControlPlane, direct: Transport) -> AsyncIterator[Follower]:
    """Run a reflector with the product's own times."""
    kind = Kind(Resource("engine.test", "v1", "things"))
    await asyncio.to_thread(kind.install, own_plane.admin)
    mirror, restarts = Mirror(), list[RestartReason]()
    reflector = Reflector(
        direct,
        kind.resource,
        mirror,
        timing=ReflectorTiming(retry_max=1.0),
        on_restart=lambda _, reason: restarts.append(reason),
    )
    task = asyncio.create_task(reflector.run())
    yield Follower(reflector, mirror, restarts, task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.timeout(180)
async def test_it_survives_a_killed_api_server(
    follower: Follower, own_plane: ControlPlane, direct: Transport
) -> None:
    kind = Kind(follower.reflector.resource)
    for name in "ab":
        await direct.create(kind.resource, "default", kind.build(name))
    await follower.sees("a", "b")
    await asyncio.to_thread(own_plane.kill_apiserver)
    await eventually(lambda: len(follower.restarts) >= 3, "it tries again and again")
    assert follower.reflector.state is ReflectorState.RETRYING
    assert follower.mirror.names() == {"a", "b"}
    with pytest.raises(ApiError) as caught:
        await direct.create(kind.resource, "default", kind.build("c"))
    assert caught.value.status == 0
    assert caught.value.reason == "ConnectionFailed"
    await asyncio.to_thread(own_plane.start_apiserver)
    await direct.create(kind.resource, "default", kind.build("c"))
    await follower.sees("a", "b", "c")
    # It starts with empty watch caches, so the version may be too old for it, and slowly at first.
    assert set(follower.restarts) <= {
        RestartReason.CONNECTION,
        RestartReason.TIMEOUT,
        RestartReason.SERVER_ERROR,
        RestartReason.EXPIRED,
    }


@pytest.mark.timeout(180)
async def test_it_notices_that_etcd_was_set_back(
    follower: Follower, own_plane: ControlPlane, direct: Transport
) -> None:
    """A watch from a version of the future would be accepted, and silent for ever."""
    kind = Kind(follower.reflector.resource)
    await direct.create(kind.resource, "default", kind.build("old"))
    await follower.sees("old")
    data, saved = own_plane.directory / "etcd", own_plane.directory / "saved"
    await asyncio.to_thread(_copy, own_plane, data, saved)
    names = [f"lost-{number}" for number in range(40)]
    for name in names:
        await direct.create(kind.resource, "default", kind.build(name))
    await follower.sees("old", *names)
    await asyncio.to_thread(_copy, own_plane, saved, data)
    await follower.sees("old")
    assert RestartReason.ROLLBACK in follower.restarts
    await direct.create(kind.resource, "default", kind.build("new"))
    await follower.sees("old", "new")


def _copy(plane: ControlPlane, source: Path, target: Path) -> None:
    """Copy etcd's files while it and the API server are down."""
    plane.kill_apiserver()
    plane.kill_etcd()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    plane.start_etcd()
    plane.start_apiserver()
