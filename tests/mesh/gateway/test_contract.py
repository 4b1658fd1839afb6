"""The objects of docs/design/gateways.md, written by hand, do what the page says.

No operator takes part: what fails here, no compiler can make good.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.handmade import (
    HTTP_PORT,
    TLS_PORT,
    Behind,
    Tenant,
    build_baseline,
    build_direct_http,
    build_direct_opaque,
    build_http,
    build_opaque,
    build_origination,
    build_tenant,
)
from mesh.gateway.tenant import INNER_HEADERS
from mesh.traffic.policy import APP, BATCH, CHECKOUT
from mesh.traffic.stream import Load, Pace
from testbed.client import Object
from testbed.gateway import EGRESS, QUIET, Gateway, build_secret
from testbed.mesh import Mesh
from testbed.outside import GRPC_PORT, MUTUAL_PORTS
from testbed.request import (
    BLOCKED,
    DENIED_403,
    DIRECT,
    NOT_FOUND_404,
    UNAVAILABLE_503,
    VIA_GATEWAY,
    call,
)

pytestmark = [pytest.mark.mesh, pytest.mark.long("contract")]

SHOP, PAY = Tenant("shop"), Tenant("pay")
HOST, OTHER, DB = "api.example", "other.example", "db.example"
HTTP, TLS, TCP = f"GET http://{HOST}/", f"GET https://{HOST}/", f"TCP {DB}:5432"
TCP_PORT = {"number": 5432, "name": "tcp-5432", "protocol": "TCP"}
ORIGINATED_PORT = {**HTTP_PORT, "targetPort": 443}
MUTUAL_PORT = {**HTTP_PORT, "targetPort": MUTUAL_PORTS[0]}
FROM_CHECKOUT = {"app": "checkout"}


@pytest.fixture
def tenants(mesh: Mesh, gateway: Gateway) -> Gateway:
    """Let the gateway deny all but what two tenants may."""
    mesh.apply(build_baseline(), *build_tenant(SHOP), *build_tenant(PAY))
    mesh.settle()
    return gateway


def find(objects: list[Object], kind: str) -> list[Object]:
    return [item for item in objects if item["kind"] == kind]


def find_mesh_route(objects: list[Object]) -> Object:
    (route,) = (
        item for item in find(objects, "VirtualService") if item["spec"]["gateways"] == ["mesh"]
    )
    return route


@pytest.mark.parametrize("tenant", [SHOP, PAY], ids=lambda tenant: tenant.namespace)
def test_http_goes_through_the_gateway(mesh: Mesh, tenants: Gateway, tenant: Tenant) -> None:
    caller, stranger = (CHECKOUT, APP) if tenant is SHOP else (APP, CHECKOUT)
    mesh.apply(*build_http(tenant, HOST))

    outcome = mesh.expect(caller, HTTP, VIA_GATEWAY)
    mesh.settle()

    assert outcome.peer in tenants.addresses
    mesh.expect(stranger, HTTP, BLOCKED)
    mesh.expect(caller, f"GET http://{OTHER}/", BLOCKED)


@pytest.mark.parametrize("tenant", [SHOP, PAY], ids=lambda tenant: tenant.namespace)
@pytest.mark.usefixtures("tenants")
def test_tls_goes_through_the_gateway(mesh: Mesh, tenant: Tenant) -> None:
    caller, stranger = (CHECKOUT, APP) if tenant is SHOP else (APP, CHECKOUT)
    mesh.apply(*build_opaque(tenant, HOST))

    answer = mesh.expect(caller, TLS, VIA_GATEWAY).answer
    mesh.settle()

    assert answer is not None
    assert answer.sni == HOST
    mesh.expect(stranger, TLS, BLOCKED)
    mesh.expect(caller, f"GET https://{OTHER}/", BLOCKED)


@pytest.mark.usefixtures("tenants")
def test_tcp_goes_through_the_gateway_by_its_address(mesh: Mesh) -> None:
    address = mesh.outside.address_of(DB)
    mesh.apply(*build_opaque(SHOP, DB, TCP_PORT, addresses=[address]))

    mesh.expect(CHECKOUT, TCP, VIA_GATEWAY)
    mesh.settle()

    mesh.expect(CHECKOUT, f"TCP {OTHER}:5432", BLOCKED)
    mesh.expect(APP, TCP, BLOCKED)


@pytest.mark.usefixtures("tenants")
def test_two_tenants_have_the_same_hosts_side_by_side(mesh: Mesh) -> None:
    for tenant in (SHOP, PAY):
        mesh.apply(*build_http(tenant, HOST), *build_opaque(tenant, OTHER))
    for caller in (CHECKOUT, APP):
        mesh.expect(caller, HTTP, VIA_GATEWAY)
        mesh.expect(caller, f"GET https://{OTHER}/", VIA_GATEWAY)

    mesh.delete(*build_http(SHOP, HOST), *build_opaque(SHOP, OTHER))
    mesh.expect(CHECKOUT, HTTP, BLOCKED)
    mesh.settle()

    mesh.expect(APP, HTTP, VIA_GATEWAY)
    mesh.expect(APP, f"GET https://{OTHER}/", VIA_GATEWAY)


@pytest.mark.usefixtures("tenants")
def test_http_and_tls_of_one_host_share_the_port_of_the_gateway(mesh: Mesh) -> None:
    http, opaque = build_http(SHOP, HOST), build_opaque(SHOP, HOST)
    route, tls_route = find_mesh_route(http), find_mesh_route(opaque)
    both = {**route, "spec": {**route["spec"], "tls": tls_route["spec"]["tls"]}}
    entry = http[-1]
    closed = {**entry, "spec": {**entry["spec"], "ports": [HTTP_PORT, TLS_PORT]}}
    group = route["metadata"]["name"]
    rest = [item for item in (*http, *opaque) if item["metadata"]["name"] != group]
    mesh.apply(*rest, both, closed)

    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    mesh.expect(CHECKOUT, TLS, VIA_GATEWAY)


@pytest.mark.usefixtures("tenants")
def test_without_its_route_a_host_is_closed(mesh: Mesh) -> None:
    for objects, text, verdict in (
        (build_http(SHOP, HOST), HTTP, UNAVAILABLE_503),
        (build_opaque(SHOP, OTHER), f"GET https://{OTHER}/", BLOCKED),
    ):
        mesh.apply(*objects)
        mesh.expect(CHECKOUT, text, VIA_GATEWAY)
        mesh.delete(find_mesh_route(objects))
        mesh.expect(CHECKOUT, text, verdict)


@pytest.mark.usefixtures("gateway")
def test_who_has_no_permission_is_denied(mesh: Mesh) -> None:
    """The gateway itself refuses, not only the clients' own proxies."""
    server, subset, allow = build_tenant(SHOP)
    mesh.apply(
        build_baseline(), server, subset, *build_http(SHOP, HOST), *build_opaque(SHOP, OTHER)
    )
    mesh.settle()

    mesh.expect(CHECKOUT, HTTP, DENIED_403)
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", BLOCKED)

    mesh.apply(allow)
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", VIA_GATEWAY)


def borrow(objects: list[Object], namespace: str) -> list[Object]:
    """Copy what clients need of another tenant's objects into a namespace."""
    kinds = {"DestinationRule", "ServiceEntry"}
    needed = [item for item in objects if item["kind"] in kinds]
    needed = [item for item in needed if item["spec"]["exportTo"] == ["."]]
    needed += [
        item for item in find(objects, "VirtualService") if item["spec"]["gateways"] == ["mesh"]
    ]
    return [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in needed]


@pytest.mark.usefixtures("tenants")
def test_another_tenant_s_server_name_does_not_help(mesh: Mesh) -> None:
    http, opaque = build_http(SHOP, HOST), build_opaque(SHOP, OTHER)
    mesh.apply(*http, *opaque)
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    own_subset = next(item for item in build_tenant(PAY) if item["kind"] == "DestinationRule")
    mesh.delete(own_subset)

    mesh.apply(*borrow([*build_tenant(SHOP)[:2], *http, *opaque], "pay"))

    mesh.expect(APP, HTTP, DENIED_403)
    mesh.expect(APP, f"GET https://{OTHER}/", BLOCKED)


@pytest.mark.parametrize("kind", ["http", "opaque"])
@pytest.mark.usefixtures("tenants")
def test_a_host_may_be_restricted_to_service_accounts(mesh: Mesh, kind: str) -> None:
    if kind == "http":
        restricted, text, denied = build_http(SHOP, HOST, accounts=["checkout"]), HTTP, DENIED_403
    else:
        restricted, text, denied = build_opaque(SHOP, HOST, accounts=["checkout"]), TLS, BLOCKED
    mesh.apply(*restricted, *build_http(SHOP, OTHER))

    mesh.expect(CHECKOUT, text, VIA_GATEWAY)
    mesh.settle()

    mesh.expect(BATCH, text, denied)
    mesh.expect(BATCH, f"GET http://{OTHER}/", VIA_GATEWAY)


@pytest.mark.usefixtures("tenants")
def test_the_tenant_s_server_knows_no_restricted_host(mesh: Mesh) -> None:
    restricted = build_http(SHOP, HOST, accounts=["checkout"])
    mesh.apply(*restricted)
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    route = find_mesh_route(restricted)
    (rule,) = route["spec"]["http"]
    destination = {**rule["route"][0]["destination"], "subset": SHOP.label}
    around = {**route["spec"], "http": [{**rule, "route": [{"destination": destination}]}]}

    mesh.apply({**route, "spec": around})

    mesh.expect(BATCH, HTTP, NOT_FOUND_404)


def test_direct_http_is_for_chosen_workloads(mesh: Mesh) -> None:
    mesh.apply(*build_direct_http(SHOP, HOST, FROM_CHECKOUT))

    mesh.expect(CHECKOUT, HTTP, DIRECT)
    mesh.settle()

    mesh.expect(BATCH, HTTP, DENIED_403)
    private = Behind(SHOP, HOST, HTTP_PORT, "direct").domain
    around = call(f"GET http://{private}/", address=mesh.outside.address_of(HOST))
    mesh.expect(BATCH, around, DENIED_403)
    mesh.expect(CHECKOUT, around, DENIED_403)
    mesh.expect(BATCH, call(HTTP, headers={"Host": private}), DENIED_403)
    mesh.expect(APP, HTTP, BLOCKED)


def test_direct_tls_is_for_chosen_workloads(mesh: Mesh) -> None:
    mesh.apply(*build_direct_opaque(SHOP, HOST, TLS_PORT, FROM_CHECKOUT))

    mesh.expect(CHECKOUT, TLS, DIRECT)
    mesh.settle()

    mesh.expect(BATCH, TLS, BLOCKED)
    private = Behind(SHOP, HOST, TLS_PORT, "direct").domain
    around = call(TLS, server_name=private)
    mesh.expect(BATCH, around, BLOCKED)
    mesh.expect(CHECKOUT, around, BLOCKED)
    mesh.expect(APP, TLS, BLOCKED)


def test_direct_tcp_is_for_chosen_workloads(mesh: Mesh) -> None:
    address = mesh.outside.address_of(DB)
    mesh.apply(*build_direct_opaque(SHOP, DB, TCP_PORT, FROM_CHECKOUT, [address]))

    mesh.expect(CHECKOUT, TCP, DIRECT)
    mesh.settle()

    mesh.expect(BATCH, TCP, BLOCKED)
    private = Behind(SHOP, DB, TCP_PORT, "direct").domain
    around = call(f"TLS {DB}:443", server_name=private)
    for caller in (BATCH, CHECKOUT):
        mesh.expect(caller, around, BLOCKED)
        mesh.expect(caller, f"TCP {OTHER}:5432", BLOCKED)
        mesh.expect(caller, f"TCP {DB}:9000", BLOCKED)
    mesh.expect(APP, TCP, BLOCKED)


def test_the_chosen_workload_s_own_proxy_opens_tls(mesh: Mesh) -> None:
    behind = Behind(SHOP, HOST, HTTP_PORT, "direct")
    tls = {"mode": "SIMPLE", "sni": HOST, "subjectAltNames": [HOST]}
    objects = build_direct_http(SHOP, HOST, FROM_CHECKOUT, ORIGINATED_PORT)
    mesh.apply(build_origination(behind, tls), *objects)

    answer = mesh.expect(CHECKOUT, HTTP, DIRECT).answer
    mesh.settle()

    assert answer is not None
    assert (answer.tls, answer.sni, answer.headers["host"]) == (True, HOST, HOST)
    mesh.expect(BATCH, HTTP, DENIED_403)


@pytest.mark.usefixtures("tenants")
def test_no_header_of_the_mesh_gets_out(mesh: Mesh) -> None:
    mesh.apply(*build_http(SHOP, HOST))
    order = call(HTTP, headers={"X-Team": "shop", "X-Forwarded-For": "192.0.2.1"})

    answer = mesh.expect(CHECKOUT, order, VIA_GATEWAY).answer

    assert answer is not None
    assert answer.headers["host"] == HOST
    assert answer.headers["x-team"] == "shop"
    assert INNER_HEADERS & {*answer.headers} == set()


def test_the_platform_s_proxy_config_hides_the_name_behind(mesh: Mesh) -> None:
    """A route cannot: the proxy writes this header after the route's removals."""
    template = replace(EGRESS, namespace="quiet-egress", proxy_config=QUIET)
    tenant = Tenant("shop", gateway=template)
    with mesh.start_gateway(template):
        mesh.apply(*build_tenant(tenant), *build_http(tenant, HOST))
        answer = mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY).answer

    assert answer is not None
    assert "internal" not in str(answer.headers)


@pytest.mark.usefixtures("tenants")
def test_a_failing_server_is_asked_once(mesh: Mesh) -> None:
    mesh.apply(*build_http(SHOP, HOST))
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    for path in ("/fail?times=9&status=503", "/fail?times=9&status=0"):
        mesh.request(CHECKOUT, f"GET http://{HOST}{path}")
        assert mesh.outside.count(HOST, path) == 1


@pytest.mark.usefixtures("tenants")
def test_the_gateway_opens_tls_with_the_system_s_roots(mesh: Mesh) -> None:
    mesh.outside.add("forged.example", certificate_for="somebody.example")
    mesh.outside.add("private.example", private=True)
    for host in (HOST, "forged.example", "private.example"):
        behind = Behind(SHOP, host, ORIGINATED_PORT, "http")
        simple = {"mode": "SIMPLE", "sni": host, "subjectAltNames": [host]}
        mesh.apply(build_origination(behind, simple), *build_http(SHOP, host, ORIGINATED_PORT))

    answer = mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY).answer
    mesh.settle()

    assert answer is not None
    assert (answer.tls, answer.sni, answer.headers["host"]) == (True, HOST, HOST)
    mesh.expect(CHECKOUT, "GET http://forged.example/", UNAVAILABLE_503)
    mesh.expect(CHECKOUT, "GET http://private.example/", UNAVAILABLE_503)


def test_the_gateway_opens_tls_with_a_tenant_s_own_roots(mesh: Mesh, tenants: Gateway) -> None:
    host = "private.example"
    mesh.outside.add(host, private=True)
    tls = {
        "mode": "SIMPLE",
        "sni": host,
        "subjectAltNames": [host],
        "credentialName": "shop.bank-ca",
    }
    mesh.apply(
        build_secret(tenants.namespace, "shop.bank-ca", ca=mesh.outside.private_ca),
        build_origination(Behind(SHOP, host, ORIGINATED_PORT, "http"), tls),
        *build_http(SHOP, host, ORIGINATED_PORT),
    )

    mesh.expect(CHECKOUT, f"GET http://{host}/", VIA_GATEWAY)


def test_each_tenant_has_its_own_client_certificate(mesh: Mesh, tenants: Gateway) -> None:
    ca = mesh.outside.ca_file.read_bytes()
    for tenant in (SHOP, PAY):
        name = f"{tenant.namespace}.bank-client"
        pair = mesh.outside.issue_client(f"client of {tenant.namespace}")
        tls = {"mode": "MUTUAL", "sni": HOST, "subjectAltNames": [HOST], "credentialName": name}
        mesh.apply(
            build_secret(tenants.namespace, name, pair, ca),
            build_origination(Behind(tenant, HOST, MUTUAL_PORT, "http"), tls),
            *build_http(tenant, HOST, MUTUAL_PORT),
        )
    for caller, tenant in ((CHECKOUT, SHOP), (APP, PAY)):
        answer = mesh.expect(caller, HTTP, VIA_GATEWAY).answer
        assert answer is not None
        assert answer.client == f"client of {tenant.namespace}"


@pytest.mark.usefixtures("tenants")
def test_without_a_client_certificate_the_server_refuses(mesh: Mesh) -> None:
    tls = {"mode": "SIMPLE", "sni": HOST, "subjectAltNames": [HOST]}
    behind = Behind(SHOP, HOST, MUTUAL_PORT, "http")
    mesh.apply(build_origination(behind, tls), *build_http(SHOP, HOST, MUTUAL_PORT))

    mesh.expect(CHECKOUT, HTTP, UNAVAILABLE_503)


@pytest.mark.usefixtures("tenants")
def test_grpc_goes_through_the_gateway(mesh: Mesh) -> None:
    mesh.outside.serve_grpc(HOST)
    port = {"number": GRPC_PORT, "name": "grpc", "protocol": "GRPC"}
    mesh.apply(*build_http(SHOP, HOST, port))

    for text in (f"GRPC {HOST}:{GRPC_PORT}", f"GRPC-CHAT {HOST}:{GRPC_PORT}"):
        mesh.expect(CHECKOUT, text, VIA_GATEWAY)


@pytest.mark.usefixtures("tenants")
def test_a_websocket_goes_through_the_gateway(mesh: Mesh) -> None:
    mesh.apply(*build_http(SHOP, HOST))

    answer = mesh.expect(CHECKOUT, call(f"WS {HOST}:80", body="hello "), VIA_GATEWAY).answer

    assert answer is not None
    assert answer.line == "hello 3"


def move_servers(objects: list[Object]) -> list[Object]:
    """Put the Gateways of `shop` into the gateway's own namespace, as the setting does."""
    moved = []
    for item in objects:
        metadata, spec = item["metadata"], item["spec"]
        if item["kind"] == "Gateway":
            metadata = {"name": f"shop-{metadata['name']}", "namespace": EGRESS.namespace}
        elif spec.get("gateways", ["mesh"]) != ["mesh"]:
            (server,) = spec["gateways"]
            spec = {**spec, "gateways": [f"{EGRESS.namespace}/shop-{server}"]}
        moved.append({**item, "metadata": metadata, "spec": spec})
    return moved


@pytest.fixture
def scoped_istiod(mesh: Mesh) -> Iterator[None]:
    """Let istiod honour only Gateways of the pods' own namespace for a while."""
    before = mesh.istiod.option.environment
    mesh.istiod.restart(environment={**before, "PILOT_SCOPE_GATEWAY_TO_NAMESPACE": "true"})
    yield
    mesh.istiod.restart(environment=before)


@pytest.mark.usefixtures("gateway", "scoped_istiod")
def test_a_scoped_istiod_needs_the_servers_in_the_gateway_s_namespace(mesh: Mesh) -> None:
    objects = [*build_tenant(SHOP), *build_http(SHOP, HOST), *build_opaque(SHOP, OTHER)]
    mesh.apply(build_baseline(), *objects)
    mesh.expect(CHECKOUT, HTTP, UNAVAILABLE_503)
    mesh.delete(*objects)

    mesh.apply(*move_servers(objects))

    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", VIA_GATEWAY)


LOAD = {CHECKOUT: (HTTP, f"GET https://{OTHER}/", TCP), APP: (HTTP, f"GET https://{OTHER}/")}
VIA_GATEWAY_ONLY = frozenset({VIA_GATEWAY})


def apply_loaded(mesh: Mesh) -> None:
    """Give both tenants what `LOAD` asks for."""
    address = mesh.outside.address_of(DB)
    for tenant in (SHOP, PAY):
        mesh.apply(*build_tenant(tenant), *build_http(tenant, HOST), *build_opaque(tenant, OTHER))
    mesh.apply(*build_opaque(SHOP, DB, TCP_PORT, addresses=[address]))
    for caller, texts in LOAD.items():
        for text in texts:
            mesh.expect(caller, text, VIA_GATEWAY)
    mesh.settle()


def test_a_gateway_becomes_managed_and_nothing_is_lost(mesh: Mesh, gateway: Gateway) -> None:
    assert gateway.host == SHOP.service
    apply_loaded(mesh)
    allows = [
        item for tenant in (SHOP, PAY) for item in find(build_tenant(tenant), "AuthorizationPolicy")
    ]
    mesh.delete(*allows)
    mesh.settle()

    pace = Pace(per_second=120, threads=8)
    with Load(mesh, LOAD, fine=VIA_GATEWAY_ONLY, pace=pace) as load:
        load.wait(300)
        mesh.apply(build_baseline({}))
        mesh.settle()
        load.wait(100)
        mesh.apply(*allows)
        mesh.settle()
        load.wait(100)
        mesh.apply(build_baseline())
        mesh.settle()
        load.wait(300)

    assert load.lost == []
    assert load.count >= 800
