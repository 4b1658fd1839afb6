"""The statuses of policies are right after every test of this directory."""

from collections.abc import Iterator

import pytest

from mesh.traffic.operated_mesh import OperatedMesh


@pytest.fixture(autouse=True)
def _status_is_right(operated: OperatedMesh) -> Iterator[None]:
    """After a test every status that is there passes the linter."""
    yield
    for name in operated.policies():
        operated.policy(name)
