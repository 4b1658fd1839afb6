"""`python -m bench.bounds`: the CPU time of the plan of a namespace, and its growth with the input.

No cluster is needed. `grows` is the factor to the line above: for n log n that of the time is about
that of the input. The operator plans in pieces: only one of them at a time holds its event loop, so
the longest one of a first plan (`piece`) is to take 100 ms at most.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from statistics import median

from egress_operator.istio.destination_rule import TRAFFIC
from egress_operator.istio.object import Owner
from egress_operator.istio.sidecar import read_sidecar
from egress_operator.plan.plan import PlanCache, plan_in_pieces, plan_namespace
from egress_operator.plan.source import HandWritten, NamespaceInput, PolicySource, Settings
from egress_operator.plan.standing import HostStanding

NAMESPACE = "shop"
CREATED = "2026-01-01T00:00:00Z"
REPEAT = 5
PORTS = [{"number": 1000 + number, "protocol": "TCP"} for number in range(16)]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    size: int
    """What grows."""
    build: Callable[[int], NamespaceInput]


def build_ranges(count: int) -> NamespaceInput:
    """Build `count` policies of 8 ranges with 16 ports, none of them in another."""
    return _build(
        [{"addresses": [_build_range(8 * number + row) for row in range(8)], "ports": PORTS}]
        for number in range(count)
    )


def build_addresses(count: int) -> NamespaceInput:
    """Build `count` policies of 8 hosts with 16 addresses and 16 ports."""
    return _build(
        [
            {
                "hosts": [f"h{number}-{row}.example.com"],
                "addresses": [f"11.{number // 32}.{number % 32 * 8 + row}.{n}" for n in range(16)],
                "ports": PORTS,
            }
            for row in range(8)
        ]
        for number in range(count)
    )


def build_names(count: int) -> NamespaceInput:
    """Build `count` policies of four hosts, all of which stand."""
    inputs = _build(
        [{"hosts": [f"h{number}-{n}.example.com" for n in range(4)]}] for number in range(count)
    )
    standing = tuple(
        HostStanding(f"h{number}-{n}.example.com", frozenset({Owner(policy.name, policy.uid)}))
        for number, policy in enumerate(inputs.policies)
        for n in range(4)
    )
    return replace(inputs, standing=standing)


def build_shared(count: int) -> NamespaceInput:
    """Build `count` policies of the same 64 hosts."""
    hosts = [[f"h{row}-{n}.example.com" for n in range(16)] for row in range(4)]
    return _build([{"hosts": found} for found in hosts] for _ in range(count))


def build_sidecars(count: int, *, others: int = 0) -> NamespaceInput:
    """Build 4 policies of 8 hosts with 16 ports, and `count` Sidecars for some pods each.

    `others`: listeners of other ports in each of these.
    """
    ports = [{**port, "protocol": "TLS"} for port in PORTS]
    inputs = _build(
        [{"hosts": [f"h{number}-{n}.example.com" for n in range(8)], "ports": ports}]
        for number in range(4)
    )
    listeners = [
        {"port": {"number": 20000 + number, "protocol": "TLS"}, "hosts": ["./*"]}
        for number in range(others)
    ]
    sidecars = tuple(
        read_sidecar(
            {
                "metadata": {"name": f"s{number:05}", "namespace": NAMESPACE},
                "spec": {
                    "workloadSelector": {"labels": {"app": f"a{number}"}},
                    "egress": [*listeners, {"hosts": ["./*.example.com"]}],
                },
            }
        )
        for number in range(count)
    )
    return replace(inputs, sidecars=sidecars)


def build_wildcards(count: int) -> NamespaceInput:
    """Build 50 policies of 64 hosts, and `count` VirtualServices of 200 wildcards by hand."""
    policies = _build(
        [{"hosts": [f"h{number}-{row}-{n}.example.com" for n in range(16)]} for row in range(4)]
        for number in range(50)
    )
    hand_written = tuple(
        HandWritten(
            "VirtualService",
            f"v{number}",
            "",
            tuple(f"*.x{number}-{n}.example.org" for n in range(200)),
        )
        for number in range(count)
    )
    return replace(policies, hand_written=hand_written)


def build_shadowed(count: int) -> NamespaceInput:
    """Build `count` policies of 4 hosts, and as many VirtualServices by hand for every host."""
    hand_written = (
        HandWritten("VirtualService", f"v{number:05}", CREATED, ("*", "*.example.com"))
        for number in range(count)
    )
    return replace(build_names(count), standing=(), hand_written=tuple(hand_written))


def build_rules(count: int) -> NamespaceInput:
    """Build a policy, and `count` DestinationRules by hand for its host that stand alone."""
    destination: dict[str, object] = {"hosts": ["a.example.com"], "originateTLS": {}}
    hand_written = (
        HandWritten(
            "DestinationRule",
            f"r{number:05}",
            CREATED,
            ("a.example.com",),
            (".", f"ns{number}"),
            (TRAFFIC,),
        )
        for number in range(count)
    )
    return replace(_build([[destination]]), hand_written=tuple(hand_written))


def build_below(count: int) -> NamespaceInput:
    """Build `count` policies of a wildcard and four names, all below another wildcard."""
    http = [{"number": 80, "protocol": "HTTP"}]
    return _build(
        [
            {"hosts": [f"*.h{number}.wild.example.com"], "ports": http},
            {"hosts": [f"h{n}.h{number}.wild.example.com" for n in range(4)], "ports": http},
            {"hosts": ["*.wild.example.com"], "ports": http},
        ]
        for number in range(count)
    )


def build_deep(count: int) -> NamespaceInput:
    """Build `count` policies of 64 TLS ports each with weights, of one host of 60 labels."""
    host = ".".join(["a"] * 60)
    backends = [
        {"name": name, "weight": 1, "endpoints": [{"address": f"{name}.example.com"}]}
        for name in ("one", "two")
    ]
    return _build(
        [
            {
                "hosts": [host],
                "ports": [
                    {"number": 10000 + 64 * number + 16 * part + index, "protocol": "TLS"}
                    for index in range(16)
                ],
                "backends": backends,
            }
            for part in range(4)
        ]
        for number in range(count)
    )


CASES = tuple(
    Case(name, size, build)
    for name, sizes, build in (
        ("policies of 8 ranges, 16 ports each", (1, 2, 4, 8, 16, 32, 64), build_ranges),
        ("policies of 8 hosts, 16 addresses, 16 ports", (16, 32, 64), build_addresses),
        ("policies of 4 hosts", (250, 500, 1000), build_names),
        ("Sidecars, 4 policies of 128 ports", (50, 500, 5000), build_sidecars),
        ("policies of the same 64 hosts", (25, 50, 100, 200), build_shared),
        ("x 200 wildcards, 3,200 hosts", (12, 25, 50, 100), build_wildcards),
        ("policies, each with a VirtualService for all", (50, 100, 200), build_shadowed),
        ("DestinationRules for one host", (500, 1000, 2000), build_rules),
        ("policies of 5 hosts below a wildcard", (20, 40, 80), build_below),
        ("policies of 64 TLS ports of one host of 60 labels", (2, 4, 8), build_deep),
    )
    for size in sizes
)


def main() -> None:
    """Measure all and print a table."""
    argparse.ArgumentParser(prog="bench.bounds", description=__doc__).parse_args()
    _print("input", "grows", "first plan", "grows", "an edit", "grows", "piece")
    before: tuple[Case, float, float] | None = None
    for case in CASES:
        first, edit = measure(case)
        grown = ["", "", ""]
        if before is not None and before[0].build is case.build:
            pairs = ((case.size, before[0].size), (first, before[1]), (edit, before[2]))
            grown = [f"{after / earlier:.1f}" for after, earlier in pairs]
        times = [f"{1000 * first:.0f} ms", f"{1000 * edit:.1f} ms"]
        held = f"{1000 * measure_piece(case):.0f} ms"
        name = f"{case.size:>4} {case.name}"
        _print(name, grown[0], times[0], grown[1], times[1], grown[2], held)
        before = (case, first, edit)


def _print(name: str, *cells: str) -> None:
    print(f"{name:<48}", *(f"{cell:>10}" for cell in cells), flush=True)


def measure(case: Case) -> tuple[float, float]:
    """Return the CPU seconds of the first plan, and the median of plans after an edit each."""
    inputs, memo = case.build(case.size), PlanCache()
    first = _time(inputs, memo)
    return first, median(_time(edited, memo) for edited in _edit(inputs))


def measure_piece(case: Case) -> float:
    """Return the CPU seconds of the longest piece of a first plan."""
    longest, start = 0.0, time.process_time()
    for _ in chain(plan_in_pieces(case.build(case.size), PlanCache()), [None]):
        now = time.process_time()
        longest, start = max(longest, now - start), now
    return longest


def _edit(inputs: NamespaceInput) -> Iterator[NamespaceInput]:
    oldest, *others = inputs.policies
    for number in range(REPEAT):
        edited = replace(oldest, generation=2 + number)
        yield replace(inputs, policies=(edited, *others))


def _time(inputs: NamespaceInput, memo: PlanCache) -> float:
    start = time.process_time()
    plan = plan_namespace(inputs, memo)
    seconds = time.process_time() - start
    if plan.held:
        raise AssertionError("a policy of the benchmark is not accepted")
    return seconds


def _build_range(number: int) -> str:
    return f"{11 + number // 65536}.{number // 256 % 256}.{number % 256}.0/24"


def _build(destinations: Iterable[list[dict[str, object]]]) -> NamespaceInput:
    policies = (
        PolicySource(NAMESPACE, f"p{number:04}", f"u{number}", 1, CREATED, {"destinations": found})
        for number, found in enumerate(destinations)
    )
    return NamespaceInput(NAMESPACE, tuple(policies), Settings(max_hosts_per_namespace=100_000))


if __name__ == "__main__":
    main()
