"""The VirtualService of a host: only for HTTP ports that ask for more than Istio's own route."""

from collections.abc import Iterable
from typing import Any

from egress_operator.compiler.intent import HttpIntent, PortIntent, RetryIntent


def build_virtual_service_spec(host: str, ports: Iterable[PortIntent]) -> dict[str, Any] | None:
    """Return the spec, or None when no port needs a route of its own.

    A port without settings gets no rule: on a listener port for which no rule matches Istio keeps
    the service's own route (pilot/pkg/networking/core/route/route.go,
    buildSidecarVirtualHostsForVirtualService returns nothing for it). `gateways: [mesh]` is what an
    absent list means; it is written so that the object says it.
    """
    rules = [
        _build_rule(host, port.number, port.http)
        for port in sorted(ports, key=lambda port: port.number)
        if port.http is not None
    ]
    if not rules:
        return None
    return {"exportTo": ["."], "gateways": ["mesh"], "hosts": [host], "http": rules}


def build_needs(ports: Iterable[PortIntent]) -> frozenset[int]:
    """Return the ports that the rules route to."""
    return frozenset(port.number for port in ports if port.http is not None)


def _build_rule(host: str, port: int, http: HttpIntent) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "match": [{"port": port}],
        "route": [{"destination": {"host": host, "port": {"number": port}}}],
    }
    if http.timeout:
        rule["timeout"] = http.timeout
    if http.retries is not None:
        rule["retries"] = _build_retries(http.retries)
    return rule


def _build_retries(retries: RetryIntent) -> dict[str, Any]:
    """Istio splits `retryOn` at commas without trimming, so it holds no space."""
    entry: dict[str, Any] = {"attempts": retries.attempts}
    if retries.per_try_timeout:
        entry["perTryTimeout"] = retries.per_try_timeout
    retry_on = ",".join([*retries.conditions, *(str(code) for code in retries.codes)])
    if retry_on:
        entry["retryOn"] = retry_on
    return entry
