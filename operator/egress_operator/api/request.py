"""Which HTTP requests are allowed, and how they and their responses are changed."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from egress_operator.api.model import Model
from egress_operator.api.rule import (
    Check,
    Finding,
    ListType,
    Omittable,
    build_not_empty_check,
    quote,
)
from egress_operator.api.scalar import (
    Duration,
    EndToEndHeader,
    HeaderValue,
    Label,
    MatchedHeader,
    Method,
    PathPattern,
    PathPrefix,
    ServerName,
)
from egress_operator.api.word import Words

MOST_RULES = 8
MOST_PATHS = 16
MOST_HEADERS = 16


class HeaderMatch(Model):
    """A header that a request must have."""

    name: Annotated[MatchedHeader, Field(examples=["x-team"])]
    """The name of the header, in lower case."""
    value: Annotated[HeaderValue, Field(examples=["shop"])]
    """Its whole value. The client chooses it, so it is no secret and no proof."""


class AllowedRequest(Model):
    """Requests that are allowed; what is given must all hold."""

    methods: Annotated[
        tuple[Method, ...],
        Field(min_length=1, max_length=len(Method), examples=[["GET"]]),
        ListType("set"),
    ] = ()
    """The methods; left out: all."""
    paths: Annotated[
        tuple[PathPattern, ...],
        Field(min_length=1, max_length=MOST_PATHS, examples=[["/v1/*", "/health"]]),
        ListType("set"),
    ] = ()
    """The paths, without the query: a whole path, or one that ends in /* for all that is below it;
    left out: all."""
    headers: Annotated[
        tuple[HeaderMatch, ...],
        Field(
            min_length=1, max_length=MOST_HEADERS, examples=[[{"name": "x-team", "value": "shop"}]]
        ),
        ListType("map", "name"),
    ] = ()
    """Headers that the request must have."""

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("methods", "paths", "headers"),)


class HeaderEntry(Model):
    """A header and its value."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        ("valueFrom", "secretKeyRef", "secretRef"),
        "Secrets cannot be read here, and whoever may read the policy sees its values: remove the "
        "entry, and let the application send it",
    )
    name: Annotated[EndToEndHeader, Field(examples=["x-team"])]
    """The name of the header, in lower case."""
    value: Annotated[HeaderValue, Field(examples=["shop"])]
    """The value, sent as it is written here."""


def _find_header_twice(change: "HeaderChange") -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for field, names in (
        ("set", [entry.name for entry in change.set_]),
        ("add", [entry.name for entry in change.add]),
        ("remove", list(change.remove)),
    ):
        for index, name in enumerate(names):
            if name in seen:
                yield Finding(f"{quote(name)} stands in {seen[name]} too", (field, index))
        seen |= dict.fromkeys(names, field)


_NAMES_CEL = {
    "set": "(has(self.set) ? self.set.map(h, h.name) : [])",
    "add": "(has(self.add) ? self.add.map(h, h.name) : [])",
    "remove": "(has(self.remove) ? self.remove : [])",
}


class HeaderChange(Model):
    """Headers that are set, added and removed."""

    set_: Annotated[
        tuple[HeaderEntry, ...],
        Field(
            alias="set",
            min_length=1,
            max_length=MOST_HEADERS,
            examples=[[{"name": "x-team", "value": "shop"}]],
        ),
        ListType("map", "name"),
    ] = ()
    """Headers that get this value, whatever they had."""
    add: Annotated[
        tuple[HeaderEntry, ...],
        Field(min_length=1, max_length=MOST_HEADERS, examples=[[{"name": "via", "value": "mesh"}]]),
        ListType("map", "name"),
    ] = ()
    """Headers that get this value beside those that they have."""
    remove: Annotated[
        tuple[EndToEndHeader, ...],
        Field(min_length=1, max_length=MOST_HEADERS, examples=[["x-internal"]]),
        ListType("set"),
    ] = ()
    """Headers that are taken away."""

    height: ClassVar[int] = 2
    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check("set", "add", "remove"),
        Check(
            "EG229",
            f"!sets.intersects({_NAMES_CEL['set']}, {_NAMES_CEL['add']})"
            f" && !sets.intersects({_NAMES_CEL['set']}, {_NAMES_CEL['remove']})"
            f" && !sets.intersects({_NAMES_CEL['add']}, {_NAMES_CEL['remove']})",
            _find_header_twice,
        ),
    )


class Headers(Model):
    """Changes of headers."""

    request: Annotated[
        Omittable[HeaderChange], Field(examples=[{"set": [{"name": "x-team", "value": "shop"}]}])
    ] = None
    """Of requests, before the outside gets them."""
    response: Annotated[Omittable[HeaderChange], Field(examples=[{"remove": ["x-powered-by"]}])] = (
        None
    )
    """Of responses, before the application gets them."""

    height: ClassVar[int] = 3
    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("request", "response"),)


class Rewrite(Model):
    """Another host or path than the application asks for."""

    absent_fields: ClassVar[Words] = {
        "authority": "write host",
        **dict.fromkeys(
            ("uri", "path", "prefix", "uriRegexRewrite", "regex"),
            "write pathPrefix, which is put before each path; no part of a path can be replaced or "
            "taken away",
        ),
    }
    host: Annotated[
        Omittable[ServerName], Field(examples=["bucket.s3.eu-west-1.amazonaws.com"])
    ] = None
    """The name that the server gets in the Host header, and with originateTLS as server name unless
    serverName is given. Where the request goes is not changed."""
    path_prefix: Annotated[Omittable[PathPrefix], Field(examples=["/v2"])] = None
    """A path that is put before the path of each request: /v2 makes /v2/orders of /orders."""

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("host", "pathPrefix"),)


Percentage = Annotated[StrictInt, Field(ge=1, le=100)]


class Mirror(Model):
    """Copies of requests, sent to a second backend. Their answers are thrown away."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        ("host", "name", "destination", "subset", "cluster"),
        "write backend, with the name of one of the backends",
    )
    backend: Annotated[Label, Field(examples=["canary"])]
    """The name of the backend that gets them, one of several of the destination."""
    percentage: Annotated[Omittable[Percentage], Field(examples=[10])] = None
    """The percentage of requests, 1 to 100; left out: all."""


class Delay(Model):
    """Requests that are held back."""

    duration: Annotated[Duration, Field(examples=["2s"])]
    """How long, 1ms at least."""
    percentage: Annotated[Omittable[Percentage], Field(examples=[10])] = None
    """The percentage of requests, 1 to 100; left out: all."""


class Abort(Model):
    """Requests that fail."""

    status: Annotated[StrictInt, Field(ge=200, le=599, examples=[503])]
    """With which status, 200 to 599."""
    percentage: Annotated[Omittable[Percentage], Field(examples=[1])] = None
    """The percentage of requests, 1 to 100; left out: all."""


class Fault(Model):
    """Faults for tests: they come from the proxy, not from the server."""

    delay: Annotated[Omittable[Delay], Field(examples=[{"duration": "2s", "percentage": 10}])] = (
        None
    )
    """Requests that are held back before they are sent."""
    abort: Annotated[Omittable[Abort], Field(examples=[{"status": 503, "percentage": 1}])] = None
    """Requests that the proxy answers with an error by itself."""

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("delay", "abort"),)
