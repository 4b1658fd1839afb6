"""Which writes put right what somebody else has changed."""

from dataclasses import replace

from egress_operator.istio.object import MAPS, Desired, Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import HostSet
from egress_operator.reconcile.drift import DRIFT_BURST, Drift
from egress_operator.rollout.write import Create, Delete, Replace, Write

from .test_write import build_desired

KEY = HostSet("shop", "api.example.com")
ONE, OTHER = build_desired("shop", 443), build_desired("shop", 8443)
NEW = replace(ONE, key=ONE.key._replace(name="new"))


def write(desired: Desired, *more: Owner) -> Replace:
    return Replace(desired, (*desired.owners, *more), "uid", MAPS, frozenset())


def settle(*desired: Desired) -> Drift:
    drift = Drift()
    drift.note_settled(ObjectSet(KEY, desired), frozenset())
    return drift


def find(drift: Drift, wanted: ObjectSet, *writes: Write) -> set[Write]:
    return set(drift.find_repairs(wanted, writes))


def test_everything_is_drift_in_a_set_that_the_plan_has_not_changed() -> None:
    gone, on_the_way = Delete(NEW.key, "uid"), write(OTHER)
    writes = write(ONE), gone, on_the_way
    assert find(settle(ONE), ObjectSet(KEY, (ONE,)), *writes) == {*writes}


def test_an_object_that_keeps_an_address_or_an_owner_on_hold_is_repaired_too() -> None:
    drift = settle(ONE)
    drift.note_change()
    address = write(replace(ONE, allocate=True))
    owner = write(ONE, Owner("paused", "2"))
    assert find(drift, ObjectSet(KEY, (ONE, NEW)), address, owner) == {address, owner}


def test_nothing_is_drift_in_a_new_set() -> None:
    assert not find(Drift(), ObjectSet(KEY, (ONE,)), Create(ONE, ONE.owners))


def test_a_change_of_the_plan_is_no_drift_and_what_it_leaves_alone_is() -> None:
    drift = settle(ONE)
    drift.note_change()
    assert find(drift, ObjectSet(KEY, (ONE, NEW)), write(ONE), write(NEW)) == {write(ONE)}
    assert not find(drift, ObjectSet(KEY, (OTHER,)), write(OTHER))
    assert not find(drift, ObjectSet(KEY), Delete(ONE.key, "uid"))


def test_a_plan_that_comes_back_is_no_drift_where_the_other_one_was_written() -> None:
    drift = settle(ONE)
    drift.note_change()
    drift.note_written(write(OTHER))
    assert not find(drift, ObjectSet(KEY, (ONE,)), write(ONE))
    drift.note_written(write(ONE))
    assert find(drift, ObjectSet(KEY, (ONE,)), write(ONE)) == {write(ONE)}


def test_what_was_deleted_and_comes_back_is_drift() -> None:
    drift = settle(ONE)
    drift.note_change()
    first, second = Delete(ONE.key, "one"), Delete(ONE.key, "two")
    drift.note_written(first)
    assert find(drift, ObjectSet(KEY), second) == {second}
    assert not find(drift, ObjectSet(KEY, (ONE,)), Create(ONE, ONE.owners))


def test_a_set_counts_as_left_alone_when_it_may_be_put_right_again() -> None:
    drift = Drift()
    assert drift.find_wait(0) == 0
    for _ in range(int(DRIFT_BURST)):
        assert drift.take(0) == 0
    wait = drift.find_wait(0)
    assert drift.take(0) == wait > 0
    assert drift.find_wait(wait) == 0
    assert drift.take(wait) == 0


def test_what_could_not_be_written_is_no_drift_when_it_is_written_at_last() -> None:
    drift = Drift()
    drift.note_settled(ObjectSet(KEY, (ONE,)), frozenset({ONE.key}))
    assert not find(drift, ObjectSet(KEY, (ONE,)), Create(ONE, ONE.owners))
