"""What the demo prints: plain lines, nothing cut, readable in a log."""

import sys
import textwrap
from collections.abc import Callable, Mapping
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
    facts = "; ".join(_FACTS[item["kind"]](item["spec"]))
    return f"{item['kind']} {item['metadata']['name']}: {facts}"


def _describe_entry(spec: Object) -> list[str]:
    ports = " ".join(f"{port['protocol']} {port['number']}" for port in spec["ports"])
    resolution = spec.get("resolution", "NONE")
    if resolution == "STATIC" and not spec.get("endpoints"):
        resolution = "no endpoints: nothing gets out without a route"
    addresses = [f"to {address}" for address in spec.get("addresses", ())]
    return [", ".join(spec["hosts"]), ports, resolution, *addresses]


def _describe_route(spec: Object) -> list[str]:
    facts = [", ".join(spec["hosts"])]
    for rule in (*spec.get("http", ()), *spec.get("tls", ()), *spec.get("tcp", ())):
        if "directResponse" in rule:
            facts.append(f"the others get {rule['directResponse']['status']}")
        labels = [
            match["sourceLabels"] for match in rule.get("match", ()) if "sourceLabels" in match
        ]
        facts += [f"for {key}={value}" for chosen in labels for key, value in chosen.items()]
        hosts = [route["destination"]["host"] for route in rule.get("route", ())]
        facts += [f"to {host}" for host in hosts if host not in spec["hosts"]]
        facts += [f"timeout {rule['timeout']}"] if "timeout" in rule else []
        tries = rule.get("retries", {}).get("attempts", 0)
        facts += [f"{tries} retries"] if tries else []
    return facts


def _describe_rule(spec: Object) -> list[str]:
    policies = [
        spec.get("trafficPolicy", {}),
        *(s["trafficPolicy"] for s in spec.get("subsets", ())),
    ]
    names = [policy["tls"]["sni"] for policy in policies if "tls" in policy]
    return [spec["host"], *(f"TLS as {name}" for name in names)]


def _describe_gateway(spec: Object) -> list[str]:
    return [host for server in spec["servers"] for host in server["hosts"]]


_FACTS: Mapping[str, Callable[[Object], list[str]]] = {
    "ServiceEntry": _describe_entry,
    "VirtualService": _describe_route,
    "DestinationRule": _describe_rule,
    "Gateway": _describe_gateway,
}


def describe_ready(policy: Object) -> str:
    """Return the condition Ready in one line."""
    for condition in policy.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            return f"Ready={condition['status']} {condition['reason']}: {condition['message']}"
    return "no status yet"
