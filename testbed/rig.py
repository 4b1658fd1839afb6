"""Bringing the parts of a mesh up, as many at once as the order allows, and down again."""

import itertools
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import install_crds, load_all_crds
from testbed.dns import NameServer
from testbed.istiod import Istiod, IstiodOption, start_istiod
from testbed.member import Member
from testbed.network import Network
from testbed.outside import Outside
from testbed.proxy import Credential, publish_programs
from testbed.scratch import open_scratch
from testbed.system import choose_parent, open_to_all
from testbed.workload import (
    Role,
    Workload,
    apply_workload,
    build_namespace,
    build_pod,
    build_service,
    request_token,
)

CHECKOUT = Workload("shop", "checkout", service_account="checkout")
BATCH = Workload("shop", "batch", service_account="batch", dns_capture=True)
APP = Workload("pay", "app")
WORKLOADS = (CHECKOUT, BATCH, APP)
NEIGHBOUR = Workload("shop", "catalog", ports={"http": (80, 8080)})
"""A service of the mesh without pods."""
HOSTS = ("api.example", "other.example", "db.example")
REGISTRY_ONLY, ALLOW_ANY = "REGISTRY_ONLY", "ALLOW_ANY"
PROGRAMS = "programs"
THREADS = 4


@dataclass(frozen=True)
class MeshOption:
    """What differs between meshes."""

    workloads: tuple[Workload, ...] = WORKLOADS
    hosts: tuple[str, ...] = HOSTS
    """Outside hosts that are there from the start."""
    outbound_mode: str = REGISTRY_ONLY
    auto_allocate: bool = True
    """Whether istiod gives addresses to hosts that have none, as it does by default."""
    control_plane: ControlPlaneOption = field(default_factory=ControlPlaneOption)


@dataclass(frozen=True)
class Rig:
    """The running parts."""

    control_plane: ControlPlane
    istiod: Istiod
    outside: Outside
    names: NameServer
    network: Network
    directory: Path
    members: dict[str, Member]
    """By `NAMESPACE/NAME`."""
    numbers: Iterator[int]
    """Of the members to come; none is used twice, so neither is an address."""
    gateways: set[str] = field(default_factory=set)
    """Addresses of all gateways that there are and were."""

    def add_member(self, workload: Workload, stack: ExitStack) -> Member:
        """Bring one more workload up and wait until its proxy is ready."""
        home = self.directory / workload.namespace / workload.name
        member = Member(workload, self.network.addresses.workload(next(self.numbers)), home)
        stack.callback(member.stop)
        if workload.role is Role.ROUTER:
            self.gateways.update(member.addresses)
        member.connect(self.network, self.outside.ca_file)
        _join(self.control_plane, self.istiod, member, self.directory / PROGRAMS)
        self.members[workload.key] = member
        return member

    def remove_member(self, member: Member) -> None:
        """Take a workload away for good: its processes, its pod and its network namespace."""
        workload = member.workload
        member.stop()
        client = self.control_plane.admin
        # Without a grace period, as a kubelet says that a pod is gone.
        client.request(
            "DELETE", client.path_of(build_pod(workload)), query={"gracePeriodSeconds": 0}
        )
        self.network.remove(member.netns)
        shutil.rmtree(member.directory, ignore_errors=True)
        del self.members[workload.key]


def start_rig(option: MeshOption, stack: ExitStack) -> Rig:
    """Start everything and wait until it is ready; `stack` gets what ends it, in order.

    Raises BusyError, MissingProgramError, NetworkError or ProcessError; the stack then holds what
    was started so far.
    """
    directory = _make_directory(stack)
    with _open_pool() as pool:
        # The network first: it takes the lock of the machine.
        mesh_network = stack.enter_context(Network())
        names = stack.enter_context(NameServer(mesh_network.addresses.host))
        pending = pool.submit(start_control_plane, option.control_plane)
        stack.callback(_stop_control_plane, pending)
        definitions = pool.submit(load_all_crds)
        outside = stack.enter_context(
            Outside(mesh_network.add_outside(), names, directory / "outside")
        )
        for host in option.hosts:
            outside.add(host)
        publish_programs(directory / PROGRAMS)
        members = _connect(option, mesh_network, outside, directory, stack)
        control_plane = pending.result()
        # istiod takes in CRDs that come while it starts.
        installs = [
            pool.submit(install_crds, control_plane.admin, [item]) for item in definitions.result()
        ]
        istiod = stack.enter_context(
            start_istiod(control_plane, _istiod_option(option, mesh_network.addresses.host))
        )
        _write_neighbour(control_plane)
        starts = [
            pool.submit(_join, control_plane, istiod, member, directory / PROGRAMS)
            for member in members.values()
        ]
        _wait(installs)
        istiod.register_webhook()
        _wait(starts)
    numbers = itertools.count(len(members) + 1)
    return Rig(control_plane, istiod, outside, names, mesh_network, directory, members, numbers)


@contextmanager
def _open_pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads; after a failure, what has not begun is not begun any more."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _make_directory(stack: ExitStack) -> Path:
    # The proxies run as another user.
    stack.enter_context(open_to_all())
    directory = stack.enter_context(open_scratch("egress-operator-mesh-", choose_parent()))
    directory.chmod(0o755)
    return directory


def _connect(
    option: MeshOption,
    mesh_network: Network,
    outside: Outside,
    directory: Path,
    stack: ExitStack,
) -> dict[str, Member]:
    members = {}
    for number, workload in enumerate(option.workloads, start=1):
        home = directory / workload.namespace / workload.name
        member = Member(workload, mesh_network.addresses.workload(number), home)
        stack.callback(member.stop)
        member.connect(mesh_network, outside.ca_file)
        members[workload.key] = member
    return members


def _wait(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()


def _write_neighbour(control_plane: ControlPlane) -> None:
    """Let the mesh have an HTTP port.

    Its sidecars then listen on 0.0.0.0:80 and answer an unknown host with 502. Without any they
    reset the connection, which happens in no mesh of daily life.
    """
    control_plane.admin.apply(build_namespace(NEIGHBOUR.namespace))
    control_plane.admin.apply(build_service(NEIGHBOUR))


def _stop_control_plane(pending: Future[ControlPlane]) -> None:
    """Stop it when it came up; its failure is told where its result is asked for."""
    if not pending.cancelled() and pending.exception() is None:
        pending.result().stop()


def _istiod_option(option: MeshOption, address: str) -> IstiodOption:
    allocate = str(option.auto_allocate).lower()
    return IstiodOption(
        address=address,
        outbound_mode=option.outbound_mode,
        environment={"PILOT_ENABLE_IP_AUTOALLOCATE": allocate},
    )


def _join(control_plane: ControlPlane, istiod: Istiod, member: Member, programs: Path) -> None:
    """Make a connected member known to the API server and bring its proxy up."""
    apply_workload(control_plane.admin, member.workload, member.address)
    token = request_token(control_plane.admin, member.workload)
    credential = Credential(istiod.discovery_address, istiod.root_certificate(), token)
    member.start_proxy(credential, programs)
    member.wait_ready()
