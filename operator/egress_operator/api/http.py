"""What Istio does with HTTP requests on their way."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from egress_operator.api.duration import build_duration_cel, parse_duration
from egress_operator.api.model import Model
from egress_operator.api.request import MOST_RULES, AllowedRequest, Fault, Headers, Mirror, Rewrite
from egress_operator.api.rule import Check, Finding, ListType, Omittable, quote
from egress_operator.api.scalar import Duration, RetryCondition

MOST_ATTEMPTS = 10
MOST_CODES = 32


def _find_settings_of_nothing(retries: "Retries") -> Iterator[Finding]:
    # Istio's webhook refuses perTryTimeout and retryOn beside attempts 0 (validation.go).
    others = {
        "perTryTimeout": retries.per_try_timeout,
        "conditions": retries.conditions,
        "codes": retries.codes,
    }
    if retries.attempts == 0 and (given := [name for name, value in others.items() if value]):
        yield Finding(
            f"attempts 0 turns retries off, so {' and '.join(given)} would have no effect",
            ("attempts",),
        )


class Retries(Model):
    """When and how often a request is tried again."""

    attempts: Annotated[StrictInt, Field(ge=0, le=MOST_ATTEMPTS, examples=[2])]
    """How often a failed request is tried again, 0 to 10; 0 turns off the two retries that Istio
    does by itself."""
    per_try_timeout: Annotated[Omittable[Duration], Field(examples=["1s"])] = None
    """How long each try may take, 1ms at least."""
    conditions: Annotated[
        tuple[RetryCondition, ...],
        Field(
            min_length=1,
            max_length=len(RetryCondition),
            examples=[["connect-failure", "refused-stream"]],
        ),
        ListType("set"),
    ] = ()
    """Which failures are tried again; left out with codes too, Istio's own choice holds:
    connect-failure, refused-stream, unavailable and cancelled. With codes alone, none of these."""
    codes: Annotated[
        tuple[Annotated[StrictInt, Field(ge=400, le=599)], ...],
        Field(min_length=1, max_length=MOST_CODES, examples=[[503]]),
        ListType("set"),
    ] = ()
    """Which HTTP status codes of the server are tried again, 400 to 599. Without conditions a
    connection that fails is then not tried again, although the application sees it as 503."""

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "EG213",
            "self.attempts > 0 || !(has(self.perTryTimeout) || has(self.conditions)"
            " || has(self.codes))",
            _find_settings_of_nothing,
            "attempts",
        ),
    )


def _find_long_try(http: "Http") -> Iterator[Finding]:
    if http.timeout is None or http.retries is None or http.retries.per_try_timeout is None:
        return
    whole = parse_duration(http.timeout)
    single = parse_duration(http.retries.per_try_timeout)
    if whole is not None and single is not None and single > whole:
        yield Finding(
            f"perTryTimeout {quote(http.retries.per_try_timeout)} is longer than timeout "
            f"{quote(http.timeout)}",
            ("retries", "perTryTimeout"),
        )


class Http(Model):
    """Settings of HTTP requests."""

    timeout: Annotated[Omittable[Duration], Field(examples=["3s"])] = None
    """How long a request may take with all its retries, 1ms at least; then the answer is 504."""
    retries: Annotated[
        Omittable[Retries], Field(examples=[{"attempts": 2, "conditions": ["connect-failure"]}])
    ] = None
    """When and how often a request is tried again."""
    allow: Annotated[
        tuple[AllowedRequest, ...],
        Field(
            min_length=1,
            max_length=MOST_RULES,
            examples=[[{"methods": ["GET"], "paths": ["/v1/*"]}]],
        ),
        ListType("atomic"),
    ] = ()
    """The only requests that are allowed, 1 to 8 entries of which one must hold; all others are
    answered with 403. Enforced by the gateway; without gatewayRef by the caller's own sidecar."""
    headers: Annotated[
        Omittable[Headers], Field(examples=[{"request": {"remove": ["x-internal"]}}])
    ] = None
    """Headers of requests and responses that are set, added or removed."""
    rewrite: Annotated[Omittable[Rewrite], Field(examples=[{"pathPrefix": "/v2"}])] = None
    """Another host or path than the application asks for."""
    mirror: Annotated[
        Omittable[Mirror], Field(examples=[{"backend": "canary", "percentage": 10}])
    ] = None
    """Copies of requests for a second backend: the last hop sends them, the gateway or, without
    gatewayRef, the caller's own sidecar, and throws their answers away."""
    fault: Annotated[
        Omittable[Fault], Field(examples=[{"abort": {"status": 503, "percentage": 1}}])
    ] = None
    """Faults to test the application with. Without gatewayRef the caller's own sidecar makes them,
    and they are neither retried nor cut by timeout."""

    height: ClassVar[int] = 4
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "EG214",
            "!has(self.timeout) || !has(self.retries) || !has(self.retries.perTryTimeout)"
            f" || !{build_duration_cel('self.timeout')}"
            f" || !{build_duration_cel('self.retries.perTryTimeout')}"
            " || duration(self.retries.perTryTimeout) <= duration(self.timeout)",
            _find_long_try,
            "retries.perTryTimeout",
        ),
    )
