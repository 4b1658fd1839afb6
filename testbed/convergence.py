"""Knowing when istiod and every proxy have what was written, and changing the mesh's mode.

What has changed for one proxy says nothing about another: before a test asserts that something
stayed as it was, everybody must have the news.
"""

import json
import time
from dataclasses import replace

import yaml

from testbed.client import Client
from testbed.deadline import wait_until
from testbed.document import load_document
from testbed.istiod import Istiod
from testbed.ledger import CHILDREN, list_kinds

TIMEOUT_S = 30.0
SURROUNDINGS = (
    ("v1", "Namespace"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
)
"""Other kinds that istiod makes config of. It does not show which of these objects it has."""
ON_ITS_WAY_S = 0.3
"""How long a change of one of these may be on its way to istiod."""
QUIET_S = 0.12
"""istiod waits 50 ms after an event for another one before it pushes, and shows nothing meanwhile.
A pause well above that, in which it counts nothing, is how to know that no push is to come."""
COUNTERS = (
    "pilot_inbound_updates",
    "pilot_debounce_time_count",
    "pilot_proxy_convergence_time_count",
)
"""Of istiod: what came in, what it began to push, and what has reached a proxy."""
MODES = ("REGISTRY_ONLY", "ALLOW_ANY")
"""In the order of the enum; istiod leaves the first one out when it shows its config."""


Versions = frozenset[tuple[str, str]]
"""Of objects: (uid, resourceVersion)."""


def wait_settled(istiod: Istiod, client: Client, seen: Versions) -> Versions:
    """Wait until istiod knows every Istio object and all proxies have acknowledged all it sent.

    Of other kinds, take the versions of the last call and return those of this one: only when they
    differ is there something that may be on its way.
    """
    versions = _list_versions(client)
    if versions != seen:
        time.sleep(ON_ITS_WAY_S)
    wait_until(
        lambda: _find_known(istiod) == _find_written(client),
        TIMEOUT_S,
        "istiod does not know what the API server has",
    )
    wait_until(
        lambda: _stays_quiet(istiod) and _is_acknowledged(istiod),
        TIMEOUT_S,
        "a proxy has not acknowledged",
    )
    return versions


def set_outbound_mode(istiod: Istiod, mode: str) -> None:
    """Write the mesh config with this mode for unknown hosts; istiod reloads it by itself.

    Returns when istiod has it; follow with `wait_settled`.
    """
    if mode not in MODES:
        raise ValueError(f"{mode!r} is no outbound mode; there are {', '.join(MODES)}")
    file = istiod.directory / "mesh.yaml"
    config = load_document(file.read_text())
    config["outboundTrafficPolicy"] = {"mode": mode}
    file.write_text(yaml.safe_dump(config))
    # A restart shall keep it.
    istiod.option = replace(istiod.option, outbound_mode=mode)
    wait_until(lambda: _read_mode(istiod) == mode, TIMEOUT_S, f"istiod does not take {mode}")


def _read_mode(istiod: Istiod) -> str:
    policy: dict[str, str] = json.loads(istiod.debug("/debug/mesh"))["outboundTrafficPolicy"]
    return policy.get("mode", MODES[0])


def _find_known(istiod: Istiod) -> set[tuple[str, int]]:
    """Read which objects istiod has, as (uid, generation): its own status writes do not count."""
    kinds = {kind for _, kind in CHILDREN}
    items = json.loads(istiod.debug("/debug/configz")) or []
    return {
        (item["metadata"]["uid"], item["metadata"]["generation"])
        for item in items
        if item["kind"] in kinds
    }


def _find_written(client: Client) -> set[tuple[str, int]]:
    return {
        (item["metadata"]["uid"], item["metadata"]["generation"])
        for item in list_kinds(client, CHILDREN)
    }


def _list_versions(client: Client) -> Versions:
    return frozenset(
        (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for item in list_kinds(client, SURROUNDINGS)
    )


def _stays_quiet(istiod: Istiod) -> bool:
    """Whether istiod counts nothing while QUIET_S pass."""
    before = _read_counts(istiod)
    time.sleep(QUIET_S)
    return _read_counts(istiod) == before


def _read_counts(istiod: Istiod) -> list[str]:
    return [line for line in istiod.metrics().splitlines() if line.startswith(COUNTERS)]


def _is_acknowledged(istiod: Istiod) -> bool:
    proxies = json.loads(istiod.debug("/debug/syncz")) or []
    return all(
        resource.get("sent") == resource.get("acked")
        for proxy in proxies
        for resource in proxy["resources"].values()
    )
