"""A permission that cannot be deleted holds up no other tenant. No API server is needed."""

import asyncio
from typing import Any

import jsonpatch
import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES
from wiring import wire

from .test_urgent import WriteLog, build_gateway, build_namespace, build_policy

pytestmark = pytest.mark.looptime

ACCESS = "authorizationpolicies"
THROUGH = {"gatewayRef": {"name": "shared"}}
HANG_S = 15.0
SETTLED_S = 60.0
LIMIT_S = 4.0
"""For a tenant that is let in: a few writes of a second each, one after another."""
AFTER_S = 8.0
"""After an outage, for the next try of a permission, and for two answers."""
ERRORS = {
    "a webhook fails": ApiError(500, "InternalError", "failed calling webhook"),
    "no answer in time": ApiError(0, "Timeout", "no whole answer within 15 s"),
    "the API server gives up": ApiError(504, "Timeout", "request did not complete"),
    "an unknown answer": ApiError(418, "Teapot"),
    "a webhook is busy": ApiError(429, "TooManyRequests", "admission webhook denied the request"),
    "a webhook asks who it is": ApiError(401, "Unauthorized"),
    "a webhook has no server": ApiError(503, "ServiceUnavailable"),
}


class Obstacle(WriteLog):
    """Stands for an API server that deletes no AuthorizationPolicy: each try fails in the end."""

    def __init__(self, error: ApiError | None, seconds: float) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.is_out = False
        """Whether no AuthorizationPolicy can be made or changed either."""
        self.made: list[tuple[str, str, float]] = []
        """(plural, name, time of the answer)."""
        self.deletions: list[float] = []
        self._seconds = seconds
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with the object as it was sent."""
        self._fail_if_out(resource)
        answer = await super().create(resource, _, body)
        name = body["metadata"]["name"]
        self.made.append((resource.plural, name, asyncio.get_running_loop().time()))
        self._objects[resource.plural, name] = answer
        return answer

    async def patch(self, *args: Any, **options: object) -> dict[str, Any]:  # noqa: ANN401 - as of the transport
        """Answer with the object as it is then."""
        if options.get("subresource"):
            return await super().patch()
        resource, _, name, patch = args
        self._fail_if_out(resource)
        await asyncio.sleep(1)
        found = jsonpatch.apply_patch(self._objects[resource.plural, name], patch)
        version = str(next(self._versions))
        found["metadata"] = {**found["metadata"], "resourceVersion": version}
        self._objects[resource.plural, name] = found
        return dict(found)

    def _fail_if_out(self, resource: Resource) -> None:
        if self.is_out and self.error is not None and resource.plural == ACCESS:
            raise self.error

    def get_object(self, plural: str, name: str) -> dict[str, Any]:
        """Return an object as it was written last."""
        return self._objects[plural, name]

    async def delete(self, resource: Resource, *_: object, **__: object) -> None:
        """Fail for an AuthorizationPolicy while there is an error."""
        if resource.plural != ACCESS or self.error is None:
            await super().delete(resource)
            return
        self.deletions.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds)
        raise self.error


class Site:
    """A gateway with a tenant whose permission is withdrawn, and cannot be deleted."""

    def __init__(self, log: Any) -> None:  # noqa: ANN401 - stands for the transport
        self.log = log
        self.clock = asyncio.get_running_loop().time
        wired = wire(log, in_flight=16)
        self.controller, self.sinks = wired.controller, wired.sinks
        self._versions = 0

    async def begin(self) -> None:
        """Let a tenant in, and withdraw that again."""
        self.sinks[GATEWAYS].upsert(build_gateway())
        self.let_in("shop", "api.example.com")
        self.controller.start()
        await asyncio.sleep(SETTLED_S)
        self.label("shop")

    def label(self, namespace: str, **labels: str) -> None:
        self._versions += 1
        self.sinks[NAMESPACES].upsert(build_namespace(namespace, self._versions, **labels))

    def let_in(self, namespace: str, host: str) -> None:
        self.label(namespace, egress="yes")
        self.sinks[POLICIES].upsert(build_policy(namespace, "web", [host], **THROUGH))

    def find_permissions(self, since: float) -> list[float]:
        """Return when AuthorizationPolicies were made, in seconds from then."""
        return [at - since for plural, _, at in self.log.made if plural == ACCESS and at > since]


async def start(error: ApiError, seconds: float = 1.0) -> Site:
    site = Site(Obstacle(error, seconds))
    await site.begin()
    return site


@pytest.mark.parametrize("error", ERRORS.values(), ids=list(ERRORS))
async def test_a_deletion_that_fails_holds_up_no_other_tenant(error: ApiError) -> None:
    site = await start(error)
    await asyncio.sleep(20)
    since = site.clock()
    site.let_in("pay", "b.example.com")
    await asyncio.sleep(LIMIT_S)
    assert site.find_permissions(since)
    await site.controller.stop(0)


@pytest.mark.parametrize("pause", [16.0, 17.0, 20.0, 33.0, 40.0, 60.0])
async def test_a_deletion_that_hangs_is_waited_for_by_nobody_once_it_has_failed(
    pause: float,
) -> None:
    site = await start(ERRORS["no answer in time"], HANG_S)
    await asyncio.sleep(pause)
    since = site.clock()
    site.let_in("pay", "b.example.com")
    await asyncio.sleep(LIMIT_S)
    assert site.find_permissions(since)
    await site.controller.stop(0)


@pytest.mark.parametrize("error", ERRORS.values(), ids=list(ERRORS))
async def test_a_deletion_that_fails_is_tried_less_and_less_and_goes_in_the_end(
    error: ApiError,
) -> None:
    site = await start(error)
    for number in range(600):
        await asyncio.sleep(0.5)
        site.let_in(f"t{number % 5}", f"h{number}.example.com")
    # While no other permission goes, it is tried after an eighth of the time, a minute at last.
    assert 8 <= len(site.log.deletions) <= 40
    assert site.log.deletions[-1] - site.log.deletions[-2] > 20
    site.log.error = None
    await asyncio.sleep(80)
    assert ("delete", ACCESS) in site.log.writes
    assert site.controller.load.waiting == 0
    await site.controller.stop(0)


async def test_a_deletion_that_fails_is_not_tried_again_once_permission_is_given_back() -> None:
    site = await start(ERRORS["a webhook fails"])
    await asyncio.sleep(5)
    site.label("shop", egress="yes")
    await asyncio.sleep(5)
    tried = len(site.log.deletions)
    await asyncio.sleep(200)
    assert len(site.log.deletions) == tried
    await site.controller.stop(0)


@pytest.mark.parametrize("code", [401, 500, 503])
@pytest.mark.parametrize("seconds", [30, 45])
async def test_a_permission_goes_soon_after_an_outage(code: int, seconds: int) -> None:
    """Writes of other kinds succeed meanwhile."""
    site = await start(ApiError(code, "Any"), 0)
    site.log.is_out = True
    for number in range(seconds):
        await asyncio.sleep(1)
        site.let_in(f"t{number}", f"h{number}.example.com")
    site.log.error = None
    await asyncio.sleep(AFTER_S)
    assert ("delete", ACCESS) in site.log.writes
    await site.controller.stop(0)


async def test_all_is_tried_again_at_once_when_the_api_server_is_back() -> None:
    site = await start(ApiError(503, "ServiceUnavailable"), 0)
    await asyncio.sleep(100)
    site.log.error = None
    site.controller.resume()
    await asyncio.sleep(2)
    assert ("delete", ACCESS) in site.log.writes
    await site.controller.stop(0)


async def test_what_fails_between_two_returns_of_the_api_server_is_tried_again_at_once() -> None:
    """It is back for a moment, away once more, and back for good, all within a second."""
    site = await start(ApiError(0, "ConnectionFailed"), 0)
    await asyncio.sleep(100)
    site.controller.resume()
    await asyncio.sleep(0.2)
    site.log.error = None
    site.controller.resume()
    await asyncio.sleep(2)
    assert ("delete", ACCESS) in site.log.writes
    await site.controller.stop(0)
