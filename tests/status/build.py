"""Results and progress for tests of statuses."""

from collections.abc import Mapping
from typing import Any

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Owner
from egress_operator.istio.set_key import SetKey
from egress_operator.plan.plan import PolicyResult, plan_namespace
from egress_operator.plan.source import HandWritten, NamespaceInput
from egress_operator.plan.standing import HostStanding
from egress_operator.status.progress import SetProgress, SetState
from rollout.fake_cluster import build_policy

NOW = "2026-11-21T12:00:00Z"
LATER = "2026-11-21T13:00:00Z"
VALID = {"hosts": ["api.example.com", "files.example.com"]}
INSIDE = {"hosts": ["orders.pay.svc"]}
SHADOW = HandWritten("ServiceEntry", "legacy", "", ("api.example.com",))


def build_key(host: str, kind: Kind = Kind.SERVICE_ENTRY) -> ObjectKey:
    """Make the key of an object; its name does not matter here."""
    return ObjectKey(kind, "shop", host.replace(".", "-"))


def judge(
    destination: Mapping[str, Any] = VALID,
    *,
    generation: int = 1,
    paused: bool = False,
    shadowed: bool = False,
    conflicted: bool = False,
    kept: bool = False,
) -> PolicyResult:
    """Judge a policy `a`, beside an older one that claims api.example.com otherwise, if wanted.

    `kept`: it owns something of each host of `VALID`.
    """
    policies = [
        build_policy(
            "a",
            destination,
            generation=generation,
            paused=paused,
            created="2026-02-01T00:00:00Z",
        )
    ]
    if conflicted:
        other = {"hosts": ["api.example.com"], "addresses": ["203.0.113.1"]}
        policies.append(build_policy("older", other))
    owners = frozenset({Owner("a", policies[0].uid)})
    standing = tuple(HostStanding(host, owners) for host in VALID["hosts"]) if kept else ()
    inputs = NamespaceInput(
        "shop", tuple(policies), hand_written=(SHADOW,) if shadowed else (), standing=standing
    )
    return plan_namespace(inputs).results["a"]


def build_progress(
    verdict: PolicyResult,
    state: SetState = SetState.APPLIED,
    **fields: Any,  # noqa: ANN401 - fields
) -> dict[SetKey, SetProgress]:
    """Every group of a verdict in one state."""
    present = (lambda key: (build_key(str(key)),)) if state is SetState.APPLIED else lambda _: ()
    keys = (*verdict.set_keys, *verdict.kept)
    return {key: SetProgress(state, objects=present(key), **fields) for key in keys}
