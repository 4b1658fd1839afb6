"""Sidecars: what the proxy of a caller sees, and whether it lets out what it does not see."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LAST = "~"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A Sidecar, as far as it decides what becomes of a call."""

    namespace: str
    name: str
    created: str
    selector: Mapping[str, str] | None
    """None: it is for all pods."""
    egress: tuple[tuple[int, bool, tuple[str, ...]], ...]
    """Of each listener: its port (0 is any other), whether it takes what pods dial, its entries."""
    is_open: bool | None
    """Whether it lets out what it does not show; None: as the mesh does."""

    def shows(self, host: str, port: int, namespace: str, *, is_http: bool) -> bool:
        """Whether a caller of a namespace sees a host that is declared there.

        The names of HTTP are looked up by the port alone, not by the address of the listener.
        """
        of_port = [x for n, taken, x in self.egress if n == port and (taken or is_http)]
        of_rest = [x for n, taken, x in self.egress if n == 0 and taken]
        entries = next(iter([*of_port, *of_rest]), ())
        return _show(entries, host, {namespace, "."})

    def knows(self, service: str, place: str, port: int, host: str, namespace: str) -> bool:
        """Whether a caller of a namespace knows a Service to which the routes of a host lead.

        `place` is the namespace of the Service. It comes with what a listener shows of the host,
        but to a listener of a port only with that port of its own.
        """
        names = {place, "."} if place == namespace else {place}
        return any(
            _show(entries, host, {namespace, "."}) or _show(entries, service, names)
            for number, _, entries in self.egress
            if number in {0, port}
        )


def _show(entries: Iterable[str], host: str, places: Collection[str]) -> bool:
    """Whether entries of a listener show a host of a namespace, by the words for the namespace."""
    shown = False
    for entry in entries:
        place, name = entry.split("/", 1)
        is_excluded = place.startswith("~")
        if place.lstrip("~") not in {"", "*", *places}:
            continue
        if name != host and not (name.startswith("*") and host.endswith(name[1:])):
            continue
        if is_excluded:
            return False
        shown = True
    return shown


def read_sidecar(item: Mapping[str, Any]) -> Sidecar:
    """Read a manifest. Pure."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    selector = spec.get("workloadSelector")
    policy = spec.get("outboundTrafficPolicy")
    listeners = spec.get("egress") or [{"hosts": ["*/*"]}]
    return Sidecar(
        metadata["namespace"],
        metadata["name"],
        str(metadata.get("creationTimestamp") or _LAST),
        None if selector is None else dict(selector.get("labels") or {}),
        tuple(
            (
                int((listener.get("port") or {}).get("number") or 0),
                not _is_dialled_on_purpose(listener),
                tuple(listener["hosts"]),
            )
            for listener in listeners
        ),
        None if policy is None else policy.get("mode", "REGISTRY_ONLY") != "REGISTRY_ONLY",
    )


def _is_dialled_on_purpose(listener: Mapping[str, Any]) -> bool:
    """Whether programs must be told of a listener: it takes nothing of what they dial anyway."""
    protocol = (listener.get("port") or {}).get("protocol")
    return bool(
        listener.get("bind") or listener.get("captureMode") == "NONE" or protocol == "HTTP_PROXY"
    )


def find_sidecar(
    sidecars: Collection[Sidecar], namespace: str, labels: Mapping[str, str], root: str
) -> Sidecar | None:
    """Return the Sidecar that holds for a pod. Pure.

    One of its namespace with a selector before one without; then the default of the mesh, which
    has none; the oldest each time.
    """
    for place, is_chosen in ((namespace, True), (namespace, False), (root, False)):
        fitting = [
            item
            for item in sidecars
            if (item.namespace, item.selector is not None) == (place, is_chosen)
            and (item.selector or {}).items() <= labels.items()
        ]
        if fitting:
            return min(fitting, key=lambda item: (item.created, item.name))
    return None
