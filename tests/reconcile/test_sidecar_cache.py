"""Sidecars in memory: only those that are looked at are held with their listeners."""

from typing import Any

import pytest

from egress_operator.istio.sidecar import PackedSidecar, Sidecar, read_sidecar
from egress_operator.plan.piece import finish
from egress_operator.plan.sidecar import MOST_READ
from egress_operator.reconcile.sidecar import Key, SidecarCache
from plan.scene import ROOT, SHOP, build_sidecar
from testbed.client import Object


class Watch:
    """A cache, what was told of it, and the place where objects come in."""

    def __init__(self) -> None:
        self.told: list[Key] = []
        self.cache = SidecarCache([""], self.told.append)
        ((_, self._sink),) = self.cache.build_sinks(lambda _: None)
        self._version = 0

    def send(self, *sidecars: Object) -> None:
        for item in sidecars:
            self._sink.upsert(self._stamp(item))

    def delete(self, sidecar: Object) -> None:
        self._sink.delete(self._stamp(sidecar))

    def choose(self, namespace: str = SHOP) -> tuple[Sidecar, ...]:
        return finish(self.cache.choose(namespace, ROOT))

    def _stamp(self, item: Object) -> dict[str, Any]:
        self._version += 1
        place, name = item["metadata"]["namespace"], item["metadata"]["name"]
        own = {"uid": f"{place}/{name}", "resourceVersion": str(self._version)}
        return {**item, "metadata": {**item["metadata"], **own}}


def test_what_is_chosen_is_as_it_was_last_sent() -> None:
    watch = Watch()
    default = build_sidecar("default", "./*", namespace=ROOT)
    watch.send(default)
    assert watch.choose() == (read_sidecar(default),)
    first, second = build_sidecar("own", "pay/*"), build_sidecar("own", "./*", "~pay/*")
    for item in (first, second):
        watch.send(item)
        assert watch.choose() == (read_sidecar(item),)
    watch.delete(second)
    assert watch.choose() == (read_sidecar(default),)
    assert watch.told == [(ROOT, "default"), *[(SHOP, "own")] * 3]


def test_those_that_are_not_looked_at_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    before = PackedSidecar.read

    def count(self: PackedSidecar) -> Sidecar:
        read.append(self.outline.name)
        return before(self)

    monkeypatch.setattr(PackedSidecar, "read", count)
    watch = Watch()
    special = [build_sidecar(f"s{n:03}", "./*", app=f"a{n}") for n in range(MOST_READ + 20)]
    general = build_sidecar("general", "pay/*")
    watch.send(*special, general)
    for _ in range(2):
        chosen = watch.choose()
        assert len(chosen) == MOST_READ + 21
        assert [item.ports is None for item in chosen] == [False] * MOST_READ + [True] * 20 + [
            False
        ]
        assert read == [*(f"s{n:03}" for n in range(MOST_READ)), "general"]
    watch.delete(special[0])
    assert watch.choose()[MOST_READ - 1].ports is not None
    assert read[MOST_READ + 1 :] == [f"s{MOST_READ:03}"]


def test_one_that_goes_while_others_are_read_is_left_out() -> None:
    watch = Watch()
    first, last = build_sidecar("a", "./*", app="a"), build_sidecar("b", "./*", app="b")
    watch.send(first, last)
    pieces = watch.cache.choose(SHOP, ROOT)
    next(pieces)
    next(pieces)
    watch.delete(last)
    assert [item.ports is None for item in finish(pieces)] == [False, True]
    assert watch.choose() == (read_sidecar(first),)
