"""Routes that somebody wrote by hand through the same gateway, before and after the policies."""

import re

import pytest

from mesh.gateway.handmade import SECURITY, SELECTOR, build_item
from mesh.gateway.tenant import (
    SHARED,
    TENANTS,
    build_egress_gateway,
    build_gateway_policy,
    expect_each,
)
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, BATCH, CHECKOUT, HTTP, TLS, build_destination
from mesh.traffic.stream import Load
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import EGRESS, Gateway
from testbed.member import ADMIN_PORT, Member
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DENIED_403, REACHED, UNAVAILABLE_503, VIA_GATEWAY, call

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
OURS = (f"GET http://{HOST}/", f"GET https://{OTHER}/")
CALLERS = {"shop": CHECKOUT, "pay": APP}
OLDER, YOUNGER = "older-by-hand.example", "younger-by-hand.example"
SERVICE = f"{EGRESS.name}.{EGRESS.namespace}.svc.cluster.local"
PORT = 443
"""Of the gateway's Service."""
PODS_PORT = EGRESS.ports["https"][1]
"""The same, as the pods have it."""
VIA_GATEWAY_ONLY = frozenset({VIA_GATEWAY})
SOME = 60
"""Requests between two changes."""
DRY_RUN = re.compile(r"istio_dry_run_allow.*shadow_denied: (\d+)$", re.MULTILINE)
SCRAPED = re.compile(
    r'^envoy_(\w+)\{.*authz_dry_run_action="allow".*authz_dry_run_result="denied".*\} [1-9]',
    re.MULTILINE,
)


def build_web(namespace: str = "shop") -> Object:
    """Build a policy for one host with HTTP and one with TLS."""
    return build_gateway_policy(
        f"{namespace}/web",
        build_destination(HOST, ports=(HTTP,)),
        build_destination(OTHER, ports=(TLS,)),
    )


def build_calls(*hosts: str) -> list[str]:
    """Name the calls of what was built by hand for some hosts: by HTTP, and by TLS."""
    return [
        text
        for host in hosts
        for text in (f"GET http://{host}/", f"GET https://{build_tls(host)}/")
    ]


def build_tls(host: str) -> str:
    """Build the name that is reached by TLS: one server name is one server of the gateway."""
    return f"tls.{host}"


def build_server(host: str, protocol: str, mode: str = "", number: int = PORT) -> Object:
    """Build a server, by default on the gateway's port, with TLS where there is a mode."""
    port = {"number": number, "name": f"{protocol}-by-hand".lower(), "protocol": protocol}
    return {"port": port, "hosts": [host], **({"tls": {"mode": mode}} if mode else {})}


def build_gateway_by_hand(namespace: str, host: str, *servers: Object) -> Object:
    spec = {"selector": SELECTOR, "servers": list(servers)}
    return build_item("Gateway", build_name(host), namespace, spec)


def build_name(host: str) -> str:
    return host.replace(".", "-")


def build_rule(namespace: str, host: str) -> Object:
    """Build the DestinationRule that leads HTTP into the gateway by mutual TLS."""
    level = {"port": {"number": PORT}, "tls": {"mode": "ISTIO_MUTUAL", "sni": host}}
    subset = {"name": build_name(host), "trafficPolicy": {"portLevelSettings": [level]}}
    spec = {"host": SERVICE, "subsets": [subset]}
    return build_item("DestinationRule", build_name(host), namespace, spec)


def build_route(namespace: str, host: str, into: Object) -> Object:
    """Build the VirtualService of both ways: into the gateway (HTTP to `into`), and out of it."""
    name = build_name(host)
    passed = {"destination": {"host": SERVICE, "port": {"number": PORT}}}
    secure = build_tls(host)
    spec = {
        "hosts": [host, secure],
        "gateways": ["mesh", name],
        "http": [
            {"match": [{"gateways": ["mesh"], "port": 80}], "route": [{"destination": into}]},
            {
                "match": [{"gateways": [name]}],
                "route": [{"destination": {"host": host, "port": {"number": 80}}}],
            },
        ],
        "tls": [
            {
                "match": [{"gateways": ["mesh"], "port": 443, "sniHosts": [secure]}],
                "route": [passed],
            },
            {
                "match": [{"gateways": [name], "port": PORT, "sniHosts": [secure]}],
                "route": [{"destination": {"host": secure, "port": {"number": 443}}}],
            },
        ],
    }
    return build_item("VirtualService", name, namespace, spec)


def build_entry(namespace: str, host: str) -> Object:
    spec = {
        "hosts": [host, build_tls(host)],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [
            {"number": 80, "name": "http", "protocol": "HTTP"},
            {"number": 443, "name": "tls", "protocol": "TLS"},
        ],
    }
    return build_item("ServiceEntry", build_name(host), namespace, spec)


def build_by_hand(namespace: str, host: str) -> list[Object]:
    """Build what Istio's own pages tell for a host: HTTP by mutual TLS, and TLS passed through."""
    into = {"host": SERVICE, "subset": build_name(host), "port": {"number": PORT}}
    servers = [
        build_server(host, "HTTPS", "ISTIO_MUTUAL"),
        build_server(build_tls(host), "TLS", "PASSTHROUGH"),
    ]
    return [
        build_entry(namespace, host),
        build_gateway_by_hand(namespace, host, *servers),
        build_rule(namespace, host),
        build_route(namespace, host, into),
    ]


def build_allow(name: str, *rules: Object) -> Object:
    """Build an AuthorizationPolicy of the platform team's own on the gateway's pods."""
    spec = {"selector": {"matchLabels": SELECTOR}, "rules": list(rules)}
    return build_item("AuthorizationPolicy", name, EGRESS.namespace, spec)


def add_hosts(mesh: Mesh, host: str) -> None:
    for name in (host, build_tls(host)):
        mesh.outside.add(name)


def apply_by_hand(mesh: Mesh, namespace: str, host: str) -> None:
    add_hosts(mesh, host)
    mesh.apply(*build_by_hand(namespace, host))


def come(operated: OperatedMesh) -> None:
    """Let both tenants have a policy through the gateway."""
    for namespace, caller in CALLERS.items():
        operated.apply(build_web(namespace))
        expect_each(operated.mesh, [caller], OURS, VIA_GATEWAY)


def go(operated: OperatedMesh) -> None:
    """Take both away."""
    for namespace, caller in CALLERS.items():
        operated.delete(build_web(namespace))
        for text in OURS:
            operated.mesh.expect(caller, text, BLOCKED)


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize("place", ["shop", EGRESS.namespace])
def test_routes_by_hand_live_on_while_policies_come_and_go(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, place: str
) -> None:
    """The first route is older than every object of the operator's, the second one younger."""
    mesh.apply(build_egress_gateway(gateway, authorization="None"))
    callers = (CHECKOUT, BATCH) if place == "shop" else (CHECKOUT, APP)
    calls: list[str] = []
    for host, changes in ((OLDER, (come, go, come)), (YOUNGER, (go, come))):
        apply_by_hand(mesh, place, host)
        if place != "shop":
            mesh.apply(*(build_rule(namespace, host) for namespace in TENANTS))
        calls += build_calls(host)
        expect_each(mesh, callers, calls, VIA_GATEWAY)
        mesh.settle()
        with Load(mesh, dict.fromkeys(callers, calls), fine=VIA_GATEWAY_ONLY) as load:
            for change in changes:
                load.wait(SOME)
                change(operated)
            load.wait(SOME)
        assert load.lost == []


@pytest.mark.usefixtures("labelled")
def test_a_rule_in_the_gateway_s_namespace_does_not_reach_a_tenant_with_rules_of_its_own(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    """What the page for the platform team warns of, and its fix."""
    plain, encrypted = build_calls(OLDER)
    mesh.apply(build_egress_gateway(gateway, authorization="None"))
    apply_by_hand(mesh, EGRESS.namespace, OLDER)
    expect_each(mesh, (CHECKOUT, APP), (plain, encrypted), VIA_GATEWAY)

    operated.apply(build_web("pay"))
    expect_each(mesh, [APP], OURS, VIA_GATEWAY)

    mesh.expect(APP, plain, UNAVAILABLE_503)
    expect_each(mesh, [APP], [encrypted], VIA_GATEWAY)
    expect_each(mesh, [CHECKOUT], (plain, encrypted), VIA_GATEWAY)
    mesh.apply(build_rule("pay", OLDER))
    expect_each(mesh, [APP], (plain, *OURS), VIA_GATEWAY)


@pytest.mark.parametrize("number", [PORT, PODS_PORT])
@pytest.mark.usefixtures("labelled")
def test_a_plain_server_on_the_gateway_s_port_is_told_of(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, number: int
) -> None:
    plain, _ = build_calls(OLDER)
    namespace = EGRESS.namespace
    add_hosts(mesh, OLDER)
    rival = build_gateway_by_hand(namespace, OLDER, build_server(OLDER, "HTTP", number=number))
    into = {"host": SERVICE, "port": {"number": PORT}}
    mesh.apply(build_entry(namespace, OLDER), rival, build_route(namespace, OLDER, into))
    expect_each(mesh, (CHECKOUT, APP), [plain], VIA_GATEWAY)

    mesh.apply(build_egress_gateway(gateway, authorization="None"), build_web())

    operated.wait_gateway(SHARED, "Ready", "False", "NotServing")
    told = operated.wait_condition("shop/web", "Ready", "False", "GatewayNotReady")
    assert f"{namespace}/{build_name(OLDER)}" in told["message"]
    mesh.settle()
    expect_each(mesh, (CHECKOUT, APP), [plain], VIA_GATEWAY)
    for text in OURS:
        assert mesh.request(CHECKOUT, text).verdict not in REACHED

    mesh.delete(rival)
    operated.wait_ready("shop/web")
    expect_each(mesh, [CHECKOUT], OURS, VIA_GATEWAY)
    mesh.settle()
    # Istio counts each server that it leaves out.
    assert mesh.take_rejections().xds == 0


def count_denials(pod: Member) -> int:
    """Read what would be denied, as docs/operate/gateways.md tells to."""
    stats = pod.ask_proxy("/stats?filter=istio_dry_run_allow.*shadow_denied")
    return sum(int(count) for count in DRY_RUN.findall(stats))


def set_log_level(mesh: Mesh, pod: Member, level: str) -> None:
    """Set the level at which the proxy logs what its authorization does."""
    order = call(f"POST http://127.0.0.1:{ADMIN_PORT}/logging?rbac={level}")
    assert mesh.request(pod.workload.key, order).status == 200


@pytest.mark.usefixtures("labelled")
def test_dry_run_tells_what_managed_would_deny(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    by_hand = build_calls(OLDER)
    mesh.apply(build_egress_gateway(gateway, authorization="DryRun"))
    apply_by_hand(mesh, "shop", OLDER)
    operated.apply(build_web())
    expect_each(mesh, [CHECKOUT], (*OURS, *by_hand), VIA_GATEWAY)
    mesh.settle()
    (pod,) = gateway.members

    before = count_denials(pod)
    expect_each(mesh, [CHECKOUT], OURS, VIA_GATEWAY)
    assert count_denials(pod) == before

    for number, text in enumerate(by_hand, start=1):
        assert mesh.request(CHECKOUT, text).verdict is VIA_GATEWAY
        assert count_denials(pod) == before + number
    assert set(SCRAPED.findall(pod.ask_proxy("/stats/prometheus"))) == {"http_rbac", "tcp"}

    set_log_level(mesh, pod, "debug")
    try:
        for text in by_hand:
            assert mesh.request(CHECKOUT, text).verdict is VIA_GATEWAY
        wait_until(
            lambda: pod.proxy_log.read_text().count("shadow denied") >= len(by_hand),
            10.0,
            "the log does not tell of both requests",
        )
    finally:
        set_log_level(mesh, pod, "warning")


@pytest.mark.usefixtures("labelled")
def test_managed_comes_without_a_gap_for_a_route_by_hand(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    """By the steps of docs/operate/gateways.md."""
    by_hand = build_calls(OLDER)
    everything = build_allow("everything", {})
    allow = build_allow(
        "by-hand", {"when": [{"key": "connection.sni", "values": [OLDER, build_tls(OLDER)]}]}
    )
    mesh.apply(build_egress_gateway(gateway, authorization="DryRun"))
    apply_by_hand(mesh, "shop", OLDER)
    operated.apply(build_web())
    expect_each(mesh, [CHECKOUT], (*OURS, *by_hand), VIA_GATEWAY)
    mesh.settle()

    with Load(mesh, {CHECKOUT: (*OURS, *by_hand)}, fine=VIA_GATEWAY_ONLY) as load:
        load.wait(SOME)
        mesh.apply(everything)
        mesh.settle()
        mesh.apply(allow)
        mesh.apply(build_egress_gateway(gateway))
        wait_until(lambda: is_closed(operated), 20.0, "the gateway allows what nobody allows")
        mesh.settle()
        load.wait(SOME)
        mesh.delete(everything)
        mesh.settle()
        load.wait(2 * SOME)
    assert load.lost == []

    mesh.delete(allow)
    plain, encrypted = by_hand
    mesh.expect(CHECKOUT, plain, DENIED_403)
    mesh.expect(CHECKOUT, encrypted, BLOCKED)
    expect_each(mesh, [CHECKOUT], OURS, VIA_GATEWAY)


def is_closed(operated: OperatedMesh) -> bool:
    """Whether the gateway's own AuthorizationPolicy is in force and allows nothing."""
    policies = operated.client.list_objects(SECURITY, "AuthorizationPolicy", EGRESS.namespace)
    for item in policies:
        metadata = item["metadata"]
        if metadata["name"].startswith(f"{SHARED}-h"):
            is_dry = metadata.get("annotations", {}).get("istio.io/dry-run") == "true"
            return not is_dry and not item["spec"].get("rules")
    return False
