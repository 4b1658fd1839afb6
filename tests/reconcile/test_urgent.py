"""A permission that is withdrawn is written before whatever waits. No API server is needed."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.plan.source import Settings
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES
from wiring import wire

pytestmark = pytest.mark.looptime

SETS = 1000
HOSTS = 64
"""The most that one policy may have; a destination may have 16."""
WRITE_S = 1.0
IN_FLIGHT = 16


class WriteLog:
    """Stands for everything outside: each write takes a second, and is noted when it begins."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str]] = []
        """(verb, plural)."""
        self._versions = count(100)

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with the object as it was sent."""
        self.writes.append(("create", resource.plural))
        await asyncio.sleep(WRITE_S)
        version = str(next(self._versions))
        return {
            **body,
            "metadata": {**body["metadata"], "uid": version, "resourceVersion": version},
        }

    async def delete(self, resource: Resource, *_: object, **__: object) -> None:
        """Answer that it is gone."""
        self.writes.append(("delete", resource.plural))
        await asyncio.sleep(WRITE_S)

    async def patch(self, *_: object, **__: object) -> dict[str, Any]:
        """Answer that the object is another one: neither statuses nor changes matter here."""
        words = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", words)

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - stands for metrics and events too
        return lambda *_: None


def build_gateway() -> dict[str, Any]:
    spec = {
        "namespace": "istio-egress",
        "selector": {"istio": "egressgateway"},
        "service": {"name": "istio-egressgateway", "port": 443},
        "namespaces": {"matchLabels": {"egress": "yes"}},
        "authorization": "Managed",
    }
    return {"metadata": {"name": "shared", "uid": "g", "resourceVersion": "1"}, "spec": spec}


def build_namespace(name: str, version: int, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata}


def build_policy(namespace: str, name: str, names: list[str], **more: object) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}"}
    parts = [names[start : start + 16] for start in range(0, len(names), 16)]
    destinations = [{"hosts": part} for part in parts]
    return {
        "metadata": {**metadata, "resourceVersion": "1"},
        "spec": {"destinations": destinations, **more},
    }


def build_crowd(namespaces: int) -> Iterator[dict[str, Any]]:
    """Make policies of 1,000 hosts in all, spread over so many namespaces."""
    each = SETS // namespaces
    for namespace in range(namespaces):
        names = [f"h{number}.example.com" for number in range(each)]
        for start in range(0, each, HOSTS):
            yield build_policy(f"crowd-{namespace}", f"p{start}", names[start : start + HOSTS])


@pytest.mark.parametrize("is_begun", [False, True], ids=["with the crowd", "after the crowd"])
@pytest.mark.parametrize("namespaces", [1, SETS])
async def test_a_withdrawn_permission_is_written_before_a_thousand_waiting_sets(
    namespaces: int,
    is_begun: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    log = WriteLog()
    wired = wire(log, settings=Settings(max_hosts_per_namespace=SETS), in_flight=IN_FLIGHT)
    controller, sinks = wired.controller, wired.sinks
    sinks[GATEWAYS].upsert(build_gateway())
    sinks[NAMESPACES].upsert(build_namespace("shop", 1, egress="yes"))
    through = {"gatewayRef": {"name": "shared"}}
    sinks[POLICIES].upsert(build_policy("shop", "web", ["api.example.com"], **through))
    controller.start()
    await asyncio.sleep(60)
    assert ("create", "authorizationpolicies") in log.writes
    log.writes.clear()
    for policy in build_crowd(namespaces):
        sinks[POLICIES].upsert(policy)
    if is_begun:
        await asyncio.sleep(WRITE_S / 2)
        assert len(log.writes) == (IN_FLIGHT // 2 if namespaces == 1 else IN_FLIGHT)
    sinks[NAMESPACES].upsert(build_namespace("shop", 2))
    await asyncio.sleep(1.5 * WRITE_S)
    # Only what was already begun goes before it.
    assert log.writes.index(("delete", "authorizationpolicies")) <= IN_FLIGHT
    await controller.stop(0)


async def test_a_withdrawn_permission_is_written_before_the_rest_of_a_step_of_its_gateway() -> None:
    """Six other tenants come at once, with 64 restricted hosts each: one step of its set."""
    log = WriteLog()
    wired = wire(log, in_flight=IN_FLIGHT)
    controller, sinks = wired.controller, wired.sinks
    sinks[GATEWAYS].upsert(build_gateway())
    through: dict[str, Any] = {"gatewayRef": {"name": "shared"}}
    names = [f"h{number}.example.com" for number in range(HOSTS)]
    sinks[NAMESPACES].upsert(build_namespace("shop", 1, egress="yes"))
    sinks[POLICIES].upsert(build_policy("shop", "web", names[:1], **through))
    for number in range(6):
        policy = build_policy(
            f"t{number}", "web", names, **through, **{"from": {"serviceAccounts": ["web"]}}
        )
        sinks[POLICIES].upsert(policy)
    controller.start()
    await asyncio.sleep(200)
    log.writes.clear()
    for number in range(6):
        sinks[NAMESPACES].upsert(build_namespace(f"t{number}", 1, egress="yes"))
    allow = ("create", "authorizationpolicies")
    for _ in range(100):
        await asyncio.sleep(WRITE_S / 4)
        if log.writes.count(allow) >= IN_FLIGHT:
            break
    assert IN_FLIGHT <= log.writes.count(allow) < 2 * HOSTS
    before = len(log.writes)
    sinks[NAMESPACES].upsert(build_namespace("shop", 2))
    await asyncio.sleep(3 * WRITE_S)
    # Those of the set that were under way are answered first, and others take their places.
    assert log.writes.index(("delete", "authorizationpolicies")) <= before + 2 * IN_FLIGHT
    await asyncio.sleep(2000)
    assert log.writes.count(allow) >= 6 * HOSTS
    await controller.stop(0)
