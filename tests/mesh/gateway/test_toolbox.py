"""A tenant who may write Istio objects tries everything while two tenants call.

The single attacks are in tests/delivery/crossing.py; here they meet traffic.
"""

import copy
from collections.abc import Iterator

import pytest

from delivery.admission import COMPATIBLE, STRICT
from delivery.crossing import list_crossings
from mesh.gateway.guard import SERVICE, guard, wait_gateway_known
from mesh.gateway.handmade import build_item
from mesh.gateway.tenant import SHARED, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, BATCH, CHECKOUT, HTTP, TLS, build_destination
from mesh.traffic.stream import Load, Pace
from testbed.client import ApiError, Client, Object
from testbed.deadline import wait_until
from testbed.istiod import Rejections
from testbed.mesh import Mesh
from testbed.request import DIRECT, VIA_GATEWAY

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
CALLS = (f"GET http://{HOST}/", f"GET https://{OTHER}/")
EVIL = "evil"
PER_SECOND = 200
"""Of both tenants together; the three workloads take turns."""
HANDS = 12
BETWEEN = 100
CAPTURED_S = 20.0


@pytest.fixture
def served(operated: OperatedMesh, mesh: Mesh, shared: Object) -> Object:
    """Let both tenants reach the same hosts through the gateway."""
    for namespace in ("shop", "pay"):
        operated.apply(
            build_gateway_policy(
                f"{namespace}/web",
                build_destination(HOST, ports=(HTTP,)),
                build_destination(OTHER, ports=(TLS,)),
            )
        )
    for caller in (CHECKOUT, APP):
        for text in CALLS:
            mesh.expect(caller, text, VIA_GATEWAY)
    return shared


@pytest.fixture
def evil(mesh: Mesh) -> Iterator[str]:
    """Give a namespace of somebody who uses no gateway."""
    client = mesh.control_plane.admin
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EVIL}})
    yield EVIL
    for kind in ("ServiceEntry", "VirtualService", "DestinationRule", "Gateway"):
        client.delete_all("networking.istio.io/v1", kind, EVIL)


def build_attacks() -> dict[str, Object]:
    """Build every attack of the table as the tenant `evil` would, each under a name of its own.

    The mesh has no Gateway API.
    """
    found = {}
    for number, row in enumerate(list_crossings()):
        item = copy.deepcopy(row.item)
        if item["apiVersion"].startswith("gateway."):
            continue
        metadata = item["metadata"]
        item["metadata"] = {**metadata, "namespace": EVIL, "name": f"attack-{number}"}
        found[row.name] = item
    return found


def try_all(client: Client, attacks: dict[str, Object]) -> list[str]:
    """Write all of them; return those that were not refused by a policy of ours."""
    passed = []
    for name, item in attacks.items():
        try:
            client.create(item)
        except ApiError as error:
            if "egress-operator.io" not in error.message:
                passed.append(f"{name}: {error}")
        else:
            passed.append(name)
    return passed


@pytest.mark.usefixtures("served", "evil")
def test_the_whole_toolbox_at_once_loses_nothing(operated: OperatedMesh, mesh: Mesh) -> None:
    """Nothing of it gets as far as the proxies; two tenants call meanwhile, each host in turn."""
    attacks = build_attacks()
    assert len(attacks) > 100
    calls = {CHECKOUT: list(CALLS), BATCH: list(CALLS), APP: list(CALLS)}
    with guard(mesh, STRICT) as thief:
        operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
        wait_gateway_known(thief, STRICT)
        with Load(mesh, calls, fine=frozenset({VIA_GATEWAY}), pace=Pace(PER_SECOND, HANDS)) as load:
            load.wait(BETWEEN)
            before = load.count
            passed = try_all(thief, attacks)
            meanwhile = load.count - before
            mesh.settle()
            load.wait(BETWEEN)
        assert passed == []
        assert not load.lost, "\n".join([f"{len(load.lost)} of {load.count}", *load.lost[:20]])
        assert meanwhile > 0, "nobody called during the attacks"
        operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")


def build_address_capture(mesh: Mesh) -> Object:
    """Build a public entry of `evil` that takes the address of a host."""
    spec = {
        "hosts": ["x.evil.example"],
        "addresses": [mesh.outside.address_of(HOST)],
        "exportTo": ["*"],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "endpoints": [{"address": mesh.outside.address_of(OTHER)}],
        "ports": [{"number": 80, "name": "tcp", "protocol": "TCP"}],
    }
    return build_item("ServiceEntry", "addresses", EVIL, spec)


def build_foreign_server(number: int = 8443) -> Object:
    """Build a server on the pods' own port, by a label that the EgressGateway does not name."""
    server = {
        "port": {"number": number, "name": "https", "protocol": "HTTPS"},
        "hosts": ["a.example"],
        "tls": {"mode": "SIMPLE", "credentialName": "missing"},
    }
    selector = {"app": SERVICE.partition(".")[0]}
    spec = {"selector": selector, "servers": [server]}
    return build_item("Gateway", "pods-port", EVIL, spec)


@pytest.mark.usefixtures("served", "evil")
def test_what_compatible_lets_through_is_named_and_gone_with_its_object(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    with guard(mesh, COMPATIBLE) as thief:
        operated.wait_gateway(SHARED, "Isolated", "True", "CompatibleAdmission")
        capture = build_address_capture(mesh)
        thief.create(capture)
        message = f"ServiceEntry {EVIL}/addresses has addresses and is exported to all namespaces"
        operated.wait_gateway(SHARED, "Isolated", "False", "ForeignObjects", message)
        # It takes the calls in the sidecars of all: past the gateway, to a server of its choice.
        wait_until(lambda: is_captured(mesh), CAPTURED_S, "the call is captured")
        thief.delete(*name(capture))
        mesh.expect(CHECKOUT, CALLS[0], VIA_GATEWAY)
        operated.wait_gateway(SHARED, "Isolated", "True", "CompatibleAdmission")
        server = build_foreign_server()
        thief.create(server)
        message = (
            f"Gateway {EVIL}/pods-port may select the pods of EgressGateway {SHARED} "
            "and listens on port 8443"
        )
        operated.wait_gateway(SHARED, "Isolated", "False", "ForeignObjects", message)
        thief.delete(*name(server))
        operated.wait_gateway(SHARED, "Isolated", "True", "CompatibleAdmission")
    mesh.settle()
    mesh.take_rejections()


def is_captured(mesh: Mesh) -> bool:
    """Whether a call of `shop` goes to the server that the public entry names."""
    outcome = mesh.request(CHECKOUT, CALLS[0])
    return outcome.verdict is DIRECT and outcome.server == OTHER


def name(item: Object) -> tuple[str, str, str, str]:
    """Return what tells an object from all others."""
    metadata = item["metadata"]
    return item["apiVersion"], item["kind"], metadata["name"], metadata["namespace"]


@pytest.mark.usefixtures("shared", "evil")
def test_what_was_there_before_is_named_until_it_is_gone(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    client = mesh.control_plane.admin
    before = [build_address_capture(mesh)]
    for number in range(6):
        server = build_foreign_server(443)
        server["metadata"]["name"] = f"server-{number}"
        server["spec"]["servers"][0]["tls"] = {"mode": "ISTIO_MUTUAL"}
        server["spec"]["servers"][0]["hosts"] = [f"h{number}.example"]
        before.append(server)
    for item in before:
        client.create(item)
    with guard(mesh, STRICT):
        operated.wait_gateway(SHARED, "Isolated", "False", "ForeignObjects", "and 2 more")
        for item in before:
            client.delete(*name(item))
        operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
    mesh.settle()
    assert mesh.take_rejections() == Rejections()
