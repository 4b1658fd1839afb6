"""A real mesh that tests and the demo speak to.

    with start_mesh() as mesh:
        mesh.expect("shop/checkout", "GET http://api.example/", BLOCKED)
        mesh.apply(policy)
        mesh.expect("shop/checkout", "GET http://api.example/", DIRECT)

Needs root; `find_missing` says what else.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from testbed import network
from testbed.caller import Order
from testbed.client import Object
from testbed.convergence import Versions, set_outbound_mode, wait_settled
from testbed.expectation import build_expectation, wait_for
from testbed.gateway import EGRESS, Gateway
from testbed.istiod import Rejections
from testbed.ledger import Ledger
from testbed.member import Member
from testbed.program import ENVOY, SETS, MissingProgramError, find_file, find_program
from testbed.request import Outcome, Verdict
from testbed.request import call as build_call
from testbed.rig import MeshOption, Rig, start_rig
from testbed.stoppable import Stoppable
from testbed.workload import Workload

T = TypeVar("T")

WITHIN_S = 15.0
"""How long an expectation may take to come true."""
TIMES = 2
"""How often in a row it must hold."""


class Mesh(Stoppable):
    """A mesh that is up. `start_mesh` makes one; it is a context manager."""

    def __init__(self, rig: Rig, stack: ExitStack) -> None:
        self.control_plane = rig.control_plane
        self.istiod = rig.istiod
        self.outside = rig.outside
        self.names = rig.names
        self.members = rig.members
        self.addresses = rig.network.addresses
        self._rig = rig
        self._stack = stack
        self._ledger = Ledger(rig.control_plane.admin)
        self._rejections = Rejections()
        self._versions = Versions()

    @property
    def gateway_addresses(self) -> frozenset[str]:
        """Addresses of all gateways that there are and were."""
        return frozenset(self._rig.gateways)

    def request(self, workload: str, call: str | Order) -> Outcome:
        """Make one request of a workload (`shop/checkout`) and tell what came of it.

        `call` is a text, as `testbed.request.call` reads it, or what that returns.
        """
        order = build_call(call) if isinstance(call, str) else call
        return self._member(workload).call(order, self.gateway_addresses)

    def expect(
        self,
        workload: str,
        call: str | Order,
        verdict: Verdict,
        *,
        status: int | None = None,
        server: str | None = None,
        within_s: float = WITHIN_S,
        times: int = TIMES,
    ) -> Outcome:
        """Repeat a request until it comes out as said, `times` in a row; return the last outcome.

        Where a server is reached, status 200 (on HTTP) and the called host's server are expected
        unless said otherwise. Raises AssertionError with what was seen, and the proxy's access
        log, when it does not come true `within_s`.
        """
        order = build_call(call) if isinstance(call, str) else call
        expected = build_expectation(order, verdict, status, server)
        try:
            return wait_for(
                expected, lambda: self.request(workload, order), within_s=within_s, times=times
            )
        except AssertionError as error:
            shown = f"{order.method or order.scheme} {order.host}:{order.port}{order.path}"
            log = "\n  ".join(self._member(workload).read_access_log(order.host))
            raise AssertionError(f"{workload}: {shown}: {error}\naccess log:\n  {log}") from None

    def apply(self, *items: Object | str | Path) -> list[Object]:
        """Apply objects, YAML texts or YAML files; `clean` takes them away again."""
        return self._ledger.apply(*items)

    def label(self, namespace: str, labels: Mapping[str, str | None]) -> None:
        """Set labels of a namespace, or (None) take them away; `clean` takes away what was set."""
        self._ledger.label(namespace, labels)

    def delete(self, *items: Object | str | Path) -> None:
        """Delete the objects that are named by objects, YAML texts or YAML files."""
        self._ledger.delete(*items)

    def clean(self) -> None:
        """Take away every policy and Istio object and what else was applied, counts and records.

        Returns when no proxy has any of it: what comes next must not be answered by what was.
        """
        self._ledger.clean()
        self.outside.reset()
        self.settle()

    def settle(self) -> None:
        """Wait until every proxy has all that was written: do it before `expect`ing no change."""
        admin = self.control_plane.admin
        self._versions = wait_settled(self.istiod, admin, self._versions)

    @contextmanager
    def outbound_mode(self, mode: str) -> Iterator[None]:
        """Let the mesh treat unknown hosts as `mode` says (REGISTRY_ONLY, ALLOW_ANY) for a while.

        It is settled when the block begins, and again after it ended.
        """
        before = self.istiod.option.outbound_mode
        set_outbound_mode(self.istiod, mode)
        self.settle()
        try:
            yield
        finally:
            set_outbound_mode(self.istiod, before)
            self.settle()

    def add(self, workload: Workload) -> Member:
        """Bring one more workload up, for as long as the mesh; a gateway has the role ROUTER."""
        return self._rig.add_member(workload, self._stack)

    def start_gateway(self, template: Workload = EGRESS, pods: int = 1) -> Gateway:
        """Start a gateway with its Service; stop it, or it stops with the mesh."""
        gateway = self._stack.enter_context(Gateway(template, self._rig))
        for _ in range(pods):
            gateway.add()
        return gateway

    def start(self, part: AbstractContextManager[T]) -> T:
        """Enter a part that shall run as long as the mesh, such as the operator."""
        return self._stack.enter_context(part)

    def stop(self) -> None:
        """End its parts, the last one first."""
        self._stack.close()

    def take_rejections(self) -> Rejections:
        """Tell what istiod and the proxies have refused since the last call.

        An istiod that was started anew counts from nothing.
        """
        now, before = self.istiod.rejections(), self._rejections
        self._rejections = now
        if now.config < before.config or now.xds < before.xds:
            return now
        return Rejections(now.config - before.config, now.xds - before.xds)

    def _member(self, workload: str) -> Member:
        try:
            return self.members[workload]
        except KeyError:
            known = ", ".join(sorted(self.members))
            raise LookupError(f"no workload {workload!r} in this mesh; there are {known}") from None


def start_mesh(option: MeshOption | None = None) -> Mesh:
    """Bring a mesh up and wait until it is ready: about 8 s on two cores.

    Raises BusyError when another one is up on this machine, MissingProgramError when a program is
    not built, NetworkError or ProcessError when a part does not start. Nothing is left then.
    """
    with ExitStack() as stack:
        rig = start_rig(option or MeshOption(), stack)
        return Mesh(rig, stack.pop_all())


def find_missing() -> list[str]:
    """List what this machine lacks to run a mesh, one line each; [] when nothing does."""
    missing = network.find_missing()
    programs = [entry.name for owner in SETS for entry in owner.programs]
    files = [entry.name for owner in SETS for entry in owner.files]
    try:
        for name in (*programs, ENVOY):
            find_program(name)
        for name in files:
            find_file(name)
    except MissingProgramError as error:
        missing.append(f"the mesh needs its programs: {error}")
    return missing
