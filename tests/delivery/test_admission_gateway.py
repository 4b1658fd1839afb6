"""Managed gateways on a real API server: what nobody may write towards them."""

import copy

import pytest

from delivery.admission import EXPORTED, EXPORTS, TIMEOUT_S, Object, find_refusal
from delivery.attack import GATEWAY_SERVICE, ISTIO, build_object, build_service_entry
from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until

EXPORTABLE: dict[str, Object] = {
    "ServiceEntry": build_service_entry(),
    "VirtualService": {
        "hosts": ["a.example.com"],
        "http": [{"route": [{"destination": {"host": "a.example.com"}}]}],
    },
    "DestinationRule": {"host": "a.example.com"},
}
EXPORTS_INTO: tuple[list[str], ...] = (
    ["istio-egress"],
    [".", "istio-egress"],
    ["istio-egress", "."],
    ["istio-egress", "istio-egress"],
    ["pay", "istio-egress", "shop"],
    ["*", "istio-egress"],
)
EXPORTS_ELSEWHERE: tuple[list[str], ...] = (
    [],
    ["*"],
    ["."],
    ["shop"],
    ["pay", "shop"],
    ["istio-egress-2"],
    ["istio"],
)


def test_nobody_exports_to_a_managed_gateway(
    guarded: ControlPlane, tenant: Client, managed: Object
) -> None:
    for kind, spec in EXPORTABLE.items():
        for version in ("v1", "v1beta1", "v1alpha3"):
            for targets in EXPORTS_INTO:
                attempt = build_object(
                    f"networking.istio.io/{version}", kind, {**spec, "exportTo": targets}
                )
                for client in (tenant, guarded.admin):
                    words = find_refusal(client, attempt)
                    assert f"'{EXPORTS}'" in words, (kind, version, targets)
                    assert "exportTo names istio-egress" in words
                    assert managed["metadata"]["name"] in words
        for targets in EXPORTS_ELSEWHERE:
            assert (
                find_refusal(tenant, build_object(ISTIO, kind, {**spec, "exportTo": targets})) == ""
            )
        own = build_object(ISTIO, kind, {**spec, "exportTo": ["istio-egress"]})
        own["metadata"]["namespace"] = "istio-egress"
        assert find_refusal(guarded.admin, own) == ""


@pytest.mark.usefixtures("managed")
def test_nobody_takes_the_name_of_the_gateway_s_service(tenant: Client) -> None:
    def ask(host: str) -> str:
        spec = build_service_entry(hosts=["a.example.com", host])
        return find_refusal(tenant, build_object(ISTIO, "ServiceEntry", spec))

    start = "istio-egressgateway.istio-egress"
    for host in (GATEWAY_SERVICE, GATEWAY_SERVICE.upper(), f"{start}.svc", f"{start}.svc.corp."):
        assert f"'{EXPORTS}'" in ask(host), host
    for host in (f"{start}.example.com", "istio-egressgateway.other.svc.cluster.local"):
        assert ask(host) == "", host


@pytest.mark.usefixtures("managed")
@pytest.mark.parametrize(
    "name",
    [
        "shop.bank",
        "shop.bank-cacert",
        "payroll.bank",
        "kubernetes://shop.bank",
        "kubernetes://istio-egress/shop.bank",
        "kubernetes://istio-egress/shop.bank/pay.bank",
        "kubernetes-gateway://istio-egress/shop.bank",
    ],
)
def test_nobody_borrows_a_secret(tenant: Client, name: str) -> None:
    policy = {"tls": {"mode": "MUTUAL", "credentialName": name}}
    by_port = {"portLevelSettings": [{"port": {"number": 443}, **policy}]}
    for spec in (
        {"trafficPolicy": policy},
        {"trafficPolicy": by_port},
        {"subsets": [{"name": "a"}, {"name": "b", "trafficPolicy": policy}]},
        {"subsets": [{"name": "a", "trafficPolicy": by_port}]},
    ):
        rule: Object = {"host": "api.example.com", **spec}
        for targets in ({}, {"exportTo": ["*"]}):
            words = find_refusal(
                tenant, build_object(ISTIO, "DestinationRule", {**rule, **targets})
            )
            assert f"'{EXPORTS}'" in words
            assert f"the Secret {name} has the form of another namespace's" in words
        for harmless in (
            {"exportTo": ["."]},
            {"exportTo": [".", "shop"]},
            {"workloadSelector": {"matchLabels": {"app": "a"}}},
        ):
            item = build_object(ISTIO, "DestinationRule", {**rule, **harmless})
            assert find_refusal(tenant, item) == ""


@pytest.mark.usefixtures("managed")
@pytest.mark.parametrize("name", ["bank", "pay.bank", "configmap://istio-egress/ca.crt"])
def test_own_and_undotted_secrets_may_be_named(tenant: Client, name: str) -> None:
    policy = {"tls": {"mode": "MUTUAL", "credentialName": name}}
    spec = {"host": "api.example.com", "trafficPolicy": policy}
    assert find_refusal(tenant, build_object(ISTIO, "DestinationRule", spec)) == ""


@pytest.mark.usefixtures("managed")
@pytest.mark.parametrize("protocol", ["TCP", "HTTP", "http", "HTTP2", "GRPC", "MONGO"])
def test_nobody_takes_the_gateway_s_port_for_plain_text(tenant: Client, protocol: str) -> None:
    def ask(selector: dict[str, str], number: int = 443, protocol: str = protocol) -> str:
        server = {
            "port": {"number": number, "name": "a", "protocol": protocol},
            "hosts": ["a.example.com"],
        }
        spec = {"selector": selector, "servers": [server]}
        return find_refusal(tenant, build_object(ISTIO, "Gateway", spec))

    for selector in ({"istio": "egressgateway"}, {"app": "egress"}, {}):
        for number in (443, 8443, 15443):
            words = ask(selector, number)
            assert f"'{EXPORTS}'" in words
            assert f"port {number} may be that of the EgressGateway shared" in words
            assert "use port 80 or 8080, or select other pods" in words
        assert ask(selector, number=80) == ask(selector, number=8080) == ""
        assert ask(selector, protocol="https") == ""
        assert ask(selector, protocol="TLS") == ""
    assert ask({"istio": "ingressgateway"}) == ""
    assert ask({"istio": "egressgateway", "app": "ingress"}) == ""


def build_server(number: int = 443, mode: str = "ISTIO_MUTUAL", *hosts: str) -> Object:
    """Make a tenant's Gateway on the pods of the managed one."""
    server = {
        "port": {"number": number, "name": "a", "protocol": "HTTPS"},
        "tls": {"mode": mode},
        "hosts": hosts or ["a.example.com"],
    }
    spec = {"selector": {"istio": "egressgateway"}, "servers": [server]}
    return build_object(ISTIO, "Gateway", spec)


@pytest.mark.usefixtures("managed")
@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "AUTO_PASSTHROUGH"])
def test_nobody_lets_the_gateway_s_port_wait_for_a_certificate(tenant: Client, mode: str) -> None:
    for number in (443, 8443):
        words = find_refusal(tenant, build_server(number, mode))
        assert f"'{EXPORTS}'" in words
        assert f"port {number} may be that of the EgressGateway shared" in words
        assert "a mode other than ISTIO_MUTUAL and PASSTHROUGH" in words
    assert find_refusal(tenant, build_server(8080, mode)) == ""
    for harmless in ("ISTIO_MUTUAL", "PASSTHROUGH"):
        assert find_refusal(tenant, build_server(443, harmless)) == ""


@pytest.mark.usefixtures("managed")
@pytest.mark.parametrize(
    "host", ["pay/a.example.com", "./a.example.com", "shop/*", "A.example.com", "*/A.example.com"]
)
def test_nobody_spells_a_server_s_name_in_another_way(tenant: Client, host: str) -> None:
    for number in (443, 8443):
        words = find_refusal(tenant, build_server(number, "ISTIO_MUTUAL", "b.example.com", host))
        assert f"'{EXPORTS}'" in words
        assert f"{host} on a port of the EgressGateway shared" in words
    assert find_refusal(tenant, build_server(8080, "ISTIO_MUTUAL", host)) == ""
    for harmless in ("a.example.com", "*/a.example.com", "*", "*.example.com"):
        assert find_refusal(tenant, build_server(443, "ISTIO_MUTUAL", harmless)) == ""


def test_behind_port_80_may_be_8080(guarded: ControlPlane, tenant: Client, managed: Object) -> None:
    item = build_server(8080, "SIMPLE")
    guarded.admin.merge_patch(managed, {"spec": {"service": {"port": 80}}})
    wait_until(lambda: find_refusal(tenant, item), TIMEOUT_S, "the other port has no effect")
    assert "port 8080 may be that of the EgressGateway shared" in find_refusal(tenant, item)


@pytest.mark.parametrize("authorization", ["DryRun", "None"])
def test_gateway_that_is_not_managed_has_no_effect(
    guarded: ControlPlane, tenant: Client, managed: Object, authorization: str
) -> None:
    guarded.admin.merge_patch(managed, {"spec": {"authorization": authorization}})
    wait_until(lambda: not find_refusal(tenant, EXPORTED), TIMEOUT_S, "it still has an effect")
    guarded.admin.merge_patch(managed, {"spec": {"authorization": "Managed"}})
    wait_until(lambda: find_refusal(tenant, EXPORTED), TIMEOUT_S, "it has no effect")


def test_all_gateways_count(guarded: ControlPlane, tenant: Client, managed: Object) -> None:
    other = copy.deepcopy(managed)
    other["metadata"]["name"] = "other"
    other["spec"]["namespace"] = "istio-other"
    guarded.admin.create(other)
    spec = build_service_entry(exportTo=["istio-other"])
    attempt = build_object(ISTIO, "ServiceEntry", spec)
    wait_until(lambda: find_refusal(tenant, attempt), TIMEOUT_S, "the second gateway has no effect")
    assert f"'{EXPORTS}'" in find_refusal(tenant, EXPORTED)
    guarded.admin.delete(other["apiVersion"], other["kind"], "other")
