"""No spelling of a dangerous address or name passes as host, as address or as endpoint."""

from typing import Any

import pytest

from api.server import Verdict, ask
from api.spelling import ALLOWED_ADDRESSES, ALLOWED_HOSTS, list_spellings
from egress_operator.api.check import check_policy
from egress_operator.api.policy import API_VERSION, KIND
from testbed.controlplane import ControlPlane

PATHS = {
    "spec.destinations[0].hosts[0]",
    "spec.destinations[1].addresses[0]",
    "spec.destinations[2].backends[0].endpoints[0].address",
}


def build_policy(host: str, address: str, endpoint: str) -> dict[str, Any]:
    tcp = [{"number": 5432, "protocol": "TCP"}]
    backend = {"name": "v1", "endpoints": [{"address": endpoint}]}
    destinations = [
        {"hosts": [host]},
        {"addresses": [address], "ports": tcp},
        {"hosts": ["backend.example.com"], "backends": [backend]},
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "sample"},
        "spec": {"destinations": destinations},
    }


def test_there_are_many_spellings() -> None:
    assert len(list_spellings()) >= 300


@pytest.mark.parametrize("spelling", list_spellings(), ids=ascii)
def test_python_refuses_it_everywhere(spelling: str) -> None:
    policy, diagnostics = check_policy(build_policy(spelling, spelling, spelling))
    assert policy is None
    assert {diagnostic.path for diagnostic in diagnostics} == PATHS
    assert all("\n" not in diagnostic.message for diagnostic in diagnostics)


def test_the_server_refuses_it_everywhere(control_plane: ControlPlane) -> None:
    for spelling in list_spellings():
        document = build_policy(spelling, spelling, spelling)
        verdict = ask(control_plane.admin, document)
        assert not verdict.accepted, spelling
        assert [path for path in PATHS if f"{path}: " not in verdict.message] == [], spelling
        codes = {diagnostic.code for diagnostic in check_policy(document)[1]}
        assert [code for code in codes if f"{code}: " not in verdict.message] == [], spelling


def test_look_alikes_pass_on_both_sides(control_plane: ControlPlane) -> None:
    documents = [
        *(build_policy(host, "203.0.113.20", host) for host in ALLOWED_HOSTS),
        *(build_policy("a.example.com", address, address) for address in ALLOWED_ADDRESSES),
    ]
    for document in documents:
        assert check_policy(document)[1] == ()
        assert ask(control_plane.admin, document) == Verdict(accepted=True)
