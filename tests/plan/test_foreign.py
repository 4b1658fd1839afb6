"""Which objects of others may take the calls of a gateway's tenants."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from egress_operator.istio.observed import read_observed
from egress_operator.plan.foreign import (
    Surroundings,
    explain_foreign,
    may_take_calls,
    note_reserved_name,
)
from egress_operator.plan.gateway import Gateway, judge_gateways
from egress_operator.plan.reserved import list_reserved_domains
from egress_operator.plan.source import Settings
from egress_operator.reconcile.foreign import ForeignObjects
from rollout.policy_set import build_gateway

ISTIO = "networking.istio.io/v1"
LABELS = (("app", "istio-egressgateway"), ("istio", "egressgateway"))
PORTS = {443, 8443}
DOMAINS = list_reserved_domains(Settings(synthetic_domains=("egress.lab.example",)))
LABEL = "shared-h0123456789abcdef"
INNER = "any-example-com-h0123456789abcdef-80-0123456789abcdef-in"


def build(kind: str, spec: dict[str, Any], namespace: str = "pay", name: str = "x") -> Any:  # noqa: ANN401
    metadata = {"name": name, "namespace": namespace, "uid": "u"}
    body = {"apiVersion": ISTIO, "kind": kind, "metadata": metadata, "spec": spec}
    return note_reserved_name(read_observed(body), spec, DOMAINS)


def judge() -> Gateway:
    gateway = judge_gateways([build_gateway(generation=1)], Settings())["shared"].gateway
    assert gateway is not None
    return gateway


def find(
    kind: str, spec: dict[str, Any], namespace: str = "pay", ports: Collection[int] = PORTS
) -> str:
    """Say what is found about one object, empty when it is harmless."""
    item = build(kind, spec, namespace)
    found = explain_foreign(Surroundings(judge(), LABELS, frozenset(ports)), item)
    assert not found or may_take_calls(item)
    return found


def build_server(selector: dict[str, str], number: int, **more: object) -> dict[str, Any]:
    port = {"number": number, "name": "a", "protocol": "HTTPS"}
    return {"selector": selector, "servers": [{"port": port, "hosts": ["a.example.com"], **more}]}


OURS = {"istio": "egressgateway"}
SHARED = "EgressGateway shared"
PODS = f"the pods of {SHARED}"


@pytest.mark.parametrize(
    ("selector", "number"),
    [
        (OURS, 443),
        (OURS, 8443),
        ({}, 443),
        ({"app": "istio-egressgateway"}, 443),
        ({**OURS, "app": "istio-egressgateway", "chart": "gateways"}, 8443),
        ({"chart": "gateways"}, 443),
    ],
)
def test_a_gateway_that_may_select_the_pods_on_their_port(
    selector: dict[str, str], number: int
) -> None:
    found = find("Gateway", build_server(selector, number))
    assert found == f"Gateway pay/x may select {PODS} and listens on port {number}"


@pytest.mark.parametrize(
    ("selector", "number"),
    [
        ({"istio": "ingressgateway"}, 443),
        ({"app": "ingress"}, 443),
        ({**OURS, "app": "ingress"}, 443),
        (OURS, 80),
        (OURS, 9443),
    ],
)
def test_a_gateway_for_other_pods_or_another_port(selector: dict[str, str], number: int) -> None:
    assert find("Gateway", build_server(selector, number)) == ""


def test_a_gateway_with_bind_on_any_port() -> None:
    bound = build_server(OURS, 80, bind="0.0.0.0")  # noqa: S104 - as a tenant would write it
    assert find("Gateway", bound) == f"Gateway pay/x may select {PODS} and has bind"
    assert find("Gateway", {**bound, "selector": {"istio": "ingressgateway"}}) == ""


def test_any_port_but_the_plain_ones_where_the_port_of_the_pods_is_not_known() -> None:
    unknown = {443, 0}
    assert find("Gateway", build_server(OURS, 9443), ports=unknown).endswith("port 9443")
    assert find("Gateway", build_server(OURS, 8080), ports=unknown) == ""


ADDRESSES = {"hosts": ["x.example.com"], "addresses": ["93.184.216.34"]}
SOCKET = {"hosts": ["x.example.com"], "endpoints": [{"address": " UNIX:///run/sds"}]}


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("ServiceEntry", ADDRESSES, "has addresses and is exported to all namespaces"),
        (
            "ServiceEntry",
            {**ADDRESSES, "exportTo": [".", "shop", "web"]},
            "has addresses and is exported to shop and 1 more",
        ),
        ("ServiceEntry", SOCKET, "has a socket as endpoint and is exported to all namespaces"),
        (
            "ServiceEntry",
            {"hosts": ["a"], "exportTo": ["istio-egress"]},
            "is exported to istio-egress",
        ),
        (
            "VirtualService",
            {"hosts": ["a"], "exportTo": [".", "istio-egress"]},
            "is exported to istio-egress",
        ),
        (
            "DestinationRule",
            {"host": "a", "exportTo": ["istio-egress", "*"]},
            "is exported to istio-egress",
        ),
        (
            "ServiceEntry",
            {"hosts": ["Egress.istio-egress.svc.cluster.local"]},
            f"takes the name of the Service of {SHARED}, egress.istio-egress.svc.cluster.local",
        ),
        (
            "ServiceEntry",
            {"hosts": [f"a.{LABEL}.shop.egress.internal"]},
            f"uses a.{LABEL}.shop.egress.internal",
        ),
        (
            "DestinationRule",
            {"host": "a.shop.direct.internal."},
            "uses a.shop.direct.internal.",
        ),
        (
            "DestinationRule",
            {"host": "a", "trafficPolicy": {"tls": {"mode": "SIMPLE", "caCertificates": "/a"}}},
            "has files that every proxy opens and is exported to all namespaces",
        ),
        (
            "DestinationRule",
            {
                "host": "a",
                "subsets": [
                    {
                        "name": "b",
                        "trafficPolicy": {"portLevelSettings": [{"tls": {"privateKey": "/a"}}]},
                    }
                ],
            },
            "has files that every proxy opens and is exported to all namespaces",
        ),
        ("ServiceEntry", {"hosts": ["*.internal"]}, "uses *.internal"),
        ("ServiceEntry", {"hosts": ["*ternal"]}, "uses *ternal"),
        ("VirtualService", {"hosts": ["egress.internal"]}, "uses egress.internal"),
        ("VirtualService", {"hosts": ["*.shop.direct.internal"]}, "uses *.shop.direct.internal"),
        (
            "VirtualService",
            {"hosts": ["*"], "gateways": [f"shop/{LABEL}"]},
            f"uses the Gateway shop/{LABEL}",
        ),
        (
            "VirtualService",
            {"hosts": ["*"], "gateways": [f"shop/{INNER}"]},
            f"uses the Gateway shop/{INNER}",
        ),
    ],
)
def test_what_is_exported_beyond_its_namespace(kind: str, spec: dict[str, Any], words: str) -> None:
    assert find(kind, spec) == f"{kind} pay/x {words}"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ServiceEntry", {**ADDRESSES, "exportTo": ["."]}),
        ("ServiceEntry", {**ADDRESSES, "exportTo": ["pay"]}),
        ("ServiceEntry", {**SOCKET, "exportTo": [".", "~"]}),
        ("ServiceEntry", {"hosts": ["x.example.com"]}),
        ("ServiceEntry", {"hosts": ["egress.other.svc.cluster.local"]}),
        ("VirtualService", {"hosts": ["a"], "exportTo": ["istio-egress-2"]}),
        ("VirtualService", {"hosts": ["*"], "gateways": ["web-h5d0e771", "mesh"]}),
        ("DestinationRule", {"host": "*.example.com"}),
        ("ServiceEntry", {"hosts": ["*.compute.internal", "megress.internal", "*.com"]}),
        ("VirtualService", {"hosts": ["*"], "http": [{"name": "a.egress.internal"}]}),
        ("DestinationRule", {"host": f"{'a' * 300}.egress.internal"}),
        (
            "DestinationRule",
            {
                "host": "a",
                "workloadSelector": {"matchLabels": {"app": "a"}},
                "trafficPolicy": {"tls": {"caCertificates": "/a"}},
            },
        ),
    ],
)
def test_what_concerns_nobody_else(kind: str, spec: dict[str, Any]) -> None:
    assert find(kind, spec) == ""


WILD = f"any-shops-example-com-h0123456789abcdef-80-0123456789abcdef.{LABEL}.shop.egress.internal"


def build_route(host: str, **more: object) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [{"route": [{"destination": {"host": host}}], **more}]}


@pytest.mark.parametrize(
    "name",
    [
        f"*.{WILD}",
        f"pay.{WILD}",
        WILD,
        f"{WILD.upper()}.",
        f"{WILD}:443",
        "foo.egress.internal",
        "a.egress.lab.example",
    ],
)
@pytest.mark.parametrize(
    "build_spec",
    [
        build_route,
        lambda name: build_route("a", mirror={"host": name}),
        lambda name: build_route("a", mirrors=[{"destination": {"host": name}}]),
        lambda name: build_route("a", rewrite={"authority": name}),
        lambda name: build_route("a", redirect={"authority": name}),
        lambda name: build_route("a", headers={"request": {"set": {"Host": name}}}),
        lambda name: {"hosts": ["a"], "tls": [{"match": [{"sniHosts": [name]}]}]},
        lambda name: {
            "hosts": ["a"],
            "tcp": [{"route": [{"destination": {"host": name, "subset": "b"}}]}],
        },
    ],
)
def test_a_virtual_service_with_a_reserved_name_in_any_field(
    name: str, build_spec: Callable[[str], dict[str, Any]]
) -> None:
    spec = build_spec(name)
    assert find("VirtualService", spec) == f"VirtualService pay/x uses {name}"
    assert find("VirtualService", {**spec, "exportTo": ["."]}) == ""


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ServiceEntry", {"hosts": ["a"], "subjectAltNames": [WILD]}),
        ("ServiceEntry", {"hosts": ["a"], "endpoints": [{"address": WILD}]}),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"tls": {"sni": WILD}}}),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"tunnel": {"targetHost": WILD}}}),
        (
            "DestinationRule",
            {
                "host": "a",
                "subsets": [
                    {"trafficPolicy": {"portLevelSettings": [{"tls": {"subjectAltNames": [WILD]}}]}}
                ],
            },
        ),
    ],
)
def test_a_reserved_name_in_other_kinds(kind: str, spec: dict[str, Any]) -> None:
    assert find(kind, spec) == f"{kind} pay/x uses {WILD}"


@pytest.mark.parametrize("name", [f"shop/{LABEL}", f"./{LABEL}", LABEL, f"{LABEL}.pay.svc.a.b"])
def test_a_gateway_of_the_operator_s_however_it_is_named(name: str) -> None:
    """A Service may be called like one."""
    namespace = "shop" if name.startswith("shop") else "pay"
    found = find("VirtualService", {"hosts": ["*"], "gateways": [name]})
    assert found == f"VirtualService pay/x uses the Gateway {namespace}/{LABEL}"
    assert find("VirtualService", build_route(LABEL)) == ""


def test_what_stands_in_the_namespace_of_the_gateway_is_the_platform_s() -> None:
    assert find("Gateway", build_server(OURS, 443), "istio-egress") == ""
    assert find("ServiceEntry", ADDRESSES, "istio-egress") == ""


def test_all_are_named_by_kind_namespace_and_name() -> None:
    items = [
        build("ServiceEntry", ADDRESSES, "pay", "b"),
        build("ServiceEntry", ADDRESSES, "evil", "a"),
        build("Gateway", build_server(OURS, 443), "pay", "c"),
        build("ServiceEntry", {"hosts": ["a.example.com"]}, "pay", "d"),
    ]
    around = Surroundings(judge(), LABELS, frozenset(PORTS))
    foreign = ForeignObjects()
    for _ in range(2):
        found = foreign.find("shared", around, items)
        names = [words.partition(" ")[2].partition(" ")[0] for words in found]
        assert names == ["pay/c", "evil/a", "pay/b"]


def test_what_changes_is_judged_again() -> None:
    around = Surroundings(judge(), LABELS, frozenset(PORTS))
    foreign = ForeignObjects()
    item = build("Gateway", build_server(OURS, 443))
    assert foreign.find("shared", around, [item])
    assert foreign.find("shared", around, [build("Gateway", build_server(OURS, 80))]) == ()
    assert foreign.find("shared", around, []) == ()
    assert foreign.find("shared", around, [item])
    away = Surroundings(judge(), (*LABELS, ("team", "egress")), frozenset({15443}))
    assert foreign.find("shared", away, [item]) == ()


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ServiceEntry", {"hosts": ["x.example.com"]}),
        ("VirtualService", {"hosts": ["x.example.com"]}),
        ("DestinationRule", {"host": "x.example.com"}),
        ("AuthorizationPolicy", {}),
        ("EnvoyFilter", {"configPatches": [{}]}),
    ],
)
def test_ordinary_public_objects_are_not_looked_at(kind: str, spec: dict[str, Any]) -> None:
    assert not may_take_calls(build(kind, spec))
