"""Settings of HTTP and of connections at random. Pure.

With each of them it is certain what becomes of a call: limits are far away, and what is left to
chance cannot be seen from outside.
"""

from random import Random

from testbed.client import Object

BALANCERS: tuple[tuple[Object, ...], ...] = (
    ({"policy": "RoundRobin"}, {"policy": "LeastRequest"}, {"policy": "Random"}),
    ({"consistentHash": {"sourceIP": {}}},),
)
HTTP_BALANCERS: tuple[tuple[Object, ...], ...] = (
    ({"consistentHash": {"header": "x-user"}},),
    ({"consistentHash": {"cookie": {"name": "shop", "ttl": "60s"}}},),
)
POOL: Object = {
    "maxConnections": 50,
    "connectTimeout": "5s",
    "idleTimeout": "90s",
    "maxConnectionDuration": "1h",
    "tcpKeepalive": {"time": "60s", "interval": "10s", "probes": 3},
}
HTTP_POOL: Object = {"maxPendingRequests": 50, "maxRequestsPerConnection": 5}
PATIENCE: Object = {"consecutive5xxErrors": 1000}
"""No failure that is drawn makes an endpoint one that fails."""
OUTLIERS: Object = {"interval": "5s", "baseEjectionTime": "1s"}
PERCENT, EVERY_PERCENT = 50, 100
TIMEOUTS = ("200ms", "200ms", "20s")
TRY = "10s"
HALF, MOST = 0.5, 0.75
"""Shares of fields. A batch of sets has few gateways, so those have most of them."""
CODES = ([503], [500, 503], [500])
CONDITIONS = (["gateway-error", "reset"], ["connect-failure", "retriable-4xx"])


def draw_traffic(rng: Random, *, is_http: bool) -> Object:
    """Draw settings of connections that let every call through."""
    balancers = BALANCERS + 3 * HTTP_BALANCERS if is_http else BALANCERS
    parts: Object = {
        "loadBalancer": rng.choice(rng.choice(balancers)),
        "connectionPool": _draw_some(rng, POOL | HTTP_POOL if is_http else POOL),
        "outlierDetection": _draw_outliers(rng, PERCENT),
    }
    return _draw_some(rng, parts)


def draw_failover_traffic(rng: Random, *, is_http: bool) -> Object:
    """Draw settings with which nothing goes to the next backend."""
    traffic = draw_traffic(rng, is_http=is_http) if rng.random() < 0.7 else {}
    return {**traffic, "outlierDetection": _draw_outliers(rng, EVERY_PERCENT)}


def _draw_outliers(rng: Random, percent: int, share: float = HALF) -> Object:
    return PATIENCE | _draw_some(rng, {**OUTLIERS, "maxEjectionPercent": percent}, share)


def draw_gateway_traffic(rng: Random) -> Object:
    """Draw settings of the connections to a gateway that let every call through."""
    parts: Object = {
        "connectionPool": _draw_some(rng, POOL | HTTP_POOL, MOST),
        "outlierDetection": _draw_outliers(rng, PERCENT, MOST),
    }
    return _draw_some(rng, parts, MOST)


def draw_retries(rng: Random, timeout: str) -> Object:
    """Draw retries that go with a timeout, which may be empty."""
    attempts = rng.choice((0, 1, 1, 2))
    retries: Object = {"attempts": attempts}
    if not attempts:
        return retries
    if rng.random() < 0.7:
        retries["codes"] = rng.choice(CODES)
    if rng.random() < 0.5:
        retries["conditions"] = rng.choice(CONDITIONS)
    # A try must not be longer than the whole.
    if timeout != TIMEOUTS[0] and rng.random() < 0.6:
        retries["perTryTimeout"] = TRY
    return retries


def draw_fault(rng: Random) -> Object:
    """Draw a delay that nobody sees, a certain abort, or both."""
    parts: Object = {
        "delay": {"duration": "1ms", **_draw_share(rng, 50)},
        "abort": {"status": 503, **_draw_share(rng, EVERY_PERCENT)},
    }
    return _draw_some(rng, parts)


def _draw_share(rng: Random, percent: int) -> Object:
    return {"percentage": percent} if rng.random() < 0.85 else {}


def _draw_some(rng: Random, fields: Object, share: float = HALF) -> Object:
    """Draw a share of some fields, one at least."""
    chosen = [name for name in fields if rng.random() < share] or [rng.choice(list(fields))]
    return {name: fields[name] for name in chosen}
