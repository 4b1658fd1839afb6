"""The annotated scalar types of which the models are made: bounds, rules and nothing else."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictInt, StrictStr

from egress_operator.api.address import (
    ADDRESS_DANGER,
    ADDRESS_LENGTH,
    ADDRESS_SPELLING,
    CIDR_WIDTH,
    ENDPOINT_DANGER,
    ENDPOINT_SHAPE,
)
from egress_operator.api.duration import DURATION, DURATION_LENGTH
from egress_operator.api.host import (
    HOST_LENGTH,
    HOST_SHAPE,
    LABEL_LENGTH,
    NAME_SHAPE,
    RESERVED,
    WILDCARD,
)
from egress_operator.api.rule import Check, Finding, quote

PROXY_PORTS = range(15000, 15100)
"""Ports of the sidecar and the gateway themselves, the admin interface among them."""

LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
PATH_PATTERN = "^(/[-._A-Za-z0-9]+)+$"
"""Without `~`, with which Istio joins the paths of a certificate and its key."""
PATH_LENGTH = 255
LOCALITY_PATTERN = (
    "^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?(/[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?){0,2}$"
)


class Protocol(StrEnum):
    """What the application speaks on a port."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    TLS = "TLS"
    HTTPS = "HTTPS"
    """The same as TLS: the application opens TLS itself."""
    TCP = "TCP"
    MONGO = "MONGO"
    REDIS = "REDIS"
    MYSQL = "MYSQL"


class Location(StrEnum):
    """Where the host is."""

    EXTERNAL = "External"
    INTERNAL = "Internal"
    """A machine inside the mesh."""


class RetryCondition(StrEnum):
    """A kind of failure after which a request is tried again."""

    # Istio's webhook allows three more: `retriable-status-codes` is what `codes` writes,
    # `retriable-headers` needs headers that the API does not have, and
    # `http3-post-connect-failure` never happens, because sidecars do not speak HTTP/3.
    SERVER_ERROR = "5xx"
    GATEWAY_ERROR = "gateway-error"
    RESET = "reset"
    RESET_BEFORE_REQUEST = "reset-before-request"
    CONNECT_FAILURE = "connect-failure"
    RETRIABLE_4XX = "retriable-4xx"
    REFUSED_STREAM = "refused-stream"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    INTERNAL = "internal"
    RESOURCE_EXHAUSTED = "resource-exhausted"
    UNAVAILABLE = "unavailable"


def _build_pattern_check(code: str, pattern: str) -> Check:
    compiled = re.compile(pattern)

    def find(text: str) -> Iterator[Finding]:
        if compiled.fullmatch(text) is None:
            yield Finding(subject=quote(text))

    return Check(code, f"self.matches(r'{pattern}')", find, pattern=pattern)


def _find_bad_path(path: str) -> Iterator[Finding]:
    if re.fullmatch(PATH_PATTERN, path) is None:
        yield Finding(subject=quote(path))
    elif {".", ".."} & set(path.split("/")):
        yield Finding(f"{quote(path)} holds . or ..")


def _find_proxy_port(number: int) -> Iterator[Finding]:
    if number in PROXY_PORTS:
        yield Finding(subject=f"port {number}")


PortNumber = Annotated[
    StrictInt,
    Field(ge=1, le=65535),
    Check(
        "EG016",
        f"self < {PROXY_PORTS.start} || self >= {PROXY_PORTS.stop}",
        _find_proxy_port,
    ),
]
Host = Annotated[StrictStr, Field(max_length=HOST_LENGTH), WILDCARD, HOST_SHAPE, RESERVED]
AddressOrCidr = Annotated[
    StrictStr, Field(max_length=ADDRESS_LENGTH), ADDRESS_SPELLING, CIDR_WIDTH, ADDRESS_DANGER
]
EndpointAddress = Annotated[
    StrictStr, Field(max_length=HOST_LENGTH), ENDPOINT_SHAPE, ENDPOINT_DANGER, RESERVED
]
Duration = Annotated[StrictStr, Field(max_length=DURATION_LENGTH), DURATION]
Label = Annotated[
    StrictStr,
    Field(max_length=LABEL_LENGTH),
    _build_pattern_check("EG018", LABEL_PATTERN),
]
ServiceAccountName = Annotated[
    StrictStr,
    Field(max_length=253),
    _build_pattern_check("EG019", SUBDOMAIN_PATTERN),
]
Locality = Annotated[
    StrictStr,
    Field(max_length=190),
    _build_pattern_check("EG020", LOCALITY_PATTERN),
]
GatewayName = Annotated[
    StrictStr,
    Field(max_length=253),
    _build_pattern_check("EG025", SUBDOMAIN_PATTERN),
]
ServerName = Annotated[StrictStr, Field(max_length=HOST_LENGTH), NAME_SHAPE, RESERVED]
FilePath = Annotated[
    StrictStr,
    Field(max_length=PATH_LENGTH),
    Check(
        "EG031",
        f"self.matches(r'{PATH_PATTERN}') && !['/./', '/../'].exists(d, (self + '/').contains(d))",
        _find_bad_path,
        pattern=PATH_PATTERN,
    ),
]
ObjectName = Annotated[
    StrictStr,
    Field(max_length=253),
    _build_pattern_check("EG008", SUBDOMAIN_PATTERN),
]
