"""Wildcards through a gateway need the admission policies, and do not depend on them alone."""

import pytest

from delivery.admission import COMPATIBLE, STRICT
from mesh.gateway.guard import guard
from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.gateway.test_thief import build_forged_way
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, CHECKOUT, build_destination
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, REACHED, VIA_GATEWAY

pytestmark = [pytest.mark.mesh, pytest.mark.usefixtures("labelled")]

WILDCARD, HOST = "*.wild.example", "one.wild.example"
POLICY = build_gateway_policy("wild", build_destination(WILDCARD))


def test_without_the_level_strict_none_is_set_up(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    mesh.outside.add(HOST)
    with guard(mesh, COMPATIBLE):
        mesh.apply(build_egress_gateway(gateway, wildcards="HTTP"))
        operated.wait_gateway(SHARED, "Isolated", "False", "CompatibleAdmission")
        mesh.apply(POLICY)
        operated.wait_condition("shop/wild", "Ready", "False", "WildcardsNotGuarded")
        mesh.expect(CHECKOUT, f"GET http://{HOST}/", BLOCKED)


def test_what_is_set_up_stays_and_the_gateway_looks_at_who_comes(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    """Without the policies a tenant may send the server name of another one, and is denied."""
    mesh.outside.add(HOST)
    with guard(mesh, STRICT):
        mesh.apply(build_egress_gateway(gateway, wildcards="HTTP"))
        operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
        operated.apply(POLICY)
        mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
    operated.wait_condition("shop/wild", "Ready", "False", "WildcardsNotGuarded")
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)

    entries = (item for item in operated.children("shop/wild") if item["kind"] == "ServiceEntry")
    (behind,) = (item["spec"]["hosts"][0] for item in entries if "endpoints" in item["spec"])
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    mesh.apply(*build_forged_way(behind, HOST))
    mesh.outside.reset()
    for _ in range(3):
        assert mesh.request(APP, "GET http://forged.example/").verdict not in REACHED
    assert mesh.outside.count(HOST) == 0
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
