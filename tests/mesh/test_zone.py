"""Queries for names of an application and of the proxy do not get into each other's way."""

import sys

import pytest

from .sandbox import run_in_sandbox

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.long("testbed"),
    pytest.mark.usefixtures("machine"),
]


def test_the_proxy_asks_the_name_server_from_a_port_that_an_application_has_used() -> None:
    with_zones, without, tables, namespaces = run_in_sandbox(f"{sys.executable} -P -m mesh.zone")

    assert with_zones == ["agent", "server"]
    # Why the rules are there: else the first query decides for both.
    assert without == ["agent", "agent"]
    assert (tables, namespaces) == ([], [])
