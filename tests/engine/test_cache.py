"""The write-through cache: single races by name, then all of them by a model."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from egress_operator.engine.cache import Cache

Key = tuple[str, str]
KEY = ("shop", "a")
Change = tuple[Key, str | None, str | None]


@dataclass
class Scene:
    changes: list[Change] = field(default_factory=list)
    cache: Cache[Key, str] = field(init=False)

    def __post_init__(self) -> None:
        self.cache = Cache(lambda key: key[0], self._note)

    def _note(self, key: Key, old: str | None, new: str | None) -> None:
        self.changes.append((key, old, new))

    def list_objects(self, version: str, *objects: tuple[str, str, str]) -> None:
        """Play a whole list of (name, uid, version); the value is made of the last two."""
        self.cache.begin_replace()
        for name, uid, at in objects:
            self.cache.observe(("shop", name), uid, at, f"{uid}@{at}")
        self.cache.finish_replace(version)
        self.changes.clear()


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.list_objects("10", ("a", "u1", "5"))
    return scene


def test_an_equal_value_takes_the_place_of_another_one_unseen(scene: Scene) -> None:
    equal = f"{scene.cache.get(KEY)}"[:2] + "@5"
    scene.cache.swap(KEY, equal)
    assert scene.cache.get(KEY) is equal
    scene.cache.swap(KEY, "other")
    scene.cache.swap(("shop", "b"), "other")
    assert scene.cache.get(KEY) is equal
    assert len(scene.cache) == 1
    assert not scene.changes


def test_what_the_watch_says_is_reported(scene: Scene) -> None:
    assert scene.cache.observe(KEY, "u1", "11", "new")
    assert scene.cache.observe(("pay", "b"), "u2", "12", "other")
    assert scene.cache.observe_delete(KEY, "u1", "13")
    assert scene.changes == [
        (KEY, "u1@5", "new"),
        (("pay", "b"), None, "other"),
        (KEY, "new", None),
    ]
    assert scene.cache.parts() == ["pay"]
    assert list(scene.cache.select("pay")) == [(("pay", "b"), "other")]
    assert len(scene.cache) == 1


def test_a_new_version_of_an_equal_value_is_no_change(scene: Scene) -> None:
    assert scene.cache.observe(KEY, "u1", "11", "u1@5")
    assert not scene.changes
    assert not scene.cache.observe(KEY, "u1", "10", "older")


def test_a_new_incarnation_is_a_change_even_with_an_equal_value(scene: Scene) -> None:
    assert scene.cache.observe(KEY, "u2", "11", "u1@5")
    assert scene.changes == [(KEY, "u1@5", "u1@5")]


def test_the_echo_of_an_own_write_changes_nothing(scene: Scene) -> None:
    assert scene.cache.store_write(KEY, "u1", "12", "mine")
    assert not scene.cache.observe(KEY, "u1", "11", "between")
    assert not scene.cache.observe(KEY, "u1", "12", "mine")
    assert scene.cache.get(KEY) == "mine"
    assert not scene.changes


def test_an_edit_after_an_own_write_is_reported_against_it(scene: Scene) -> None:
    scene.cache.store_write(KEY, "u1", "12", "mine")
    scene.cache.observe(KEY, "u1", "13", "theirs")
    assert scene.changes == [(KEY, "mine", "theirs")]


def test_a_late_answer_does_not_undo_what_the_watch_said(scene: Scene) -> None:
    scene.cache.observe(KEY, "u1", "12", "mine")
    scene.cache.observe(KEY, "u1", "13", "theirs")
    assert not scene.cache.store_write(KEY, "u1", "12", "mine")
    assert scene.cache.get(KEY) == "theirs"


def test_answers_out_of_order_leave_the_newer_write(scene: Scene) -> None:
    assert scene.cache.store_write(KEY, "u1", "13", "second")
    assert not scene.cache.store_write(KEY, "u1", "12", "first")
    assert scene.cache.get(KEY) == "second"


def test_a_late_answer_does_not_revive_what_was_deleted_meanwhile(scene: Scene) -> None:
    scene.cache.observe(("shop", "b"), "u2", "11", "mine")
    scene.cache.observe_delete(("shop", "b"), "u2", "12")
    assert not scene.cache.store_write(("shop", "b"), "u2", "11", "mine")
    assert scene.cache.get(("shop", "b")) is None


def test_a_bookmark_tells_as_much_as_an_event(scene: Scene) -> None:
    scene.cache.advance("20")
    assert not scene.cache.store_write(("shop", "b"), "u2", "19", "mine")
    assert scene.cache.store_write(("shop", "b"), "u2", "21", "mine")


def test_late_echoes_of_a_dropped_object_do_not_revive_it(scene: Scene) -> None:
    assert scene.cache.drop(KEY, "u1")
    assert not scene.cache.observe(KEY, "u1", "11", "echo")
    assert scene.cache.get(KEY) is None
    assert not scene.cache.observe_delete(KEY, "u1", "12")
    assert not scene.changes


def test_what_an_answer_did_not_find_is_brought_back_by_a_later_event(scene: Scene) -> None:
    """The answer was wrong: an object that is gone has no events but its deletion."""
    assert scene.cache.miss(KEY, "u1")
    assert not scene.cache.observe(KEY, "u1", "5", "u1@5")
    assert scene.cache.get(KEY) is None
    assert scene.cache.observe(KEY, "u1", "11", "edited")
    assert scene.cache.get(KEY) == "edited"
    assert scene.changes == [(KEY, None, "edited")]


def test_what_a_list_did_not_show_is_not_brought_back_by_events_from_before(scene: Scene) -> None:
    assert scene.cache.miss(KEY, "u1", "20")
    assert not scene.cache.observe(KEY, "u1", "12", "before")
    assert not scene.cache.observe_delete(KEY, "u1", "15")
    assert scene.cache.get(KEY) is None
    assert not scene.changes


def test_what_is_made_again_after_a_list_is_seen(scene: Scene) -> None:
    assert scene.cache.miss(KEY, "u1", "20")
    assert not scene.cache.observe(KEY, "u1", "12", "before")
    assert scene.cache.observe(KEY, "u2", "15", "second")
    # The deletion of the first one does not concern it, however late it comes.
    assert not scene.cache.observe_delete(KEY, "u1", "14")
    assert scene.cache.get(KEY) == "second"


def test_what_is_newer_than_a_list_stays(scene: Scene) -> None:
    scene.cache.observe(KEY, "u1", "30", "newer")
    assert not scene.cache.miss(KEY, "u1", "20")
    assert scene.cache.get(KEY) == "newer"


def test_what_an_answer_did_not_find_is_brought_back_by_a_list(scene: Scene) -> None:
    assert scene.cache.miss(KEY, "u1")
    scene.cache.begin_replace()
    assert scene.cache.observe(KEY, "u1", "5", "u1@5")
    scene.cache.finish_replace("20")
    assert scene.changes == [(KEY, None, "u1@5")]


def test_what_is_held_already_need_not_be_read(scene: Scene) -> None:
    assert scene.cache.touch(KEY, "u1", "5")
    assert not scene.cache.touch(KEY, "u1", "6")
    assert not scene.cache.touch(KEY, "u2", "5")
    scene.cache.begin_replace()
    assert scene.cache.touch(KEY, "u1", "5")
    scene.cache.finish_replace("20")
    assert scene.cache.get(KEY) == "u1@5"


def test_drop_of_another_incarnation_does_nothing(scene: Scene) -> None:
    assert not scene.cache.drop(KEY, "u0")
    assert scene.cache.get(KEY) == "u1@5"


def test_create_after_delete_survives_the_echoes_of_both(scene: Scene) -> None:
    scene.cache.drop(KEY, "u1")
    scene.cache.store_write(KEY, "u2", "15", "second")
    scene.cache.drop(KEY, "u2")
    scene.cache.store_write(KEY, "u3", "17", "third")
    for uid, version in (("u1", "11"), ("u2", "15"), ("u3", "17")):
        assert not scene.cache.observe(KEY, uid, version, "echo")
    assert not scene.cache.observe_delete(KEY, "u1", "14")
    assert not scene.cache.observe_delete(KEY, "u2", "16")
    assert scene.cache.get(KEY) == "third"
    assert not scene.changes


def test_a_list_removes_what_it_does_not_show(scene: Scene) -> None:
    scene.cache.begin_replace()
    scene.cache.observe(("shop", "b"), "u2", "11", "b")
    assert scene.cache.get(KEY) == "u1@5"
    scene.cache.finish_replace("20")
    assert scene.cache.get(KEY) is None
    assert scene.changes == [(("shop", "b"), None, "b"), (KEY, "u1@5", None)]


def test_a_list_that_fails_half_way_removes_nothing(scene: Scene) -> None:
    scene.cache.begin_replace()
    scene.cache.begin_replace()
    scene.cache.observe(KEY, "u1", "5", "u1@5")
    scene.cache.finish_replace("20")
    assert scene.cache.get(KEY) == "u1@5"
    assert not scene.changes


def test_own_writes_since_the_list_began_survive_it(scene: Scene) -> None:
    scene.cache.begin_replace()
    scene.cache.store_write(("shop", "new"), "u9", "21", "mine")
    scene.cache.store_write(KEY, "u1", "22", "mine")
    scene.cache.observe(KEY, "u1", "5", "u1@5")
    scene.cache.finish_replace("20")
    assert scene.cache.get(("shop", "new")) == "mine"
    assert scene.cache.get(KEY) == "mine"
    scene.list_objects("30")
    assert len(scene.cache) == 0


def test_an_own_delete_since_the_list_began_survives_it(scene: Scene) -> None:
    scene.cache.begin_replace()
    scene.cache.drop(KEY, "u1")
    assert not scene.cache.observe(KEY, "u1", "5", "u1@5")
    scene.cache.finish_replace("20")
    assert scene.cache.get(KEY) is None


def test_an_own_write_that_the_list_should_show_and_does_not_is_gone(scene: Scene) -> None:
    """Created at 15, deleted by somebody at 16, listed at 20, and only then comes our answer."""
    scene.cache.begin_replace()
    scene.cache.store_write(("shop", "new"), "u9", "15", "mine")
    scene.cache.finish_replace("20")
    assert scene.cache.get(("shop", "new")) is None


def test_a_restored_backup_wins_though_its_versions_are_lower(scene: Scene) -> None:
    scene.cache.observe(KEY, "u1", "900", "before the restore")
    scene.cache.begin_replace()
    assert scene.cache.observe(KEY, "u1", "5", "as restored")
    scene.cache.finish_replace("10")
    assert scene.cache.get(KEY) == "as restored"
    assert scene.cache.store_write(KEY, "u1", "11", "mine")


def test_a_missing_resource_leaves_nothing(scene: Scene) -> None:
    scene.cache.begin_replace()
    scene.cache.store_write(("shop", "new"), "u9", "21", "mine")
    scene.cache.finish_replace("")
    assert len(scene.cache) == 0


@dataclass
class Stored:
    """An object as the simulated API server has it."""

    uid: str
    version: int
    value: str


NAMES = st.sampled_from(["a", "b", "c"])


class CacheMachine(RuleBasedStateMachine):
    """An API server in order, a lagging watch, answers that come late, lists in between.

    Whatever the interleaving: once the watch has caught up and all answers are in, the cache holds
    what the API server holds; and never does it hold, after an own write was stored, an older state
    of that object.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache: Cache[Key, str] = Cache(lambda key: key[0])
        self.version = 0
        self.uids = 0
        self.stored: dict[str, Stored] = {}
        self.log: list[tuple[str, str, Stored]] = []
        """(type, name, object) in the order of versions."""
        self.position = 0
        """How much of the log the watch has delivered."""
        self.answers: list[tuple[str, str, Stored]] = []
        """Own writes that the API server has done and whose answers are on their way."""
        self.pages: list[tuple[str, Stored]] | None = None
        self.list_version = 0
        self.newest: dict[str, int] = {}
        """The version of the last own write that was stored, by uid."""
        self.listing = False

    def commit(self, kind: str, name: str) -> Stored:
        self.version += 1
        if kind == "ADDED":
            self.uids += 1
            done = Stored(f"u{self.uids}", self.version, f"v{self.version}")
            self.stored[name] = done
        elif kind == "MODIFIED":
            done = Stored(self.stored[name].uid, self.version, f"v{self.version}")
            self.stored[name] = done
        else:
            gone = self.stored.pop(name)
            done = Stored(gone.uid, self.version, gone.value)
        self.log.append((kind, name, done))
        return done

    @rule(name=NAMES, own=st.booleans())
    def write(self, name: str, *, own: bool) -> None:
        kind = "MODIFIED" if name in self.stored else "ADDED"
        done = self.commit(kind, name)
        if own:
            self.answers.append((kind, name, done))

    @rule(name=NAMES, own=st.booleans())
    def delete(self, name: str, *, own: bool) -> None:
        if name in self.stored:
            done = self.commit("DELETED", name)
            if own:
                self.answers.append(("DELETED", name, done))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.answers) - 1))
        kind, name, done = self.answers.pop(index)
        if kind == "DELETED":
            self.cache.drop(("n", name), done.uid)
        elif self.cache.store_write(("n", name), done.uid, str(done.version), done.value):
            self.newest[done.uid] = max(done.version, self.newest.get(done.uid, 0))

    @precondition(lambda self: not self.listing and self.position < len(self.log))
    @rule(count=st.integers(1, 3))
    def watch(self, count: int) -> None:
        for kind, name, done in self.log[self.position : self.position + count]:
            if kind == "DELETED":
                self.cache.observe_delete(("n", name), done.uid, str(done.version))
            else:
                self.cache.observe(("n", name), done.uid, str(done.version), done.value)
        self.position = min(self.position + count, len(self.log))

    @precondition(lambda self: not self.listing and self.position == len(self.log))
    @rule()
    def bookmark(self) -> None:
        self.cache.advance(str(self.version))

    @precondition(lambda self: not self.listing)
    @rule(failed_before=st.booleans())
    def begin_list(self, *, failed_before: bool) -> None:
        """Start a list; the snapshot is taken later."""
        self.cache.begin_replace()
        if failed_before:
            for name, shown in list(self.stored.items())[:1]:
                self.cache.observe(("n", name), shown.uid, str(shown.version), shown.value)
            self.cache.begin_replace()
        self.listing = True

    @precondition(lambda self: self.listing and self.pages is None)
    @rule()
    def take_snapshot(self) -> None:
        self.pages = list(self.stored.items())
        self.list_version = self.version

    @precondition(lambda self: self.pages is not None)
    @rule(count=st.integers(1, 3))
    def read_page(self, count: int) -> None:
        assert self.pages is not None
        for _ in range(min(count, len(self.pages))):
            name, shown = self.pages.pop()
            self.cache.observe(("n", name), shown.uid, str(shown.version), shown.value)
        if not self.pages:
            self.finish_list()

    def finish_list(self) -> None:
        self.cache.finish_replace(str(self.list_version))
        self.listing, self.pages = False, None
        self.position = sum(done.version <= self.list_version for _, _, done in self.log)

    @invariant()
    def never_older_than_an_own_write(self) -> None:
        for name, shown in self.stored.items():
            value = self.cache.get(("n", name))
            if value is not None and shown.uid in self.newest and self.is_of(value, shown.uid):
                assert int(value[1:]) >= self.newest[shown.uid]

    def is_of(self, value: str, uid: str) -> bool:
        return any(done.uid == uid and done.value == value for _, _, done in self.log)

    def teardown(self) -> None:
        """Let everything arrive, by the watch or by a list, and compare."""
        for kind, name, done in self.answers:
            if kind == "DELETED":
                self.cache.drop(("n", name), done.uid)
            else:
                self.cache.store_write(("n", name), done.uid, str(done.version), done.value)
        if self.listing:
            if self.pages is None:
                self.take_snapshot()
            self.read_page(len(self.stored) + len(self.pages or ()))
        self.watch(len(self.log))
        held = {key[1]: value for key, value in self.cache.select("n")}
        assert held == {name: shown.value for name, shown in self.stored.items()}


def test_all_interleavings_end_in_what_the_api_server_holds() -> None:
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(max_examples=300, stateful_step_count=30, deadline=None),
    )
