"""What is believed of policies when lists, events and own writes disagree. No API server needed."""

from typing import Any

import pytest

from egress_operator.plan.source import PolicySource
from egress_operator.reconcile.kinds import build_stores
from egress_operator.reconcile.listing import Listing
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.record import OwnKey, OwnKind, Record

KEY = OwnKey(OwnKind.POLICY, "shop", "payments")
PLACE = (KEY.namespace, KEY.name)


def build_body(uid: str, version: int, **more: object) -> dict[str, Any]:
    metadata = {
        "namespace": KEY.namespace,
        "name": KEY.name,
        "uid": uid,
        "resourceVersion": str(version),
    }
    return {"metadata": metadata, "spec": {}, **more}


def build_condition(type_: str, status: str) -> dict[str, str]:
    rest = {"reason": "Any", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"type": type_, "status": status, **rest}


class Watched:
    """Policies with one of them, seen at version 10; and (uid before, uid after) of each change."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.store = build_stores((EVERYWHERE,), self._note)[OwnKind.POLICY]
        ((_, self.sink),) = self.store.build_sinks(lambda _: None)
        self.sink.upsert(build_body("one", 10))
        self.changes.clear()

    def _note(self, _: OwnKey, old: Record[Any] | None, new: Record[Any] | None) -> None:
        self.changes.append((old.source.uid if old else "", new.source.uid if new else ""))

    def delete(self, uid: str, version: int) -> None:
        self.sink.delete(build_body(uid, version))

    def drop_unlisted(self, listing: Listing) -> None:
        """Take over a list that was asked for now."""
        self.store.drop_unlisted(tuple(self.store.select(KEY.namespace)), listing)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_late_event_does_not_bring_back_what_a_list_showed_to_be_gone(watched: Watched) -> None:
    watched.drop_unlisted(Listing("20", {}))
    watched.sink.upsert(build_body("one", 12))
    assert watched.store.get(KEY) is None
    watched.delete("one", 15)
    assert watched.changes == [("one", "")]


def test_a_policy_made_again_under_the_name_is_seen(watched: Watched) -> None:
    watched.drop_unlisted(Listing("20", {PLACE: "two"}))
    watched.sink.upsert(build_body("one", 12))
    watched.delete("one", 14)
    watched.sink.upsert(build_body("two", 15))
    # The deletion of the first one does not concern it, however late it comes.
    watched.delete("one", 16)
    assert watched.changes == [("one", ""), ("", "two")]


def test_what_has_changed_since_the_list_was_asked_for_stays(watched: Watched) -> None:
    known = tuple(watched.store.select(KEY.namespace))
    watched.sink.upsert(build_body("one", 30))
    watched.changes.clear()
    watched.store.drop_unlisted(known, Listing("20", {}))
    assert watched.changes == []


def test_what_has_changed_since_then_and_is_older_than_the_list_is_gone(watched: Watched) -> None:
    known = tuple(watched.store.select(KEY.namespace))
    watched.sink.upsert(build_body("one", 12, spec={"destinations": []}))
    watched.changes.clear()
    watched.store.drop_unlisted(known, Listing("20", {}))
    assert watched.changes == [("one", "")]


def test_what_a_restored_etcd_does_not_have_is_gone(watched: Watched) -> None:
    """Its versions are lower than those from before, so they do not tell what is newer."""
    watched.drop_unlisted(Listing("5", {}))
    assert watched.changes == [("one", "")]


def test_what_a_list_shows_again_is_believed(watched: Watched) -> None:
    """As an API server that does not serve the kind for a moment."""
    watched.sink.begin()
    watched.sink.finish("")
    watched.sink.begin()
    watched.sink.upsert(build_body("one", 10))
    watched.sink.finish("20")
    assert watched.changes == [("one", ""), ("", "one")]


def test_a_list_wins_though_its_versions_are_lower(watched: Watched) -> None:
    """A restored etcd: an edit is taken back, and a policy of later is gone."""
    watched.sink.upsert(build_body("one", 900, spec={"destinations": []}))
    watched.changes.clear()
    watched.sink.begin()
    watched.sink.upsert(build_body("one", 10))
    watched.sink.finish("20")
    assert watched.changes == [("one", "one")]
    record = watched.store.get(KEY)
    assert record is not None
    assert record.source.read_spec() == {}
    watched.sink.begin()
    watched.sink.finish("15")
    assert watched.changes == [("one", "one"), ("one", "")]


def test_a_spec_that_differs_is_seen_though_its_generation_is_the_same(watched: Watched) -> None:
    """Edited, taken back by a restored etcd, and edited otherwise."""
    for version, hosts in enumerate(("a", "b", "c"), 11):
        watched.sink.upsert(build_body("one", version, spec={"destinations": [{"hosts": [hosts]}]}))
    assert watched.changes == [("one", "one")] * 3


def test_an_own_status_is_not_overwritten_by_an_older_event(watched: Watched) -> None:
    status = {"conditions": [build_condition("Ready", "True")]}
    watched.store.store_status(build_body("one", 14, status=status))
    watched.sink.upsert(build_body("one", 12))
    # The echo of the own write is no change.
    watched.sink.upsert(build_body("one", 14, status=status))
    record = watched.store.get(KEY)
    assert record is not None
    assert (record.status, record.conditions) == (status, "Ready=True")
    assert watched.changes == []


def test_conditions_are_counted_without_reading_a_status(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape of the metrics must not hold up the loop by decoding thousands of them."""
    for number, ready in enumerate(("True", "False", "True"), 20):
        conditions = [build_condition("Ready", ready), build_condition("Accepted", "True")]
        body = build_body(f"uid-{number}", number, status={"conditions": conditions})
        body["metadata"]["name"] = f"policy-{number}"
        watched.sink.upsert(body)
    monkeypatch.delattr(Record, "status")
    assert watched.store.count_conditions() == {
        ("Accepted", "True"): 3,
        ("Ready", "True"): 2,
        ("Ready", "False"): 1,
    }


@pytest.mark.parametrize("more", [{"spec": {"destinations": []}}, {"deletionTimestamp": "now"}])
def test_what_else_the_answer_to_a_status_write_shows_is_left_to_its_event(
    watched: Watched, more: dict[str, object]
) -> None:
    """Else nobody would be told of it."""
    body = build_body("one", 14, status={"conditions": []}, **more)
    if "deletionTimestamp" in more:
        body["metadata"].update(more)
    watched.store.store_status(body)
    assert watched.changes == []
    watched.sink.upsert(body)
    assert watched.changes == [("one", "one")]


def test_the_spec_of_a_policy_is_packed_and_says_the_same(watched: Watched) -> None:
    for number, spec in enumerate(({"gatewayRef": {"name": "shared"}}, {}, None, "text"), 11):
        watched.sink.upsert(build_body("one", number) | {"spec": spec})
        record = watched.store.get(KEY)
        assert record is not None
        assert isinstance(record.source, PolicySource)
        assert record.source.read_spec() == spec
        assert record.source.names_gateway == (spec == {"gatewayRef": {"name": "shared"}})
