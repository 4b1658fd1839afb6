"""What the proxy does with HTTP requests: what a policy asks for, and how Istio writes it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from egress_operator.istio.difference import API, FORM


@dataclass(frozen=True, slots=True)
class RetryIntent:
    """Retries of an HTTP port. `attempts` 0 turns them off; an empty text means Istio's default."""

    attempts: int
    per_try_timeout: str
    conditions: tuple[str, ...] = field(metadata={FORM: frozenset})
    codes: tuple[int, ...] = field(metadata={FORM: frozenset})

    def build(self) -> dict[str, Any]:
        """Return `retries`. Istio splits `retryOn` at commas without trimming: it has no space."""
        entry: dict[str, Any] = {"attempts": self.attempts}
        if self.per_try_timeout:
            entry["perTryTimeout"] = self.per_try_timeout
        retry_on = ",".join([*self.conditions, *(str(code) for code in self.codes)])
        if retry_on:
            entry["retryOn"] = retry_on
        return entry


Pairs = tuple[tuple[str, str], ...]
"""Names and values, sorted."""


@dataclass(frozen=True, slots=True, order=True)
class AllowIntent:
    """Requests that are allowed; what is empty holds always."""

    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """Whole ones, or with `/*` at their end."""
    headers: Pairs = ()

    def build_matches(self) -> list[dict[str, Any]]:
        """Return the entries of `match`: one for each path."""
        common: dict[str, Any] = {}
        if self.methods:
            common["method"] = _match_any(self.methods)
        if self.headers:
            common["headers"] = {name: {"exact": value} for name, value in self.headers}
        return [{**common, "uri": _match_path(path)} for path in self.paths] or [common]


@dataclass(frozen=True, slots=True)
class HeaderIntent:
    """Headers that are set, added and removed."""

    set: Pairs = ()
    add: Pairs = ()
    remove: tuple[str, ...] = ()

    def build(self) -> dict[str, Any]:
        """Return the operations. Envoy reads a `%` as a command, and `%%` as the character."""
        entry: dict[str, Any] = {}
        for name, pairs in (("set", self.set), ("add", self.add)):
            if pairs:
                entry[name] = {key: value.replace("%", "%%") for key, value in pairs}
        if self.remove:
            entry["remove"] = list(self.remove)
        return entry


NO_HEADERS = HeaderIntent()


@dataclass(frozen=True, slots=True)
class FaultIntent:
    """Faults for tests. An empty `delay` means none, and so does an `abort` of 0."""

    delay: str = field(default="", metadata={API: "delay.duration"})
    delayed: int = field(default=0, metadata={API: "delay.percentage"})
    abort: int = field(default=0, metadata={API: "abort.status"})
    aborted: int = field(default=0, metadata={API: "abort.percentage"})

    def build(self) -> dict[str, Any]:
        """Return `fault`."""
        entry: dict[str, Any] = {}
        if self.delay:
            entry["delay"] = {"fixedDelay": self.delay, "percentage": {"value": self.delayed}}
        if self.abort:
            entry["abort"] = {"httpStatus": self.abort, "percentage": {"value": self.aborted}}
        return entry


@dataclass(frozen=True, slots=True)
class MirrorIntent:
    """Copies of requests. `percentage`: of them all."""

    backend: str
    percentage: int


@dataclass(frozen=True, slots=True)
class HttpIntent:
    """What the proxies do with the requests of a port. An empty `timeout` means none."""

    timeout: str = ""
    retries: RetryIntent | None = None
    allow: tuple[AllowIntent, ...] = field(default=(), metadata={FORM: frozenset})
    """One of them must hold; none: all requests are allowed. Sorted."""
    request: HeaderIntent = field(default=NO_HEADERS, metadata={API: "headers.request"})
    response: HeaderIntent = field(default=NO_HEADERS, metadata={API: "headers.response"})
    host: str = field(default="", metadata={API: "rewrite.host"})
    """What the server gets as Host; empty: what the application asked for."""
    path_prefix: str = field(default="", metadata={API: "rewrite.pathPrefix"})
    """Put before each path."""
    fault: FaultIntent | None = None
    mirror: MirrorIntent | None = None

    def build_limits(self) -> dict[str, Any]:
        """Return the members of an `http` rule that act where the request begins."""
        entry: dict[str, Any] = {}
        if self.timeout:
            entry["timeout"] = self.timeout
        if self.retries is not None:
            entry["retries"] = self.retries.build()
        return entry

    def build_changes(self, removed: Iterable[str] = (), authority: str = "") -> dict[str, Any]:
        """Return the members of an `http` rule that act on the last hop.

        `removed`: headers of requests that go as well. `authority`: what the server gets as Host;
        empty: what the client sent.
        """
        request = replace(self.request, remove=(*removed, *self._list_removed()))
        headers = {"request": request.build(), "response": self.response.build()}
        headers = {name: operations for name, operations in headers.items() if operations}
        rewrite: dict[str, Any] = {}
        if authority:
            rewrite["authority"] = authority
        if self.path_prefix:
            rewrite["uriRegexRewrite"] = {"match": "^/", "rewrite": f"{self.path_prefix}/"}
        return {
            **({"rewrite": rewrite} if rewrite else {}),
            **({"headers": headers} if headers else {}),
            **({} if self.fault is None else {"fault": self.fault.build()}),
        }

    @property
    def allows_paths(self) -> bool:
        """Whether some requests are allowed by their path."""
        return any(entry.paths for entry in self.allow)

    def _list_removed(self) -> Iterator[str]:
        """List the headers to remove: also those that name another method or path than allowed."""
        yield from self.request.remove
        overrides: list[str] = []
        if any(entry.methods for entry in self.allow):
            overrides += METHOD_HEADERS
        if self.allows_paths:
            overrides += PATH_HEADERS
        yield from (name for name in overrides if name not in self.request.remove)


METHOD_HEADERS = ("x-http-method", "x-http-method-override", "x-method-override")
"""By which many servers let a client name another method than that of the request."""
PATH_HEADERS = ("x-original-url", "x-rewrite-url")
"""The same for the path."""

_ENCODED = r"[01][0-9a-fA-F]|2[eEfF5]|3[bB]|5[cC]|[cC][01]|[eE]0%[89]|[uU]"
AMBIGUOUS_PATHS = rf".*(//|[\\;]|/[.][.]?/|%({_ENCODED})).*|.*/[.][.]?"
"""Paths that servers read in several ways, so that what is allowed could mean something else.

They hold `//`, a backslash, `;`, or `..` where proxies do not resolve it (pathNormalization of the
mesh); or `.`, `/`, a backslash, `;`, `%` or a control character in one of their encodings, UTF-8's
overlong ones among them.
"""


def _match_any(texts: tuple[str, ...]) -> dict[str, str]:
    return {"exact": texts[0]} if len(texts) == 1 else {"regex": "|".join(texts)}


def _match_path(path: str) -> dict[str, str]:
    return {"prefix": path[:-1]} if path.endswith("/*") else {"exact": path}
