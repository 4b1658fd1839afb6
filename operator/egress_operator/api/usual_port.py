"""Ports 80 and 443, where clients and servers expect plain text and TLS."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from egress_operator.api.host import is_wildcard
from egress_operator.api.port import (
    HTTP_LIKE,
    HTTP_LIKE_CEL,
    HTTP_PORT,
    TLS_LIKE,
    TLS_LIKE_CEL,
    TLS_PORT,
)
from egress_operator.api.rule import Check, Finding
from egress_operator.api.traffic import list_http_traffic

if TYPE_CHECKING:
    from egress_operator.api.destination import Destination

_OTHERS = "another destination with the same host"


def _find_plain_on_443(destination: "Destination") -> Iterator[Finding]:
    # Sidecars tell HTTP and TLS on one port apart (istiod, mergeTCPFilterChains in listener.go), so
    # no other host is hurt. But it is nearly always a mistake, and looks like a dead server.
    for index, port in enumerate(destination.ports):
        if port.number == TLS_PORT and port.protocol in HTTP_LIKE:
            yield Finding(
                f"protocol {port.protocol} is plain text, and on port 443 it would refuse "
                "applications that call https://...",
                ("ports", index, "protocol"),
                _fix_plain_on_443(destination),
            )


def _fix_plain_on_443(destination: "Destination") -> str:
    """Tell what to write by what else the destination has: what the mesh opens, or what it reads.

    With a wildcard a rule of its own tells which ports it can have.
    """
    others = [port for port in destination.ports if port.number != TLS_PORT]
    originate = "leave ports out (port 80, HTTP; the mesh opens TLS to port 443)"
    if destination.originate_tls is not None:
        if not others:
            return f"{originate} and call http://..."
        return (
            "remove the port, and call http://... on port 80 with targetPort: 443; for "
            f"applications that call https://..., write port 443 with TLS into {_OTHERS}, without "
            "originateTLS"
        )
    needs = [name for name in ("http", "traffic") if _needs_requests(destination, name)]
    if needs and others:
        return (
            f"move the port into {_OTHERS}, without {' and '.join(needs)}, with protocol TLS; all "
            "ports of a host have the same traffic"
        )
    if needs:
        return (
            f"{originate}, add originateTLS: {{}} and call http://...; or write protocol TLS and "
            f"remove {' and '.join(needs)}"
        )
    fix = "write protocol TLS, for applications that call https://..."
    if not others:
        fix += f"; or {originate}, add originateTLS: {{}} and call http://..."
    if not others and not any(map(is_wildcard, destination.hosts)):
        fix += (
            "; or, for a server that speaks plain HTTP on 443, write number 80 and targetPort 443"
        )
    return fix


def _needs_requests(destination: "Destination", field: str) -> bool:
    """Whether a field has settings that act on requests."""
    if field == "http":
        return destination.http is not None
    traffic = destination.traffic
    return traffic is not None and any(list_http_traffic(traffic))


def _find_tls_on_80(destination: "Destination") -> Iterator[Finding]:
    # As with EG209. Whoever names addresses knows what listens there.
    if destination.addresses:
        return
    for index, port in enumerate(destination.ports):
        if port.number == HTTP_PORT and port.protocol in TLS_LIKE:
            yield Finding(
                f"protocol {port.protocol} on port 80 would refuse applications that call "
                "http://...",
                ("ports", index, "protocol"),
                "write protocol HTTP for http://..., or port 443 for https://...; or name each host"
                if any(map(is_wildcard, destination.hosts))
                else "",
            )


def _find_originate_to_80(destination: "Destination") -> Iterator[Finding]:
    if destination.originate_tls is None:
        return
    for index, port in enumerate(destination.ports):
        if port.number == HTTP_PORT and port.target_port is None:
            fix = "add targetPort: 443, or leave ports out, which means the same"
            if len(destination.ports) > 1:
                fix = f"add targetPort: 443; ports with TLS go into {_OTHERS}, without originateTLS"
            yield Finding(loc=("ports", index), fix=fix)


PORT_CHECKS = (
    Check(
        "EG209",
        f"!has(self.ports) || self.ports.all(p, p.number != {TLS_PORT}"
        f" || !(p.protocol in {HTTP_LIKE_CEL}))",
        _find_plain_on_443,
        "ports",
    ),
    Check(
        "EG210",
        "has(self.addresses) || !has(self.ports) || !self.ports.exists(p,"
        f" p.number == {HTTP_PORT} && p.protocol in {TLS_LIKE_CEL})",
        _find_tls_on_80,
        "ports",
    ),
    Check(
        "EG226",
        "!has(self.originateTLS) || !has(self.ports)"
        f" || !self.ports.exists(p, p.number == {HTTP_PORT} && !has(p.targetPort))",
        _find_originate_to_80,
        "ports",
    ),
)
"""Of a destination."""
