"""Sizes: what istiod has pushed, and what a proxy has been given and takes for it."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class ProxySize:
    """What a proxy holds at one moment."""

    config_bytes: int
    """Of all its configuration as JSON, endpoints too."""
    listener_bytes: int
    """Of its listeners alone, likewise."""
    clusters: int
    filter_chains: int
    """Of all listeners; an opaque or restricted host costs a gateway one."""
    allocated_mib: float
    """Memory in use, of Envoy's own allocator."""


def read_size(ask: Callable[[str], str]) -> ProxySize:
    """Read the size of a proxy; `ask` gets a page of Envoy's admin interface."""
    text = ask("/config_dump?include_eds")
    dump = json.loads(text)
    memory = json.loads(ask("/memory"))
    sections = {item["@type"].rpartition(".")[2]: item for item in dump["configs"]}
    listeners = [
        item["active_state"]["listener"]
        for item in sections.get("ListenersConfigDump", {}).get("dynamic_listeners", ())
        if "active_state" in item
    ]
    return ProxySize(
        config_bytes=len(text),
        listener_bytes=len(json.dumps(listeners, indent=1)),
        clusters=len(sections.get("ClustersConfigDump", {}).get("dynamic_active_clusters", ())),
        filter_chains=sum(len(listener.get("filter_chains", ())) for listener in listeners),
        allocated_mib=int(memory["allocated"]) / MIB,
    )


def sum_by_label(metrics: str, name: str, label: str) -> dict[str, int]:
    """Sum a counter of a metrics text over all labels but one. Pure."""
    totals = Counter[str]()
    for line in metrics.splitlines():
        if line.startswith(f"{name}{{"):
            value = line.partition(f'{label}="')[2].partition('"')[0]
            totals[value] += int(float(line.rpartition(" ")[2]))
    return dict(totals)
