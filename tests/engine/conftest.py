"""Fixtures of the engine's tests: the proxy before the API server, and what goes through it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from egress_operator.engine.reflector import Reflector
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import RestartReason
from egress_operator.engine.timing import ReflectorTiming
from egress_operator.engine.transport import ClientTiming, Transport
from engine.harness import FAST, Follower, Kind, Mirror, build_credentials, read_admin_token
from testbed.controlplane import ControlPlane
from testbed.faultproxy import FaultProxy
from testbed.workload import make_namespace


@pytest.fixture
def absent_kind() -> Kind:
    """Name a kind whose CRD is not there."""
    return Kind(Resource(f"e{secrets.token_hex(4)}.test", "v1", "things"))


@pytest.fixture(scope="session")
def installed_kind(control_plane: ControlPlane) -> Iterator[Kind]:
    """Install a kind for the session."""
    kind = Kind(Resource("engine.test", "v1", "things"))
    kind.install(control_plane.admin)
    yield kind
    kind.remove(control_plane.admin)


@pytest.fixture
def kind(installed_kind: Kind, control_plane: ControlPlane) -> Iterator[Kind]:
    """Give the installed kind and a namespace of the test's own.

    It is emptied afterwards and stays: the deletion of a namespace asks for every kind there is.
    """
    admin = control_plane.admin
    kind = Kind(installed_kind.resource, make_namespace(admin))
    yield kind
    kind.clear(admin)


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    """Start a proxy in front of the session's API server."""
    async with FaultProxy(control_plane.url, control_plane.ca_file) as proxy:
        yield proxy


@pytest.fixture
async def transport(control_plane: ControlPlane, proxy: FaultProxy) -> AsyncIterator[Transport]:
    """Make a transport that goes through the proxy."""
    credentials = build_credentials(proxy.url, read_admin_token(control_plane))
    async with Transport(
        credentials, field_manager="test", user_agent="test", timing=ClientTiming(call=10.0)
    ) as transport:
        yield transport


@pytest.fixture
async def follow(transport: Transport) -> AsyncIterator[Callable[..., Follower]]:
    """Start reflectors; they are cancelled after the test, and must have lived until then."""
    followers: list[Follower] = []

    def start(kind: Kind, timing: ReflectorTiming = FAST, **options: object) -> Follower:
        mirror, restarts = Mirror(), list[RestartReason]()
        options.setdefault("namespace", kind.namespace)
        sink = options.pop("sink", mirror)
        reflector = Reflector(
            transport,
            kind.resource,
            sink,  # type: ignore[arg-type]  # passed through
            timing=timing,
            on_restart=lambda _, reason: restarts.append(reason),
            **options,  # type: ignore[arg-type]  # passed through
        )
        follower = Follower(
            reflector, mirror, restarts, asyncio.create_task(reflector.run(), name="reflector")
        )
        followers.append(follower)
        return follower

    yield start
    for follower in followers:
        assert not follower.task.done(), "the reflector ended by itself"
        follower.task.cancel()
    await asyncio.gather(*(follower.task for follower in followers), return_exceptions=True)
