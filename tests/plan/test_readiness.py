"""Why a gateway cannot carry traffic, in the words that its status says."""

from dataclasses import replace

import pytest

from egress_operator.istio.facts import Facts, Port
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Observed
from egress_operator.plan.gateway import Gateway, judge_gateways
from egress_operator.plan.readiness import GatewayServices, ServiceFacts, find_unready
from egress_operator.plan.source import Settings
from rollout.policy_set import build_gateway

PLACE = ("istio-egress", "egress")
SERVICE = ServiceFacts((("istio", "shared"),), {443: 8443}, headless=False)
READY = GatewayServices({PLACE: SERVICE}, {PLACE: 1})


def read_gateway() -> Gateway:
    gateway = judge_gateways([build_gateway()], Settings())["shared"].gateway
    assert gateway is not None
    return gateway


def build_server(
    name: str = "plain",
    protocol: str = "HTTP",
    number: int = 443,
    created: str = "2026-01-01T00:00:00Z",
    selector: tuple[tuple[str, str], ...] = (("istio", "shared"),),
) -> Observed:
    return Observed(
        ObjectKey(Kind.GATEWAY, "istio-egress", name),
        uid="",
        created=created,
        set_key=None,
        policies="",
        owners=frozenset(),
        spec_digest=b"",
        facts=Facts(ports=(Port(number, protocol, "x"),), selector=selector),
    )


def test_a_gateway_with_a_service_and_a_ready_endpoint_is_ready() -> None:
    assert find_unready(read_gateway(), READY) == ""


@pytest.mark.parametrize(
    ("service", "endpoints", "message"),
    [
        (None, 1, "there is no Service istio-egress/egress"),
        (
            replace(SERVICE, headless=True),
            1,
            (
                "Service istio-egress/egress is headless, so Istio has no address for it: give it "
                "a cluster IP"
            ),
        ),
        (
            replace(SERVICE, ports={8443: 8443, 80: 8080}),
            1,
            "Service istio-egress/egress has no port 443; there are: 80, 8443",
        ),
        (
            replace(SERVICE, ports={}),
            1,
            "Service istio-egress/egress has no port 443; it has none",
        ),
        (
            replace(SERVICE, selector=(("istio", "other"),)),
            1,
            "Service istio-egress/egress selects other pods than spec.selector",
        ),
        (
            replace(SERVICE, selector=()),
            1,
            "Service istio-egress/egress selects other pods than spec.selector",
        ),
        (SERVICE, 0, "Service istio-egress/egress has no ready endpoint"),
    ],
)
def test_what_is_wrong_with_the_service_is_said(
    service: ServiceFacts | None, endpoints: int, message: str
) -> None:
    services = {} if service is None else {PLACE: service}
    assert find_unready(read_gateway(), GatewayServices(services, {PLACE: endpoints})) == message


def test_a_service_may_select_by_more_labels() -> None:
    service = replace(SERVICE, selector=(("app", "egress"), ("istio", "shared")))
    assert find_unready(read_gateway(), GatewayServices({PLACE: service}, {PLACE: 1})) == ""


def test_a_plain_server_on_the_port_is_a_rival() -> None:
    message = find_unready(read_gateway(), replace(READY, servers=(build_server(),)))
    assert message == (
        "Gateway istio-egress/plain has a server for HTTP on port 443, next to which Istio may "
        "leave out those of tenants: move it to another port"
    )


def test_a_plain_server_under_the_number_of_the_pods_is_one_too() -> None:
    message = find_unready(read_gateway(), replace(READY, servers=(build_server(number=8443),)))
    assert "on port 8443" in message


def test_the_oldest_rival_is_named() -> None:
    servers = (build_server("young", created="2026-02-01T00:00:00Z"), build_server("old"))
    assert "istio-egress/old " in find_unready(read_gateway(), replace(READY, servers=servers))


@pytest.mark.parametrize(
    "server",
    [
        build_server(protocol="TLS"),
        build_server(protocol="HTTPS"),
        build_server(number=80),
        build_server(selector=(("istio", "other"),)),
        build_server(selector=(("app", "shared"),)),
    ],
)
def test_other_servers_are_no_rivals(server: Observed) -> None:
    assert find_unready(read_gateway(), replace(READY, servers=(server,))) == ""


@pytest.mark.parametrize(
    ("default", "own", "shown"),
    [
        ((), (), True),
        (("*",), (), True),
        ((".",), (), False),
        ((".", "shop"), (), True),
        (("istio-egress",), (), False),
        ((".",), ("*",), True),
        ((), (".",), False),
        ((), ("~",), False),
    ],
)
def test_the_service_must_be_shown_to_other_namespaces(
    default: tuple[str, ...], own: tuple[str, ...], *, shown: bool
) -> None:
    services = {PLACE: replace(SERVICE, export_to=own)}
    reason = find_unready(read_gateway(), replace(READY, services=services, export_to=default))
    assert ("is shown to its own namespace alone" in reason) is not shown
    assert shown or 'networking.istio.io/exportTo: "*"' in reason
