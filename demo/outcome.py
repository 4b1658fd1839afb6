"""Requests in the words of the demo. Pure."""

from demo.act import SPARE_HOSTS
from testbed.request import REACHED, UNRESOLVED, Outcome
from testbed.request import call as build_call


def describe_request(workload: str, call: str, outcome: Outcome, *, has_peer: bool = True) -> str:
    """Tell who asked for what, and what came of it; if asked for, the address the server saw."""
    return f"{workload:<13} {call:<34} {describe_outcome(call, outcome, has_peer=has_peer)}"


def describe_outcome(call: str, outcome: Outcome, *, has_peer: bool = True) -> str:
    """Tell what came of a request; the server is named where it is not the called host."""
    if outcome.verdict in REACHED:
        answer = f"{outcome.status} {outcome.verdict}" if outcome.status else str(outcome.verdict)
        facts = [] if outcome.server == build_call(call).host else [f"by {outcome.server}"]
        facts += [f"from {outcome.peer}"] if has_peer else []
        return f"{answer} ({', '.join(facts)})" if facts else answer
    if outcome.status and str(outcome.status) not in outcome.verdict:
        return f"{outcome.verdict} ({outcome.status})"
    return str(outcome.verdict)


def describe_hint(outcome: Outcome) -> str:
    """Tell what one may not know about this outcome; "" when there is nothing to tell."""
    if outcome.verdict is not UNRESOLVED:
        return ""
    return f"the demo's DNS knows only the hosts of its samples and {', '.join(SPARE_HOSTS)}"
