"""`explain` by examples: one policy or two, one call, what becomes of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from egress_operator.explain.explain import Explanation, Fate, explain
from egress_operator.explain.want import decide
from egress_operator.explain.world import Call, Caller, Payload, World, read_world

HOST, OTHER = "api.example.com", "other.example.com"
ADDRESS = "203.0.113.20"
CHECKOUT = Caller("shop", {"app": "checkout"}, "checkout")
BATCH = Caller("shop", {"app": "batch"}, "batch")
APP = Caller("pay", {"app": "app"})
HTTP = {"number": 80, "protocol": "HTTP"}
TCP = {"number": 5432, "protocol": "TCP"}
WORKLOADS = {"workloads": {"matchLabels": {"app": "checkout"}}}
ACCOUNTS = {"serviceAccounts": ["checkout"]}


def build_policy(
    name: str,
    *destinations: dict[str, Any],
    created: str = "2026-01-01T00:00:00Z",
    gateway: str = "",
    source: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build a policy in `shop`; `source` is its `from`."""
    more: dict[str, Any] = {"gatewayRef": {"name": gateway}} if gateway else {}
    if source is not None:
        more["from"] = source
    return {
        "kind": "EgressPolicy",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
        "spec": {"destinations": list(destinations), **more},
    }


def build_gateway(
    name: str, label: str, authorization: str = "Managed", **more: str
) -> dict[str, Any]:
    return {
        "kind": "EgressGateway",
        "metadata": {"name": name},
        "spec": {
            "namespace": "istio-egress",
            "selector": {"istio": name},
            "service": {"name": name, "port": 443},
            "namespaces": {"matchExpressions": [{"key": label, "operator": "Exists"}]},
            "authorization": authorization,
            **more,
        },
    }


SHOP = {"kind": "Namespace", "metadata": {"name": "shop", "labels": {"egress": "yes"}}}


def build_world(*policies: dict[str, Any], open_by_default: bool = False) -> World:
    """Read the policies, a gateway that is open to `shop`, and one that is not."""
    gateways = (build_gateway("shared", "egress"), build_gateway("closed", "never"))
    return read_world([*policies, *gateways, SHOP], open_by_default=open_by_default)


def ask(
    world: World,
    host: str = HOST,
    port: int = 443,
    payload: Payload = Payload.TLS,
    caller: Caller = CHECKOUT,
    address: str = "",
) -> Explanation:
    return explain(world, Call(caller, payload, host, port, address))


SMALLEST = build_policy("a", {"hosts": [HOST]})


def test_the_smallest_policy() -> None:
    world = build_world(SMALLEST)
    told = ask(world)
    assert (told.fate, told.servers, told.port, told.policies) == (
        Fate.DIRECT,
        (HOST,),
        443,
        ("a",),
    )
    assert told.reason == "allowed by policy a"
    for other in (
        ask(world, port=8443),
        ask(world, host=OTHER),
        ask(world, caller=APP),
        ask(world, port=80, payload=Payload.HTTP),
    ):
        assert other.fate is Fate.UNDECLARED


def test_a_request_that_is_not_allowed() -> None:
    allow = [
        {"methods": ["GET"], "paths": ["/v1/*", "/health"]},
        {"methods": ["POST"], "headers": [{"name": "x-team", "value": "shop"}]},
    ]
    http = {"allow": allow, "rewrite": {"host": OTHER}}
    world = build_world(build_policy("a", {"hosts": [HOST], "originateTLS": {}, "http": http}))

    def find_fate(method: str, path: str, **headers: str) -> Fate:
        call = Call(CHECKOUT, Payload.HTTP, HOST, 80, method=method, path=path, headers=headers)
        return explain(world, call).fate

    for method, path in (("GET", "/v1/a"), ("GET", "/v1/?x=/"), ("GET", "/health?x")):
        assert find_fate(method, path) is Fate.DIRECT
    for method, path in (("GET", "/v1"), ("GET", "/health/a"), ("PUT", "/v1/a"), ("POST", "/v1/a")):
        assert find_fate(method, path) is Fate.NOT_ALLOWED
    assert find_fate("POST", "/any", **{"x-team": "shop"}) is Fate.DIRECT
    told = explain(world, Call(CHECKOUT, Payload.HTTP, HOST, 80, path="/health"))
    assert told.tls is not None
    assert (told.host, told.tls.server_name) == (OTHER, OTHER)


def test_what_nobody_declared_goes_out_where_the_mesh_says_so() -> None:
    told = ask(build_world(SMALLEST, open_by_default=True), host=OTHER)
    assert (told.fate, told.servers) == (Fate.DIRECT, (OTHER,))
    assert "ALLOW_ANY" in told.reason


def test_a_gateway_that_is_open_and_one_that_is_not() -> None:
    assert (
        ask(build_world(build_policy("a", {"hosts": [HOST]}, gateway="shared"))).fate
        is Fate.GATEWAY
    )
    closed = ask(build_world(build_policy("a", {"hosts": [HOST]}, gateway="closed")))
    assert closed.fate is Fate.WITHDRAWN
    assert closed.reason == "policy a: gateway closed is not open to namespace shop"


@pytest.mark.parametrize(
    ("source", "gateway"), [(WORKLOADS, ""), (WORKLOADS, "shared"), (ACCOUNTS, "shared")]
)
def test_from_chooses(source: dict[str, Any], gateway: str) -> None:
    world = build_world(build_policy("a", {"hosts": [HOST]}, gateway=gateway, source=source))
    assert ask(world).fate in {Fate.DIRECT, Fate.GATEWAY}
    assert ask(world, caller=BATCH).fate is Fate.NOT_CHOSEN


def test_sources_of_two_policies_unite() -> None:
    chosen = build_policy("a", {"hosts": [HOST]}, source=WORKLOADS)
    world = build_world(chosen, build_policy("b", {"hosts": [HOST]}))
    assert ask(world, caller=BATCH).policies == ("a", "b")


@pytest.mark.parametrize(
    ("gateway", "source", "why"),
    [
        ("absent", None, "there is no EgressGateway absent"),
        ("dry", ACCOUNTS, "EgressGateway dry does not check service accounts"),
    ],
)
def test_a_policy_on_hold_takes_no_part(
    gateway: str, source: dict[str, Any] | None, why: str
) -> None:
    held = build_policy("a", {"hosts": [HOST]}, gateway=gateway, source=source)
    there = [build_gateway("dry", "egress", authorization="DryRun"), SHOP]
    told = ask(read_world([held, *there]))
    assert told.fate is Fate.UNDECLARED
    assert told.reason.endswith(f"policy a is on hold: {why}")
    younger = build_policy("b", {"hosts": [HOST]}, created="2026-02-01T00:00:00Z")
    told = ask(read_world([held, younger, *there]))
    assert (told.fate, told.policies) == (Fate.DIRECT, ("b",))


def test_a_policy_that_has_expired_takes_no_part() -> None:
    policy = build_policy("a", {"hosts": [HOST]})
    policy["spec"]["expiresAt"] = "2026-06-01T01:00:00+01:00"
    end = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    assert ask(read_world([policy, SHOP], now=end - 1)).policies == ("a",)
    told = ask(read_world([policy, SHOP], now=end))
    assert told.fate is Fate.UNDECLARED
    assert told.reason.endswith("policy a expired at 2026-06-01T01:00:00+01:00")
    younger = build_policy("b", {"hosts": [HOST]}, created="2026-02-01T00:00:00Z")
    assert ask(read_world([policy, younger, SHOP], now=end)).policies == ("b",)


def test_a_gateway_that_checks_no_accounts_is_open_to_policies_without() -> None:
    policy = build_policy("a", {"hosts": [HOST]}, gateway="dry")
    gateway = build_gateway("dry", "egress", authorization="DryRun")
    assert ask(read_world([policy, gateway, SHOP])).fate is Fate.GATEWAY


@pytest.mark.parametrize("tls", [None, {}], ids=["plain", "own TLS"])
def test_an_endpoint_with_an_account_must_prove_it(tls: dict[str, Any] | None) -> None:
    endpoint = {"address": ADDRESS, "serviceAccount": "warehouse"}
    destination: dict[str, Any] = {
        "hosts": [HOST],
        "ports": [{**HTTP, "targetPort": 8080}],
        "location": "Internal",
        "backends": [{"name": "vm", "endpoints": [endpoint]}],
    }
    if tls is not None:
        destination["originateTLS"] = tls
    told = ask(build_world(build_policy("a", destination)), port=80, payload=Payload.HTTP)
    assert told.account == ("warehouse" if tls is None else "")


def build_backends(*weights: int | None) -> list[dict[str, Any]]:
    return [
        {
            "name": f"v{number}",
            "endpoints": [{"address": f"203.0.113.{number}"}],
            **({} if weight is None else {"weight": weight}),
        }
        for number, weight in enumerate(weights, 1)
    ]


@pytest.mark.parametrize(
    ("weights", "numbers"), [((75, 25), (1, 2)), ((0, 1), (2,)), ((1, 0, 5), (1, 3))]
)
def test_backends_with_a_share_may_answer(
    weights: tuple[int, ...], numbers: tuple[int, ...]
) -> None:
    policy = build_policy("a", {"hosts": [HOST], "backends": build_backends(*weights)})
    assert ask(build_world(policy)).servers == tuple(f"203.0.113.{number}" for number in numbers)


def test_the_first_backend_of_a_failover_answers() -> None:
    destination = {"hosts": [HOST], "failover": True, "backends": build_backends(None, None)}
    assert ask(build_world(build_policy("a", destination))).servers == ("203.0.113.1",)


def test_equal_shares_agree_in_any_order_and_a_failover_does_not() -> None:
    shares, ordered = build_backends(1, 2), build_backends(None, None)
    for backends, more, lost in ((shares, {}, 0), (ordered, {"failover": True}, 1)):
        world = build_world(
            build_policy("a", {"hosts": [HOST], "backends": backends, **more}),
            build_policy("b", {"hosts": [HOST], "backends": backends[::-1], **more}),
        )
        assert len(decide(world.policies["shop"])[1]) == lost


def test_the_older_policy_has_it() -> None:
    old = build_policy("z", {"hosts": [HOST], "ports": [HTTP], "http": {"timeout": "1s"}})
    new = build_policy("a", {"hosts": [HOST], "ports": [HTTP]}, created="2026-02-01T00:00:00Z")
    world = build_world(new, old)
    told = ask(world, port=80, payload=Payload.HTTP)
    assert (told.policies, told.timeout_ms) == (("z",), 1000)
    _, (defeat,) = decide(world.policies["shop"])
    assert (defeat.want.policy.name, defeat.by.policy.name) == ("a", "z")
    assert defeat.field == "timeout_ms"


def test_bytes_are_known_by_their_address() -> None:
    policy = build_policy("a", {"hosts": [HOST], "ports": [TCP], "addresses": [ADDRESS]})
    world = build_world(policy)
    told = ask(world, OTHER, 5432, Payload.BYTES, address=ADDRESS)
    assert (told.fate, told.servers) == (Fate.DIRECT, (ADDRESS,))
    assert ask(world, HOST, 5432, Payload.BYTES, address="203.0.113.21").fate is Fate.UNDECLARED


def test_a_range_leads_where_the_caller_dials() -> None:
    world = build_world(build_policy("a", {"addresses": ["203.0.113.0/24"], "ports": [TCP]}))
    assert ask(world, "", 5432, Payload.BYTES, address=ADDRESS).servers == (ADDRESS,)


def test_settings_of_the_way() -> None:
    retries = {"attempts": 3, "codes": [503]}
    policy = build_policy(
        "a",
        {
            "hosts": [HOST],
            "originateTLS": {"subjectAltNames": ["edge.example.com"]},
            "http": {"timeout": "1500ms", "retries": retries},
            "backends": [{"name": "v1", "endpoints": [{"address": ADDRESS}]}],
        },
    )
    told = ask(build_world(policy), port=80, payload=Payload.HTTP)
    assert (told.servers, told.port, told.timeout_ms) == ((ADDRESS,), 443, 1500)
    assert (told.attempts, told.retry_codes) == (3, frozenset({503}))
    assert told.tls is not None
    assert (told.tls.server_name, told.tls.names) == (HOST, frozenset({"edge.example.com"}))


@pytest.mark.parametrize(
    ("conditions", "codes"),
    [
        (["connect-failure"], {500}),
        (["gateway-error"], {500, 502, 503, 504}),
        (["retriable-4xx", "reset"], {409, 500}),
        (["5xx"], set(range(500, 600))),
    ],
    ids=lambda value: str(value)[:20],
)
def test_conditions_stand_for_codes(conditions: list[str], codes: set[int]) -> None:
    retries = {"attempts": 1, "codes": [500], "conditions": conditions}
    ports = [{"number": 80, "protocol": "HTTP"}]
    policy = build_policy("a", {"hosts": [HOST], "ports": ports, "http": {"retries": retries}})
    assert ask(build_world(policy), port=80, payload=Payload.HTTP).retry_codes == codes


def test_the_operator_s_own_names_are_nobody_s() -> None:
    for host in ("x.shop.egress.internal", "x.pay.direct.internal"):
        assert ask(build_world(SMALLEST), host=host).fate is Fate.RESERVED


def test_in_an_open_mesh_only_names_that_the_proxy_has_are_closed() -> None:
    world = build_world(SMALLEST, open_by_default=True)
    assert ask(world, host="x.shop.direct.internal").fate is Fate.RESERVED
    assert ask(world, host="x.pay.direct.internal").fate is Fate.DIRECT


def test_a_policy_that_is_not_valid_says_nothing() -> None:
    assert ask(build_world(build_policy("a", {"hosts": ["*.com"]}))).fate is Fate.UNDECLARED


WILD = {"hosts": ["*.example.com"], "ports": [HTTP, {"number": 443, "protocol": "TLS"}]}


def test_a_wildcard_is_for_all_names_below_it() -> None:
    world = build_world(build_policy("a", WILD))
    for host, fate in (
        ("api.example.com", Fate.DIRECT),
        ("a.b.example.com", Fate.DIRECT),
        ("example.com", Fate.UNDECLARED),
        ("badexample.com", Fate.UNDECLARED),
    ):
        told = ask(world, host=host)
        assert told.fate is fate
        assert told.servers == ((host,) if fate is Fate.DIRECT else ())


def test_a_name_goes_its_own_way_on_its_own_ports() -> None:
    own = {"hosts": ["api.example.com"], "originateTLS": {}}
    world = build_world(build_policy("a", WILD), build_policy("b", own))
    assert ask(world, payload=Payload.HTTP, port=80).policies == ("b",)
    assert ask(world).policies == ("a",)


def test_tls_of_a_name_below_a_wildcard_has_no_way_of_its_own() -> None:
    younger = build_policy("b", {"hosts": [HOST]}, source=WORKLOADS)
    world = build_world(build_policy("a", WILD), younger)
    assert ask(world).policies == ("a",)


def test_a_wildcard_goes_through_a_gateway_that_lets_it() -> None:
    wild = {"hosts": ["*.example.com"], "originateTLS": {}}
    policy = build_policy("a", wild, gateway="shared", source=ACCOUNTS)

    def ask_through(caller: Caller = CHECKOUT, **more: str) -> Explanation:
        world = read_world([policy, build_gateway("shared", "egress", **more), SHOP])
        return ask(world, port=80, payload=Payload.HTTP, caller=caller)

    assert ask_through().fate is Fate.WITHDRAWN
    assert "gateway shared lets no wildcards through" in ask_through().reason
    told = ask_through(wildcards="HTTP")
    assert (told.fate, told.gateway, told.wildcard) == (Fate.GATEWAY, "shared", "*.example.com")
    assert told.tls is not None
    assert (told.servers, told.port, told.tls.server_name) == ((HOST,), 443, HOST)
    assert ask_through(BATCH, wildcards="HTTP").fate is Fate.NOT_CHOSEN


def test_tls_of_a_wildcard_goes_through_a_gateway_that_lets_it() -> None:
    policy = build_policy("a", WILD, gateway="shared", source=ACCOUNTS)

    def ask_through(wildcards: str, caller: Caller = CHECKOUT, **more: Any) -> Explanation:  # noqa: ANN401
        gateway = build_gateway("shared", "egress", wildcards=wildcards)
        return ask(read_world([policy, gateway, SHOP]), caller=caller, **more)

    for wildcards in ("Disabled", "HTTP"):
        assert ask_through(wildcards).fate is Fate.WITHDRAWN
    assert "gateway shared lets only HTTP of wildcards through" in ask_through("HTTP").reason
    assert ask_through("HTTP", port=80, payload=Payload.HTTP).fate is Fate.GATEWAY
    told = ask_through("HTTPAndTLS")
    assert (told.fate, told.gateway, told.wildcard) == (Fate.GATEWAY, "shared", "*.example.com")
    assert (told.servers, told.port, told.tls) == ((HOST,), 443, None)
    assert ask_through("HTTPAndTLS", BATCH).fate is Fate.NOT_CHOSEN


@pytest.mark.parametrize("below", ["api.example.com", "*.eu.example.com"])
@pytest.mark.parametrize("gateway", ["", "shared"])
def test_tls_below_a_wildcard_through_a_gateway_has_no_way_of_its_own(
    below: str, gateway: str
) -> None:
    through = build_policy("a", WILD, gateway="shared")
    younger = build_policy("b", {"hosts": [below]}, gateway=gateway)
    shared = build_gateway("shared", "egress", wildcards="HTTPAndTLS")
    for first, second in ((through, younger), (younger, through)):
        second["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
        first["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
        world = read_world([first, second, shared, SHOP])
        host = below.replace("*", "a")
        assert ask(world, host=host).policies == (first["metadata"]["name"],)


def test_all_ports_of_a_wildcard_go_one_way() -> None:
    through = build_policy("a", {"hosts": ["*.example.com"], "originateTLS": {}}, gateway="shared")
    direct = build_policy("b", {"hosts": ["*.example.com"]})
    gateway = build_gateway("shared", "egress", wildcards="HTTP")
    world = read_world([through, direct, gateway, SHOP])
    assert ask(world, port=80, payload=Payload.HTTP).fate is Fate.GATEWAY
    assert ask(world).fate is Fate.UNDECLARED


SERVICES, SHOWN = "./*.svc.cluster.local", f"./{HOST}"
SERVICE = "istio-egress/shared.istio-egress.svc.cluster.local"


def build_sidecar(*listeners: tuple[int, list[str]]) -> dict[str, Any]:
    """Build a Sidecar of `shop`; port 0 stands for no port."""
    egress = [
        {"hosts": hosts, **({"port": {"number": port, "protocol": "TLS"}} if port else {})}
        for port, hosts in listeners
    ]
    return {
        "kind": "Sidecar",
        "metadata": {"name": "narrow", "namespace": "shop"},
        "spec": {"egress": egress},
    }


@pytest.mark.parametrize(
    ("listeners", "is_known"),
    [
        ([(0, [SHOWN])], True),
        ([(443, [SHOWN])], True),
        ([(8443, [SHOWN])], False),
        ([(8443, [SHOWN]), (0, [SERVICES])], False),
        ([(8443, [SHOWN]), (0, [SHOWN])], True),
        ([(8443, [SHOWN]), (0, [SERVICES, SERVICE])], True),
        ([(8443, [SHOWN]), (443, ["istio-egress/*"])], True),
        ([(8443, [SHOWN]), (9443, ["istio-egress/*"])], False),
        ([(8443, [SHOWN]), (0, ["*/*.istio-egress.svc.cluster.local"])], True),
        ([(8443, [SHOWN]), (0, ["./*.istio-egress.svc.cluster.local"])], False),
        ([(8443, [SHOWN]), (0, ["istio-egress/*", f"~{SERVICE}"])], False),
    ],
)
def test_a_sidecar_shows_the_service_of_the_gateway(
    listeners: list[tuple[int, list[str]]], *, is_known: bool
) -> None:
    numbers = [number or 443 for number, _ in listeners[:1]]
    ports = [{"number": number, "protocol": "TLS"} for number in numbers]
    policy = build_policy("a", {"hosts": [HOST], "ports": ports}, gateway="shared")
    direct = build_policy("a", {"hosts": [HOST], "ports": ports})
    sidecar, gateway = build_sidecar(*listeners), build_gateway("shared", "egress")
    told = ask(read_world([policy, gateway, SHOP, sidecar]), port=numbers[0])
    assert told.fate is (Fate.GATEWAY if is_known else Fate.GATEWAY_HIDDEN)
    if not is_known:
        assert (
            told.reason == "policy a: Sidecar narrow does not import the Service of gateway shared"
        )
    assert ask(read_world([direct, SHOP, sidecar]), port=numbers[0]).fate is Fate.DIRECT
