"""`python -m bench [--quick]`: measure and print a table on standard output."""

import argparse
import sys
from statistics import median

from bench import scenario
from bench.load import Object


def main() -> None:
    """Measure everything, saying on standard error what is under way."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="300 policies only, two rounds (about 2 minutes)"
    )
    quick: bool = parser.parse_args().quick
    rounds = 2 if quick else 3
    sizes = (300,) if quick else (300, 1000)
    rows = [("figure", "measured", "bar")]
    _say("status to copy")
    status = scenario.read_status()
    for size in sizes:
        rows += _measure_burst(size, rounds, status)
    _say("writes for each policy")
    writes = scenario.measure_writes(50)
    rows += [
        ("writes, create", f"{writes.create:.2f}", "5"),
        ("writes, one of four hosts changed", f"{writes.update:.2f}", "2"),
        ("writes, restart, in all", str(writes.restart), "0"),
        (f"writes, {scenario.IDLE_S:.0f} idle s, in all", str(writes.idle), "0"),
    ]
    _say("one policy at a time")
    raw, ours = scenario.measure_singles(status)
    rows += [
        ("one policy, raw client, p50 and p99", f"{raw.p50:.1f} and {raw.p99:.1f} ms", ""),
        ("one policy, create to Ready, p50", f"{ours.p50:.1f} ms", "≤ 25 ms"),
        ("one policy, create to Ready, p99", f"{ours.p99:.1f} ms", ""),
        ("one policy, ratio of p50", f"{ours.p50 / raw.p50:.2f}", "≤ 1.25"),
    ]
    _print(rows)


def _measure_burst(size: int, rounds: int, status: Object) -> list[tuple[str, str, str]]:
    ratios, rates, raw_rates, grown = [], [], [], []
    for number in range(rounds):
        _say(f"{size} policies, round {number + 1} of {rounds}")
        raw = scenario.measure_raw_burst(size, status)
        rate, idle, after = scenario.measure_operator_burst(size)
        rates.append(rate)
        raw_rates.append(raw)
        ratios.append(rate / raw)
        grown.append((idle, after))
    rss = max(after for _, after in grown)
    return [
        (f"{size} policies, raw client", f"{median(raw_rates):.0f} policies/s", ""),
        (f"{size} policies, operator", f"{median(rates):.0f} policies/s", ""),
        (
            f"{size} policies, ratio",
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            "≥ 0.90",
        ),
        (f"RSS idle, before {size} policies", f"{max(idle for idle, _ in grown):.0f} MiB", ""),
        (f"RSS after {size} policies", f"{rss:.0f} MiB", f"≤ {75 + 8 * size / 1000:.0f} MiB"),
    ]


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _print(rows: list[tuple[str, str, str]]) -> None:
    width = max(len(row[0]) for row in rows)
    second = max(len(row[1]) for row in rows)
    for figure, measured, bar in rows:
        print(f"{figure:<{width}}  {measured:<{second}}  {bar}".rstrip())


if __name__ == "__main__":
    main()
