"""Several backends of a destination: how they share the requests, and what goes together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from egress_operator.api.rule import Check, Finding, quote

if TYPE_CHECKING:
    from egress_operator.api.destination import Destination

_FAILOVER = "(has(self.failover) && self.failover)"
_SEVERAL = "(has(self.backends) && self.backends.size() > 1)"
_EVERY_ENDPOINT = 100
"""Percent."""


def _find_weights_of_failover(destination: "Destination") -> Iterator[Finding]:
    # A weighted choice is final in Envoy: it never turns to another cluster.
    for index, backend in enumerate(destination.backends if destination.failover else ()):
        if backend.weight is not None:
            yield Finding(loc=("backends", index, "weight"))


def _find_unknown_shares(destination: "Destination") -> Iterator[Finding]:
    if len(destination.backends) == 1 or destination.failover:
        return
    for index, backend in enumerate(destination.backends):
        if backend.weight is None:
            yield Finding(
                f"backend {backend.name} is one of {len(destination.backends)} and has no weight",
                ("backends", index),
                _divide_beside_mirror(destination, backend.name),
            )


def _divide_beside_mirror(destination: "Destination", backend: str) -> str:
    """Tell the weight of a backend where another one, or this one, gets copies; else empty."""
    mirror = None if destination.http is None else destination.http.mirror
    if mirror is None or all(mirror.backend != other.name for other in destination.backends):
        return ""
    if mirror.backend == backend:
        return (
            "write weight: 0 for it (it gets copies alone), and a weight such as 100 for the other"
        )
    return (
        f"write a weight such as 100 for it, and weight: 0 for {mirror.backend}, which gets "
        "copies alone"
    )


def _find_lonely_failover(destination: "Destination") -> Iterator[Finding]:
    if destination.failover and not destination.backends[1:]:
        yield Finding(loc=("failover",))


def _find_no_share(destination: "Destination") -> Iterator[Finding]:
    # Istio refuses several routes with the sum 0 (validation.go, validateWeights).
    if destination.backends and all(backend.weight == 0 for backend in destination.backends):
        yield Finding(loc=("backends",))


def _find_unknown_mirror(destination: "Destination") -> Iterator[Finding]:
    mirror = None if destination.http is None else destination.http.mirror
    if mirror is None:
        return
    names = [backend.name for backend in destination.backends]
    loc = ("http", "mirror", "backend")
    if mirror.backend not in names:
        known = f"there are {', '.join(names)}" if names else "there are none"
        yield Finding(f"{quote(mirror.backend)} is no backend of this destination: {known}", loc)
    elif len(names) == 1:
        yield Finding(f"{mirror.backend} is the only backend, and gets all requests already", loc)


def _find_locality_of_failover(destination: "Destination") -> Iterator[Finding]:
    for index, backend in enumerate(destination.backends if destination.failover else ()):
        for number, endpoint in enumerate(backend.endpoints):
            if endpoint.locality is not None:
                yield Finding(loc=("backends", index, "endpoints", number, "locality"))


def _find_partial_ejection(destination: "Destination") -> Iterator[Finding]:
    outliers = destination.traffic and destination.traffic.outlier_detection
    if not destination.failover or not outliers:
        return
    if outliers.max_ejection_percent not in {None, _EVERY_ENDPOINT}:
        yield Finding(loc=("traffic", "outlierDetection", "maxEjectionPercent"))


BACKEND_CHECKS = (
    Check(
        "EG230",
        f"!{_FAILOVER} || !has(self.backends) || !self.backends.exists(b, has(b.weight))",
        _find_weights_of_failover,
        "backends",
    ),
    Check(
        "EG231",
        f"!{_SEVERAL} || {_FAILOVER} || self.backends.all(b, has(b.weight))",
        _find_unknown_shares,
        "backends",
    ),
    Check("EG232", f"!{_FAILOVER} || {_SEVERAL}", _find_lonely_failover, "failover"),
    Check(
        "EG233",
        "!has(self.backends) || self.backends.exists(b, !has(b.weight) || b.weight > 0)",
        _find_no_share,
        "backends",
    ),
    Check(
        "EG234",
        f"!has(self.http) || !has(self.http.mirror) || ({_SEVERAL}"
        " && self.backends.exists(b, b.name == self.http.mirror.backend))",
        _find_unknown_mirror,
        "http.mirror.backend",
    ),
    Check(
        "EG235",
        f"!{_FAILOVER} || !has(self.backends)"
        " || !self.backends.exists(b, b.endpoints.exists(e, has(e.locality)))",
        _find_locality_of_failover,
        "backends",
    ),
    Check(
        "EG236",
        f"!{_FAILOVER} || !has(self.traffic) || !has(self.traffic.outlierDetection)"
        " || !has(self.traffic.outlierDetection.maxEjectionPercent)"
        f" || self.traffic.outlierDetection.maxEjectionPercent == {_EVERY_ENDPOINT}",
        _find_partial_ejection,
        "traffic.outlierDetection.maxEjectionPercent",
    ),
)
"""Of a destination."""
