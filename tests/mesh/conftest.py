"""One mesh and one operator for all tests of this directory; each leaves them as it found them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from testbed.controlplane import ControlPlaneOption
from testbed.istiod import Rejections
from testbed.mesh import Mesh, find_missing, start_mesh
from testbed.rig import WORKLOADS, MeshOption
from testbed.sample import FIXED_ADDRESSES, HOSTS
from testbed.sweep import BusyError
from testbed.workload import PATIENT


@pytest.fixture(scope="session")
def machine() -> None:
    """Skip what needs a mesh where none can run, but fail where one must (CI is set)."""
    if missing := find_missing():
        line = "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(line, pytrace=False)
        pytest.skip(line)


@pytest.fixture(scope="session")
def mesh(machine: None) -> Iterator[Mesh]:  # noqa: ARG001 - a condition
    """Give the mesh: `shop/checkout`, `shop/batch` (DNS capture), `pay/app`; REGISTRY_ONLY."""
    busy = ""
    with ExitStack() as stack:
        try:
            workloads = tuple(replace(item, proxy_config=PATIENT) for item in WORKLOADS)
            option = MeshOption(workloads, control_plane=ControlPlaneOption(audit=True))
            mesh = stack.enter_context(start_mesh(option))
        except BusyError as error:
            busy = str(error)
        if busy:
            pytest.fail(busy, pytrace=False)
        yield mesh


@pytest.fixture(scope="session")
def operated(mesh: Mesh) -> Iterator[OperatedMesh]:
    """Give the mesh with the operator in it and the hosts of the samples outside."""
    for host in HOSTS:
        mesh.outside.add(host)
    for host, address in FIXED_ADDRESSES.items():
        mesh.outside.add(host, address=address)
    operated = OperatedMesh(mesh)
    operated.start_operator()
    yield operated
    operated.stop_operator()


@pytest.fixture(autouse=True)
def _leave_clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test: its objects are gone, and istiod and the proxies refused nothing."""
    yield
    if "mesh" not in request.fixturenames:
        return
    mesh: Mesh = request.getfixturevalue("mesh")
    try:
        # What was written last is pushed too before it goes: only then can it be refused.
        mesh.settle()
    finally:
        mesh.clean()
    assert mesh.take_rejections() == Rejections()
