"""`python -m bench.fairness`: what one tenant feels beside another one that writes without a pause.

The noisy tenant edits the largest policies that a gateway's limits let it have, as fast as the API
server takes them. Beside it, a quiet tenant writes small policies, and another one loses the right
to use the gateway. Requests in flight and settle are the defaults of the operator. On a machine
that is busy, compare with what a write by the benchmark itself takes.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from statistics import median, quantiles
from typing import Any

from bench.load import MERGE, NETWORKING, POLICIES, Load, Object, open_load
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.operator import PREFIX, Operator, OperatorOption, start_operator

SECURITY = "/apis/security.istio.io/v1/namespaces/istio-egress/authorizationpolicies"
NAMESPACE_ANNOTATION = "egress-operator.io/namespace"
NOISY_POLICIES, NOISY_HOSTS, NOISY_PORTS = 3, 2, 16
"""96 servers at the gateway: the most that the default limit of 100 lets through."""
WARM_S = 5.0
SINGLES, WITHDRAWALS = 60, 8
PAUSE_S = 0.2
TIMEOUT_S = 60.0


def main() -> None:
    """Measure without and beside the noisy tenant, and print a table."""
    argparse.ArgumentParser(prog="bench.fairness", description=__doc__).parse_args()
    print(f"{'figure':<52} {'alone':>22} {'beside the noisy one':>22}  goal")
    alone, beside = measure(noisy=False), measure(noisy=True)
    for (figure, goal), left, right in zip(FIGURES, alone, beside, strict=True):
        print(f"{figure:<52} {left:>22} {right:>22}  {goal}", flush=True)


FIGURES = (
    ("a write by the benchmark itself, p50 and p99", ""),
    ("first write of a small policy, p50 and p99", "p99 ≤ 100 ms"),
    ("withdrawn permission gone, median and most", "≤ 1 s"),
    ("edits of the noisy tenant per second", ""),
    ("the operator's loop was never held for more than", "≤ 100 ms"),
)


def measure(*, noisy: bool) -> tuple[str, ...]:
    """Measure on a control plane of its own; the cells of one column."""
    option = ControlPlaneOption(controller_manager=False, definitions=load_all_crds())
    with start_control_plane(option) as plane, start_operator(plane, OperatorOption()) as operator:
        _prepare(plane)
        cells = asyncio.run(_measure(plane, noisy=noisy))
        return (*cells, f"{1000 * read_longest_hold(operator):.0f} ms")


async def _measure(plane: ControlPlane, *, noisy: bool) -> tuple[str, ...]:
    async with (
        open_load(plane.admin_kubeconfig, 16) as load,
        _disturbing(load, noisy=noisy) as edits,
    ):
        await asyncio.sleep(WARM_S)
        start = time.perf_counter()
        raw, singles = await _measure_singles(load)
        withdrawals = await _measure_withdrawals(load)
        rate = len(edits) / (time.perf_counter() - start + WARM_S)
    return (
        _show(raw),
        _show(singles),
        f"{median(withdrawals):.2f} and {max(withdrawals):.2f} s",
        f"{rate:.1f}",
    )


def read_longest_hold(operator: Operator) -> float:
    """Return the bound of the bucket that the longest hold of the event loop fell into, seconds."""
    start = f'{PREFIX}loop_hold_seconds_bucket{{le="'
    found = (
        line.removeprefix(start).split('"} ')
        for line in operator.metrics().splitlines()
        if line.startswith(start)
    )
    counts = {float(bound): float(count) for bound, count in found}
    return min(bound for bound, count in counts.items() if count == counts[float("inf")])


def _show(seconds: list[float]) -> str:
    p99 = quantiles(seconds, n=100)[98]
    return f"{1000 * median(seconds):.0f} and {1000 * p99:.0f} ms"


async def _measure_singles(load: Load) -> tuple[list[float], list[float]]:
    """Return the seconds that a policy took to be stored, and those until its first object."""
    seen: dict[str, asyncio.Event] = {}
    raw, times = [], []
    async with _watching(
        load, f"{NETWORKING}/namespaces/quiet/serviceentries", lambda item: _ring(seen, item)
    ):
        for number in range(SINGLES):
            host = f"h{number}.example.org"
            seen[host] = asyncio.Event()
            start = time.perf_counter()
            await _create(load, "quiet", f"p{number}", {"destinations": [{"hosts": [host]}]})
            stored = time.perf_counter()
            raw.append(stored - start)
            async with asyncio.timeout(TIMEOUT_S):
                await seen[host].wait()
            times.append(time.perf_counter() - stored)
            await asyncio.sleep(PAUSE_S)
    return raw, times


def _ring(seen: dict[str, asyncio.Event], event: Object) -> None:
    for host in event["object"]["spec"]["hosts"]:
        if host in seen:
            seen[host].set()


async def _measure_withdrawals(load: Load) -> list[float]:
    """Return the seconds from the edit of a namespace's labels to the end of its permission."""
    spec = {"gatewayRef": {"name": "shared"}, "destinations": [{"hosts": ["w.example.org"]}]}
    changed = asyncio.Event()
    there = False

    def note(event: Object) -> None:
        nonlocal there
        if event["object"]["metadata"].get("annotations", {}).get(NAMESPACE_ANNOTATION) == "left":
            there = event["type"] != "DELETED"
            changed.set()

    times = []
    async with _watching(load, SECURITY, note):
        await _create(load, "left", "p", spec)
        for _ in range(WITHDRAWALS):
            for label in ("shared", None):
                start = time.perf_counter()
                await _label(load, "left", label)
                async with asyncio.timeout(TIMEOUT_S):
                    while there is not (label is not None):
                        changed.clear()
                        await changed.wait()
            times.append(time.perf_counter() - start)
    return times


@asynccontextmanager
async def _watching(load: Load, path: str, note: Callable[[Object], None]) -> AsyncIterator[None]:
    async def run() -> None:
        async for event in load.watch(path):
            note(event)

    async with _running(run()):
        await asyncio.sleep(0.5)
        yield


@asynccontextmanager
async def _disturbing(load: Load, *, noisy: bool) -> AsyncIterator[list[int]]:
    """Let the noisy tenant edit its policies all the time; gather its edits."""
    edits: list[int] = []

    async def edit(name: str, number: int) -> None:
        await _create(load, "noisy", name, _build_large(number, 0))
        for turn in count(1):
            path = f"{POLICIES}/namespaces/noisy/egresspolicies/{name}"
            await load.send("PATCH", path, {"spec": _build_large(number, turn)}, MERGE)
            edits.append(turn)

    async def edit_all() -> None:
        await asyncio.gather(*(edit(f"p{number}", number) for number in range(NOISY_POLICIES)))

    async with _running(edit_all() if noisy else asyncio.sleep(0)):
        yield edits


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do the work beside the context; what it raises is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _build_large(number: int, turn: int) -> Object:
    """Build a policy whose ports differ from turn to turn: every object behind it changes."""
    first = 1000 + turn % 2 * 1000
    return {
        "gatewayRef": {"name": "shared"},
        "from": {"serviceAccounts": ["checkout"]},
        "destinations": [
            {
                "hosts": [f"n{number}-{host}.example.com" for host in range(NOISY_HOSTS)],
                "ports": [
                    {"number": first + port, "protocol": "TLS"} for port in range(NOISY_PORTS)
                ],
            }
        ],
    }


async def _create(load: Load, namespace: str, name: str, spec: Object) -> None:
    path = f"{POLICIES}/namespaces/{namespace}/egresspolicies"
    await load.send(
        "POST",
        path,
        {
            "apiVersion": "egress-operator.io/v1alpha1",
            "kind": "EgressPolicy",
            "metadata": {"name": name},
            "spec": spec,
        },
    )


async def _label(load: Load, namespace: str, label: str | None) -> None:
    body = {"metadata": {"labels": {"egress": label}}}
    await load.send("PATCH", f"/api/v1/namespaces/{namespace}", body, MERGE)


def _prepare(plane: ControlPlane) -> None:
    """Make the namespaces, and the gateway that all but the quiet tenant may use."""
    for name, label in (("istio-egress", ""), ("quiet", ""), ("left", ""), ("noisy", "shared")):
        metadata: Object = {"name": name, "labels": {"egress": label}}
        plane.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    plane.admin.create(
        {
            "apiVersion": "egress-operator.io/v1alpha1",
            "kind": "EgressGateway",
            "metadata": {"name": "shared"},
            "spec": {
                "namespace": "istio-egress",
                "selector": {"istio": "egressgateway"},
                "service": {"name": "istio-egressgateway", "port": 443},
                "namespaces": {"matchLabels": {"egress": "shared"}},
                "authorization": "Managed",
            },
        }
    )


if __name__ == "__main__":
    main()
