"""A port: number and protocol, and which protocols share a fate."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.model import Model
from egress_operator.api.rule import Check, Finding, Omittable, build_cel_list
from egress_operator.api.scalar import PortNumber, Protocol

HTTP_PORT = 80
TLS_PORT = 443

HTTP_LIKE = frozenset({Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC})
"""Protocols of which Istio sees requests."""
TLS_LIKE = frozenset({Protocol.TLS, Protocol.HTTPS})
"""The application opens TLS; Istio sees the server name."""

HTTP_LIKE_CEL = build_cel_list(tuple(sorted(HTTP_LIKE)))
TLS_LIKE_CEL = build_cel_list(tuple(sorted(TLS_LIKE)))


def _find_plain_on_443(port: "Port") -> Iterator[Finding]:
    # Sidecars have one listener 0.0.0.0:443 for all hosts without addresses, and HTTP always takes
    # the wildcard address: whichever protocol comes second is dropped (istiod, listener.go).
    if port.number == TLS_PORT and port.protocol in HTTP_LIKE:
        yield Finding(
            f"protocol {port.protocol} is plain text, and on port 443 it would take the port from "
            "all TLS hosts of the namespace",
            ("protocol",),
        )


class Port(Model):
    """A port of the hosts."""

    number: Annotated[PortNumber, Field(examples=[443])]
    """The port that the application dials."""
    protocol: Annotated[Protocol, Field(examples=["TLS"])]
    """What the application speaks: HTTP, HTTP2 or GRPC in plain text, TLS (HTTPS means the same)
    when it opens TLS itself, else TCP, MONGO, REDIS or MYSQL."""
    target_port: Annotated[Omittable[PortNumber], Field(examples=[8443])] = None
    """The destination's own port, if it is not the number that is dialled."""

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "EG209",
            f"self.number != {TLS_PORT} || !(self.protocol in {HTTP_LIKE_CEL})",
            _find_plain_on_443,
            "protocol",
        ),
    )
