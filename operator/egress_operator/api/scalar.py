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
from egress_operator.api.moment import MOMENT, MOMENT_LENGTH
from egress_operator.api.rule import Check, Finding, build_cel_list, quote

PROXY_PORTS = range(15000, 15100)
"""Ports of the sidecar and the gateway themselves, the admin interface among them."""

LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HEADER_PATTERN = "^[a-z0-9][a-z0-9_-]*$"
"""Of the names of headers that RFC 9110 allows, those that every proxy and server takes, in the
letters of HTTP/2: equal names must not differ."""
WORD_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
"""The same for names of cookies (RFC 6265), in which letters count."""
VALUE_LENGTH = 512
VALUE_PATTERN = "^[!-~]([ -~]*[!-~])?$"
SEGMENT = "[A-Za-z0-9._~!$&'()+,=:@-]"
PATTERN_OF_PATHS = f"^(/{SEGMENT}+)*/([*]|{SEGMENT}+)?$"
PREFIX_PATTERN = f"^(/{SEGMENT}+)+$"
URL_PATH_LENGTH = 128
PROXY_HEADERS = ("x-envoy-", "x-forwarded-", "proxy-")
"""How names of headers begin that proxies tell each other."""
FIXED_HEADERS = (
    "connection",
    "content-length",
    "date",
    "expect",
    "host",
    "keep-alive",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
"""Of one connection, of the way that a request goes, or written by the last proxy in any case."""
_HEADER = re.compile(HEADER_PATTERN)
_REQUEST_PARTS = {
    "authority": "leave it out: hosts of the destination are what is called",
    "method": "write methods of the same entry of allow",
    "scheme": "leave it out: the protocol of the port says it",
    "uri": "write paths of the same entry of allow",
}
"""Names that Istio's match does not take for headers (HTTPMatchRequest), and what to write."""
_PSEUDO_HEADERS = {
    "authority": "leave it out: hosts of the destination are what is called, and http.rewrite.host "
    "changes the name that is sent",
    "method": "leave it out: methods of http.allow say which methods are allowed",
    "path": "leave it out: paths of http.allow say which paths are allowed, and "
    "http.rewrite.pathPrefix is put before a path",
    "scheme": "leave it out: the protocol of the port says it",
    "status": "leave it out: the status of a response cannot be changed",
}
"""Of HTTP/2, without the colon, and what to write."""
WORD_LENGTH = 128
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


class Balancing(StrEnum):
    """How one of several endpoints is chosen."""

    ROUND_ROBIN = "RoundRobin"
    LEAST_REQUEST = "LeastRequest"
    RANDOM = "Random"


class Method(StrEnum):
    """A method of HTTP. CONNECT has no path, and no route of Istio's matches it."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"
    TRACE = "TRACE"


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


def _build_name_check(code: str, pattern: str) -> Check:
    """Build the rule of a name in lower case by its pattern; it suggests the name that is meant."""
    compiled = re.compile(pattern)

    def find(text: str) -> Iterator[Finding]:
        if compiled.fullmatch(text) is None:
            meant = _find_name(text)
            is_right = compiled.fullmatch(meant) is not None
            yield Finding(fix=f"write {meant}" if is_right else "", subject=quote(text))

    return Check(code, f"self.matches(r'{pattern}')", find, pattern=pattern)


def _find_name(text: str) -> str:
    """Return the plain name in `namespace/Name` and in `name.namespace.svc.cluster.local`."""
    name = text.strip().rpartition("/")[2].lower().replace("_", "-")
    return name.partition(".")[0] if ".svc" in name else name


def _build_path_check(code: str, pattern: str) -> Check:
    """Build the rule of a path by its pattern: no segment of it is `.` or `..`."""
    compiled = re.compile(pattern)

    def find(path: str) -> Iterator[Finding]:
        if compiled.fullmatch(path) is None:
            yield Finding(subject=quote(path))
        elif {".", ".."} & set(path.split("/")):
            yield Finding(f"{quote(path)} holds . or ..")

    cel = f"self.matches(r\"{pattern}\") && !(self + '/').matches('/[.][.]?/')"
    return Check(code, cel, find, pattern=pattern)


def _find_bad_header(name: str) -> Iterator[Finding]:
    if _HEADER.fullmatch(name) is not None:
        return
    plain = name.strip().removeprefix(":").lower()
    if name.startswith(":") and plain in _PSEUDO_HEADERS:
        yield Finding(
            f"{quote(name)} is a part of the request, and no header", fix=_PSEUDO_HEADERS[plain]
        )
    elif is_fixed_header(plain):
        yield Finding(
            f"the header {plain} belongs to the connection or to the proxies",
            fix="leave it out; http.rewrite.host changes the host",
        )
    elif _HEADER.fullmatch(plain) is not None:
        yield Finding(f"{quote(name)} is not spelled in lower case", fix=f"write {plain}")
    else:
        yield Finding(subject=quote(name))


def _find_part(name: str) -> Iterator[Finding]:
    if fix := _REQUEST_PARTS.get(name):
        yield Finding(
            f"Istio takes {name} for a part of the request and not for a header, and ignores it",
            fix=fix,
        )


def is_fixed_header(name: str) -> bool:
    """Whether a header, in lower case, belongs to the connection or to the proxies."""
    return name in FIXED_HEADERS or name.startswith(PROXY_HEADERS)


def _find_fixed_header(name: str) -> Iterator[Finding]:
    if is_fixed_header(name):
        yield Finding(f"the header {name} belongs to the connection or to the proxies")


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
Moment = Annotated[StrictStr, Field(max_length=MOMENT_LENGTH), MOMENT]
Label = Annotated[
    StrictStr,
    Field(max_length=LABEL_LENGTH),
    _build_name_check("EG018", LABEL_PATTERN),
]
ServiceAccountName = Annotated[
    StrictStr,
    Field(max_length=253),
    _build_name_check("EG019", SUBDOMAIN_PATTERN),
]
Locality = Annotated[
    StrictStr,
    Field(max_length=190),
    _build_pattern_check("EG020", LOCALITY_PATTERN),
]
HeaderName = Annotated[
    StrictStr,
    Field(max_length=WORD_LENGTH),
    Check("EG035", f"self.matches(r'{HEADER_PATTERN}')", _find_bad_header, pattern=HEADER_PATTERN),
]
EndToEndHeader = Annotated[
    HeaderName,
    Check(
        "EG037",
        f"!({build_cel_list(FIXED_HEADERS)}.exists(n, self == n)"
        f" || {build_cel_list(PROXY_HEADERS)}.exists(n, self.startsWith(n)))",
        _find_fixed_header,
    ),
]
MatchedHeader = Annotated[
    EndToEndHeader,
    Check("EG041", f"!({build_cel_list(tuple(_REQUEST_PARTS))}.exists(n, self == n))", _find_part),
]
HeaderValue = Annotated[
    StrictStr,
    Field(max_length=VALUE_LENGTH),
    _build_pattern_check("EG038", VALUE_PATTERN),
]
PathPattern = Annotated[
    StrictStr,
    Field(max_length=URL_PATH_LENGTH),
    _build_path_check("EG039", PATTERN_OF_PATHS),
]
PathPrefix = Annotated[
    StrictStr,
    Field(max_length=URL_PATH_LENGTH),
    _build_path_check("EG040", PREFIX_PATTERN),
]
CookieName = Annotated[
    StrictStr,
    Field(max_length=WORD_LENGTH),
    _build_pattern_check("EG036", WORD_PATTERN),
]
GatewayName = Annotated[
    StrictStr,
    Field(max_length=253),
    _build_name_check("EG025", SUBDOMAIN_PATTERN),
]
ServerName = Annotated[StrictStr, Field(max_length=HOST_LENGTH), NAME_SHAPE, RESERVED]
FilePath = Annotated[
    StrictStr,
    Field(max_length=PATH_LENGTH),
    _build_path_check("EG031", PATH_PATTERN),
]
ObjectName = Annotated[
    StrictStr,
    Field(max_length=253),
    _build_name_check("EG008", SUBDOMAIN_PATTERN),
]
