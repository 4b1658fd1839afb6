"""`python -m bench.capacity [--policies N]`: what many small policies cost the operator.

Policies of four hosts each, in 100 namespaces, are created as fast as the API server takes them,
and then the operator is started again. CPU time and memory are those of the operator's process, so
a busy machine changes little but what is measured in seconds.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path

from bench.fairness import read_longest_hold
from bench.load import POLICIES, open_load
from bench.policy import build_policy
from bench.scenario import SUBMIT_IN_FLIGHT, fresh_plane, watching
from testbed.controlplane import ControlPlane
from testbed.operator import PREFIX, Idleness, Operator, OperatorOption, start_operator

NAMESPACES = 100
TIMEOUT_S = 1800.0
LOOK_S = 0.5
RSS_BAR = "≤ 130 MiB"
HOLD_BAR = "≤ 100 ms"


def main() -> None:
    """Measure and print a table with the bars of 5000 policies."""
    parser = argparse.ArgumentParser(prog="bench.capacity", description=__doc__)
    parser.add_argument("--policies", type=int, default=5000, help="how many (5000)")
    count: int = parser.parse_args().policies
    _say("policies of four hosts", f"{count} in {NAMESPACES} namespaces")
    _say("cores, and load before", f"{os.cpu_count()} and {os.getloadavg()[0]:.1f}")
    with fresh_plane(NAMESPACES) as plane:
        with start_operator(plane, OperatorOption()) as operator:
            _measure_creation(plane, operator, count)
        _measure_restart(plane)
    _say("load after", f"{os.getloadavg()[0]:.1f}")


def _measure_creation(plane: ControlPlane, operator: Operator, count: int) -> None:
    _say("RSS idle", f"{operator.resident_mib():.0f} MiB")
    before = _read_cpu_s(operator)
    seconds = asyncio.run(_create(plane, count))
    _wait_quiet(operator)
    _say("until all are Ready", f"{seconds:.1f} s, {count / seconds:.0f} policies/s")
    spent = 1000 * (_read_cpu_s(operator) - before) / count
    _say("CPU per policy", f"{spent:.1f} ms", "≤ 9 ms")
    _say("writes per policy", f"{_count_writes(operator) / count:.2f}", "5.00")
    _say("RSS", f"{operator.resident_mib():.0f} MiB", RSS_BAR)
    _say("loop held no longer than", f"{1000 * read_longest_hold(operator):.0f} ms", HOLD_BAR)


def _measure_restart(plane: ControlPlane) -> None:
    start = time.perf_counter()
    with start_operator(plane, OperatorOption()) as operator:
        _say("restart, until ready", f"{time.perf_counter() - start:.1f} s")
        _wait_quiet(operator)
        _say("restart, until quiet", f"{time.perf_counter() - start:.1f} s", "≤ 10 s")
        _say("restart, CPU", f"{_read_cpu_s(operator):.1f} s")
        _say("restart, writes in all", f"{_count_writes(operator):.0f}", "0")
        _say("restart, RSS", f"{operator.resident_mib():.0f} MiB", RSS_BAR)
        _say("restart, loop held", f"{1000 * read_longest_hold(operator):.0f} ms", HOLD_BAR)


def _say(figure: str, measured: str, bar: str = "") -> None:
    print(f"{figure:<24}  {measured:<26}  {bar}".rstrip(), flush=True)


def _wait_quiet(operator: Operator) -> None:
    """Wait until it has nothing to do; it is asked seldom, because each answer costs CPU time."""
    idleness = Idleness()
    while not idleness.look(operator):
        time.sleep(LOOK_S)


def _read_cpu_s(operator: Operator) -> float:
    """CPU seconds of the process since its start, in the kernel included."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _count_writes(operator: Operator) -> float:
    lines = operator.metrics().splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{PREFIX}writes_total")
    )


async def _create(plane: ControlPlane, count: int) -> float:
    """Create all policies; return the seconds from the first submit to the last Ready."""

    async def submit(number: int) -> None:
        namespace, name = keys[number]
        policy = build_policy(namespace, name)
        await load.send("POST", f"{POLICIES}/namespaces/{namespace}/egresspolicies", policy)

    keys = [(f"n{number % NAMESPACES}", f"p{number:04}") for number in range(count)]
    async with (
        open_load(plane.admin_kubeconfig, SUBMIT_IN_FLIGHT) as load,
        watching(load) as ready,
        asyncio.timeout(TIMEOUT_S),
    ):
        start = time.perf_counter()
        done = [ready.expect(*key) for key in keys]
        await asyncio.gather(*map(submit, range(count)))
        await asyncio.gather(*done)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
