"""To the end: every group in turn, from what is there to what is planned."""

from collections.abc import Iterable

from egress_operator.istio.object import Observed
from egress_operator.istio.object_set import ObjectSet
from egress_operator.plan.gateway import judge_gateways
from egress_operator.rollout.write import Step, Write
from rollout.fake_cluster import EPSILON
from rollout.invariant import InvariantChecker
from rollout.policy_set import PolicySet


def list_steps(checker: InvariantChecker) -> list[Step]:
    """Ask for the next step of every group, all from the same state."""
    cluster = checker.cluster
    observed = cluster.observe()
    steps = []
    for plan in checker.plans:
        for group in cluster.list_sets(plan):
            step = cluster.compute_step(plan, group, observed)
            check_withdrawal(observed, group, step)
            steps.append(step)
    return steps


def converge(checker: InvariantChecker, policy_set: PolicySet, limit: int = 40) -> list[Write]:
    """Go on to the end with every group in turn; the writes in their order.

    What waits for a policy on hold, or for the garbage collector, waits for ever.
    """
    checker.begin(policy_set)
    start = len(checker.writes)
    idle = 0
    while idle < limit:
        checker.plans = policy_set.plan(checker.cluster)
        steps = list_steps(checker)
        writes = [write for step in steps for write in step.writes]
        waits = [step.wait for step in steps if step.wait is not None]
        for write in writes:
            checker.send(write)
        idle = 0 if writes else idle + 1
        if not writes and not waits:
            return checker.writes[start:]
        checker.pass_time(0.01 if writes else max(EPSILON, min(waits)))
        assert len(checker.writes) < start + 500, "it does not converge"
    ours = (item for item in checker.cluster.observe() if item.ours)
    gone = any(item.owners.isdisjoint(checker.living) for item in ours)
    assert gone or any(plan.held for plan in checker.plans), "it waits for ever"
    return checker.writes[start:]


def finish(checker: InvariantChecker, policy_set: PolicySet) -> None:
    """Go on to the end: what is planned is there, and nothing is left to do."""
    converge(checker, policy_set)
    plans = policy_set.plan(checker.cluster)
    verdicts = judge_gateways(policy_set.gateways, policy_set.settings)
    if all(verdict.gateway for verdict in verdicts.values()) and not any(
        plan.held for plan in plans
    ):
        assert checker.cluster.is_as_planned(*plans)
    assert converge(checker, policy_set) == []


def check_withdrawal(observed: Iterable[Observed], group: ObjectSet, step: Step) -> None:
    """Check that a withdrawn permission goes before anything else is written at its gateway."""
    if group.access is None:
        return
    there = {item.key for item in observed if item.ours}
    if withdrawn := group.access.withdrawn & there:
        assert {write.key for write in step.writes} == withdrawn
