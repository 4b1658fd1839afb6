"""What is measured. Each burst runs on a control plane of its own, with an empty etcd."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from statistics import quantiles
from typing import NamedTuple

from bench.load import MERGE, NETWORKING, POLICIES, Load, Object, ReadyWatch, open_load
from bench.policy import build_children, build_policy
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.operator import Operator, OperatorOption, start_operator

NAMESPACES = 10
RAW_IN_FLIGHT = 64
SUBMIT_IN_FLIGHT = 16
QUIET_S = 3.0
IDLE_S = 60.0
SINGLES = 100
BURST_TIMEOUT_S = 300.0

Children = list[tuple[str, Object]]
"""What `build_children` returns."""


@dataclass(frozen=True)
class Writes:
    """Writes of the operator for each policy, by the audit log; `restart` and `idle` in all."""

    create: float
    update: float
    restart: int
    idle: int


class Times(NamedTuple):
    """How long many singles took, in milliseconds."""

    p50: float
    p99: float


@contextmanager
def fresh_plane(namespaces: int = NAMESPACES, *, audit: bool = False) -> Iterator[ControlPlane]:
    """Start a control plane with all CRDs and the benchmark's namespaces; no garbage collector."""
    option = ControlPlaneOption(controller_manager=False, audit=audit, definitions=load_all_crds())
    with start_control_plane(option) as plane:
        for number in range(namespaces):
            plane.admin.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{number}"}}
            )
        yield plane


def measure_operator_burst(count: int) -> tuple[float, float, float]:
    """Policies per second from the first submit to the last Ready; RSS in MiB before and after."""
    with fresh_plane() as plane, start_operator(plane, OperatorOption()) as operator:
        before = operator.resident_mib()
        seconds = asyncio.run(_burst_operator(plane, count))
        return count / seconds, before, operator.resident_mib()


def measure_raw_burst(count: int, status: Object) -> float:
    """Policies per second of a client that writes the same requests and nothing else."""
    with fresh_plane() as plane:
        return count / asyncio.run(_burst_raw(plane, count, status))


def measure_singles(status: Object) -> tuple[Times, Times]:
    """Measure one policy at a time on an idle system: a raw client, and from create to Ready.

    The raw client sends the same requests to a control plane of its own. Both take turns, so that
    whatever else the machine does meets both.
    """
    with fresh_plane() as bare, fresh_plane() as plane, start_operator(plane, OperatorOption()):
        raw, ours = asyncio.run(_create_in_turn(bare, plane, status))
    return _cut(raw), _cut(ours)


def measure_writes(count: int) -> Writes:
    """Count the operator's writes on create, on a change of one host, at a restart, when idle."""
    with fresh_plane(audit=True) as plane:
        with start_operator(plane, OperatorOption()) as operator:
            created = _count_writes(plane, operator, lambda: _burst_operator(plane, count))
            updated = _count_writes(plane, operator, lambda: _burst_operator(plane, count, 8443))
            idle = _count_writes(plane, operator, lambda: asyncio.sleep(IDLE_S))
        start = plane.audit.position()
        with start_operator(plane, OperatorOption()) as operator:
            time.sleep(QUIET_S)
            restart = len(plane.audit.records(since=start, user=operator.user, writes=True))
    return Writes(created / count, updated / count, restart, idle)


def read_status() -> Object:
    """Let the operator make one policy Ready and return its status, for the raw client to write."""
    with fresh_plane() as plane, start_operator(plane, OperatorOption()):
        asyncio.run(_burst_operator(plane, 1))
        policy = plane.admin.get("egress-operator.io/v1alpha1", "EgressPolicy", *_identify(0)[::-1])
    status: Object = policy["status"]
    return status


def _count_writes(
    plane: ControlPlane, operator: Operator, act: Callable[[], Awaitable[object]]
) -> int:
    start = plane.audit.position()

    async def run() -> None:
        await act()
        await asyncio.sleep(QUIET_S)

    asyncio.run(run())
    return len(plane.audit.records(since=start, user=operator.user, writes=True))


def _identify(number: int) -> tuple[str, str]:
    return f"n{number % NAMESPACES}", f"p{number:04}"


@asynccontextmanager
async def watching(load: Load) -> AsyncIterator[ReadyWatch]:
    """Follow all policies while the context lasts."""
    ready = ReadyWatch()
    task = asyncio.create_task(ready.run(load))
    await asyncio.sleep(0.5)
    try:
        yield ready
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _burst_operator(plane: ControlPlane, count: int, port: int = 443) -> float:
    async with (
        open_load(plane.admin_kubeconfig, SUBMIT_IN_FLIGHT) as load,
        watching(load) as ready,
        asyncio.timeout(BURST_TIMEOUT_S),
    ):
        start = time.perf_counter()
        done = [ready.expect(*_identify(number)) for number in range(count)]
        await asyncio.gather(*(_submit(load, number, port) for number in range(count)))
        await asyncio.gather(*done)
        return time.perf_counter() - start


async def _submit(load: Load, number: int, port: int = 443) -> Object:
    namespace, name = _identify(number)
    policy = build_policy(namespace, name, port)
    path = f"{POLICIES}/namespaces/{namespace}/egresspolicies"
    if port == 443:
        return await load.send("POST", path, policy)
    return await load.send("PATCH", f"{path}/{name}", {"spec": policy["spec"]}, MERGE)


async def _burst_raw(plane: ControlPlane, count: int, status: Object) -> float:
    children = [_build_children(number) for number in range(count)]

    async with (
        open_load(plane.admin_kubeconfig, RAW_IN_FLIGHT) as load,
        asyncio.timeout(BURST_TIMEOUT_S),
    ):
        start = time.perf_counter()
        await asyncio.gather(
            *(_write_raw(load, number, children[number], status) for number in range(count))
        )
        return time.perf_counter() - start


async def _write_raw(load: Load, number: int, children: Children, status: Object) -> None:
    """Create a policy, its children at once, and then its status."""
    policy = await _submit(load, number)
    uid = policy["metadata"]["uid"]
    namespace, name = _identify(number)

    async def post(plural: str, manifest: Object) -> None:
        manifest["metadata"]["ownerReferences"][0]["uid"] = uid
        await load.send("POST", f"{NETWORKING}/namespaces/{namespace}/{plural}", manifest)

    await asyncio.gather(*(post(*child) for child in children))
    path = f"{POLICIES}/namespaces/{namespace}/egresspolicies/{name}/status"
    await load.send("PATCH", path, {"metadata": {"uid": uid}, "status": status}, MERGE)


def _build_children(number: int) -> Children:
    return build_children(build_policy(*_identify(number)), uid="set when it is known")


def _cut(times: list[float]) -> Times:
    cuts = quantiles(times, n=100)
    return Times(cuts[49] * 1000, cuts[98] * 1000)


async def _create_in_turn(
    bare: ControlPlane, plane: ControlPlane, status: Object
) -> tuple[list[float], list[float]]:
    raw, ours = [], []
    async with (
        open_load(bare.admin_kubeconfig, RAW_IN_FLIGHT) as writer,
        open_load(plane.admin_kubeconfig, SUBMIT_IN_FLIGHT) as load,
        watching(load) as ready,
    ):
        for number in range(SINGLES + 1):
            children = _build_children(number)
            raw.append(await _time(_write_raw(writer, number, children, status)))
            ours.append(await _time(_create(load, ready, number)))
    return raw[1:], ours[1:]  # the first one opens the connections


async def _create(load: Load, ready: ReadyWatch, number: int) -> None:
    future = ready.expect(*_identify(number))
    await _submit(load, number)
    await asyncio.wait_for(future, BURST_TIMEOUT_S)


async def _time(act: Awaitable[None]) -> float:
    """Return the seconds that it takes, and rest afterwards."""
    start = time.perf_counter()
    await act
    seconds = time.perf_counter() - start
    # Not a multiple of anything: no two policies meet the same timers.
    await asyncio.sleep(0.05 + secrets.randbelow(50) / 1000)
    return seconds
