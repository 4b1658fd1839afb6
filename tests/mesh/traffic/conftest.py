"""One operator for all tests of this directory, in the mesh of the session."""

from collections.abc import Iterator

import pytest

from mesh.traffic.world import World
from testbed.mesh import Mesh
from testbed.sample import FIXED_ADDRESSES, HOSTS


@pytest.fixture(scope="session")
def world(mesh: Mesh) -> Iterator[World]:
    """Give the mesh with the operator in it and the hosts of the samples outside."""
    for host in HOSTS:
        mesh.outside.add(host)
    for host, address in FIXED_ADDRESSES.items():
        mesh.outside.add(host, address=address)
    world = World(mesh)
    world.start_operator()
    yield world
    world.stop_operator()


@pytest.fixture(autouse=True)
def _status_is_right(world: World) -> Iterator[None]:
    """After a test every status that is there passes the linter."""
    yield
    for name in world.policies():
        world.policy(name)
