"""Wildcard hosts through a gateway by TLS of the application, whose server name alone tells where.

Istio's gateways do not look for such a name by themselves: an EnvoyFilter makes them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from delivery.admission import STRICT, find_refusal
from mesh.gateway.guard import SERVICE, guard
from mesh.gateway.handmade import build_item
from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.gateway.wildcard import NAMES, ONE, OTHER, THIEF, WILDCARD, add_hosts, open_gateway
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import (
    APP,
    BATCH,
    CHECKOUT,
    HTTP,
    NAMESPACE,
    TLS,
    build_destination,
    build_policy,
)
from mesh.traffic.stream import Load
from testbed.client import Client, Object
from testbed.controlplane import CONTROLLER_MANAGER
from testbed.deadline import wait_until
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, REACHED, UNTRUSTED, VIA_GATEWAY, call

pytestmark = pytest.mark.mesh

FILTER = ("networking.istio.io/v1alpha3", "EnvoyFilter")
ALLOWED = "HTTPAndTLS"
TIMEOUT_S = 20.0
SECURE = build_destination(WILDCARD, ports=(TLS,))


@pytest.fixture(scope="module")
def tenant(mesh: Mesh) -> Iterator[Client]:
    """Give a client of a tenant's, with the admission policies in force."""
    with guard(mesh, STRICT) as client:
        yield client


@pytest.fixture(autouse=True)
def _hosts(mesh: Mesh) -> None:
    add_hosts(mesh)


@pytest.fixture
def wild(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, labelled: None, tenant: Client
) -> OperatedMesh:
    """Give an EgressGateway that lets wildcards through, also by TLS, for both tenants."""
    del labelled, tenant
    open_gateway(operated, mesh, gateway, ALLOWED)
    return operated


def build_wild(
    name: str = "wild", destination: Object = SECURE, source: Object | None = None
) -> Object:
    """Build a policy that leads the wildcard through the gateway."""
    return build_gateway_policy(name, destination, source=source)


def find_filters(operated: OperatedMesh, namespace: str = EGRESS.namespace) -> dict[str, str]:
    """Return the tenants by the names of their EnvoyFilters."""
    return {
        item["metadata"]["name"]: item["metadata"]["annotations"]["egress-operator.io/namespace"]
        for item in operated.client.list_objects(*FILTER, namespace)
    }


def wait_filters(operated: OperatedMesh, *tenants: str) -> None:
    """Wait until the gateway has EnvoyFilters for these tenants alone."""
    wait_until(
        lambda: sorted(find_filters(operated).values()) == sorted(tenants),
        TIMEOUT_S,
        f"EnvoyFilters of {tenants}",
    )


def test_it_needs_the_platform_team(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, labelled: None, tenant: Client
) -> None:
    """HTTP is not enough; and when the value is taken back the way is closed again."""
    del labelled, tenant
    mesh.apply(build_egress_gateway(gateway, wildcards="HTTP"))
    operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
    mesh.apply(build_wild(destination=build_destination(WILDCARD, ports=(HTTP, TLS))))
    operated.wait_condition("shop/wild", "Ready", "False", "WildcardsNotAllowed")
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)
    assert find_filters(operated) == {}

    mesh.apply(build_egress_gateway(gateway, wildcards=ALLOWED))
    operated.wait_ready("shop/wild")
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
    assert list(find_filters(operated).values()) == ["shop"]

    mesh.apply(build_egress_gateway(gateway, wildcards="HTTP"))
    operated.wait_condition("shop/wild", "Ready", "False", "WildcardsNotAllowed")
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)
    wait_filters(operated)


def test_every_name_is_reached_and_nothing_else(wild: OperatedMesh, mesh: Mesh) -> None:
    mesh.outside.add("false.wild.example", certificate_for=THIEF)
    wild.apply(build_wild())

    for host in NAMES:
        for workload in (CHECKOUT, BATCH):
            answer = mesh.expect(workload, f"GET https://{host}/", VIA_GATEWAY).answer
            assert answer is not None
            assert (answer.tls, answer.sni, answer.port) == (True, host, 443)
    # TLS is the application's own, and so is what it takes.
    mesh.expect(CHECKOUT, "GET https://false.wild.example/", UNTRUSTED)
    for text in (f"GET https://{THIEF}/", f"GET http://{ONE}/", f"GET https://{ONE}:8443/"):
        mesh.expect(CHECKOUT, text, BLOCKED)
    mesh.expect(APP, f"GET https://{ONE}/", BLOCKED)


def test_where_the_client_dials_does_not_count(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild())
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
    mesh.outside.reset()
    address = mesh.outside.address_of(THIEF)
    order = call(f"GET https://{ONE}/", address=address)
    mesh.expect(CHECKOUT, order, VIA_GATEWAY, server=ONE)
    outside = mesh.request(CHECKOUT, call(f"GET https://{ONE}/", server_name=THIEF))
    assert outside.verdict is BLOCKED
    assert mesh.outside.count(THIEF) == 0


def test_the_gateway_itself_keeps_to_the_names(wild: OperatedMesh, mesh: Mesh) -> None:
    """A client that goes round its own proxy's routes, here by a route by hand, gains nothing."""
    wild.apply(build_wild())
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
    (behind,) = find_filters(wild)
    way = {"host": SERVICE, "port": {"number": 443}, "subset": behind}
    hosts = [THIEF, OTHER]
    entry = {
        "hosts": hosts,
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
    }
    match = {"port": 443, "sniHosts": hosts}
    route = {
        "hosts": hosts,
        "exportTo": ["."],
        "gateways": ["mesh"],
        "tls": [{"match": [match], "route": [{"destination": way}]}],
    }
    mesh.apply(
        build_item("ServiceEntry", "forged", NAMESPACE, entry),
        build_item("VirtualService", "forged", NAMESPACE, route),
    )
    mesh.settle()
    # By the ServiceEntry alone it could not be reached: the route is in force.
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", VIA_GATEWAY)
    mesh.outside.reset()
    for _ in range(3):
        assert mesh.request(CHECKOUT, f"GET https://{THIEF}/").verdict not in REACHED
    assert mesh.outside.count(THIEF) == 0


def test_two_tenants_with_one_wildcard(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild())
    wild.apply(build_wild("pay/wild"))
    assert sorted(find_filters(wild).values()) == ["pay", "shop"]
    for workload in (CHECKOUT, APP):
        mesh.expect(workload, f"GET https://{ONE}/", VIA_GATEWAY)

    wild.delete(build_wild("pay/wild"))
    mesh.expect(APP, f"GET https://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
    wait_filters(wild, "shop")


@pytest.mark.parametrize("paused", [False, True])
def test_permission_that_is_withdrawn(wild: OperatedMesh, mesh: Mesh, *, paused: bool) -> None:
    policy = build_wild()
    wild.apply(policy)
    wild.apply(build_wild("pay/wild"))
    if paused:
        policy["metadata"]["annotations"] = {"egress-operator.io/paused": "true"}
        mesh.apply(policy)
        wild.wait_condition("shop/wild", "Paused", "True")
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)

    mesh.label("shop", {"egress": None})
    wait_filters(wild, "pay")
    mesh.settle()
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", BLOCKED)
    mesh.expect(APP, f"GET https://{ONE}/", VIA_GATEWAY)
    mesh.label("shop", {"egress": SHARED})
    wait_filters(wild, *(["pay"] if paused else ["pay", "shop"]))
    if not paused:
        wild.wait_ready("shop/wild")
        mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)


def test_only_chosen_accounts(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild(source={"serviceAccounts": ["checkout"]}))

    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
    mesh.expect(BATCH, f"GET https://{ONE}/", BLOCKED)


def test_requests_and_tls_beside_each_other(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild(destination=build_destination(WILDCARD, ports=(HTTP, TLS))))

    for host in NAMES:
        mesh.expect(CHECKOUT, f"GET https://{host}/", VIA_GATEWAY)
        mesh.expect(CHECKOUT, f"GET http://{host}/", VIA_GATEWAY)


def test_times_of_the_gateways_connections_hold(
    wild: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    def find_connections(pause_s: float, session: str) -> set[int]:
        found = set()
        for _ in range(2):
            order = call(f"GET https://{ONE}/", session=session)
            outcome = mesh.request(CHECKOUT, order)
            if outcome.answer is None:
                # The one that was kept has ended; this opens another one.
                outcome = mesh.request(CHECKOUT, order)
            assert outcome.answer is not None, outcome
            found.add(outcome.answer.connection)
            time.sleep(pause_s)
        return found

    wild.apply(build_wild())
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
    mesh.settle()
    assert len(find_connections(3, "kept")) == 1
    traffic = {"connectionPool": {"idleTimeout": "1s"}}
    mesh.apply(build_egress_gateway(gateway, wildcards=ALLOWED, traffic=traffic))
    wait_until(
        lambda: any(
            item["kind"] == "DestinationRule" and "trafficPolicy" in item["spec"]
            for item in wild.children("shop/wild")
        ),
        TIMEOUT_S,
        "the time is written",
    )
    mesh.settle()
    assert len(find_connections(3, "idle")) == 2


def test_nothing_is_lost_while_the_way_changes(wild: OperatedMesh, mesh: Mesh) -> None:
    """Direct, through the gateway, for an account, with requests beside it, and back."""
    direct = build_policy("wild", SECURE)
    wild.apply(direct)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", DIRECT)
    mesh.settle()
    both = build_destination(WILDCARD, ports=(HTTP, TLS))
    texts = [f"GET https://{ONE}/", f"GET https://{OTHER}/"]
    with Load(mesh, {CHECKOUT: texts}, fine=frozenset({DIRECT, VIA_GATEWAY})) as load:
        load.wait(20)
        for policy in (
            build_wild(),
            build_wild(destination=both),
            build_policy("wild", both),
            build_wild(source={"serviceAccounts": ["checkout"]}),
            build_wild(),
            direct,
        ):
            whole = {"op": "replace", "path": "/spec", "value": policy["spec"]}
            wild.client.json_patch(wild.policy("shop/wild"), [whole])
            wild.wait_ready("shop/wild")
            load.wait(30)
    assert load.lost == []
    assert load.verdicts[VIA_GATEWAY] > 0
    wild.operator.wait_idle()
    assert {item["kind"] for item in wild.children("shop/wild")} == {"ServiceEntry"}
    wait_filters(wild)


def test_what_is_taken_away_or_spoilt_is_made_again(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild())
    (name,) = find_filters(wild)
    item = wild.client.get(*FILTER, name, EGRESS.namespace)
    changes: list[Object] = [
        {"spec": {"configPatches": []}},
        {"spec": {"workloadSelector": {"labels": {"istio": "other"}}}},
        {"metadata": {"labels": None}},
        {"metadata": {"annotations": None}},
        {"metadata": {"labels": None, "annotations": None}},
    ]
    # The admission policies let nobody else.
    spoiler = mesh.control_plane.client_as(CONTROLLER_MANAGER, "system:masters")
    for change in changes:
        spoiler.merge_patch(item, change)
        wait_until(
            lambda: _is_same(wild.client.get(*FILTER, name, EGRESS.namespace), item),
            TIMEOUT_S,
            f"{change} is undone",
        )
    wild.client.delete(*FILTER, name, EGRESS.namespace)
    wait_filters(wild, "shop")
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)


def _is_same(one: Object, other: Object) -> bool:
    keys = ("labels", "annotations")
    return one["spec"] == other["spec"] and all(
        one["metadata"].get(key) == other["metadata"].get(key) for key in keys
    )


def test_a_tenant_writes_none_of_ours(wild: OperatedMesh, tenant: Client) -> None:
    wild.apply(build_wild())
    (name,) = find_filters(wild)
    item = wild.client.get(*FILTER, name, EGRESS.namespace)
    forged = {**item, "metadata": {k: item["metadata"][k] for k in ("name", "labels")}}
    for namespace in (EGRESS.namespace, "pay"):
        forged["metadata"]["namespace"] = namespace
        forged["metadata"]["name"] = f"{name[:-1]}x"
        assert "egress-operator's own" in find_refusal(tenant, forged)


@contextmanager
def _dual_stack(mesh: Mesh) -> Iterator[None]:
    """Have istiod ask for both families of addresses."""
    before = mesh.istiod.option.environment
    mesh.istiod.restart(environment={**before, "ISTIO_DUAL_STACK": "true"})
    try:
        yield
    finally:
        mesh.istiod.restart(environment=before)


def test_both_families_of_addresses(
    operated: OperatedMesh, mesh: Mesh, labelled: None, tenant: Client
) -> None:
    """A gateway with addresses of both asks for both; Envoy refuses a listener that does not."""
    del labelled, tenant
    template = replace(EGRESS, namespace="dual-egress", dual_stack=True)
    with (
        _dual_stack(mesh),
        mesh.start_gateway(template) as dual,
        operated.with_settings(EGRESS_GATEWAY_LOOKUP_FAMILY="ALL"),
    ):
        mesh.apply(build_egress_gateway(dual, wildcards=ALLOWED))
        operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
        operated.apply(build_wild())
        assert list(find_filters(operated, "dual-egress").values()) == ["shop"]
        mesh.expect(CHECKOUT, f"GET https://{ONE}/", VIA_GATEWAY)
        operated.delete(build_wild())
