"""What the cache of policies believes when lists and events disagree. No API server is needed."""

from typing import Any

import pytest

from egress_operator.reconcile.listing import Listing
from egress_operator.reconcile.policy import PolicyKey, PolicyRecord, RecordCache, parse_policy

KEY: PolicyKey = ("shop", "payments")


def build_body(uid: str, version: int) -> dict[str, Any]:
    metadata = {"namespace": KEY[0], "name": KEY[1], "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}}


@pytest.fixture
def changes() -> list[tuple[str, str]]:
    """Collect (uid before, uid after) of each change, "" for absent."""
    return []


@pytest.fixture
def cache(changes: list[tuple[str, str]]) -> RecordCache[Any]:
    """Give a cache with one policy, seen at version 10."""

    def note(key: PolicyKey, old: PolicyRecord | None, new: PolicyRecord | None) -> None:
        assert key == KEY
        changes.append((old.source.uid if old else "", new.source.uid if new else ""))

    cache = RecordCache(parse_policy, note)
    cache.observe(build_body("one", 10))
    changes.clear()
    return cache


def test_a_late_event_does_not_bring_back_what_a_list_showed_to_be_gone(
    cache: RecordCache[Any], changes: list[tuple[str, str]]
) -> None:
    assert cache.drop_unlisted(Listing(20, {}), KEY[0]) == 1
    cache.observe(build_body("one", 12))
    assert cache.get(KEY) is None
    cache.observe_deletion(KEY, "one")
    assert changes == [("one", "")]


def test_a_policy_made_again_under_the_name_is_seen(
    cache: RecordCache[Any], changes: list[tuple[str, str]]
) -> None:
    assert cache.drop_unlisted(Listing(20, {KEY: ("two", 15)}), KEY[0]) == 1
    cache.observe(build_body("one", 12))
    cache.observe_deletion(KEY, "one")
    cache.observe(build_body("two", 15))
    # The deletion of the first one does not concern it, however late it comes.
    cache.observe_deletion(KEY, "one")
    assert changes == [("one", ""), ("", "two")]


def test_what_is_newer_than_the_list_stays(
    cache: RecordCache[Any], changes: list[tuple[str, str]]
) -> None:
    cache.observe(build_body("one", 30))
    changes.clear()
    assert cache.drop_unlisted(Listing(20, {}), KEY[0]) == 0
    assert changes == []


def test_what_a_list_shows_again_is_believed(
    cache: RecordCache[Any], changes: list[tuple[str, str]]
) -> None:
    """As an API server that does not serve the kind for a moment."""
    assert cache.drop_unlisted(Listing(2**63, {})) == 1
    assert cache.drop_unlisted(Listing(20, {KEY: ("one", 10)})) == 0
    cache.observe(build_body("one", 10))
    assert changes == [("one", ""), ("", "one")]
