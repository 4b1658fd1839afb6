"""A webhook that does not answer about one tenant holds up no other. No API server is needed."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import jsonpatch
import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.reconcile.refusal import TOLD_S
from egress_operator.reconcile.resource import GATEWAYS, POLICIES, RESOURCES
from egress_operator.status.gateway import Admission
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


Seconds = Callable[[str, str], float]
LostHook = Callable[[Resource, dict[str, Any]], None]


class Hanging(Ignorant):
    """Stands for an API server that asks a webhook about the objects of one tenant."""

    def __init__(self) -> None:
        self.hangs: frozenset[str] = frozenset()
        """The requests about the tenant that are answered late: create, patch, delete, status."""
        self.find_seconds: Seconds = self._find_seconds
        """How long a request takes, by verb and what it is about."""
        self.errors: list[tuple[str, str, Exception]] = []
        """(verb, a part of what it is about, error): each for one request, in its turn."""
        self.lost: frozenset[str] = frozenset()
        """Kinds, as they are in URLs, whose creations are stored and never answered."""
        self.done: list[tuple[str, str, str, float]] = []
        """(verb, plural, what it is about, time of the answer)."""
        self.statuses: list[tuple[str, float, list[Any]]] = []
        """(plural, time of the request, JSON Patch)."""
        self.on_lost: LostHook = lambda *_: None
        """Called with what was stored and is never answered, as the watch shows it."""
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._versions = count(100)

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with the object as it was sent."""
        await self._answer("create", resource, body)
        uid = f"uid-{next(self._versions)}"
        found = self._store(resource, {**body, "metadata": {**body["metadata"], "uid": uid}})
        if resource.plural in self.lost:
            self.lost -= {resource.plural}
            self.on_lost(resource, found)
            raise ApiError(0, "ConnectionFailed")
        return found

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

    async def list_page(self, resource: Resource, *, name: str = "", **_: object) -> dict[str, Any]:
        """Answer with one object as it is now; nobody lists more here."""
        found = self._objects.get((resource.plural, name))
        version = str(next(self._versions))
        return {"items": [found] if found else [], "metadata": {"resourceVersion": version}}

    async def _answer(self, verb: str, resource: Resource, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        about = f"{metadata['namespace']} {metadata.get('annotations', {}).get(TENANT, '')}"
        await asyncio.sleep(self.find_seconds(verb, about))
        for error in self.errors:
            if error[0] == verb and error[1] in about:
                self.errors.remove(error)
                raise error[2]
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

    def _find_seconds(self, verb: str, about: str) -> float:
        return HANG_S if verb in self.hangs and SLOW in about else WRITE_S

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


async def test_requests_of_a_tenant_that_hang_do_not_hold_up_its_own_withdrawal() -> None:
    site, log = await start()
    log.hangs = frozenset({"create", "status"})
    for number in range(40):
        site.sinks[POLICIES].upsert(
            build_policy(SLOW, f"direct{number}", [f"d{number}.example.com"])
        )
    await asyncio.sleep(0.7)
    since = site.clock()
    site.label(SLOW)
    await asyncio.sleep(2 * SOON_S)
    assert log.has_answered("delete", SLOW, since)
    left = [
        item for item in site.controller.cluster.objects.select_policies(()) if item.tenant == SLOW
    ]
    assert left == []
    await site.controller.stop(0)


async def test_statuses_that_hang_hold_up_no_status_of_another_namespace() -> None:
    site, log = await start()
    log.hangs = frozenset({"status"})
    for number in range(40):
        site.sinks[POLICIES].upsert(build_policy(SLOW, f"wrong{number}", ["no host"]))
    await asyncio.sleep(0.7)
    since = site.clock()
    site.sinks[POLICIES].upsert(build_policy("shop", "new", ["new.example.com"]))
    await asyncio.sleep(SOON_S)
    assert [at for plural, at, _ in log.statuses if at > since and plural == "egresspolicies"]
    await site.controller.stop(0)


async def test_a_permission_is_not_created_when_it_is_withdrawn_while_it_waits_for_its_turn() -> (
    None
):
    """It was refused once; the requests of its namespace hang when it is tried again."""
    site, log = await start()
    log.errors.append(("create", "istio-egress late", ApiError(500, "InternalError")))
    site.let_in("late", "late.example.com")
    await asyncio.sleep(0.2)
    log.find_seconds = lambda verb, about: (
        HANG_S if "late" in about and verb in {"create", "status"} else WRITE_S
    )
    for number in range(40):
        site.sinks[POLICIES].upsert(
            build_policy("late", f"direct{number}", [f"d{number}.example.com"])
        )
    await asyncio.sleep(0.4)
    site.label("late")
    await asyncio.sleep(5 * HANG_S)
    assert not log.has_answered("create", "late", 0)
    await site.controller.stop(0)


async def test_slow_answers_one_after_another_do_not_hold_up_a_withdrawal() -> None:
    site, log = await start()
    seconds = count(1)
    log.find_seconds = lambda verb, about: (
        float(next(seconds)) if verb == "create" and "istio-egress" in about else WRITE_S
    )
    names = [f"n{number}.example.com" for number in range(5)]
    through = {"gatewayRef": {"name": "shared"}, **ACCOUNTS}
    site.sinks[POLICIES].upsert(build_policy(SLOW, "new", names, **through))
    await asyncio.sleep(0.2)
    since = site.clock()
    site.label("shop")
    await asyncio.sleep(SOON_S)
    assert log.has_answered("delete", "shop", since)
    await site.controller.stop(0)


async def test_a_deletion_that_failed_once_does_not_wait_for_creations_that_hang() -> None:
    site, log = await start()
    tenants = [f"t{number}" for number in range(8)]
    for tenant in tenants:
        site.let_in(tenant, f"{tenant}.example.com")
    await asyncio.sleep(60)
    log.find_seconds = lambda verb, about: (
        HANG_S if verb in {"create", "patch"} and " t" in about else WRITE_S
    )
    through = {"gatewayRef": {"name": "shared"}, **ACCOUNTS}
    for tenant in tenants:
        names = [f"n{number}.example.com" for number in range(10)]
        log.errors += [("create", f" {tenant}", ApiError(500, "InternalError"))] * 10
        site.sinks[POLICIES].upsert(build_policy(tenant, "new", names, **through))
    await asyncio.sleep(1.5 * HANG_S)
    log.errors.insert(0, ("delete", "shop", ApiError(500, "InternalError")))
    log.errors.insert(0, ("patch", "shop", ApiError(500, "InternalError")))
    since = site.clock()
    site.label("shop")
    await asyncio.sleep(SOON_S)
    assert log.has_answered("delete", "shop", since)
    await site.controller.stop(0)


async def test_what_is_not_answered_is_not_lost_when_another_write_of_its_step_fails_badly() -> (
    None
):
    site, log = await start()
    seconds = iter((WRITE_S, HANG_S, HANG_S))
    log.find_seconds = lambda verb, about: (
        next(seconds, WRITE_S) if verb == "create" and "istio-egress" in about else WRITE_S
    )
    log.errors.append(("create", "istio-egress", KeyError("metadata")))
    names = [f"n{number}.example.com" for number in range(3)]
    through = {"gatewayRef": {"name": "shared"}, **ACCOUNTS}
    site.sinks[POLICIES].upsert(build_policy("shop", "new", names, **through))
    since = site.clock()
    await asyncio.sleep(2 * HANG_S)
    created = [about for _, plural, about, at in log.done if plural == ACCESS and at > since]
    assert created == ["istio-egress shop"] * 3
    await site.controller.stop(0)


async def test_a_creation_whose_answer_is_lost_settles_before_what_needs_it() -> None:
    site, log = await start()
    log.on_lost = lambda resource, found: site.sinks[resource].upsert(found)
    log.lost = frozenset({"serviceentries", "destinationrules", "gateways"})
    through = {"gatewayRef": {"name": "shared"}}
    site.sinks[POLICIES].upsert(build_policy("shop", "new", ["new.example.com"], **through))
    since = site.clock()
    await asyncio.sleep(60)
    created = [
        (at, plural)
        for verb, plural, about, at in log.done
        if verb == "create" and about.startswith("shop") and at > since
    ]
    # The first is what is behind the gateway; the last leads the clients there.
    assert {plural for _, plural in created} >= {"serviceentries", "virtualservices"}
    assert max(created)[0] - min(created)[0] >= site.controller.cluster.settings.settle
    await site.controller.stop(0)


async def test_many_tenants_whose_deletions_hang_hold_up_no_withdrawal_and_no_status() -> None:
    site, log = await start()
    site.controller.cluster.admission = Admission("")
    tenants = [f"t{number:02}" for number in range(18)]
    for tenant in tenants:
        site.let_in(tenant, f"{tenant}.example.com")
    await asyncio.sleep(60)
    log.find_seconds = lambda verb, about: HANG_S if verb == "delete" and " t" in about else WRITE_S
    begun = site.clock()
    for tenant in tenants:
        site.label(tenant)
    await asyncio.sleep(SOON_S)
    since = site.clock()
    site.label("shop")
    await asyncio.sleep(2 * SOON_S)
    assert log.has_answered("delete", "shop", since)
    await asyncio.sleep(TOLD_S)
    told = [
        str(patch)
        for plural, at, patch in log.statuses
        if plural == "egressgateways" and at > begun + TOLD_S
    ]
    assert "PermissionStuck" in told[-1]
    await site.controller.stop(0)


async def test_many_tenants_whose_creations_hang_hold_up_no_host_of_another() -> None:
    site, log = await start()
    log.find_seconds = lambda verb, about: (
        HANG_S if verb == "create" and about.startswith("t") else WRITE_S
    )
    for number in range(8):
        names = [f"h{host}.example.com" for host in range(24)]
        site.sinks[POLICIES].upsert(build_policy(f"t{number}", "direct", names))
    await asyncio.sleep(SOON_S)
    since = site.clock()
    site.sinks[POLICIES].upsert(build_policy("shop", "direct", ["new.example.com"]))
    await asyncio.sleep(2 * SOON_S)
    assert [
        plural for verb, plural, about, at in log.done if about.startswith("shop") and at > since
    ]
    await site.controller.stop(0)
