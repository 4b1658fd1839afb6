"""`plan_namespace`: the policies of a namespace in, the objects of each host and verdicts out."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.compiler.claim import Claim, judge
from egress_operator.compiler.host import CompiledHost, Group, compile_host
from egress_operator.compiler.memo import Memo, NamespaceMemo, PolicyMemo
from egress_operator.compiler.object import Owner
from egress_operator.compiler.shadow import find_shadows
from egress_operator.compiler.source import NamespaceInput
from egress_operator.compiler.verdict import ClaimState, ClaimVerdict, Verdict, build_verdict

__all__ = [
    "ClaimState",
    "ClaimVerdict",
    "Group",
    "Memo",
    "Plan",
    "Verdict",
    "plan_namespace",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of what a namespace should hold."""

    namespace: str
    groups: dict[str, Group]
    verdicts: dict[str, Verdict]
    """By policy name."""
    held: frozenset[Owner]
    """Policies that exist but may not change anything (not accepted, or paused): what they own is
    neither changed nor pruned, unless another policy claims it; they stay co-owners."""
    live: frozenset[Owner]
    """Policies that may change things: what they alone own and no longer claim is pruned."""


def plan_namespace(inputs: NamespaceInput, memo: Memo | None = None) -> Plan:
    """Compile all policies of one namespace. Pure but for `memo`, which never changes the result.

    With the same `memo` (one for all namespaces) a repeated call reads no unchanged policy and
    compiles no unchanged host again; unchanged groups and verdicts are the identical values of the
    call before. The order of the policies takes no part. Policies are identified by
    (uid, generation). Raises `ValueError` for a setting that is no CIDR, never for a policy.
    """
    part = (Memo() if memo is None else memo).open(inputs)
    policies = part.read_policies(inputs)
    hosts = _compile_hosts(inputs.namespace, policies, part)
    shadows = find_shadows(inputs.hand_written, hosts) if inputs.hand_written else {}
    return Plan(
        namespace=inputs.namespace,
        groups={
            key: compiled.group for key, compiled in hosts.items() if compiled.group is not None
        },
        verdicts={policy.source.name: _find_verdict(policy, hosts, shadows) for policy in policies},
        held=frozenset(policy.owner for policy in policies if not policy.is_live),
        live=frozenset(policy.owner for policy in policies if policy.is_live),
    )


def _compile_hosts(
    namespace: str, policies: list[PolicyMemo], part: NamespaceMemo
) -> dict[str, CompiledHost]:
    """Judge and compile every host; one whose claims are those of the last call is not made again.

    Hosts with addresses are judged together, because addresses are claimed across hosts.
    """
    claims: dict[str, list[Claim]] = {}
    coupled: set[str] = set()
    for policy in policies:
        for claim in policy.live_claims:
            found = claims.get(claim.key)
            if found is None:
                claims[claim.key] = [claim]
            else:
                found.append(claim)
        coupled.update(policy.coupled)
    known, part.hosts = part.hosts, {}
    hosts: dict[str, CompiledHost] = {}
    for key, own in claims.items():
        if key in coupled:
            continue
        entry = known.get(key)
        if entry is None or entry[0] != own:
            entry = (own, compile_host(namespace, key, judge(own)[key]))
        part.hosts[key] = entry
        hosts[key] = entry[1]
    hosts.update(_compile_coupled(namespace, policies, coupled, part))
    return hosts


def _compile_coupled(
    namespace: str, policies: list[PolicyMemo], coupled: set[str], part: NamespaceMemo
) -> dict[str, CompiledHost]:
    """Return the same for the hosts of `coupled`, whose claims are judged together."""
    together = [
        claim
        for policy in policies
        if coupled and not coupled.isdisjoint(policy.live_keys)
        for claim in policy.live_claims
        if claim.key in coupled
    ]
    if part.coupled_claims != together:
        known, part.coupled_hosts = part.coupled_hosts, {}
        part.coupled_claims = together
        for key, verdicts in judge(together).items():
            entry = known.get(key)
            if entry is None or entry[0] != verdicts:
                entry = (verdicts, compile_host(namespace, key, verdicts))
            part.coupled_hosts[key] = entry
    return {key: entry[1] for key, entry in part.coupled_hosts.items()}


def _find_verdict(
    policy: PolicyMemo, hosts: Mapping[str, CompiledHost], shadows: Mapping[str, tuple[str, ...]]
) -> Verdict:
    """Return the verdict on a policy: that of the last call if nothing it depends on changed."""
    own = [hosts[key] for key in policy.live_keys]
    seen = (
        tuple(sentence for key in policy.live_keys for sentence in shadows.get(key, ()))
        if shadows
        else ()
    )
    before = policy.verdict
    if before is not None and policy.verdict_hosts == own and policy.verdict_shadows == seen:
        return before
    verdict = build_verdict(policy.source, policy.diagnostics, policy.build_rows(own), seen)
    policy.verdict, policy.verdict_hosts, policy.verdict_shadows = verdict, own, seen
    return verdict
