"""Limits of connections, and endpoints that fail: DestinationRule's traffic policy in our words."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from egress_operator.api.duration import build_duration_cel, parse_duration
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, Finding, Omittable, build_not_empty_check, quote
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

    max_connections: Annotated[Omittable[Count], Field(examples=[100])] = None
    """How many connections may be open at a time; left out: no limit."""
    connect_timeout: Annotated[Omittable[Duration], Field(examples=["3s"])] = None
    """How long opening a connection may take, 1ms at least; left out: 10s."""
    idle_timeout: Annotated[Omittable[Duration], Field(examples=["60s"])] = None
    """How long a connection may be idle before it is closed, 1ms at least; left out: 1h."""
    max_connection_duration: Annotated[Omittable[Duration], Field(examples=["10m"])] = None
    """How long a connection may be used before it is closed, 1ms at least; left out: no limit."""
    max_pending_requests: Annotated[Omittable[Count], Field(examples=[100])] = None
    """How many requests may wait for a connection; left out: no limit."""
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
    """How often endpoints are looked at, 1ms at least; left out: 10s."""
    base_ejection_time: Annotated[Omittable[Duration], Field(examples=["30s"])] = None
    """How long an endpoint is left out the first time, 1ms at least; left out: 30s."""
    max_ejection_percent: Annotated[Omittable[StrictInt], Field(ge=1, le=100, examples=[50])] = None
    """How many of the endpoints may be left out at a time, in percent, 1 to 100; left out: 10."""

    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check(
            "consecutive5xxErrors", "interval", "baseEjectionTime", "maxEjectionPercent"
        ),
    )
