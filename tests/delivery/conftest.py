"""A control plane with the admission policies in force, for the tests of these."""

from collections.abc import Iterator

import pytest

from delivery.admission import (
    EXPORTED,
    OPERATOR,
    TENANT_USER,
    TIMEOUT_S,
    Object,
    build_definitions,
    build_gateway,
    find_refusal,
    install,
    login,
)
from testbed.client import Client
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.deadline import wait_until


@pytest.fixture(scope="session")
def guarded(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    with start_control_plane(ControlPlaneOption(definitions=build_definitions())) as plane:
        install(plane)
        yield plane


@pytest.fixture(scope="session")
def tenant(guarded: ControlPlane) -> Client:
    return login(guarded, TENANT_USER)


@pytest.fixture(scope="session")
def operator(guarded: ControlPlane) -> Client:
    return login(guarded, OPERATOR)


@pytest.fixture
def managed(guarded: ControlPlane, tenant: Client) -> Iterator[Object]:
    """Make a managed gateway; returns when it is known."""
    gateway = build_gateway("Managed")
    guarded.admin.create(gateway)
    wait_until(lambda: find_refusal(tenant, EXPORTED), TIMEOUT_S, "the gateway has no effect")
    yield gateway
    guarded.admin.delete(gateway["apiVersion"], gateway["kind"], gateway["metadata"]["name"])
    wait_until(lambda: not find_refusal(tenant, EXPORTED), TIMEOUT_S, "it still has an effect")
