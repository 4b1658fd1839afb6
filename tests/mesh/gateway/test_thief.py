"""A tenant who tries to use what is another tenant's, or the gateway itself."""

from collections.abc import Iterator

import pytest

from delivery.admission import TENANT_USER, build_policies, find_refusal, login
from mesh.gateway.handmade import NETWORKING, build_item
from mesh.gateway.tenant import SHARED, build_gateway_policy
from mesh.traffic.world import APP, CHECKOUT, HTTP, TLS, World, build_destination, build_policy
from testbed.client import Client, Object
from testbed.deadline import wait_until
from testbed.gateway import EGRESS, Gateway
from testbed.identity import apply_identity
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DENIED_403, NOT_FOUND_404, REACHED, VIA_GATEWAY, call

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
PLAIN, ENCRYPTED = f"GET http://{HOST}/", f"GET https://{OTHER}/"
SERVICE = f"{EGRESS.name}.{EGRESS.namespace}.svc.cluster.local"
IN_FORCE_S = 20.0


@pytest.fixture
def victim(world: World, mesh: Mesh, shared: Object) -> str:
    """Let `shop` reach its hosts through the gateway; return the label of the gateway."""
    assert shared
    world.apply(
        build_gateway_policy(
            "shop/web",
            build_destination(HOST, ports=(HTTP,)),
            build_destination(OTHER, ports=(TLS,)),
        )
    )
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)
    servers = world.client.list_objects(NETWORKING, "Gateway", "shop")
    names = [str(item["metadata"]["name"]) for item in servers]
    (label,) = (name for name in names if name.startswith(f"{SHARED}-h"))
    return label


def find_behind(world: World, host: str) -> str:
    """Return the synthetic name of a host of `shop`."""
    for item in world.client.list_objects(NETWORKING, "ServiceEntry", "shop"):
        annotations = item["metadata"]["annotations"]
        (name,) = item["spec"]["hosts"]
        if annotations["egress-operator.io/host"] == host and name != host:
            return str(name)
    raise LookupError(host)


def build_forged_way(server_name: str, authority: str) -> list[Object]:
    """Build what leads `pay` to the gateway under a name of `shop`."""
    policy = {"tls": {"mode": "ISTIO_MUTUAL", "sni": server_name}}
    rule = {"host": SERVICE, "exportTo": ["."], "subsets": [{"name": "x", "trafficPolicy": policy}]}
    entry = {
        "hosts": ["forged.example"],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
    }
    route = {
        "hosts": ["forged.example"],
        "exportTo": ["."],
        "gateways": ["mesh"],
        "http": [
            {
                "rewrite": {"authority": authority},
                "route": [
                    {"destination": {"host": SERVICE, "port": {"number": 443}, "subset": "x"}}
                ],
            }
        ],
    }
    return [
        build_item("DestinationRule", "forged", "pay", rule),
        build_item("ServiceEntry", "forged", "pay", entry),
        build_item("VirtualService", "forged", "pay", route),
    ]


def build_gateway_theft(behind: str) -> list[Object]:
    """Build a server of `pay`'s own on the gateway that leads to a host of `shop`."""
    server = {
        "port": {"number": 443, "name": "https-443", "protocol": "HTTPS"},
        "tls": {"mode": "ISTIO_MUTUAL"},
        "hosts": ["pay/stolen.example"],
    }
    route = {
        "hosts": ["stolen.example"],
        "exportTo": [EGRESS.namespace],
        "gateways": ["pay/stolen"],
        "http": [{"route": [{"destination": {"host": behind, "port": {"number": 80}}}]}],
    }
    spec = {"selector": {"istio": "egressgateway"}, "servers": [server]}
    return [
        build_item("Gateway", "stolen", "pay", spec),
        build_item("VirtualService", "stolen", "pay", route),
    ]


def build_capture(behind: str) -> Object:
    """Build an entry of `pay` that takes a synthetic name of `shop`."""
    spec = {
        "hosts": [behind],
        "exportTo": [EGRESS.namespace],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "endpoints": [{"address": "198.51.100.99"}],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
    }
    return build_item("ServiceEntry", "captured", "pay", spec)


def test_a_borrowed_server_name_is_denied(world: World, mesh: Mesh, victim: str) -> None:
    """Also without the admission policies: the gateway looks at who comes."""
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    mesh.apply(*build_forged_way(f"{victim}.shop.egress.internal", find_behind(world, HOST)))
    mesh.expect(APP, "GET http://forged.example/", DENIED_403)
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)


def test_another_tenant_s_authority_leads_nowhere(world: World, mesh: Mesh, victim: str) -> None:
    world.apply(build_gateway_policy("pay/web", build_destination(OTHER, ports=(HTTP,))))
    mesh.expect(APP, f"GET http://{OTHER}/", VIA_GATEWAY)
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    mesh.apply(*build_forged_way(f"{victim}.pay.egress.internal", find_behind(world, HOST)))
    mesh.expect(APP, "GET http://forged.example/", NOT_FOUND_404)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-envoy-original-dst-host": "198.51.100.10:80"},
        {"x-envoy-original-host": HOST},
        {"x-forwarded-client-cert": "By=spiffe://cluster.local/ns/shop/sa/checkout"},
        {"x-envoy-peer-metadata-id": "sidecar~10.10.1.1~checkout.shop~shop.svc.cluster.local"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_headers_open_nothing(
    world: World, mesh: Mesh, victim: str, headers: dict[str, str]
) -> None:
    assert victim
    world.apply(build_gateway_policy("pay/web", build_destination(OTHER, ports=(HTTP,))))
    mesh.expect(APP, f"GET http://{OTHER}/", VIA_GATEWAY)
    behind = find_behind(world, HOST)
    forged = [
        call(PLAIN, headers=headers),
        call(f"GET http://{OTHER}/", headers={**headers, "host": HOST}),
        call(f"GET http://{OTHER}/", headers={**headers, "host": behind}),
    ]
    for order in forged:
        outcome = mesh.request(APP, order)
        assert outcome.verdict not in REACHED, (order, outcome)


def test_a_synthetic_server_name_opens_nothing(world: World, mesh: Mesh, victim: str) -> None:
    assert victim
    behind = find_behind(world, OTHER)
    address = mesh.outside.address_of(OTHER)
    for caller in (APP, CHECKOUT):
        order = call(f"TLS {OTHER}:443", address=address, server_name=behind)
        assert mesh.request(caller, order).verdict not in REACHED


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ({"hosts": ["a.shop.egress.internal"]}, "ReservedHost"),
        ({"hosts": ["a.shop.direct.internal"]}, "ReservedHost"),
        ({"hosts": ["istiod.istio-system.svc.cluster.local"]}, "InsideCluster"),
        ({"hosts": ["checkout.shop"]}, "InsideCluster"),
        (
            {
                "hosts": ["a.example"],
                "backends": [{"name": "x", "endpoints": [{"address": "b.shop.egress.internal"}]}],
            },
            "ReservedHost",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_policies_for_what_is_inside_are_refused(
    world: World, shared: Object, destination: Object, reason: str
) -> None:
    assert shared
    policy = build_policy("pay/thief")
    policy["spec"] = {"gatewayRef": {"name": SHARED}, "destinations": [destination]}
    world.mesh.apply(policy)
    world.wait_condition("pay/thief", "Accepted", "False", reason)


def test_a_host_that_leads_to_the_gateway_itself_reaches_nothing(
    world: World, mesh: Mesh, shared: Object
) -> None:
    """The admin interface listens on ports that no policy may name."""
    assert shared
    mesh.names.set("inward.example", "127.0.0.1")
    world.apply(build_gateway_policy("shop/web", build_destination("inward.example")))
    outcome = mesh.request(CHECKOUT, call("GET http://inward.example/", address="198.51.100.77"))
    assert outcome.verdict not in REACHED


@pytest.fixture
def thief(mesh: Mesh) -> Iterator[Client]:
    """Put the admission policies in force and give a tenant who may write Istio objects."""
    plane = mesh.control_plane
    apply_identity(plane.admin, TENANT_USER)
    policies = build_policies()
    for item in policies:
        plane.admin.apply(item)
    try:
        client = login(plane, TENANT_USER)
        attempt = build_capture("x.shared-h0000000.shop.egress.internal")
        wait_until(lambda: find_refusal(client, attempt), IN_FORCE_S, "policies are in force")
        yield client
    finally:
        for item in reversed(policies):
            plane.admin.delete(item["apiVersion"], item["kind"], item["metadata"]["name"])


def test_with_the_admission_policies_no_attack_can_be_written(
    world: World, mesh: Mesh, gateway: Gateway, victim: str, thief: Client
) -> None:
    assert gateway.addresses
    world.wait_gateway(SHARED, "Isolated", "True")
    behind = find_behind(world, HOST)
    attacks = [
        build_capture(behind),
        *build_forged_way(f"{victim}.shop.egress.internal", behind)[:1],
        *build_gateway_theft(behind)[1:],
        build_item("DestinationRule", "x", "pay", {"host": behind, "exportTo": [EGRESS.namespace]}),
    ]
    for attack in attacks:
        assert "egress-operator.io" in find_refusal(thief, attack), attack
    ordinary = build_item(
        "ServiceEntry",
        "ordinary",
        "pay",
        {
            "hosts": [HOST],
            "exportTo": ["."],
            "location": "MESH_EXTERNAL",
            "resolution": "DNS",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        },
    )
    assert find_refusal(thief, ordinary) == ""
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(APP, PLAIN, BLOCKED)


def test_without_the_admission_policies_the_gateway_says_so(world: World, shared: Object) -> None:
    assert shared
    world.wait_gateway(SHARED, "Isolated", "False", "AdmissionPolicyMissing")
