"""What an EgressGateway counts follows what stands, in whatever way others take it away."""

import asyncio
import random
from typing import Any

import pytest

from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES

from .history import SHARED, TENANTS, build_gateway
from .run import start_controller, stop, wait
from .server import Key, Server

pytestmark = pytest.mark.looptime

QUIET_S = 40.0
SHOP, PAY = TENANTS


def build_server() -> Server:
    """Make a gateway, and two tenants with two hosts each."""
    server = Server(random.Random(0))  # noqa: S311 - of a test
    server.apply(GATEWAYS, build_gateway(SHARED))
    for namespace in TENANTS:
        labels = {"egress": SHARED}
        server.apply(NAMESPACES, {"metadata": {"name": namespace, "labels": labels}})
        spec = {
            "destinations": [{"hosts": ["a.example.com", "b.example.com"]}],
            "gatewayRef": {"name": SHARED},
        }
        server.apply(POLICIES, {"metadata": {"namespace": namespace, "name": "web"}, "spec": spec})
    return server


def count(server: Server) -> tuple[Any, Any]:
    status = server.objects[GATEWAYS, "", SHARED]["status"]
    return status["hosts"], status["namespaces"]


def list_keys(server: Server, namespace: str) -> list[Key]:
    """List all that is in a namespace."""
    kinds = {POLICIES, *RESOURCES.values()}
    return [key for key in server.objects if key[0] in kinds and key[1] == namespace]


async def delete_namespace(server: Server) -> None:
    """Delete a namespace: what is in it goes later, one after the other."""
    key = (NAMESPACES, "", SHOP)
    server.change(
        key, lambda body: body["metadata"].update(deletionTimestamp="x", finalizers=["kubernetes"])
    )
    await asyncio.sleep(5.0)
    for each in list_keys(server, SHOP):
        server.remove(each)
        await asyncio.sleep(0.05)
    server.change(key, lambda body: body["metadata"].pop("finalizers"))


@pytest.mark.parametrize("is_seen", [True, False], ids=["events", "a list"])
async def test_what_goes_with_its_namespace_is_not_counted(*, is_seen: bool) -> None:
    server = build_server()
    controller = start_controller(server)
    await wait(controller, QUIET_S)
    assert count(server) == (4, 2)
    if is_seen:
        await delete_namespace(server)
    else:
        server.take_unseen([*list_keys(server, SHOP), (NAMESPACES, "", SHOP)])
    await wait(controller, QUIET_S)
    assert count(server) == (2, 1)
    await stop(controller, server)
