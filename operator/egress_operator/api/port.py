"""A port: number and protocol, and which protocols share a fate."""

from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.model import Model
from egress_operator.api.rule import Omittable, build_cel_list
from egress_operator.api.scalar import PortNumber, Protocol
from egress_operator.api.word import Words

HTTP_PORT = 80
TLS_PORT = 443

HTTP_LIKE = frozenset({Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC})
"""Protocols of which Istio sees requests."""
TLS_LIKE = frozenset({Protocol.TLS, Protocol.HTTPS})
"""The application opens TLS; Istio sees the server name."""

TLS_FIRST = HTTP_LIKE | {Protocol.TCP, Protocol.MONGO, Protocol.REDIS}
"""Protocols to which TLS can be added from the first byte. MySQL changes to TLS later, in its own
words."""

TLS_FIRST_CEL = build_cel_list(tuple(sorted(TLS_FIRST)))
HTTP_LIKE_CEL = build_cel_list(tuple(sorted(HTTP_LIKE)))
TLS_LIKE_CEL = build_cel_list(tuple(sorted(TLS_LIKE)))


class Port(Model):
    """A port of the hosts."""

    absent_fields: ClassVar[Words] = {
        "name": "remove it: ports need no names",
        "port": "write number",
    }
    number: Annotated[PortNumber, Field(examples=[443])]
    """The port that the application dials."""
    protocol: Annotated[Protocol, Field(examples=["TLS"])]
    """What the application speaks: HTTP, HTTP2 or GRPC in plain text, TLS (HTTPS means the same)
    when it opens TLS itself, else TCP, MONGO, REDIS or MYSQL."""
    target_port: Annotated[Omittable[PortNumber], Field(examples=[8443])] = None
    """The destination's own port, if it is not the number that is dialled."""
