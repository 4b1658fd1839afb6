"""Every rule finds the breach that is planted for it, and nothing in a story without one."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from testbed.client import Object

from .convergence import check_convergence
from .evidence import Evidence
from .history import ENTRY, POLICY, ROUTE, Key, read_key
from .invariant import find_breaches
from .story import HOST, NAMESPACE, Story, build_story

P_KEY = Key(POLICY, NAMESPACE, "p")


def find_child(story: Story, kind: str) -> Key:
    return next(key for key in story.objects if key.kind == kind)


def lose_a_change(story: Story) -> None:
    story.history.pop()


def change_a_spec(story: Story) -> None:
    item = copy.deepcopy(story.objects[find_child(story, ENTRY)])
    item["spec"]["resolution"] = "NONE"
    story.put(item)


def steal_the_owner(story: Story) -> None:
    item = copy.deepcopy(story.objects[find_child(story, ENTRY)])
    item["metadata"]["ownerReferences"] = []
    story.put(item)


def leave_a_generation(story: Story) -> None:
    # The objects are right and the status is of the past.
    policy = copy.deepcopy(story.objects[P_KEY])
    policy["spec"]["justification"] = "because"
    story.put(policy)


def lose_an_object(story: Story) -> None:
    story.remove(find_child(story, ROUTE))


def leave_an_object(story: Story) -> None:
    # A host that no policy names any more.
    story.apply("q", 80, host="other.example.com")
    story.write("q", ENTRY)
    story.write("q", ROUTE)
    story.apply("q", 80)
    story.report("q")


def leave_an_orphan(story: Story) -> None:
    # The owner is deleted, and nobody collects.
    story.remove(P_KEY)


def change_a_squatter(story: Story) -> None:
    placed = place_squatter(story)
    item = copy.deepcopy(placed)
    item["spec"]["resolution"] = "DNS"
    story.put(item)


def delete_a_squatter(story: Story) -> None:
    story.remove(read_key(place_squatter(story)))


def patch_a_squatter(story: Story) -> None:
    # A write that changes nothing is one too.
    story.record("patch", "serviceentries", place_squatter(story)["metadata"]["name"])
    story.faults = 1


def write_a_spec(story: Story) -> None:
    story.record("patch", "egresspolicies", "p")


def place_squatter(story: Story) -> Object:
    item = {
        "kind": ENTRY,
        "metadata": {"name": "by-hand", "namespace": NAMESPACE},
        "spec": {"hosts": ["x.example.com"], "resolution": "NONE"},
    }
    placed = story.put(item)
    story.squatters[read_key(placed)] = placed
    return placed


def route_before_entry(story: Story) -> None:
    # The order of a growing host, the wrong way round.
    story.apply("p", 80, 8080, 8081)
    story.write("p", ROUTE)
    story.write("p", ENTRY)
    story.report("p")


def entry_before_route(story: Story) -> None:
    # The order of a shrinking host, the wrong way round.
    story.apply("p", 80)
    story.write("p", ENTRY)
    story.write("p", ROUTE)
    story.report("p")


def write_a_route_to_nowhere(story: Story) -> None:
    # Garbage collection excuses what was there, not what is written after it.
    story.apply("q", 80, 8080)
    for kind in (ENTRY, ROUTE):
        item = copy.deepcopy(story.objects[find_child(story, kind)])
        if kind == ROUTE:
            item["metadata"]["ownerReferences"][0]["uid"] = story.objects[
                Key(POLICY, NAMESPACE, "q")
            ]["metadata"]["uid"]
        story.put(item)
    story.remove(P_KEY)
    story.remove(find_child(story, ENTRY))
    story.apply("q", 80)
    story.write("q", ROUTE)
    story.write("q", ENTRY)
    story.report("q")


def go_back(story: Story) -> None:
    # An old process writes what it knew, late.
    policy = copy.deepcopy(story.objects[P_KEY])
    late = copy.deepcopy(policy)
    late["status"] = next(
        change.after["status"]
        for change in story.history
        if change.key == P_KEY and change.after and change.after.get("status")
    )
    story.put(late)
    story.put(policy)


def promise(story: Story) -> None:
    # Ready for a generation while its port is still missing.
    story.apply("p", 80, 8080, 8081)
    story.report("p")
    story.write("p", ENTRY)
    story.write("p", ROUTE)


def say_nonsense(story: Story) -> None:
    policy = copy.deepcopy(story.objects[P_KEY])
    right = copy.deepcopy(policy)
    policy["status"]["hosts"] = "0/1"
    story.put(policy)
    story.put(right)


def write_too_often(story: Story) -> None:
    # Writes that change something each time, and lead nowhere.
    entry = copy.deepcopy(story.objects[find_child(story, ENTRY)])
    for _ in range(4):
        for resolution in ("NONE", "DNS"):
            entry["spec"]["resolution"] = resolution
            story.record("patch", "serviceentries", entry["metadata"]["name"])
            story.put(entry)


def write_in_vain(story: Story) -> None:
    # Few enough, and one of them changes nothing.
    story.record("patch", "serviceentries", find_child(story, ENTRY).name)
    story.faults = 1


def write_in_vain_twice_after_an_outage(story: Story) -> None:
    # An answer that was lost explains one of them.
    for _ in range(2):
        story.record("patch", "serviceentries", find_child(story, ENTRY).name)
    story.faults = story.outages = 1


def inherit_a_status(story: Story) -> None:
    # The successor is told what was true of the deleted one.
    old = story.objects[P_KEY]["status"]
    story.remove(P_KEY)
    story.apply("p", 80, 8080)
    story.write("p", ENTRY)
    story.write("p", ROUTE)
    policy = copy.deepcopy(story.objects[P_KEY])
    policy["status"] = old
    story.put(policy)
    story.report("p")


def inherit_an_owner(story: Story) -> None:
    # The object of the successor still belongs to the deleted one as well.
    story.remove(P_KEY)
    story.apply("p", 80, 8080)
    dead = story.objects[find_child(story, ENTRY)]["metadata"]["ownerReferences"]
    story.write("p", ROUTE)
    entry = story.write("p", ENTRY)
    entry["metadata"]["ownerReferences"] += dead
    story.put(entry)
    story.report("p")


@pytest.mark.parametrize(
    ("plant", "rules"),
    [
        (lose_a_change, {"L0"}),
        (change_a_spec, {"L1"}),
        (steal_the_owner, {"L1"}),
        (leave_a_generation, {"L1"}),
        (lose_an_object, {"L1"}),
        (leave_an_object, {"L1"}),
        (leave_an_orphan, {"L1", "L2", "L7"}),
        (change_a_squatter, {"L3"}),
        (delete_a_squatter, {"L3"}),
        (patch_a_squatter, {"L3"}),
        (write_a_spec, {"L3"}),
        (route_before_entry, {"L4"}),
        (entry_before_route, {"L4"}),
        (write_a_route_to_nowhere, {"L4"}),
        (go_back, {"L5"}),
        (promise, {"L5"}),
        (say_nonsense, {"L5"}),
        (write_too_often, {"L6"}),
        (write_in_vain, {"L6"}),
        (write_in_vain_twice_after_an_outage, {"L6"}),
        (inherit_a_status, {"L7"}),
        (inherit_an_owner, {"L1", "L2", "L7"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_breach_is_found(plant: Callable[[Story], None], rules: set[str]) -> None:
    story = build_story()
    plant(story)
    assert rules <= set(story.judge())


def test_a_story_without_a_breach_has_no_finding() -> None:
    assert build_story().judge() == []


@pytest.mark.parametrize(
    ("plant", "rules"),
    [(route_before_entry, ["L4"]), (promise, ["L5"]), (write_in_vain, ["L6"])],
)
def test_a_breach_of_one_rule_is_no_other(plant: Callable[[Story], None], rules: list[str]) -> None:
    story = build_story()
    plant(story)
    assert story.judge() == rules


def test_garbage_collection_is_excused_in_any_order() -> None:
    """The ServiceEntry goes first, and another policy lives on as an owner of the route."""
    story = build_story()
    q = story.apply("q", 80, 8080)
    route = copy.deepcopy(story.objects[find_child(story, ROUTE)])
    route["metadata"]["ownerReferences"].append(
        {"kind": POLICY, "name": "q", "uid": q["metadata"]["uid"]}
    )
    story.put(route)
    story.remove(P_KEY)
    story.remove(find_child(story, ENTRY))
    # The collector takes the dead owner off the route.
    route["metadata"]["ownerReferences"].pop(0)
    story.put(route)
    assert "L4" not in story.judge()
    story.write("q", ENTRY)
    story.write("q", ROUTE)
    story.report("q")
    assert story.judge() == []


def test_an_object_on_hold_may_name_an_owner_that_is_gone() -> None:
    """The garbage collector did not see it go, and the operator leaves objects on hold alone."""
    story = build_story()
    policy = story.apply("q", 80, 8080)
    for kind in (ENTRY, ROUTE):
        item = copy.deepcopy(story.objects[find_child(story, kind)])
        item["metadata"]["ownerReferences"].append(
            {"kind": POLICY, "name": "q", "uid": policy["metadata"]["uid"]}
        )
        story.put(item)
    story.remove(P_KEY)
    assert {"L2", "L7"} <= set(story.judge())
    story.apply("q", 80, host=f"db.{NAMESPACE}.svc")
    assert {"L2", "L7"}.isdisjoint(story.judge())


def test_a_squatter_is_judged_by_what_was_placed() -> None:
    story = build_story()
    place_squatter(story)
    assert story.judge() == []
    key = next(iter(story.squatters))
    evidence = Evidence(objects={**story.objects}, squatters={key: {**story.squatters[key]}})
    assert not [line for line in find_breaches(evidence) if line.startswith("L3")]
    gone = replace(evidence, objects={})
    assert [line for line in find_breaches(gone) if line.startswith("L3")]


def test_a_lost_answer_excuses_one_write_in_vain() -> None:
    story = build_story()
    write_in_vain(story)
    story.outages = 1
    assert story.judge() == []


def refuse(story: Story) -> None:
    """Have `p` refused with its objects on hold, while `q` claims TLS on the host alone."""
    policy = copy.deepcopy(story.objects[P_KEY])
    policy["spec"]["destinations"].append({"hosts": [f"db.{NAMESPACE}.svc"]})
    story.put(policy)
    policy["spec"] = {"destinations": [{"hosts": [HOST]}]}
    policy["metadata"] = {"name": "q", "namespace": NAMESPACE}
    del policy["status"]
    story.put(policy)


def test_ports_of_a_route_on_hold_stay_and_no_other() -> None:
    story = build_story()
    refuse(story)
    entry = copy.deepcopy(story.objects[find_child(story, ENTRY)])
    old = list(entry["spec"]["ports"])
    wanted = copy.deepcopy(story.write("q", ENTRY))

    def find_specs(*ports: Object) -> list[str]:
        wanted["spec"]["ports"] = [*ports]
        story.put(wanted)
        evidence = Evidence(objects=story.objects)
        return [line for line in check_convergence(evidence) if ": spec" in line]

    tls = wanted["spec"]["ports"][0]
    assert find_specs(old[0], tls, old[1]) == []
    assert find_specs(*old)
    assert find_specs(tls, *old, {"number": 9999, "protocol": "HTTP", "name": "http-9999"})
