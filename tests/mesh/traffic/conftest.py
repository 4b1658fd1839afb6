"""The statuses of policies are right after every test of this directory."""

from collections.abc import Iterator

import pytest

from mesh.traffic.world import World


@pytest.fixture(autouse=True)
def _status_is_right(world: World) -> Iterator[None]:
    """After a test every status that is there passes the linter."""
    yield
    for name in world.policies():
        world.policy(name)
