"""One random history at the interface: bursts of operations, and what the operator meets meanwhile.

Whenever it is quiet, the cluster is compared with what was written.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permission.gateway import GATEWAY
from permission.tenant import POLICY
from testbed.audit import Mark, Record
from testbed.client import ApiError, ConnectError
from testbed.controlplane import ControlPlane
from testbed.deadline import DeadlineError, wait_until
from testbed.faultproxy import (
    Answer,
    BreakOff,
    Call,
    Fault,
    FaultProxy,
    ResetAfter,
    ResetBefore,
    build_error_event,
    build_refusal,
)
from testbed.identity import apply_identity, request_token
from testbed.kubeconfig import write_kubeconfig
from testbed.operator import Operator, OperatorOption, build_identity, start_operator
from testbed.seed import SEED
from testbed.stoppable import Stoppable

from .agreement import find_differences
from .campaign import is_up
from .rendering import find_render_differences
from .scene import Scene, read_scene
from .world import UNAVAILABLE, World

CONVERGE_S = 120.0
"""Two looks at what nobody owns, 20 s apart, and what else there is to do."""
READY_S = 60.0
QUIET_S = 1.0
RIVAL = "rival"
HTML = b"<html><body>not here</body></html>"
PAUSES_S = (0.0, 0.0, 0.05, 0.2)


class Life(StrEnum):
    """What happens to the operator during a burst."""

    RUNS = "runs"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    KILLED = "killed"
    SERVER_KILLED = "server-killed"
    RIVALLED = "rivalled"
    """A second operator runs, and one of both is suspended."""
    RESTORED = "restored"
    """etcd is set back to the beginning of the burst."""


FAULTS: tuple[tuple[Fault, tuple[Call, ...]], ...] = (
    (Answer(404, HTML, "text/html"), (Call.GET, Call.CREATE, Call.PATCH, Call.DELETE)),
    (build_refusal(404, "NotFound"), (Call.LIST, Call.GET, Call.PATCH, Call.DELETE)),
    (build_refusal(409, "Conflict"), (Call.CREATE, Call.PATCH, Call.DELETE)),
    (build_refusal(503, "ServiceUnavailable"), (*Call,)),
    (Answer(200, HTML, "text/html"), (Call.LIST, Call.CREATE, Call.PATCH, Call.DELETE)),
    (ResetBefore(), (Call.CREATE, Call.PATCH, Call.DELETE)),
    (ResetAfter(), (Call.CREATE, Call.PATCH, Call.DELETE)),
    (build_error_event(410, "Expired"), (Call.WATCH,)),
    (BreakOff(), (Call.WATCH,)),
)
"""What the proxy answers in place of the API server, and to which calls."""


@dataclass
class Run(Stoppable):
    """One history. Every choice comes from the seed, but for what depends on the time."""

    plane: ControlPlane
    proxy: FaultProxy
    cut: Callable[[], None]
    world: World
    rng: random.Random
    operator: Operator | None = None
    compared: int = 0

    def start(self) -> Operator:
        """Start the operator behind the proxy, and wait until it is ready."""
        option = OperatorOption()
        identity = build_identity(option)
        apply_identity(self.plane.admin, identity)
        token = request_token(self.plane.admin, identity.namespace, identity.name)
        file = self.plane.directory / "behind-proxy.kubeconfig"
        write_kubeconfig(file, self.proxy.url, self.plane.ca_file, identity.name, token)
        settings = {"EGRESS_KUBECONFIG": str(file)}
        operator = start_operator(self.plane, OperatorOption(settings=settings, wait=False))
        self.operator = operator
        wait_until(lambda: is_up(operator), READY_S, self.describe("it does not become ready"))
        return operator

    def live(
        self, life: Life, operations: int, fault: tuple[Fault, tuple[Call, ...]] | None
    ) -> None:
        """Do a burst while the operator lives so; then let it work without faults."""
        self.world.log.append(f"[{life}, {repr(fault[0])[:18] if fault else 'no fault'}]")
        if fault is not None:
            self.proxy.inject(fault[0], *fault[1], times=self.rng.randint(1, 6))
            if Call.WATCH in fault[1]:
                self.cut()
        lives: dict[Life, Callable[[], AbstractContextManager[None]]] = {
            Life.RUNS: nullcontext,
            Life.SUSPENDED: self._suspend,
            Life.STOPPED: self._stop_between,
            Life.KILLED: self._kill_after,
            Life.SERVER_KILLED: self._kill_server,
            Life.RIVALLED: self._rival,
            Life.RESTORED: self._restore,
        }
        with lives[life]():
            self.do(operations)
        self.proxy.clear()

    @contextmanager
    def _suspend(self) -> Iterator[None]:
        assert self.operator is not None
        self.operator.pause()
        yield
        self.operator.resume()

    @contextmanager
    def _stop_between(self) -> Iterator[None]:
        self.end()
        yield
        self.start()

    @contextmanager
    def _kill_after(self) -> Iterator[None]:
        assert self.operator is not None
        yield
        self.operator.kill()
        self.start()

    @contextmanager
    def _kill_server(self) -> Iterator[None]:
        self.plane.restart_apiserver()
        yield

    @contextmanager
    def _rival(self) -> Iterator[None]:
        """Let a second operator run; one of both sees nothing of the burst until later."""
        assert self.operator is not None
        with start_operator(self.plane, OperatorOption(account=RIVAL)) as rival:
            rival.wait_idle(CONVERGE_S)
            late = self.rng.choice([self.operator, rival])
            late.pause()
            yield
            late.resume()
            self.wait_agreed(rival)
            assert rival.stop() == 0, self.describe(rival.process.tail(50))

    @contextmanager
    def _restore(self) -> Iterator[None]:
        data, saved = self.plane.directory / "etcd", self.plane.directory / "saved"
        self.plane.copy_data(data, saved)
        memory = self.world.remember()
        yield
        self.plane.copy_data(saved, data)
        # Its watches would go on from later versions, and namespaces would stay Terminating.
        self.plane.restart_controller_manager()
        self.world.recall(memory)

    def do(self, operations: int) -> None:
        """Do a burst, in its own rhythm."""
        for _ in range(operations):
            self.world.step()
            time.sleep(self.rng.choice(PAUSES_S))

    def wait_agreed(self, *others: Operator) -> Scene:
        """Wait until all is as it must be and the operators are idle, and stays so."""

        def look() -> Scene:
            scene = read_scene(self.plane.admin)
            found = list(find_differences(scene, self.world.strangers.foreign))
            assert not found, "\n".join(found[:10])
            return scene

        def try_look() -> Scene | None:
            try:
                return look()
            except ConnectError:
                return None
            except ApiError as error:
                if error.code in UNAVAILABLE:
                    return None
                raise

        assert self.operator is not None
        wait_until(try_look, CONVERGE_S, self.describe("it does not agree"))
        for operator in (self.operator, *others):
            self._wait_idle(operator)
        scene = wait_until(try_look, CONVERGE_S, self.describe("it does not agree any more"))
        self.compared += len(scene.objects)
        return scene

    def _wait_idle(self, operator: Operator) -> None:
        try:
            operator.wait_idle(CONVERGE_S)
        except DeadlineError as error:
            raise AssertionError(self.describe(f"{error}\n{operator.process.tail(20)}")) from error

    def check_restart(self) -> None:
        """Start a new operator on what stands: it has nothing to write.

        It tries once to report on a policy that has outlived its namespace.
        """
        self.end()
        before = self._read_statuses()
        mark = self.plane.audit.position()
        operator = self.start()
        self._wait_idle(operator)
        time.sleep(QUIET_S)
        written = [_describe(record) for record in self.list_writes(mark)]
        after = self._read_statuses()
        for vain in self._list_vain_reports():
            if vain in written:
                written.remove(vain)
        changed = {
            key: (before.get(key), after.get(key))
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        }
        assert not written, self.describe(f"a new operator writes {written}: {changed}")

    def _read_statuses(self) -> dict[tuple[str, str, str], Any]:
        """Read all statuses, by kind, namespace and name."""
        return {
            (kind[1], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item.get(
                "status"
            )
            for kind in (POLICY, GATEWAY)
            for item in self.plane.admin.list_objects(*kind)
        }

    def _list_vain_reports(self) -> list[str]:
        """List the refused reports on policies that have outlived their namespace."""
        client = self.plane.admin
        namespaces = {item["metadata"]["name"] for item in client.list_objects("v1", "Namespace")}
        policies = [item["metadata"] for item in client.list_objects(*POLICY)]
        return [
            f"patch egresspolicies/status {each['namespace']}/{each['name']} 404"
            for each in policies
            if each["namespace"] not in namespaces
        ]

    def check_end(self) -> None:
        """Let nothing be on hold: then all is as `egressctl render` has it, to the last object."""
        self.world.settle()
        scene = self.wait_agreed()
        found = list(find_render_differences(scene))
        assert not found, self.describe("\n".join(found[:10]))

    def end(self) -> None:
        """Ask the operator to end, which it does in order."""
        operator, self.operator = self.operator, None
        assert operator is not None
        assert operator.stop() == 0, self.describe(operator.process.tail(50))

    def stop(self) -> None:
        """Kill the operator, if a failure has left it."""
        if self.operator is not None:
            self.operator.kill()

    def list_writes(self, mark: Mark) -> list[Record]:
        """List the operator's writes since a mark, but for its events."""
        assert self.operator is not None
        records = self.plane.audit.records(since=mark, user=self.operator.user, writes=True)
        return [record for record in records if record.resource != "events"]

    def summarise(self) -> str:
        """Tell in one line what the run went through."""
        return f"seed {SEED}: {len(self.world.log)} operations, {self.compared} objects compared"

    def describe(self, what: str) -> str:
        """Say how to repeat the run, and what happened so far."""
        return f"{what}; seed {SEED}; {' '.join(self.world.log)}"


def _describe(record: Record) -> str:
    resource = f"{record.resource}/{record.subresource}".rstrip("/")
    return f"{record.verb} {resource} {record.namespace}/{record.name} {record.code}"
