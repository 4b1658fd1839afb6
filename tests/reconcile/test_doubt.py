"""Which objects are read before the next step of a set, and what it costs to know."""

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.set_key import HostSet
from egress_operator.reconcile.doubt import Doubts

SHOP, PAY = HostSet("shop", "api.example.com"), HostSet("pay", "api.example.com")
MANY = 1000


def build_keys(namespace: str, *names: str) -> list[ObjectKey]:
    return [ObjectKey(Kind.SERVICE_ENTRY, namespace, name) for name in names]


def test_the_objects_of_a_set_and_those_that_it_needs_are_named_once() -> None:
    doubts, own, other = Doubts(), build_keys("shop", "b", "a"), build_keys("pay", "c", "d")
    doubts.add(SHOP, own)
    doubts.add(PAY, other)
    assert doubts.find(SHOP, {*own, other[1], *build_keys("web", "known")}) == [*own, other[1]]
    assert doubts.find(PAY, ()) == other


def test_what_has_been_read_and_a_set_that_is_gone_are_not_named() -> None:
    doubts, own = Doubts(), build_keys("shop", "a", "b")
    doubts.add(SHOP, own)
    doubts.discard(own[0])
    doubts.discard(own[0])
    assert doubts.find(SHOP, ()) == own[1:]
    doubts.forget(SHOP)
    doubts.forget(SHOP)
    assert doubts.find(SHOP, own) == []


def test_an_object_is_of_the_set_that_was_told_last() -> None:
    doubts, own = Doubts(), build_keys("shop", "a")
    doubts.add(SHOP, own)
    doubts.add(PAY, own)
    assert (doubts.find(SHOP, ()), doubts.find(PAY, ())) == ([], own)


def test_a_look_costs_what_its_set_has() -> None:
    calls: list[str] = []

    class CountedKey(ObjectKey):
        __slots__ = ()

        def __hash__(self) -> int:
            calls.append("hash")
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            calls.append("compare")
            return super().__eq__(other)

    class CountedSet(HostSet):
        __hash__ = HostSet.__hash__

        def __eq__(self, other: object) -> bool:
            calls.append("compare")
            return super().__eq__(other)

    doubts = Doubts()
    sets = [CountedSet("shop", f"{number}.example.com") for number in range(MANY)]
    for number, set_key in enumerate(sets):
        doubts.add(set_key, [CountedKey(Kind.SERVICE_ENTRY, "shop", str(number))])
    calls.clear()
    (key,) = doubts.find(sets[0], ())
    doubts.discard(key)
    doubts.forget(sets[1])
    assert doubts.find(sets[0], ()) == []
    assert len(calls) < MANY / 10
