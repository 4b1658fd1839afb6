"""What is around the sets of a batch, at random: Sidecars, and settings of EgressGateways. Pure.

A Sidecar is there for all sets of its pods. It speaks of the hosts of each set, so what it hides of
one set it does not hide of the others, but for what no entry tells apart: addresses without a host.
"""

from collections.abc import Iterable, Iterator
from random import Random

from mesh.gateway.tenant import SHARED, TENANTS
from mesh.oracle.draw import CLOSED, DOWN, Site
from mesh.oracle.setting import draw_gateway_traffic
from testbed.client import Object
from testbed.gateway import EGRESS
from testbed.rig import ALLOW_ANY, REGISTRY_ONLY

SIDECAR = ("networking.istio.io/v1", "Sidecar")
ROOT = "istio-system"
CHANCES: tuple[tuple[str, str, float], ...] = (
    ("shop", "", 0.3),
    ("shop", "", 0.15),
    ("shop", "checkout", 0.25),
    ("shop", "batch", 0.25),
    ("pay", "", 0.3),
    ("pay", "app", 0.25),
    (ROOT, "", 0.3),
)
"""Namespaces and apps (empty: all pods there) of the Sidecars that there may be."""
SERVICES, GATEWAYS = "./*.svc.cluster.local", f"{EGRESS.namespace}/*"
EVERYTHING, NOTHING = "*/*", "~/*"
"""Entries that stand alone."""
ADDRESSES = "./*.direct.internal"
"""The names that addresses without a host have."""
PORTS = {80: "HTTP", 443: "TLS", 5432: "TCP"}
"""Those that may have a listener of their own."""
MODES: tuple[Object, ...] = (
    {},
    {},
    {"outboundTrafficPolicy": {}},
    {"outboundTrafficPolicy": {"mode": REGISTRY_ONLY}},
    {"outboundTrafficPolicy": {"mode": ALLOW_ANY}},
)
LOCAL = {"bind": "127.0.0.1"}
ELSEWHERE: tuple[Object, ...] = (LOCAL, {**LOCAL, "captureMode": "NONE"})
"""Where a listener takes nothing that pods dial. With captureMode NONE the proxy listens there
itself: without an address on those of services, and below PRIVILEGED it may not."""
PRIVILEGED = 1024
MOST = 10_000
LEAST = 1_000
"""More than all sets of a batch have together."""


def draw_sidecars(seed: str, sets: Iterable[tuple[Site, ...]]) -> list[Object]:
    """Draw Sidecars for all tenants that speak of the hosts of all sets."""
    rng = Random(f"{seed} sees")  # noqa: S311 - not a secret
    groups = list(sets)
    return [
        _draw_sidecar(rng, f"drawn-{number}", namespace, app, groups)
        for number, (namespace, app, chance) in enumerate(CHANCES)
        if rng.random() < chance
    ]


def _draw_sidecar(
    rng: Random, name: str, namespace: str, app: str, sets: list[tuple[Site, ...]]
) -> Object:
    spec: Object = dict(rng.choice(MODES))
    if app:
        spec["workloadSelector"] = {"labels": {"app": app}}
    if not spec or rng.random() < 0.9:
        spec["egress"] = list(_draw_listeners(rng, sets))
    return {
        "apiVersion": SIDECAR[0],
        "kind": SIDECAR[1],
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _draw_listeners(rng: Random, sets: list[tuple[Site, ...]]) -> Iterator[Object]:
    """Draw listeners of ports, and then the one for all others.

    A listener of a port knows no Service of a gateway but by that one.
    """
    numbers = rng.sample(list(PORTS), rng.randint(1, 2)) if rng.random() < 0.3 else []
    for number in numbers:
        port = {"number": number, "protocol": PORTS[number], "name": f"port-{number}"}
        places = ({}, {}, *ELSEWHERE[: 2 if number >= PRIVILEGED else 1])
        yield {"port": port, "hosts": _draw_hosts(rng, sets), **rng.choice(places)}
    hosts = _draw_hosts(rng, sets)
    if numbers and hosts != [EVERYTHING]:
        hosts = [SERVICES, GATEWAYS] if hosts == [NOTHING] else [*hosts, GATEWAYS]
    yield {"hosts": hosts}


def _draw_hosts(rng: Random, sets: list[tuple[Site, ...]]) -> list[str]:
    """Draw entries that show all, most, some or no hosts."""
    match rng.choices(("all", "most", "some", "none"), (2, 5, 5, 1))[0]:
        case "all":
            return [rng.choice((EVERYTHING, "./*", "*/*.example"))]
        case "none":
            return [rng.choice((NOTHING, SERVICES, "elsewhere/*"))]
        case "most":
            hidden = [f"~{entry}" for entry in _draw_entries(rng, sets, 0.25)]
            return ["./*", *rng.choice(([], [f"~{ADDRESSES}"])), *hidden]
    shown = [SERVICES, *rng.choice(([], [ADDRESSES]))]
    return [*shown, *_draw_entries(rng, sets, 0.7)]


def _draw_entries(rng: Random, sets: list[tuple[Site, ...]], share: float) -> list[str]:
    """Draw entries for this share of the hosts."""
    entries = [
        f"{rng.choice(('.', '.', '*', *TENANTS))}/{rng.choice((site.host, site.wildcard))}"
        for sites in sets
        for site in sites
        if rng.random() < share
    ]
    return list(dict.fromkeys(entries))


def draw_gateway_settings(seed: str) -> dict[str, Object]:
    """Draw fields of the EgressGateways that let the same calls through as without them.

    What is None is not there.
    """
    rng = Random(f"{seed} gateways")  # noqa: S311 - not a secret
    own: Object = {"matchExpressions": [{"key": "egress", "operator": "In", "values": [SHARED]}]}
    shared: Object = {
        "namespaces": rng.choice(({"matchLabels": {"egress": SHARED}}, own)),
        "traffic": draw_gateway_traffic(rng),
        "limits": {
            name: rng.randint(LEAST, MOST) for name in ("hosts", "servers") if rng.random() < 0.7
        }
        or None,
    }
    strange: Object = {"matchExpressions": [{"key": "egress", "operator": "DoesNotExist"}]}
    closed = rng.choice(({"matchLabels": {"egress": CLOSED}}, strange, None))
    everybody: Object = {"matchExpressions": [{"key": "egress", "operator": "Exists"}]}
    return {
        SHARED: shared,
        CLOSED: {"namespaces": closed},
        DOWN: {"namespaces": rng.choice(({}, everybody))},
    }
