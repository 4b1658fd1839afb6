"""How many writes a history of policies needs when each change is followed at once.

An operator that sees several changes together needs fewer, so this is an upper bound.
"""

from collections.abc import Iterator

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Desired
from egress_operator.plan.plan import Plan, PlanCache, plan_namespace
from egress_operator.plan.source import NamespaceInput
from testbed.client import Object

from .evidence import Evidence
from .history import POLICY, Change


def count_necessary_writes(evidence: Evidence) -> int:
    """Count the writes of objects and statuses over the whole history."""
    memo = PlanCache()
    policies: dict[str, dict[str, Object]] = {}
    plans: dict[str, Plan] = {}
    total = 0
    for change in _select_spec_changes(evidence):
        namespace = change.key.namespace
        there = policies.setdefault(namespace, {})
        if change.after is None:
            there.pop(change.key.name, None)
        else:
            there[change.key.name] = change.after
        plan = evidence.compile(namespace, there.values(), memo)
        before = plans.get(namespace) or plan_namespace(NamespaceInput(namespace, ()))
        total += _count_objects(before, plan) + _count_statuses(before, plan)
        plans[namespace] = plan
    return total


def _select_spec_changes(evidence: Evidence) -> Iterator[Change]:
    """Give the changes of policies that are more than a status."""
    for change in evidence.history:
        if change.key.kind != POLICY:
            continue
        before, after = change.before, change.after
        if before is None or after is None or _identify(before) != _identify(after):
            yield change


def _identify(policy: Object) -> tuple[str, int]:
    return policy["metadata"]["uid"], policy["metadata"]["generation"]


def _count_objects(before: Plan, after: Plan) -> int:
    old, new = _index(before), _index(after)
    alive = after.live | after.held
    count = 0
    for key in old.keys() | new.keys():
        was, wanted = old.get(key), new.get(key)
        if wanted is None:
            # Where all owners are gone, garbage collection deletes it.
            count += was is not None and not alive.isdisjoint(was.owners)
        elif was is None:
            count += 1
        else:
            count += (was.spec_digest, was.owners) != (wanted.spec_digest, wanted.owners)
            # A port that goes stays until no route needs it: one write more.
            count += key.kind is Kind.SERVICE_ENTRY and not set(was.facts.ports) <= set(
                wanted.facts.ports
            )
    return count


def _count_statuses(before: Plan, after: Plan) -> int:
    return sum(before.results.get(name) != verdict for name, verdict in after.results.items())


def _index(plan: Plan) -> dict[ObjectKey, Desired]:
    return {item.key: item for group in plan.sets.values() for item in group.objects}
