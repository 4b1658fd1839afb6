"""One list tells which owners are gone, while others come. No API server is needed."""

from collections.abc import Callable
from typing import Any

from egress_operator.reconcile.owner_check import OwnerCheck
from egress_operator.reconcile.record import OwnKind
from egress_operator.reconcile.resource import POLICIES
from wiring import Ignorant, wire


def build_policy(name: str, version: int) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"destinations": []}}


class Lister(Ignorant):
    """Answers a list, and calls `meanwhile` before that."""

    def __init__(self, meanwhile: Callable[[], None], version: int) -> None:
        self._meanwhile = meanwhile
        self._version = version

    async def list_page(self, *_: object, **__: object) -> dict[str, Any]:
        self._meanwhile()
        return {"items": [], "metadata": {"resourceVersion": str(self._version)}}


async def test_what_comes_while_the_list_is_under_way_stays() -> None:
    wired = wire(Ignorant())
    sink, cluster = wired.sinks[POLICIES], wired.controller.cluster
    sink.upsert(build_policy("gone", 10))
    lister: Any = Lister(lambda: sink.upsert(build_policy("new", 30)), version=20)
    await OwnerCheck(lister, cluster).refresh(OwnKind.POLICY, "shop")
    assert [record.source.name for record in cluster.policies.select("shop")] == ["new"]


async def test_what_a_restored_etcd_does_not_have_is_gone() -> None:
    """The versions of its lists are lower than those from before."""
    wired = wire(Ignorant())
    sink, cluster = wired.sinks[POLICIES], wired.controller.cluster
    sink.upsert(build_policy("gone", 900))
    lister: Any = Lister(lambda: None, version=20)
    await OwnerCheck(lister, cluster).refresh(OwnKind.POLICY, "shop")
    assert list(cluster.policies.select("shop")) == []
