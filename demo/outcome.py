"""Requests in the words of the demo. Pure."""

from testbed.request import REACHED, Outcome
from testbed.request import call as build_call


def describe_request(workload: str, call: str, outcome: Outcome) -> str:
    """Tell who asked for what, and what came of it."""
    return f"{workload:<13} {call:<34} {describe_outcome(call, outcome)}"


def describe_outcome(call: str, outcome: Outcome) -> str:
    """Tell what came of a request; the server is named where it is not the called host."""
    if outcome.verdict in REACHED:
        answer = str(outcome.status) if outcome.status else "answered"
        server = "" if outcome.server == build_call(call).host else f"by {outcome.server}, "
        return f"{answer} {outcome.verdict} ({server}from {outcome.peer})"
    if outcome.status and str(outcome.status) not in outcome.verdict:
        return f"{outcome.verdict} ({outcome.status})"
    return str(outcome.verdict)
