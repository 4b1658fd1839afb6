"""Load balancing, limits of connections, endpoints that fail: DestinationRule's in our words."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from egress_operator.api.duration import build_duration_cel, parse_duration
from egress_operator.api.model import Model
from egress_operator.api.rule import (
    Check,
    Finding,
    Omittable,
    build_not_empty_check,
    build_one_of_check,
    quote,
)
from egress_operator.api.scalar import Balancing, CookieName, Duration, HeaderName
from egress_operator.api.word import Words

MOST = 2**31 - 1
"""Istio's own numbers have 32 bits."""

_SECOND = 1000
LONGEST_KEEPALIVE_S = 32767
MOST_PROBES = 127
"""Linux refuses more (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT), and then nothing connects."""

Count = Annotated[StrictInt, Field(ge=1, le=MOST)]


def _find_fraction(text: str) -> Iterator[Finding]:
    # istiod takes the whole seconds alone (pilot/pkg/networking/core/cluster.go), and 0 is refused
    # by the kernel: 500ms would break every connection.
    length = parse_duration(text)
    if not length:
        return
    if length % _SECOND or length > LONGEST_KEEPALIVE_S * _SECOND:
        yield Finding(subject=quote(text))


KeepaliveDuration = Annotated[
    Duration,
    Check(
        "EG029",
        f"!{build_duration_cel('self')} || (duration(self).getMilliseconds() % {_SECOND} == 0"
        f" && duration(self) <= duration('{LONGEST_KEEPALIVE_S}s'))",
        _find_fraction,
    ),
]


class TcpKeepalive(Model):
    """Probes that find dead connections."""

    time: Annotated[Omittable[KeepaliveDuration], Field(examples=["300s"])] = None
    """How long a connection is idle before the first probe, whole seconds, at most 32767s; left
    out: the system's setting, often 2h."""
    interval: Annotated[Omittable[KeepaliveDuration], Field(examples=["60s"])] = None
    """The time between probes, whole seconds, at most 32767s; left out: the system's setting, often
    75s."""
    probes: Annotated[Omittable[StrictInt], Field(ge=1, le=MOST_PROBES, examples=[3])] = None
    """After how many probes without an answer the connection is dead, 1 to 127; left out: the
    system's setting, often 9."""

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("time", "interval", "probes"),)


class ConnectionPool(Model):
    """Limits of connections. Each proxy counts for itself."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        ("tcp", "http"), "write its fields into connectionPool itself"
    )
    max_connections: Annotated[Omittable[Count], Field(examples=[100])] = None
    """The maximum number of open connections; left out: no limit."""
    connect_timeout: Annotated[Omittable[Duration], Field(examples=["3s"])] = None
    """How long opening a connection may take, 1ms at least; left out: 10s."""
    idle_timeout: Annotated[Omittable[Duration], Field(examples=["60s"])] = None
    """How long a connection may be idle before it is closed, 1ms at least; left out: 1h."""
    max_connection_duration: Annotated[Omittable[Duration], Field(examples=["10m"])] = None
    """How long a connection may be used before it is closed, 1ms at least; left out: no limit."""
    max_pending_requests: Annotated[Omittable[Count], Field(examples=[100])] = None
    """The maximum number of requests that wait for a connection; left out: no limit. HTTP2 and GRPC
    requests share a connection and wait only until it is open."""
    max_requests_per_connection: Annotated[
        Omittable[StrictInt], Field(ge=0, le=MOST, examples=[1000])
    ] = None
    """After how many requests a connection is closed; 0, or left out: no limit."""
    tcp_keepalive: Annotated[
        Omittable[TcpKeepalive], Field(examples=[{"time": "300s", "interval": "60s", "probes": 3}])
    ] = None
    """Probes that find dead connections; left out: none."""

    height: ClassVar[int] = 2
    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check(
            "maxConnections",
            "connectTimeout",
            "idleTimeout",
            "maxConnectionDuration",
            "maxPendingRequests",
            "maxRequestsPerConnection",
            "tcpKeepalive",
        ),
    )


class OutlierDetection(Model):
    """When an endpoint that fails is left out for a while."""

    consecutive_5xx_errors: Annotated[
        Omittable[Count], Field(alias="consecutive5xxErrors", examples=[5])
    ] = None
    """After how many failures in a row; left out: 5."""
    interval: Annotated[Omittable[Duration], Field(examples=["10s"])] = None
    """The time between two checks of the endpoints, 1ms at least; left out: 10s."""
    base_ejection_time: Annotated[Omittable[Duration], Field(examples=["30s"])] = None
    """How long an endpoint is left out the first time, 1ms at least; left out: 30s."""
    max_ejection_percent: Annotated[Omittable[StrictInt], Field(ge=1, le=100, examples=[50])] = None
    """How many of the endpoints may be left out at a time, in percent, 1 to 100, rounded down; left
    out: 100."""

    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check(
            "consecutive5xxErrors", "interval", "baseEjectionTime", "maxEjectionPercent"
        ),
    )


class HashCookie(Model):
    """A cookie that names the client."""

    name: Annotated[CookieName, Field(examples=["session"])]
    """The name of the cookie."""
    ttl: Annotated[Omittable[Duration], Field(examples=["1h"])] = None
    """The proxy adds the cookie to the response of a request that has none, and this is how long it
    lives; left out: the proxy adds none."""


class SourceIP(Model):
    """The address of the calling pod; it has no settings."""


class ConsistentHash(Model):
    """Requests that are alike in one thing go to the same endpoint."""

    header: Annotated[Omittable[HeaderName], Field(examples=["x-user"])] = None
    """The request header whose value decides; every port must be HTTP, HTTP2 or GRPC."""
    cookie: Annotated[Omittable[HashCookie], Field(examples=[{"name": "session", "ttl": "1h"}])] = (
        None
    )
    """The cookie whose value decides; every port must be HTTP, HTTP2 or GRPC."""
    source_ip: Annotated[Omittable[SourceIP], Field(alias="sourceIP", examples=[{}])] = None
    """The address of the caller decides; write {}. For HTTP it is the last one in x-forwarded-for,
    if the application sends that, else that of the pod."""

    height: ClassVar[int] = 2
    checks: ClassVar[tuple[Check, ...]] = (build_one_of_check("header", "cookie", "sourceIP"),)


class LoadBalancer(Model):
    """How one of several endpoints is chosen."""

    policy: Annotated[Omittable[Balancing], Field(examples=["RoundRobin"])] = None
    """RoundRobin, LeastRequest or Random; without loadBalancer: LeastRequest."""
    consistent_hash: Annotated[
        Omittable[ConsistentHash], Field(examples=[{"header": "x-user"}])
    ] = None
    """What decides that requests go to the same endpoint, in place of policy."""

    height: ClassVar[int] = 3
    checks: ClassVar[tuple[Check, ...]] = (build_one_of_check("policy", "consistentHash"),)


class Traffic(Model):
    """How connections to the destination are used: on the last hop, to the outside."""

    load_balancer: Annotated[
        Omittable[LoadBalancer], Field(examples=[{"policy": "RoundRobin"}])
    ] = None
    """How one of several endpoints is chosen: of the backends, or of the addresses to which the
    host resolves."""
    connection_pool: Annotated[
        Omittable[ConnectionPool], Field(examples=[{"maxConnections": 100, "idleTimeout": "5m"}])
    ] = None
    """Limits of the connections to the destination."""
    outlier_detection: Annotated[
        Omittable[OutlierDetection],
        Field(examples=[{"consecutive5xxErrors": 5, "baseEjectionTime": "30s"}]),
    ] = None
    """When an endpoint that fails is left out for a while. While all of them are, requests are
    answered with 503 at once, and connections are closed."""

    height: ClassVar[int] = 4
    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check("loadBalancer", "connectionPool", "outlierDetection"),
    )


def list_http_traffic(traffic: Traffic) -> Iterator[tuple[str, ...]]:
    """List the settings that act on requests, by their way from the destination. Pure."""
    pool, balancer = traffic.connection_pool, traffic.load_balancer
    if pool is not None and pool.max_pending_requests is not None:
        yield "traffic", "connectionPool", "maxPendingRequests"
    if pool is not None and pool.max_requests_per_connection is not None:
        yield "traffic", "connectionPool", "maxRequestsPerConnection"
    consistent = None if balancer is None else balancer.consistent_hash
    if consistent is not None and consistent.header is not None:
        yield "traffic", "loadBalancer", "consistentHash", "header"
    if consistent is not None and consistent.cookie is not None:
        yield "traffic", "loadBalancer", "consistentHash", "cookie"
