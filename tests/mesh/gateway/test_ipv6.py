"""IPv6 addresses of policies: in a mesh that has IPv4 alone, and where both are served."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import BATCH, CHECKOUT, HTTP, TCP, TLS, build_destination, build_policy
from testbed.caller import Order
from testbed.client import Object
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, VIA_GATEWAY, Verdict, call
from testbed.workload import Workload

pytestmark = pytest.mark.mesh

DUAL = Workload("shop", "dual", service_account="dual", dual_stack=True)
DUAL_GATEWAY = replace(EGRESS, namespace="dual-egress", dual_stack=True)
SIX, ADDRESS = "six.example", "2001:db8::10"
NETWORK = "2001:db8::20/124"
INSIDE, BESIDE = "2001:db8::2f", "2001:db8::30"
"""Addresses of that range, and behind its end."""
PORTS = (HTTP, TLS, TCP)


def build_calls(host: str, address: str = "") -> list[Order]:
    """Name the calls to a host by HTTP, TLS and TCP, wherever its name leads."""
    texts = (f"GET http://{host}/", f"GET https://{host}/", f"TCP {host}:5432")
    return [call(text, address=address) for text in texts]


def build_six(gateway: str) -> Object:
    """Build a policy for an IPv6 address, through a gateway where one is named."""
    destination = build_destination(SIX, ports=PORTS, addresses=[ADDRESS])
    if gateway:
        return build_gateway_policy("shop/six", destination, gateway=gateway)
    return build_policy("shop/six", destination)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("gateway_name", ["", SHARED], ids=["direct", "gateway"])
def test_in_a_mesh_with_ipv4_alone_nobody_else_is_touched(
    operated: OperatedMesh, mesh: Mesh, gateway_name: str
) -> None:
    address = mesh.outside.address_of("db.example")
    web = build_policy(
        "shop/web", build_destination("db.example", ports=PORTS, addresses=[address])
    )
    operated.apply(web)
    mesh.settle()

    operated.apply(build_six(gateway_name))
    operated.apply(
        build_policy("shop/range", build_destination(ports=(TLS, TCP), addresses=[NETWORK]))
    )
    mesh.settle()

    for caller in (CHECKOUT, BATCH):
        for order in build_calls("db.example"):
            mesh.expect(caller, order, DIRECT)
        for order in build_calls("other.example"):
            mesh.expect(caller, order, BLOCKED)


@pytest.fixture(scope="module")
def dual(mesh: Mesh) -> Iterator[Gateway]:
    """Let istiod serve both IP versions; give a gateway that has both, as `shop/dual` has."""
    before = mesh.istiod.option.environment
    mesh.istiod.restart(environment={**before, "ISTIO_DUAL_STACK": "true"})
    mesh.add(DUAL)
    for host, address in ((SIX, ADDRESS), ("inside.example", INSIDE), ("beside.example", BESIDE)):
        mesh.outside.add(host, address=address)
    with mesh.start_gateway(DUAL_GATEWAY) as gateway:
        yield gateway
    mesh.istiod.restart(environment=before)


@pytest.mark.parametrize(
    ("gateway_name", "verdict"), [("", DIRECT), ("dual", VIA_GATEWAY)], ids=["direct", "gateway"]
)
def test_an_ipv6_address_is_reached(
    operated: OperatedMesh, mesh: Mesh, dual: Gateway, gateway_name: str, verdict: Verdict
) -> None:
    mesh.label("shop", {"egress": "dual"})
    mesh.apply(build_egress_gateway(dual, "dual"))
    for order in build_calls(SIX, ADDRESS):
        mesh.expect(DUAL.key, order, BLOCKED)

    operated.apply(build_six(gateway_name))

    for order in build_calls(SIX, ADDRESS):
        answer = mesh.expect(DUAL.key, order, verdict).answer
        assert answer is not None
        assert answer.address == ADDRESS
    mesh.settle()
    mesh.expect(DUAL.key, call("TCP beside.example:5432", address=BESIDE), BLOCKED)
    mesh.expect(DUAL.key, "TCP other.example:5432", BLOCKED)


@pytest.mark.usefixtures("dual")
@pytest.mark.parametrize("port", [TCP, TLS], ids=["tcp", "tls"])
def test_an_ipv6_range_is_reached_as_dialled(
    operated: OperatedMesh, mesh: Mesh, port: Object
) -> None:
    text = "TCP {}:5432" if port is TCP else "GET https://{}/"
    operated.apply(
        build_policy("shop/range", build_destination(ports=(port,), addresses=[NETWORK]))
    )
    mesh.expect(DUAL.key, call(text.format("inside.example"), address=INSIDE), DIRECT)
    mesh.settle()
    mesh.expect(DUAL.key, call(text.format("beside.example"), address=BESIDE), BLOCKED)
    mesh.expect(DUAL.key, text.format("other.example"), BLOCKED)
