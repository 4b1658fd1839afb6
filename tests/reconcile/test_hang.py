"""A webhook that does not answer about one tenant holds up no other. No API server is needed."""

import asyncio
from itertools import count
from typing import Any

import jsonpatch
import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.reconcile.resource import GATEWAYS, POLICIES, RESOURCES
from wiring import Ignorant

from .test_refused_write import ACCESS, Site
from .test_urgent import build_gateway, build_policy

pytestmark = pytest.mark.looptime

HANG_S = 10.0
"""Kubernetes' default for webhooks."""
WRITE_S = 0.05
SOON_S = 2.0
HOSTS = 48
ACCOUNTS = {"from": {"serviceAccounts": ["web"]}}
SLOW = "slow"
TENANT = "egress-operator.io/namespace"
GONE = "the server rejected our request due to an error in our request"
"""As if the object were another one: nobody asks again."""


class Hanging(Ignorant):
    """Stands for an API server that asks a webhook about the objects of one tenant."""

    def __init__(self) -> None:
        self.hangs: frozenset[str] = frozenset()
        """The requests about the tenant that are answered late: create, patch, delete, status."""
        self.done: list[tuple[str, str, str, float]] = []
        """(verb, plural, what it is about, time of the answer)."""
        self.statuses: list[tuple[str, float, list[Any]]] = []
        """(plural, time of the request, JSON Patch)."""
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._versions = count(100)

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with the object as it was sent."""
        await self._answer("create", resource, body)
        uid = f"uid-{next(self._versions)}"
        return self._store(resource, {**body, "metadata": {**body["metadata"], "uid": uid}})

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: list[Any],
        **options: object,
    ) -> dict[str, Any]:
        """Answer with the object as it is then; nobody reads statuses here."""
        if options.get("subresource"):
            self.statuses.append((resource.plural, asyncio.get_running_loop().time(), patch))
            await self._answer("status", resource, {"metadata": {"namespace": namespace}})
            raise ApiError(422, "Invalid", GONE)
        body = self._objects[resource.plural, name]
        await self._answer("patch", resource, body)
        return self._store(resource, jsonpatch.apply_patch(body, patch))

    async def delete(self, resource: Resource, _: str, name: str, **__: object) -> None:
        """Answer that it is gone."""
        await self._answer("delete", resource, self._objects[resource.plural, name])

    async def _answer(self, verb: str, resource: Resource, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        about = f"{metadata['namespace']} {metadata.get('annotations', {}).get(TENANT, '')}"
        await asyncio.sleep(HANG_S if verb in self.hangs and SLOW in about else WRITE_S)
        self.done.append((verb, resource.plural, about, asyncio.get_running_loop().time()))

    def rewrite(self, plural: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Return an object as somebody else has changed it."""
        metadata = {**self._objects[plural, name]["metadata"]}
        metadata["resourceVersion"] = str(next(self._versions))
        self._objects[plural, name] = {
            **self._objects[plural, name],
            "metadata": metadata,
            "spec": spec,
        }
        return dict(self._objects[plural, name])

    def _store(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        metadata = {**body["metadata"], "resourceVersion": str(next(self._versions))}
        found = {**body, "metadata": metadata}
        self._objects[resource.plural, metadata["name"]] = found
        return dict(found)

    def get_object(self, plural: str, name: str) -> dict[str, Any]:
        """Return an object as it was written last."""
        return self._objects[plural, name]

    def has_answered(self, verb: str, about: str, since: float) -> bool:
        """Whether a request about an AuthorizationPolicy has been answered since then."""
        return any(
            (each, plural) == (verb, ACCESS) and about in words and at > since
            for each, plural, words, at in self.done
        )


async def start() -> tuple[Site, Hanging]:
    log = Hanging()
    site = Site(log)
    site.sinks[GATEWAYS].upsert(build_gateway())
    site.controller.start()
    for namespace in ("shop", "pay"):
        site.let_in(namespace, f"{namespace}.example.com")
    site.label(SLOW, egress="yes")
    names = [f"h{number}.example.com" for number in range(HOSTS)]
    through = {"gatewayRef": {"name": "shared"}, **ACCOUNTS}
    site.sinks[POLICIES].upsert(build_policy(SLOW, "web", names, **through))
    await asyncio.sleep(60)
    return site, log


@pytest.mark.parametrize("pause", [0.0, 0.7, 3.0, 12.0])
async def test_deletions_that_hang_hold_up_no_other_withdrawal_and_no_denial(pause: float) -> None:
    site, log = await start()
    log.hangs = frozenset({"delete", "patch"})
    site.label(SLOW)
    await asyncio.sleep(pause)
    since = site.clock()
    site.label("shop")
    controller = site.controller
    (denial,) = [item for item in controller.cluster.objects.select_policies(()) if not item.tenant]
    site.sinks[RESOURCES[Kind.AUTHORIZATION_POLICY]].delete(log.get_object(ACCESS, denial.key.name))
    await asyncio.sleep(SOON_S)
    assert log.has_answered("delete", "shop", since)
    await asyncio.sleep(SOON_S)
    assert log.has_answered("create", "", since)
    await asyncio.sleep(400)
    assert not [
        item
        for item in controller.cluster.objects.select_policies(())
        if item.tenant in {SLOW, "shop"}
    ]
    await controller.stop(0)


@pytest.mark.parametrize("hosts", [1, 40])
async def test_a_creation_that_hangs_holds_up_no_withdrawal(hosts: int) -> None:
    site, log = await start()
    log.hangs = frozenset({"create"})
    names = [f"n{number}.example.com" for number in range(hosts)]
    through = {"gatewayRef": {"name": "shared"}, **ACCOUNTS}
    site.sinks[POLICIES].upsert(build_policy(SLOW, "new", names, **through))
    await asyncio.sleep(0.7)
    for pause in (0.0, 5.0, 5.0, 5.0):
        await asyncio.sleep(pause)
        since = site.clock()
        site.label("shop")
        await asyncio.sleep(SOON_S)
        assert log.has_answered("delete", "shop", since)
        since = site.clock()
        site.label("shop", egress="yes")
        await asyncio.sleep(SOON_S)
        assert log.has_answered("create", "shop", since)
    await asyncio.sleep(400)
    found = [
        item for item in site.controller.cluster.objects.select_policies(()) if item.tenant == SLOW
    ]
    assert len(found) == HOSTS + hosts + 1, "one for each host, and one for the namespace"
    await site.controller.stop(0)


@pytest.mark.parametrize("verb", ["create", "status"])
async def test_requests_that_hang_in_a_namespace_leave_slots_for_others(verb: str) -> None:
    site, log = await start()
    log.hangs = frozenset({verb})
    for number in range(40):
        site.sinks[POLICIES].upsert(
            build_policy(SLOW, f"direct{number}", [f"d{number}.example.com"])
        )
    await asyncio.sleep(0.7)
    for pause in (0.0, 5.0, 5.0):
        await asyncio.sleep(pause)
        since = site.clock()
        site.label("shop")
        await asyncio.sleep(SOON_S)
        assert log.has_answered("delete", "shop", since)
        site.label("shop", egress="yes")
        await asyncio.sleep(SOON_S)
    await site.controller.stop(0)
