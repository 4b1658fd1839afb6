"""Each difference between two settings is named by its own field of the API, future ones too."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, make_dataclass, replace
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

from egress_operator.api.destination import Destination
from egress_operator.api.port import Port
from egress_operator.istio.difference import find_difference
from egress_operator.istio.http import (
    AllowIntent,
    FaultIntent,
    HeaderIntent,
    HttpIntent,
    MirrorIntent,
    RetryIntent,
)
from egress_operator.istio.traffic import (
    BackendIntent,
    EndpointIntent,
    HostIntent,
    PortIntent,
    TlsIntent,
)
from egress_operator.istio.traffic_policy import (
    NO_TRAFFIC,
    HashIntent,
    KeepaliveIntent,
    LoadBalancerIntent,
    OutlierIntent,
    PoolIntent,
    TrafficIntent,
)

PORT = PortIntent(
    443,
    "TLS",
    443,
    HttpIntent(
        "1s",
        RetryIntent(1, "1s", ("5xx",), (503,)),
        (AllowIntent(),),
        HeaderIntent((("a", "b"),), (("c", "d"),), ("e",)),
        HeaderIntent((("f", "g"),), (("h", "i"),), ("j",)),
        "b.example.com",
        "/v2",
        FaultIntent("1s", 1, 503, 1),
        MirrorIntent("v1", 1),
    ),
    TlsIntent("a.example.com", ("a.example.com",)),
)
TRAFFIC = TrafficIntent(
    LoadBalancerIntent("Random", HashIntent("x-user", "session", "1h")),
    PoolIntent(1, "1s", "1s", "1s", 1, 1, KeepaliveIntent("1s", "1s", 1)),
    OutlierIntent(1, "1s", "1s", 1),
)
HOST = HostIntent(
    ("203.0.113.1",),
    failover=False,
    backends=(BackendIntent("v1", (EndpointIntent("v1.example.com"),), 1),),
    location="External",
    traffic=TRAFFIC,
)
SETTINGS = (HOST, PORT)

Settings = Any
"""A dataclass of settings."""


def change(value: object) -> object:
    """Return a value of the same type that is not equal."""
    match value:
        case int():
            return value + 1
        case str():
            return f"{value}x"
        case (first, *_) if is_dataclass(first):
            return ()
        case _:
            return (*value, "x") if isinstance(value, tuple) else None


def list_changes(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """List each leaf, and the settings with that leaf changed alone."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            for name, other in list_changes(value):
                yield f"{field.name}.{name}", replace(settings, **{field.name: other})
        elif field.compare:
            yield field.name, replace(settings, **{field.name: change(value)})


CHANGES = [(settings, *item) for settings in SETTINGS for item in list_changes(settings)]


def is_field(path: str) -> bool:
    """Whether the API has this path in a destination or a port."""
    return any(_reaches(model, path.split(".")) for model in (Destination, Port))


def _reaches(model: type[BaseModel], names: list[str]) -> bool:
    by_alias = {field.alias or name: name for name, field in model.model_fields.items()}
    if names[0] not in by_alias:
        return False
    if len(names) == 1:
        return True
    hint = get_type_hints(model)[by_alias[names[0]]]
    inner = [arg for arg in get_args(hint) if isinstance(arg, type) and issubclass(arg, BaseModel)]
    return any(_reaches(child, names[1:]) for child in inner)


@pytest.mark.parametrize(
    ("settings", "leaf", "other"), CHANGES, ids=[f"{type(s).__name__}-{n}" for s, n, _ in CHANGES]
)
def test_a_difference_is_named_by_a_field_of_the_api(
    settings: Settings, leaf: str, other: Settings
) -> None:
    """Certificates have two: a Secret, through a gateway, or a file."""
    path = find_difference(settings, other)
    assert all(map(is_field, path.split(" or "))), f"{leaf} is reported as {path}"
    assert find_difference(other, settings) == path


def test_no_two_differences_share_a_path() -> None:
    paths = [find_difference(settings, other) for settings, _, other in CHANGES]
    assert len(paths) == len(set(paths))


def extend(settings: Settings, value: int) -> Settings:
    """Return a copy of the settings whose class has one more field."""
    own = type(settings)
    longer = make_dataclass(own.__name__, [("brand_new", int, 0)], bases=(own,), frozen=True)
    kept = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return longer(**kept, brand_new=value)


@pytest.mark.parametrize(
    "settings", [HOST, PORT, PORT.http, PORT.tls, TRAFFIC, TRAFFIC.connection_pool]
)
def test_a_future_field_is_named(settings: Settings) -> None:
    assert find_difference(extend(settings, 1), extend(settings, 1)) == ""
    one = extend(settings, 1)
    assert find_difference(one, replace(one, brand_new=2)) == "brandNew"


def test_a_future_field_of_http_is_named_with_its_parents() -> None:
    http = extend(HttpIntent(), 1)
    one, other = (replace(PORT, http=replace(http, brand_new=value)) for value in (1, 2))
    assert find_difference(one, other) == "http.brandNew"
    retries = extend(RetryIntent(1, "", (), ()), 1)
    one, other = (
        replace(PORT, http=HttpIntent(retries=replace(retries, brand_new=value)))
        for value in (1, 2)
    )
    assert find_difference(one, other) == "http.retries.brandNew"


def test_what_is_left_out_is_like_its_defaults() -> None:
    assert find_difference(PORT, replace(PORT, http=None)) == "http.timeout"
    assert find_difference(PORT, replace(PORT, http=HttpIntent("1s"))) == "http.retries"
    assert find_difference(PORT, replace(PORT, tls=None)) == "originateTLS"
    plain = replace(HOST, traffic=NO_TRAFFIC)
    assert find_difference(HOST, plain) == "traffic.loadBalancer.policy"
    slow = replace(HOST, traffic=TrafficIntent(connection_pool=PoolIntent(idle_timeout="1h")))
    assert find_difference(slow, plain) == "traffic.connectionPool.idleTimeout"


ONE, TWO = EndpointIntent("a.example.com", "eu/a"), EndpointIntent("b.example.com")
GET, POST = AllowIntent(("GET",), ("/a",)), AllowIntent(("POST",))


def build_host(
    *weights: int,
    endpoints: tuple[EndpointIntent, ...] = (ONE, TWO),
    traffic: TrafficIntent = NO_TRAFFIC,
) -> HostIntent:
    backends = tuple(
        BackendIntent(f"v{number}", endpoints, weight) for number, weight in enumerate(weights)
    )
    return replace(HOST, backends=backends, traffic=traffic)


def build_outliers(**more: Settings) -> HostIntent:
    return build_host(1, traffic=TrafficIntent(outlier_detection=OutlierIntent(**more)))


def build_retries(conditions: tuple[str, ...], codes: tuple[int, ...]) -> PortIntent:
    return replace(PORT, http=HttpIntent(retries=RetryIntent(1, "", conditions, codes)))


def build_pool(**more: Settings) -> HostIntent:
    return build_host(1, traffic=TrafficIntent(connection_pool=PoolIntent(**more)))


@pytest.mark.parametrize(
    ("one", "other", "unlike"),
    [
        (build_host(50, 50), build_host(1, 1), build_host(1, 2)),
        (build_host(0, 40, 60), build_host(0, 2, 3), build_host(2, 0, 3)),
        (build_host(1), build_host(1, endpoints=(TWO, ONE)), build_host(1, endpoints=(ONE,))),
        (build_retries(("5xx", "reset"), ()), build_retries(("reset", "5xx"), ()), PORT),
        (build_retries((), (503, 429)), build_retries((), (429, 503)), build_retries((), (503,))),
        (
            replace(PORT, http=HttpIntent(allow=(GET, POST))),
            replace(PORT, http=HttpIntent(allow=(POST, GET, GET))),
            replace(PORT, http=HttpIntent(allow=(GET,))),
        ),
        (build_outliers(), build_outliers(consecutive_5xx_errors=5), build_host(1)),
        (build_outliers(), build_outliers(interval="10s"), build_outliers(interval="9s")),
        (
            build_outliers(interval="10s"),
            build_outliers(base_ejection_time="30s"),
            build_outliers(base_ejection_time="10s"),
        ),
        (
            build_host(1),
            build_host(1, traffic=TrafficIntent(LoadBalancerIntent("LeastRequest"))),
            build_host(1, traffic=TrafficIntent(LoadBalancerIntent("Random"))),
        ),
        (
            build_host(1),
            build_pool(max_requests_per_connection=0),
            build_pool(max_requests_per_connection=1),
        ),
        (
            build_pool(max_connections=1),
            build_pool(max_connections=1, max_requests_per_connection=0),
            build_pool(max_requests_per_connection=0, max_connections=2),
        ),
    ],
)
def test_what_means_the_same_is_no_difference(
    one: Settings, other: Settings, unlike: Settings
) -> None:
    assert one != other
    assert find_difference(one, other) == find_difference(other, one) == ""
    assert find_difference(one, unlike)
    assert find_difference(unlike, other)


def test_the_order_of_failover_counts() -> None:
    first, second = (BackendIntent(name, (ONE,)) for name in ("v1", "v2"))
    one = replace(HOST, failover=True, backends=(first, second))
    assert find_difference(one, replace(one, backends=(second, first))) == "backends"
