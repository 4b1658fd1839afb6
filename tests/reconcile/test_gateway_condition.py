"""What the conditions of a gateway say while tenants come and go. No API server is needed."""

import asyncio
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.reconcile.resource import GATEWAYS
from egress_operator.status.gateway import Admission

from .test_refused_write import ACCESS, SETTLED_S, Obstacle, Site
from .test_urgent import build_gateway

pytestmark = pytest.mark.looptime

WORDS = "tenants are under review"


class StatusLog(Obstacle):
    """Stands for an API server whose writes take a second, and notes the statuses of gateways."""

    def __init__(self) -> None:
        super().__init__(None, 1.0)
        self.reasons: list[dict[str, str]] = []
        """The reason of each condition, for each status."""
        self.refused = ""
        """The namespace whose AuthorizationPolicies are not made."""

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Refuse the permission of one tenant."""
        tenant = body["metadata"]["annotations"].get("egress-operator.io/namespace")
        if resource.plural == ACCESS and tenant and tenant == self.refused:
            raise ApiError(403, "Forbidden", WORDS)
        return await super().create(resource, _, body)

    async def list_page(self, *_: object, **__: object) -> dict[str, Any]:
        """Answer that the gateway is there."""
        return {"items": [build_gateway()], "metadata": {"resourceVersion": "1"}}

    async def patch(self, *args: Any, **options: object) -> dict[str, Any]:  # noqa: ANN401 - as of the transport
        """Note the status of a gateway."""
        if args[0] != GATEWAYS:
            return await super().patch(*args, **options)
        status = args[3][-1]["value"]
        self.reasons.append({item["type"]: item["reason"] for item in status["conditions"]})
        gateway = build_gateway()
        version = str(next(self._versions))
        metadata = {**gateway["metadata"], "resourceVersion": version}
        return {**gateway, "metadata": metadata, "status": status}


async def start() -> Site:
    """Give a gateway that isolates its first tenant."""
    site = Site(StatusLog())
    site.sinks[GATEWAYS].upsert(build_gateway())
    site.let_in("shop", "api.example.com")
    site.controller.observe_admission(Admission(""))
    site.controller.start()
    await asyncio.sleep(SETTLED_S)
    return site


def take_reasons(site: Site) -> set[str]:
    """Return the reasons of Isolated since the last call."""
    log: Any = site.log
    found = {reasons["Isolated"] for reasons in log.reasons}
    log.reasons.clear()
    return found


async def test_a_gateway_stays_isolated_while_tenants_come_and_go() -> None:
    site = await start()
    assert "Isolated" in take_reasons(site)
    for number in range(5):
        site.let_in(f"t{number}", f"h{number}.example.com")
        await asyncio.sleep(5)
    site.label("t1")
    await asyncio.sleep(20)
    assert take_reasons(site) == {"Isolated"}
    await site.controller.stop(0)


async def test_a_gateway_is_not_said_to_serve_before_its_services_are_read() -> None:
    site = await start()
    log: Any = site.log
    assert {reasons["Ready"] for reasons in log.reasons} == {"Pending", "ServiceUnknown"}
    log.reasons.clear()
    for sink in site.controller.build_service_sinks("istio-egress"):
        sink.begin()
        sink.finish("1")
    await asyncio.sleep(SETTLED_S)
    assert {reasons["Ready"] for reasons in log.reasons} == {"NotServing"}
    await site.controller.stop(0)


async def test_a_permission_that_is_not_made_leaves_the_gateway_isolated() -> None:
    site = await start()
    log: Any = site.log
    log.refused = "pay"
    take_reasons(site)
    site.let_in("pay", "b.example.com")
    await asyncio.sleep(20)
    assert take_reasons(site) == {"Isolated"}
    await site.controller.stop(0)


async def test_a_gateway_is_pending_until_its_denial_is_written_again() -> None:
    site = await start()
    controller = site.controller
    found = controller.cluster.objects.select_policies(())
    (denial,) = [item for item in found if not item.tenant]
    take_reasons(site)
    sinks = {sink.resource.plural: sink for _, sink in controller.build_sinks()}
    sinks[ACCESS].delete(site.log.get_object(ACCESS, denial.key.name))
    await asyncio.sleep(0.9)
    assert take_reasons(site) == {"Pending"}
    await asyncio.sleep(5)
    assert take_reasons(site) == {"Isolated"}
    await controller.stop(0)
