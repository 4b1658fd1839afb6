"""Ports where TLS and plain text are taken for each other: the policy is accepted, and told so."""

from collections.abc import Iterator

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.traffic import EXTERNAL, OPAQUE_TLS
from egress_operator.plan.intent import DestinationIntent

PLAIN_FIRST = "EG057"
PLAIN_TO_TLS = "EG058"
TLS_LATER = "EG061"

_PLAIN_FIRST_PORTS = {
    21: "FTP",
    22: "SSH",
    25: "SMTP",
    110: "POP3",
    143: "IMAP",
    389: "LDAP",
    587: "SMTP",
    1433: "SQL Server's protocol",
    1521: "Oracle's protocol",
    2525: "SMTP",
    3268: "LDAP",
    3306: "MySQL's protocol",
    3389: "RDP",
    5222: "XMPP",
    5432: "PostgreSQL's protocol",
}
"""What is usually spoken on a port, where it begins in plain text even if TLS follows."""
_TLS_FIRST = {
    1433: "as SQL Server's do with Encrypt=Strict",
    5432: "as those of PostgreSQL 17 do with sslnegotiation=direct",
}
"""Clients that can open TLS at once."""
_TLS_PORTS = (443, 8443)
"""Ports where servers expect TLS."""


def check_plain_first(destination: DestinationIntent, *, dns_capture: bool) -> Iterator[Diagnostic]:
    """Find TLS on ports whose protocol begins in plain text. Pure.

    Without addresses Istio knows a TLS port by the server name alone, and there is none before TLS.
    A TCP port needs addresses, unless proxies resolve names through Istio (EG055).
    """
    is_known = dns_capture or destination.settings.addresses or not destination.hosts
    place = "" if is_known else ", and addresses with the IPs that clients dial"
    effect = "may refuse" if destination.settings.addresses else "refuses"
    for index, port in enumerate(destination.ports):
        usual = _PLAIN_FIRST_PORTS.get(port.number)
        if port.protocol != OPAQUE_TLS or usual is None:
            continue
        yield build_diagnostic(
            PLAIN_FIRST,
            f"spec.destinations[{destination.index}].ports[{index}].protocol",
            f"port {port.number} is TLS, and {usual} begins in plain text, so the proxy finds no "
            f"server name and {effect} the connection",
            f"write protocol: TCP{place}, also if TLS follows later (STARTTLS); keep TLS only if "
            f"the clients open TLS at once{_continue(_TLS_FIRST.get(port.number))}",
        )


def check_tls_later(destination: DestinationIntent) -> Iterator[Diagnostic]:
    """Find TLS of the mesh to a port whose protocol changes to TLS later. Pure.

    Not even PostgreSQL 17 takes it: it demands a name of its own in the ALPN of TLS that comes at
    once, and Istio sends none for TCP.
    """
    if destination.tls is None:
        return
    for index, port in enumerate(destination.ports):
        usual = _PLAIN_FIRST_PORTS.get(port.target)
        if port.is_http or usual is None:
            continue
        yield build_diagnostic(
            TLS_LATER,
            f"spec.destinations[{destination.index}].ports[{index}]",
            f"originateTLS would open TLS to port {port.target} at once, and {usual} begins in "
            "plain text",
        )


def check_plain_to_tls(destination: DestinationIntent) -> Iterator[Diagnostic]:
    """Find plain HTTP to a port where servers expect TLS. Pure."""
    if destination.tls is not None or destination.settings.location != EXTERNAL:
        return
    for index, port in enumerate(destination.ports):
        if not port.is_http or port.target not in _TLS_PORTS:
            continue
        field = "targetPort" if port.target != port.number else "number"
        yield build_diagnostic(
            PLAIN_TO_TLS,
            f"spec.destinations[{destination.index}].ports[{index}].{field}",
            f"requests go to the destination's port {port.target} in plain text, headers included, "
            "because originateTLS is missing",
        )


def _continue(text: str | None) -> str:
    return f", {text}" if text else ""
