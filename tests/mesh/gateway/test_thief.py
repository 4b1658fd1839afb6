"""A tenant who tries to use what is another tenant's, or the gateway itself."""

from collections.abc import Iterator

import pytest

from delivery.admission import COMPATIBLE, STRICT, find_refusal
from mesh.gateway.guard import SERVICE, guard, wait_gateway_known
from mesh.gateway.handmade import NETWORKING, build_item
from mesh.gateway.tenant import SHARED, WORKLOADS, build_gateway_policy, expect_each
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, CHECKOUT, HTTP, TLS, build_destination, build_policy
from testbed.client import Client, Object
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DENIED_403, NOT_FOUND_404, REACHED, VIA_GATEWAY, call

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
PLAIN, ENCRYPTED = f"GET http://{HOST}/", f"GET https://{OTHER}/"


@pytest.fixture
def victim(operated: OperatedMesh, mesh: Mesh, shared: Object) -> str:
    """Let `shop` reach its hosts through the gateway; return the label of the gateway."""
    assert shared
    operated.apply(
        build_gateway_policy(
            "shop/web",
            build_destination(HOST, ports=(HTTP,)),
            build_destination(OTHER, ports=(TLS,)),
        )
    )
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)
    servers = operated.client.list_objects(NETWORKING, "Gateway", "shop")
    names = [str(item["metadata"]["name"]) for item in servers]
    (label,) = (name for name in names if name.startswith(f"{SHARED}-h"))
    return label


def find_behind(operated: OperatedMesh, host: str) -> str:
    """Return the synthetic name of a host of `shop`."""
    for item in operated.client.list_objects(NETWORKING, "ServiceEntry", "shop"):
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


def build_server(protocol: str, mode: str = "") -> Object:
    """Build a server for every host on the gateway's port, with TLS where there is a mode."""
    port = {"number": 443, "name": f"{protocol.lower()}-443", "protocol": protocol}
    return {"port": port, "hosts": ["*"], **({"tls": {"mode": mode}} if mode else {})}


def build_greedy(*servers: Object) -> Object:
    """Build a Gateway of `pay` on the shared pods."""
    spec = {"selector": {"istio": "egressgateway"}, "servers": list(servers)}
    return build_item("Gateway", "greedy", "pay", spec)


def build_bound(gateway: str) -> Object:
    """Build a route of `pay` on a Gateway of the operator's."""
    rule = {"route": [{"destination": {"host": HOST, "port": {"number": 80}}}]}
    spec = {"hosts": ["*"], "gateways": [gateway], "http": [rule]}
    return build_item("VirtualService", "bound", "pay", spec)


def build_alias(name: str) -> Object:
    """Build a Service of `pay` that stands for a name."""
    spec = {
        "type": "ExternalName",
        "externalName": name,
        "ports": [{"name": "https", "port": 443}],
    }
    metadata = {"name": "alias", "namespace": "pay"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def test_a_borrowed_server_name_is_denied(operated: OperatedMesh, mesh: Mesh, victim: str) -> None:
    """Also without the admission policies: the gateway looks at who comes."""
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    mesh.apply(*build_forged_way(f"{victim}.shop.egress.internal", find_behind(operated, HOST)))
    mesh.expect(APP, "GET http://forged.example/", DENIED_403)
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)


def test_another_tenant_s_authority_leads_nowhere(
    operated: OperatedMesh, mesh: Mesh, victim: str
) -> None:
    operated.apply(build_gateway_policy("pay/web", build_destination(OTHER, ports=(HTTP,))))
    mesh.expect(APP, f"GET http://{OTHER}/", VIA_GATEWAY)
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    mesh.apply(*build_forged_way(f"{victim}.pay.egress.internal", find_behind(operated, HOST)))
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
    operated: OperatedMesh, mesh: Mesh, victim: str, headers: dict[str, str]
) -> None:
    assert victim
    operated.apply(build_gateway_policy("pay/web", build_destination(OTHER, ports=(HTTP,))))
    mesh.expect(APP, f"GET http://{OTHER}/", VIA_GATEWAY)
    behind = find_behind(operated, HOST)
    forged = [
        call(PLAIN, headers=headers),
        call(f"GET http://{OTHER}/", headers={**headers, "host": HOST}),
        call(f"GET http://{OTHER}/", headers={**headers, "host": behind}),
    ]
    for order in forged:
        outcome = mesh.request(APP, order)
        assert outcome.verdict not in REACHED, (order, outcome)


def test_a_synthetic_server_name_opens_nothing(
    operated: OperatedMesh, mesh: Mesh, victim: str
) -> None:
    assert victim
    behind = find_behind(operated, OTHER)
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
        ({"hosts": ["checkout.shop.svc"]}, "InsideCluster"),
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
    operated: OperatedMesh, shared: Object, destination: Object, reason: str
) -> None:
    assert shared
    policy = build_policy("pay/thief")
    policy["spec"] = {"gatewayRef": {"name": SHARED}, "destinations": [destination]}
    operated.mesh.apply(policy)
    operated.wait_condition("pay/thief", "Accepted", "False", reason)


@pytest.fixture
def thief(mesh: Mesh) -> Iterator[Client]:
    """Give a tenant who is judged at the lower level."""
    with guard(mesh, COMPATIBLE) as client:
        yield client


@pytest.fixture
def strict_thief(mesh: Mesh) -> Iterator[Client]:
    """Give a tenant who is judged at the higher level."""
    with guard(mesh, STRICT) as client:
        yield client


def test_with_the_admission_policies_no_attack_can_be_written(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, victim: str, thief: Client
) -> None:
    assert gateway.addresses
    operated.wait_gateway(SHARED, "Isolated", "True")
    behind = find_behind(operated, HOST)
    servers = operated.client.list_objects(NETWORKING, "Gateway", "shop")
    stolen = {"tls": {"mode": "MUTUAL", "credentialName": "shop.bank"}}
    attacks = [
        build_capture(behind),
        build_capture(SERVICE),
        *(build_bound(f"shop/{item['metadata']['name']}") for item in servers),
        build_item("DestinationRule", "x", "pay", {"host": HOST, "trafficPolicy": stolen}),
        build_greedy(build_server("HTTP")),
        build_alias(behind),
        *build_forged_way(f"{victim}.shop.egress.internal", behind)[:1],
        *build_gateway_theft(behind)[1:],
        build_item("DestinationRule", "x", "pay", {"host": behind, "exportTo": [EGRESS.namespace]}),
    ]
    wait_gateway_known(thief, COMPATIBLE)
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


def test_a_server_for_every_name_takes_nothing(
    operated: OperatedMesh, mesh: Mesh, shared: Object, thief: Client
) -> None:
    """Nobody refuses it, and it is older than those of the operator."""
    assert shared
    server = build_server("HTTPS", "ISTIO_MUTUAL")
    rule = {"route": [{"destination": {"host": HOST, "port": {"number": 80}}}]}
    route = {"hosts": ["*"], "gateways": ["greedy"], "http": [rule]}
    for item in (build_greedy(server), build_item("VirtualService", "greedy", "pay", route)):
        assert find_refusal(thief, item) == ""
        mesh.apply(item)
    mesh.settle()
    operated.apply(
        build_gateway_policy(
            "shop/web",
            build_destination(OTHER, ports=(HTTP, TLS)),
        )
    )
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    mesh.apply(*build_forged_way("anything.example", HOST))
    mesh.expect(APP, "GET http://forged.example/", DENIED_403)


def build_harmless(address: str, elsewhere: str) -> list[Object]:
    """Build what the level Strict lets `pay` write towards the host of `shop` at an address."""
    own = {"hosts": ["own.pay.svc.cluster.local"], "exportTo": ["*"]}
    outside = {"location": "MESH_EXTERNAL", "resolution": "STATIC"}
    endpoints = {"endpoints": [{"address": elsewhere}]}
    tcp = [{"number": number, "name": f"tcp-{number}", "protocol": "TCP"} for number in (80, 443)]
    named = [
        {"number": 80, "name": "http", "protocol": "HTTP"},
        {"number": 443, "name": "http2", "protocol": "HTTP2"},
    ]
    route = {"route": [{"destination": {"host": "own.pay.svc.cluster.local"}}]}
    at_home = {"hosts": [HOST], "exportTo": ["."], "addresses": [address]}
    greedy = build_greedy(build_server("HTTPS", "ISTIO_MUTUAL"))
    greedy["spec"]["selector"] = {"istio": "ingressgateway"}
    return [
        build_item(
            "ServiceEntry", "home", "pay", {**at_home, **outside, **endpoints, "ports": tcp}
        ),
        build_item(
            "VirtualService", "home", "pay", {"hosts": [HOST], "exportTo": ["."], "http": [route]}
        ),
        build_item("ServiceEntry", "own", "pay", {**own, **outside, **endpoints, "ports": named}),
        build_item("VirtualService", "own", "pay", {**own, "http": [route]}),
        build_item(
            "DestinationRule",
            "own",
            "pay",
            {"host": own["hosts"][0], "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        ),
        build_item("WorkloadEntry", "own", "pay", {"address": HOST, "labels": {"app": "own"}}),
        greedy,
        build_item(
            "VirtualService",
            "greedy",
            "pay",
            {"hosts": ["*"], "gateways": ["greedy"], "http": [route]},
        ),
    ]


def test_what_strict_lets_through_takes_nothing(
    mesh: Mesh, victim: str, strict_thief: Client
) -> None:
    assert victim
    items = build_harmless(mesh.outside.address_of(HOST), mesh.outside.address_of(OTHER))
    for item in items:
        assert find_refusal(strict_thief, item) == ""
        mesh.apply(item)
    mesh.settle()
    expect_each(mesh, WORKLOADS["shop"], (PLAIN, ENCRYPTED), VIA_GATEWAY)


def test_an_address_of_the_gateway_s_pod_is_refused(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, shared: Object, strict_thief: Client
) -> None:
    """Istiod would take the WorkloadEntry for the pod, which has then no port of its own."""
    assert shared
    first = build_destination(HOST, ports=(HTTP,))
    operated.apply(build_gateway_policy("shop/web", first))
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    spec = {"address": min(gateway.addresses), "labels": {"app": "a"}}
    assert "may be that of a pod" in find_refusal(
        strict_thief, build_item("WorkloadEntry", "pod", "pay", spec)
    )

    # What it would do, written where nobody refuses it.
    # Istiod looks for a pod's Services when one in its namespace changes, or it connects again.
    (attack,) = mesh.apply(build_item("WorkloadEntry", "pod", "istio-system", spec))
    mesh.settle()
    entry = {
        "hosts": ["change.example"],
        "ports": [{"number": 80, "name": "a", "protocol": "HTTP"}],
    }
    (change,) = mesh.apply(build_item("ServiceEntry", "change", EGRESS.namespace, entry))
    mesh.settle()
    operated.apply(build_gateway_policy("shop/web", first, build_destination(OTHER, ports=(TLS,))))
    mesh.settle()
    assert mesh.request(CHECKOUT, ENCRYPTED).verdict not in REACHED
    mesh.delete(attack)
    mesh.settle()
    mesh.delete(change)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)


def build_waiting() -> Object:
    """Build a server that waits for a certificate which is not there."""
    server = build_server("HTTPS", "SIMPLE")
    server["tls"]["credentialName"] = "missing"
    return build_greedy(server)


def build_doubled() -> Object:
    """Build two servers that Istio tells apart, and Envoy does not."""
    server = build_server("HTTPS", "ISTIO_MUTUAL")
    port = server["port"]
    return build_greedy(
        {**server, "hosts": ["pay/a.example"]},
        {**server, "hosts": ["*/a.example"], "port": {**port, "name": "another"}},
    )


def test_a_server_that_holds_up_the_changes_of_all_is_refused(
    operated: OperatedMesh, mesh: Mesh, shared: Object, thief: Client
) -> None:
    assert shared
    first = build_destination(HOST, ports=(HTTP,))
    operated.apply(build_gateway_policy("shop/web", first))
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    wait_gateway_known(thief, COMPATIBLE)
    for attack in (build_waiting(), build_doubled()):
        assert "for everybody" in find_refusal(thief, attack), attack

    # What it would do, written where nobody refuses it.
    attack = build_waiting()
    attack["metadata"]["namespace"] = EGRESS.namespace
    mesh.apply(attack)
    mesh.settle()
    operated.apply(build_gateway_policy("shop/web", first, build_destination(OTHER, ports=(TLS,))))
    mesh.settle()
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    assert mesh.request(CHECKOUT, ENCRYPTED).verdict not in REACHED
    mesh.delete(attack)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)


def test_an_alias_of_the_gateway_s_service_leads_nowhere(
    mesh: Mesh, victim: str, thief: Client
) -> None:
    assert victim
    rule, entry, route = build_forged_way("anything.example", HOST)
    rule["spec"]["host"] = "alias.pay.svc.cluster.local"
    destination = route["spec"]["http"][0]["route"][0]["destination"]
    destination["host"] = "alias.pay.svc.cluster.local"
    mesh.names.set("forged.example", mesh.outside.address_of(HOST))
    for item in (build_alias(SERVICE), rule, entry, route):
        assert find_refusal(thief, item) == ""
        mesh.apply(item)
    mesh.settle()
    assert mesh.request(APP, "GET http://forged.example/").verdict not in REACHED
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)


def test_without_the_admission_policies_the_gateway_says_so(
    operated: OperatedMesh, shared: Object
) -> None:
    assert shared
    operated.wait_gateway(SHARED, "Isolated", "False", "AdmissionPolicyMissing")
