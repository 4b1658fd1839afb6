"""A DestinationRule's traffic policy: what is asked for, and how Istio writes it."""

from dataclasses import dataclass, field, replace
from typing import Any

from egress_operator.istio.difference import API, mean_default

EVERY_ENDPOINT = 100
"""Percent that outlier detection may leave out. Istio's own default is 10, rounded down: of fewer
than ten endpoints none would ever be left out."""

_SIMPLE = {"RoundRobin": "ROUND_ROBIN", "LeastRequest": "LEAST_REQUEST", "Random": "RANDOM"}


@dataclass(frozen=True, slots=True)
class HashIntent:
    """What decides that requests go to the same endpoint: the one that is not empty."""

    header: str = ""
    cookie: str = field(default="", metadata={API: "cookie.name"})
    cookie_ttl: str = field(default="", metadata={API: "cookie.ttl"})
    is_by_source: bool = field(default=False, metadata={API: "sourceIP"})

    def build(self) -> dict[str, Any]:
        """Return `consistentHash`."""
        if self.header:
            return {"httpHeaderName": self.header}
        if self.is_by_source:
            return {"useSourceIp": True}
        life = {"path": "/", "ttl": self.cookie_ttl} if self.cookie_ttl else {}
        return {"httpCookie": {"name": self.cookie, **life}}


@dataclass(frozen=True, slots=True)
class LoadBalancerIntent:
    """How an endpoint is chosen: by a policy, or by a hash."""

    policy: str = ""
    consistent_hash: HashIntent | None = None

    def build(self) -> dict[str, Any]:
        """Return `loadBalancer`."""
        if self.consistent_hash is not None:
            return {"consistentHash": self.consistent_hash.build()}
        return {"simple": _SIMPLE[self.policy]}


@dataclass(frozen=True, slots=True)
class KeepaliveIntent:
    """Probes that find dead connections. Durations as Istio spells them; empty: the system's."""

    time: str = ""
    interval: str = ""
    probes: int | None = None


@dataclass(frozen=True, slots=True)
class PoolIntent:
    """Limits of connections. Durations as Istio spells them; what is empty or None has no limit."""

    max_connections: int | None = None
    connect_timeout: str = ""
    idle_timeout: str = ""
    max_connection_duration: str = ""
    max_pending_requests: int | None = None
    max_requests_per_connection: int | None = field(default=None, metadata=mean_default(0))
    tcp_keepalive: KeepaliveIntent | None = None

    def shorten(self, other: "PoolIntent") -> "PoolIntent":
        """Return these limits with the times of a connection at most those of the other. Pure."""
        return replace(
            self,
            idle_timeout=_find_shorter(self.idle_timeout, other.idle_timeout),
            max_connection_duration=_find_shorter(
                self.max_connection_duration, other.max_connection_duration
            ),
        )

    def build(self) -> dict[str, Any]:
        """Return `connectionPool`; `maxPendingRequests` limits HTTP/1 and HTTP/2 alike."""
        keepalive = self.tcp_keepalive
        tcp = _drop_absent(
            maxConnections=self.max_connections,
            connectTimeout=self.connect_timeout,
            idleTimeout=self.idle_timeout,
            maxConnectionDuration=self.max_connection_duration,
            tcpKeepalive=keepalive
            and _drop_absent(
                time=keepalive.time, interval=keepalive.interval, probes=keepalive.probes
            ),
        )
        http = _drop_absent(
            http1MaxPendingRequests=self.max_pending_requests,
            maxRequestsPerConnection=self.max_requests_per_connection,
            idleTimeout=self.idle_timeout,
        )
        return _drop_absent(tcp=tcp, http=http)


NO_POOL = PoolIntent()


@dataclass(frozen=True, slots=True)
class OutlierIntent:
    """When an endpoint that fails is left out. What is empty or None is Istio's default."""

    consecutive_5xx_errors: int | None = field(
        default=None, metadata={API: "consecutive5xxErrors", **mean_default(5)}
    )
    interval: str = field(default="", metadata=mean_default("10s"))
    base_ejection_time: str = field(default="", metadata=mean_default("30s"))
    max_ejection_percent: int = EVERY_ENDPOINT

    def build(self) -> dict[str, Any]:
        """Return `outlierDetection`."""
        return _drop_absent(
            consecutive5xxErrors=self.consecutive_5xx_errors,
            interval=self.interval,
            baseEjectionTime=self.base_ejection_time,
            maxEjectionPercent=self.max_ejection_percent,
        )


@dataclass(frozen=True, slots=True)
class TrafficIntent:
    """What is asked for the connections to a destination, or to a gateway."""

    load_balancer: LoadBalancerIntent | None = field(
        default=None, metadata=mean_default(LoadBalancerIntent("LeastRequest"))
    )
    connection_pool: PoolIntent | None = field(
        default=None, metadata=mean_default(PoolIntent(max_requests_per_connection=0))
    )
    outlier_detection: OutlierIntent | None = None

    def build(self) -> dict[str, Any]:
        """Return the members of `trafficPolicy`; none when nothing is asked for."""
        parts = {
            "loadBalancer": self.load_balancer,
            "connectionPool": self.connection_pool,
            "outlierDetection": self.outlier_detection,
        }
        return {name: part.build() for name, part in parts.items() if part is not None}


NO_TRAFFIC = TrafficIntent()


def _find_shorter(one: str, other: str) -> str:
    """Return the shorter of two durations in seconds, such as `0.5s`; empty ones have no end."""
    given = [text for text in (one, other) if text]
    return min(given, key=lambda text: float(text.removesuffix("s")), default="")


def _drop_absent(**values: object) -> dict[str, Any]:
    """Leave out what is not asked for; 0 is asked for."""
    return {name: value for name, value in values.items() if value not in (None, "", {})}
