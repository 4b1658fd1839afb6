"""The rules that hold after every scenario, each a pure function from evidence to findings.

A finding is one line that names the object; no finding means that the rule holds.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from egress_operator.api.state import NOT_OBSERVED
from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Desired
from status.lint import lint_status
from testbed.client import Object, read_owners

from .convergence import check_convergence, read_destinations, to_key
from .cost import count_necessary_writes
from .evidence import (
    Evidence,
    Timeline,
    find_condition,
    is_labelled,
)
from .history import CHILDREN, ENTRY, POLICY, ROUTE, Change, Key, read_key

WRITES_PER_FAULT = 2
_RESOURCES = {"serviceentries": ENTRY, "virtualservices": ROUTE, "egresspolicies": POLICY}


def check_record(evidence: Evidence) -> Iterator[str]:
    """L0: the recorded history ends in what the API server has, so that nothing is missing."""
    end: dict[Key, Object] = {}
    for change in evidence.history:
        if change.after is None:
            end.pop(change.key, None)
        else:
            end[change.key] = change.after
    for key in sorted(end.keys() | evidence.objects.keys()):
        recorded, there = _read_version(end.get(key)), _read_version(evidence.objects.get(key))
        if recorded != there:
            yield f"{key} is recorded at revision {recorded or 'none'}, and at {there or 'none'}"


def check_orphan(evidence: Evidence) -> Iterator[str]:
    """L2: no object with our label has an owner that is gone, unless it is on hold."""
    there = {item["metadata"]["uid"] for item in evidence.select(POLICY)} | evidence.owners
    for key, item in evidence.objects.items():
        owners = read_owners(item)
        if key.kind in CHILDREN and is_labelled(item) and owners.isdisjoint(evidence.held):
            for uid in sorted(owners - there):
                yield f"{key} has the owner {uid}, which is gone"


def check_foreign(evidence: Evidence) -> Iterator[str]:
    """L3: the operator wrote to objects of its own and to the status of policies, no other."""
    for key, placed in evidence.squatters.items():
        if evidence.objects.get(key) is None:
            yield f"{key} was somebody else's and is gone"
        elif _read_version(evidence.objects[key]) != _read_version(placed):
            yield f"{key} is somebody else's and was changed"
    ours = {
        change.key
        for change in evidence.history
        if change.after is not None and is_labelled(change.after)
    } - evidence.squatters.keys()
    for record in evidence.records:
        what = f"{record.verb} {record.resource} {record.namespace}/{record.name}"
        if record.resource in _RESOURCES and record.resource != "egresspolicies":
            key = Key(_RESOURCES[record.resource], record.namespace, record.name)
            # The name of an object that is being created stands in the body alone.
            foreign = key in evidence.squatters or (key not in ours and record.code < 300)
            if record.name and foreign:
                yield f"{what} ({record.code}) is about somebody else's object"
        elif record.resource == "egresspolicies":
            if (record.verb, record.subresource) != ("patch", "status"):
                yield f"{what} touches more than a policy's status"
        elif (record.verb, record.resource) != ("create", "events"):
            yield f"{what} is no write that the operator may do"


def check_dangling(evidence: Evidence) -> Iterator[str]:
    """L4: at no revision a VirtualService of ours routes to a port that its host lacks.

    Excepted is what garbage collection does once every owner is deleted, because it is unordered:
    a VirtualService whose spec is as it was when its ServiceEntry was collected, and one whose
    owners are all deleted.
    """
    state: dict[Key, Object] = {}
    deleted: set[str] = set()
    excused: dict[Key, tuple[str, int]] = {}
    for change in evidence.history:
        if change.key.kind == POLICY:
            if change.after is None and change.before is not None:
                deleted.add(change.before["metadata"]["uid"])
            continue
        if change.key in evidence.squatters:
            continue
        route_key = Key(ROUTE, change.key.namespace, change.key.name)
        if change.after is not None:
            state[change.key] = change.after
        else:
            gone = state.pop(change.key, None)
            collected = gone is not None and _is_collectable(gone, deleted)
            if change.key.kind == ENTRY and collected and route_key in state:
                excused[route_key] = _read_spec_version(state[route_key])
        route = state.get(route_key)
        if route is None or not is_labelled(route) or _is_collectable(route, deleted):
            continue
        if excused.get(route_key) != _read_spec_version(route):
            entry = state.get(Key(ENTRY, route_key.namespace, route_key.name))
            for host, port in _find_missing(route, entry):
                yield (
                    f"at revision {change.revision}, when {_tell(change, evidence)}, {route_key} "
                    f"leads to {host}:{port}"
                )


def check_honesty(evidence: Evidence) -> Iterator[str]:
    """L5: no status of the past goes back, or says Ready before the objects were there."""
    timeline = Timeline(evidence.history)
    seen: dict[str, int] = {}
    begun: dict[tuple[str, int], Change] = {}
    told: set[tuple[str, int]] = set()
    for change in evidence.history:
        policy = change.after
        if change.key.kind != POLICY or policy is None:
            continue
        uid, generation = policy["metadata"]["uid"], policy["metadata"]["generation"]
        begun.setdefault((uid, generation), change)
        status = policy.get("status") or {}
        observed = status.get("observedGeneration", NOT_OBSERVED)
        where = f"{change.key} at revision {change.revision}"
        if observed < seen.get(uid, NOT_OBSERVED):
            yield f"{where}: observedGeneration went from {seen[uid]} to {observed}"
        seen[uid] = observed
        if status and observed == generation:
            yield from (f"{where}: {finding}" for finding in lint_status(status, generation))
        ready = find_condition(policy, "Ready")
        if ready.get("status") != "True" or (uid, ready["observedGeneration"]) in told:
            continue
        told.add((uid, ready["observedGeneration"]))
        start = begun.get((uid, ready["observedGeneration"]))
        if start is None:
            yield f"{where}: Ready for a generation that it never had"
            continue
        for lacking in _find_lacking(evidence, timeline, start, change.revision):
            yield f"{where}: Ready for generation {ready['observedGeneration']} before {lacking}"


def check_cost(evidence: Evidence) -> Iterator[str]:
    """L6: no more writes than every change needs one by one, and two for each fault.

    Each kill of the API server may be told once in the status of each policy.

    And none that changes nothing: each that was accepted stands in the history. Excepted is one
    for each object and kill of the API server: it logs a write before it answers, so an answer can
    be lost, and the write is repeated by an operator that cannot know.
    """
    written = count_writes(evidence)
    allowed = count_necessary_writes(evidence) + WRITES_PER_FAULT * evidence.faults
    allowed += evidence.drifts + evidence.outages * sum(1 for _ in evidence.select(POLICY))
    if written > allowed:
        yield f"{written} writes, where {allowed} are enough"
    made = Counter(change.key for change in evidence.history if _is_visible(change))
    accepted = Counter(
        Key(_RESOURCES[record.resource], record.namespace, record.name)
        for record in evidence.records
        if record.resource in _RESOURCES and 200 <= record.code < 300
    )
    for key in sorted(accepted):
        if accepted[key] > made[key] + evidence.outages:
            yield f"{key} was written {accepted[key]} times and changed {made[key]} times"


def count_writes(evidence: Evidence) -> int:
    """Count the operator's writes, its events left out."""
    return sum(record.resource != "events" for record in evidence.records)


def _is_visible(change: Change) -> bool:
    """Whether a write of the operator may have made the change."""
    before, after = change.before or {}, change.after or {}
    return change.key.kind != POLICY or before.get("status") != after.get("status")


def check_deletion(evidence: Evidence) -> Iterator[str]:
    """L7: what was deleted leaves nothing, and its successor of the same name starts afresh."""
    alive = {read_key(item): item["metadata"]["uid"] for item in evidence.select(POLICY)}
    first: dict[Key, str] = {}
    for change in evidence.history:
        policy = change.after
        if change.key.kind != POLICY or policy is None:
            continue
        metadata, status = policy["metadata"], policy.get("status") or {}
        original = first.setdefault(change.key, metadata["uid"])
        if change.before is None and status.get("conditions"):
            yield f"{change.key} has a status at its creation"
        where = f"{change.key} (made anew: {metadata['uid'] != original})"
        if status.get("observedGeneration", 0) > metadata["generation"]:
            yield f"{where} has the status of another one: generation {metadata['generation']}"
        for condition in status.get("conditions", ()):
            if condition["lastTransitionTime"] < metadata["creationTimestamp"]:
                yield f"{where} has the condition {condition['type']} from before its creation"
    dead = {
        change.before["metadata"]["uid"]: change.key
        for change in evidence.history
        if change.key.kind == POLICY and change.after is None and change.before is not None
    }
    for key, item in evidence.select_ours():
        owners = read_owners(item)
        for uid in sorted(owners & dead.keys()) if owners.isdisjoint(evidence.held) else ():
            owner = dead[uid]
            successor = ", which was made anew" if owner in alive else ""
            yield f"{key} is left of the deleted {owner}{successor}"


RULES: Mapping[str, Callable[[Evidence], Iterator[str]]] = {
    "L0 record": check_record,
    "L1 convergence": check_convergence,
    "L2 orphan": check_orphan,
    "L3 foreign": check_foreign,
    "L4 dangling": check_dangling,
    "L5 honesty": check_honesty,
    "L6 cost": check_cost,
    "L7 deletion": check_deletion,
}


def find_breaches(evidence: Evidence) -> list[str]:
    """List the findings of all rules, each led by its rule."""
    return [f"{name}: {found}" for name, rule in RULES.items() for found in rule(evidence)]


def _is_collectable(item: Object, deleted: set[str]) -> bool:
    owners = read_owners(item)
    return bool(owners) and owners <= deleted


def _find_missing(route: Object, entry: Object | None) -> list[tuple[str, int]]:
    """Name what a VirtualService routes to and the ServiceEntry does not offer."""
    spec = entry["spec"] if entry is not None and is_labelled(entry) else {}
    offered = {
        (host, port["number"]) for host in spec.get("hosts", ()) for port in spec.get("ports", ())
    }
    return sorted(read_destinations(route) - offered)


def _find_lacking(evidence: Evidence, timeline: Timeline, start: Change, end: int) -> Iterator[str]:
    """Name the objects that a generation of a policy needs and that were not there up to `end`.

    `start` brought the generation. Compiled from this policy alone: what it shares may have more
    ports and owners.
    """
    policy = start.after or {}
    uid, namespace = policy["metadata"]["uid"], policy["metadata"]["namespace"]
    plan = evidence.compile(namespace, [policy])
    if any(not verdict.accepted for verdict in plan.results.values()):
        yield "it was accepted"
    for group in plan.sets.values():
        for item in group.objects:
            states = timeline.find(to_key(item.key), start.revision, end)
            if not any(there and _serves(there, item, uid) for there in states):
                yield f"{item.key} was there"


def _serves(there: Object, wanted: Desired, uid: str) -> bool:
    """Whether an object has at least what is wanted."""
    field = "ports" if wanted.key.kind is Kind.SERVICE_ENTRY else "http"
    found = there["spec"].get(field, ())
    return (
        is_labelled(there)
        and uid in read_owners(there)
        and all(part in found for part in wanted.spec[field])
    )


def _read_version(item: Object | None) -> tuple[str, str] | None:
    """Return what tells whether an object is the same and unchanged."""
    if item is None:
        return None
    return item["metadata"]["uid"], item["metadata"]["resourceVersion"]


def _tell(change: Change, evidence: Evidence) -> str:
    """Tell what happened, and to what; of a deletion also whether the operator asked for it."""
    if change.after is not None:
        return f"{change.key} was {'created' if change.before is None else 'changed'}"
    asked = any(
        record.verb == "delete"
        and record.code < 300
        and _RESOURCES.get(record.resource) == change.key.kind
        and (record.namespace, record.name) == (change.key.namespace, change.key.name)
        for record in evidence.records
    )
    owners = ", ".join(sorted(read_owners(change.before or {"metadata": {}})))
    by = "the operator" if asked else "somebody else"
    return f"{change.key} of {owners or 'nobody'} was deleted by {by}"


def _read_spec_version(item: Object) -> tuple[str, int]:
    """Return what tells whether the spec is the same; the garbage collector edits metadata."""
    return item["metadata"]["uid"], item["metadata"]["generation"]
