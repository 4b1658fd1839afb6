"""What a refusal of the level Strict says: the object, the cause, and the way out of this one."""

from typing import Any

import pytest

from delivery.admission import Object, find_refusal
from delivery.attack import ISTIO, build_object, build_service_entry
from testbed.client import Client

HTTP: Object = {"http": [{"route": [{"destination": {"host": "web"}}]}]}
TCP: Object = {"tcp": [{"route": [{"destination": {"host": "web"}}]}]}
OUTSIDE = ["api.example.com"]
OWN = {"hosts": ["web.pay.svc.cluster.local"]}
ASK = "ask the platform team to list it in admission.sharedGateways, as NAMESPACE/NAME"
APART = "remove mesh from gateways, and write the route for calls inside the mesh apart"
AT_HOME = 'set exportTo: ["."]'


def _route(**spec: object) -> tuple[str, Object]:
    return "VirtualService", {"hosts": OUTSIDE, **HTTP, **spec}


def _entry(**spec: object) -> tuple[str, Object]:
    return "ServiceEntry", build_service_entry(**spec)


def _port(protocol: str) -> list[Any]:
    return [{"number": 443, "name": "a", "protocol": protocol}]


CASES: dict[str, tuple[tuple[str, Object], str, str]] = {
    "shared gateway": (
        _route(gateways=["istio-ingress/public"]),
        "gateways names istio-ingress/public, a Gateway of another namespace",
        ASK,
    ),
    "shared gateway, for calls inside too": (
        _route(gateways=["mesh", "istio-ingress/public"]),
        "gateways names istio-ingress/public, a Gateway of another namespace",
        ASK,
    ),
    "shared gateway, TLS": (
        _route(gateways=["istio-ingress/public"], http=[], **TCP),
        "gateways names istio-ingress/public",
        ASK,
    ),
    "half a name at a shared gateway": (
        _route(gateways=["istio-ingress/public"], hosts=["web.pay"]),
        "gateways names istio-ingress/public",
        ASK,
    ),
    "own gateway and calls inside": (
        _route(gateways=["public", "mesh"]),
        "gateways names mesh beside a Gateway, and hosts names api.example.com, which is no",
        APART,
    ),
    "own gateway and calls inside, TCP": (
        _route(gateways=["public", "mesh"], http=[], **OWN, **TCP),
        "gateways names mesh beside a Gateway, and tcp has routes that are found by address",
        APART,
    ),
    "calls inside": (_route(), "hosts names api.example.com, which is no Service", AT_HOME),
    "calls inside, by name": (
        _route(gateways=["mesh"]),
        "hosts names api.example.com, which is no Service",
        AT_HOME,
    ),
    "the second host": (
        _route(hosts=["web", *OUTSIDE]),
        "hosts names api.example.com, which is no Service",
        AT_HOME,
    ),
    "half a name": (
        _route(hosts=["web.pay"]),
        "hosts: web.pay is half of a Service's name, which Istio takes for a name outside",
        "write web, or web.pay.svc.cluster.local",
    ),
    "half a name beside others": (
        _route(hosts=["web.pay", *OUTSIDE]),
        "hosts names web.pay, which is no Service",
        AT_HOME,
    ),
    "own TCP": (
        _route(**OWN, **TCP),
        "tcp has routes that are found by address",
        AT_HOME,
    ),
    "rule for half a name": (
        ("DestinationRule", {"host": "web.pay"}),
        "host: web.pay is half of a Service's name",
        "write web, or web.pay.svc.cluster.local",
    ),
    "rule for another": (
        ("DestinationRule", {"host": "web.shop"}),
        "host names web.shop, which is no Service of this namespace",
        AT_HOME,
    ),
    "entry": (_entry(), "hosts names api.example.com, which is not the full name", AT_HOME),
    "entry with addresses": (
        _entry(**OWN, addresses=["192.0.2.7"], resolution="STATIC"),
        "addresses has 192.0.2.7, which another namespace may call",
        AT_HOME,
    ),
    "entry for TCP": (
        _entry(**OWN, ports=_port("MYSQL")),
        "port 443 has the protocol MYSQL, and only HTTP, HTTP2 and GRPC are found by name",
        AT_HOME,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refusal_names_object_cause_and_fix(strict_tenant: Client, name: str) -> None:
    (kind, spec), cause, fix = CASES[name]
    words = find_refusal(strict_tenant, build_object(ISTIO, kind, spec))
    assert f"denied request: {kind} pay/attempt: {cause}" in words
    assert words.endswith(fix) or f"{fix}, " in words, words


def test_exportTo_is_no_fix_where_it_would_cut_calls_from_outside(  # noqa: N802 - the field's name
    strict_tenant: Client,
) -> None:
    for name in ("shared gateway", "shared gateway, for calls inside too"):
        (kind, spec), _, _ = CASES[name]
        assert AT_HOME not in find_refusal(strict_tenant, build_object(ISTIO, kind, spec))


@pytest.mark.usefixtures("strictly_managed")
def test_gateway_is_told_which_keys_count(strict_tenant: Client) -> None:
    server = {"port": {"number": 80, "name": "a", "protocol": "HTTP"}, "hosts": OUTSIDE}
    item = build_object(ISTIO, "Gateway", {"selector": {"team": "pay"}, "servers": [server]})
    words = find_refusal(strict_tenant, item)
    assert "Gateway pay/attempt: selector may select the pods of the EgressGateway shared" in words
    assert any(f"give the key {keys} another" in words for keys in ("app or istio", "istio or app"))
    assert words.endswith(
        "for example app: my-gateway, first on your pods (in the pod template, and wait for the "
        "rollout), then in selector"
    )
