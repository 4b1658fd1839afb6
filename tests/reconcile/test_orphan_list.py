"""Places whose owners cannot be listed: the search goes on elsewhere. No API server is needed."""

import logging
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.object import Owner
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.orphan import OrphanCollector

from .test_orphan import build_cluster, remember_entry


class Lists:
    """Stands for an API server without policies, which lists none in some namespaces."""

    def __init__(self) -> None:
        self.failing = {"pay"}

    async def list_page(self, _: Resource, *, namespace: str, **__: object) -> dict[str, Any]:
        """Answer with an empty list, or fail."""
        if namespace in self.failing:
            raise ApiError(403, "Forbidden", "no right to list")
        return {"items": [], "metadata": {"resourceVersion": "1"}}


async def test_a_namespace_that_cannot_be_listed_stops_the_search_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lists: Any = Lists()
    cluster = build_cluster(EVERYWHERE)
    orphans = OrphanCollector(lists, cluster)
    sets = {
        namespace: remember_entry(cluster, namespace, Owner("web", f"{namespace}-uid"))
        for namespace in ("pay", "shop")
    }
    await orphans.look()
    for _ in range(3):
        assert await orphans.look() == {sets["shop"]}
        assert {owner.uid for owner in cluster.gone} == {"shop-uid"}
    told = [record.getMessage() for record in caplog.records if "pay" in record.getMessage()]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2
    assert "namespace pay cannot be listed" in told[0]
    assert "403 Forbidden: no right to list" in told[0]
    lists.failing.clear()
    assert await orphans.look() == set(sets.values())
