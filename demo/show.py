"""What the demo prints: plain lines, nothing cut, readable in a log."""

import sys
import textwrap
from dataclasses import dataclass

from testbed.client import Object
from testbed.request import REACHED, Outcome

LABEL_WIDTH = 9
WIDTH = 100


@dataclass
class Show:
    """Prints the demo. Progress goes to standard error."""

    def progress(self, text: str) -> None:
        """Say what is under way."""
        print(f"demo: {text}", file=sys.stderr, flush=True)

    def title(self, text: str) -> None:
        """Begin a part."""
        print(f"\n== {text} ".ljust(WIDTH, "="), flush=True)

    def text(self, text: str) -> None:
        """Print prose, wrapped."""
        print(textwrap.fill(text, WIDTH), flush=True)

    def block(self, text: str) -> None:
        """Print YAML or the like, indented."""
        print(textwrap.indent(text.strip("\n"), "    ") + "\n", flush=True)

    def line(self, label: str, text: str) -> None:
        """Print one fact."""
        print(f"  {label:<{LABEL_WIDTH}} {text}", flush=True)


def describe_request(workload: str, call: str, outcome: Outcome) -> str:
    """Say who asked what, and what came of it."""
    return f"{workload:<14} {call:<38} {describe_outcome(outcome)}"


def describe_outcome(outcome: Outcome) -> str:
    """Say what came of a request, in words."""
    if outcome.verdict in REACHED:
        status = f"{outcome.status}, " if outcome.status else ""
        return f"{status}{outcome.server} answered and saw {outcome.peer} ({outcome.verdict})"
    status = f" ({outcome.status})" if outcome.status else ""
    return f"{outcome.verdict}{status}"


def describe_object(item: Object) -> str:
    """Say what an Istio object is, in one line."""
    spec = item["spec"]
    facts = [", ".join(spec["hosts"])]
    if "ports" in spec:
        facts.append(" ".join(f"{port['protocol']} {port['number']}" for port in spec["ports"]))
        facts.append(spec.get("resolution", "NONE"))
    facts += [f"to {address}" for address in spec.get("addresses", ())]
    for route in spec.get("http", ()):
        facts += [f"timeout {route['timeout']}"] if "timeout" in route else []
        facts += [f"{route['retries']['attempts']} retries"] if "retries" in route else []
    return f"{item['kind']} {item['metadata']['name']}: {'; '.join(facts)}"


def describe_ready(policy: Object) -> str:
    """Return the condition Ready in one line."""
    for condition in policy.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            return f"Ready={condition['status']} {condition['reason']}: {condition['message']}"
    return "no status yet"
