"""A control plane with the admission policies in force, for the tests of these."""

from collections.abc import Iterator

import pytest

from delivery.admission import (
    COMPATIBLE,
    OPERATOR,
    STRICT,
    TENANT_USER,
    Object,
    build_definitions,
    install,
    login,
    manage,
)
from testbed.client import Client
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane


@pytest.fixture(scope="session")
def guarded(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    """Give a control plane with the policies of the level Compatible, which are in every level."""
    with start_control_plane(ControlPlaneOption(definitions=build_definitions())) as plane:
        install(plane, COMPATIBLE)
        yield plane


@pytest.fixture(scope="session")
def strict(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    """Give a control plane with the policies of the level Strict."""
    with start_control_plane(ControlPlaneOption(definitions=build_definitions())) as plane:
        install(plane, STRICT)
        yield plane


@pytest.fixture(scope="session")
def strict_tenant(strict: ControlPlane) -> Client:
    return login(strict, TENANT_USER)


@pytest.fixture
def strictly_managed(strict: ControlPlane, strict_tenant: Client) -> Iterator[Object]:
    """Make a managed gateway beside the policies of the level Strict."""
    with manage(strict, strict_tenant) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def tenant(guarded: ControlPlane) -> Client:
    return login(guarded, TENANT_USER)


@pytest.fixture(scope="session")
def operator(guarded: ControlPlane) -> Client:
    return login(guarded, OPERATOR)


@pytest.fixture(scope="session")
def strict_operator(strict: ControlPlane) -> Client:
    return login(strict, OPERATOR)


@pytest.fixture
def managed(guarded: ControlPlane, tenant: Client) -> Iterator[Object]:
    """Make a managed gateway; returns when it is known."""
    with manage(guarded, tenant) as gateway:
        yield gateway
