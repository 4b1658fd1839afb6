"""A wildcard that waits for the route of a host below it tells in its status what is in the way."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.istio.name import build_host_name
from egress_operator.reconcile.resource import POLICIES, RESOURCES

from .run import start_controller, stop
from .server import Object, Server

pytestmark = pytest.mark.looptime

ROUTE = RESOURCES[Kind.VIRTUAL_SERVICE]
NAME = build_host_name("a.example.com")
QUIET_S = 120.0
"""Longer than the longest wait for what is refused."""


def find_ready(server: Server, name: str) -> Any:  # noqa: ANN401 - a condition
    conditions = server.objects[(POLICIES, "shop", name)]["status"]["conditions"]
    return next(condition for condition in conditions if condition["type"] == "Ready")


def squat(server: Server) -> Callable[[], object]:
    """Put a route by hand where that of the host belongs; return what takes it away."""
    spec = {"hosts": ["b.example"], "http": [{"route": [{"destination": {"host": "b.example"}}]}]}
    metadata = {"namespace": "shop", "name": NAME}
    server.apply(ROUTE, {"kind": "VirtualService", "metadata": metadata, "spec": spec})
    return lambda: server.remove((ROUTE, "shop", NAME))


def refuse(server: Server) -> Callable[[], object]:
    """Refuse the route of the host; return what ends that."""

    def find_error(_: str, resource: Resource, body: Object) -> ApiError | None:
        is_route = resource == ROUTE and body["metadata"]["name"] == NAME
        return ApiError(403, "Forbidden", "under review") if is_route else None

    server.refusals.append(find_error)
    return server.refusals.clear


@pytest.mark.parametrize(
    ("hinder", "reason", "told"),
    [
        (squat, "Conflicted", f"VirtualService shop/{NAME} was not made by the operator"),
        (refuse, "Pending", f"VirtualService shop/{NAME} is refused: 403 Forbidden: under review"),
    ],
    ids=["squatted", "refused"],
)
async def test_a_wildcard_tells_which_route_below_it_cannot_be_written(
    hinder: Callable[[Server], Callable[[], object]], reason: str, told: str
) -> None:
    server = Server(random.Random(0))  # noqa: S311 - of a test
    free = hinder(server)
    for name, host in (("one", "a.example.com"), ("wide", "*.example.com")):
        ports = [{"number": 80, "protocol": "HTTP"}]
        spec = {"destinations": [{"hosts": [host], "ports": ports}]}
        server.apply(POLICIES, {"metadata": {"namespace": "shop", "name": name}, "spec": spec})
    controller = start_controller(server)
    await asyncio.sleep(QUIET_S)
    ready = find_ready(server, "wide")
    assert ready["reason"] == reason
    assert told in ready["message"]
    free()
    await asyncio.sleep(QUIET_S)
    assert find_ready(server, "wide")["status"] == "True"
    await stop(controller, server)
