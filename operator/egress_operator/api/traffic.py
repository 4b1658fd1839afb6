"""Limits of connections, and endpoints that fail: DestinationRule's traffic policy in our words."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from egress_operator.api.duration import build_duration_cel, parse_duration
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, Finding, NotNull, build_not_empty_check, quote
from egress_operator.api.scalar import Duration

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

    time: Annotated[
        KeepaliveDuration | None,
        NotNull(),
        Field(
            description="How long a connection is idle before the first probe, whole seconds, at "
            "most 32767s; left out: the system's setting, often 2h.",
            examples=["300s"],
        ),
    ] = None
    interval: Annotated[
        KeepaliveDuration | None,
        NotNull(),
        Field(
            description="The time between probes, whole seconds, at most 32767s; left out: the "
            "system's setting, often 75s.",
            examples=["60s"],
        ),
    ] = None
    probes: Annotated[
        StrictInt | None,
        NotNull(),
        Field(
            ge=1,
            le=MOST_PROBES,
            description="After how many probes without an answer the connection is dead, 1 to 127; "
            "left out: the system's setting, often 9.",
            examples=[3],
        ),
    ] = None

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("time", "interval", "probes"),)


class ConnectionPool(Model):
    """Limits of connections. Each proxy counts for itself."""

    max_connections: Annotated[
        Count | None,
        NotNull(),
        Field(
            description="How many connections may be open at a time; left out: no limit.",
            examples=[100],
        ),
    ] = None
    connect_timeout: Annotated[
        Duration | None,
        NotNull(),
        Field(
            description="How long opening a connection may take, 1ms at least; left out: 10s.",
            examples=["3s"],
        ),
    ] = None
    idle_timeout: Annotated[
        Duration | None,
        NotNull(),
        Field(
            description="How long a connection may be idle before it is closed, 1ms at least; "
            "left out: 1h.",
            examples=["60s"],
        ),
    ] = None
    max_connection_duration: Annotated[
        Duration | None,
        NotNull(),
        Field(
            description="How long a connection may be used before it is closed, 1ms at least; "
            "left out: no limit.",
            examples=["10m"],
        ),
    ] = None
    max_pending_requests: Annotated[
        Count | None,
        NotNull(),
        Field(
            description="How many requests may wait for a connection; left out: no limit.",
            examples=[100],
        ),
    ] = None
    max_requests_per_connection: Annotated[
        StrictInt | None,
        NotNull(),
        Field(
            ge=0,
            le=MOST,
            description="After how many requests a connection is closed; 0, or left out: no limit.",
            examples=[1000],
        ),
    ] = None
    tcp_keepalive: Annotated[
        TcpKeepalive | None,
        NotNull(),
        Field(
            description="Probes that find dead connections; left out: none.",
            examples=[{"time": "300s", "interval": "60s", "probes": 3}],
        ),
    ] = None

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
        Count | None,
        NotNull(),
        Field(
            alias="consecutive5xxErrors",
            description="After how many failures in a row; left out: 5.",
            examples=[5],
        ),
    ] = None
    interval: Annotated[
        Duration | None,
        NotNull(),
        Field(
            description="How often endpoints are looked at, 1ms at least; left out: 10s.",
            examples=["10s"],
        ),
    ] = None
    base_ejection_time: Annotated[
        Duration | None,
        NotNull(),
        Field(
            description="How long an endpoint is left out the first time, 1ms at least; left out: "
            "30s.",
            examples=["30s"],
        ),
    ] = None
    max_ejection_percent: Annotated[
        StrictInt | None,
        NotNull(),
        Field(
            ge=1,
            le=100,
            description="How many of the endpoints may be left out at a time, in percent, 1 to "
            "100; left out: 10.",
            examples=[50],
        ),
    ] = None

    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check(
            "consecutive5xxErrors", "interval", "baseEjectionTime", "maxEjectionPercent"
        ),
    )
