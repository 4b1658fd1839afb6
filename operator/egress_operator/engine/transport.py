"""`Transport`: the calls to the API server over one aiohttp session, with explicit limits.

Nothing here waits and tries again, but for one new login after a 401: callers own their back-off.
URLs are built by hand and JSON is orjson's, because the generated client costs four times the CPU.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from egress_operator.engine.answer import build_error, cut_message, parse_object
from egress_operator.engine.connector import Connector
from egress_operator.engine.credential import Credentials, Login
from egress_operator.engine.failure import ApiError, CredentialError
from egress_operator.engine.resource import Resource

_LINE_MAX = 16 * 1024 * 1024
"""Bytes of one watch event; etcd refuses objects of a tenth of it."""
_ERROR_MAX = 64 * 1024
_METHODS = {"create": "POST", "patch": "PATCH", "delete": "DELETE"}
"""By verb; all others are GET."""

JsonObject = dict[str, Any]
RequestHook = Callable[[str, Resource, int], None]
"""Called once per request with (verb, resource, code). Verbs are those of RBAC: get, create, patch,
delete, list, watch. Code 0: no answer. Discovery is not counted."""

T = TypeVar("T")


class PatchType(StrEnum):
    """The content type of a PATCH: what its body means."""

    MERGE = "application/merge-patch+json"
    """RFC 7386. With `metadata.uid` in it, it changes that incarnation only; but not on a status
    subresource, where the API server drops what a patch says of the metadata."""
    JSON = "application/json-patch+json"
    """RFC 6902, a list of operations. It replaces whole subtrees, what others added included. With
    a `test` of `/metadata/uid` it changes that incarnation only, on subresources too."""


@dataclass(frozen=True, slots=True)
class ClientTiming:
    """How long to wait at most, in seconds."""

    connect: float = 3.0
    call: float = 15.0
    """A request for one object, and the head of a watch; a watch that is open has no limit here."""
    list_page: float = 60.0
    keep_alive: float = 75.0
    """An unused connection stays open; the API server closes it after 90 s. A new one costs a
    change several milliseconds, and the oldest is used first, so that a call now and then keeps a
    few of them."""


class Transport:
    """The calls to the API server. All of them raise ApiError and nothing else.

    Make it inside the running loop; end it by `close()` or `async with`. A DELETE that names a uid
    and meets another incarnation raises ApiError 409; a JSON patch that tests the uid raises one
    whose `is_failed_test` holds.

    At most `writes` create, patch and delete requests are in flight, and `reads` others; watches
    are not counted.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        field_manager: str,
        user_agent: str,
        writes: int = 16,
        reads: int = 16,
        timing: ClientTiming | None = None,
        on_request: RequestHook | None = None,
    ) -> None:
        self._credentials = credentials
        self._field_manager = field_manager
        self._timing = timing or ClientTiming()
        self._on_request = on_request
        self._writes = asyncio.Semaphore(writes)
        self._reads = asyncio.Semaphore(reads)
        # Compressed lists cost the API server more than they save on a cluster's network.
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=0, keepalive_timeout=self._timing.keep_alive),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._timing.connect, sock_connect=self._timing.connect
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
        )

    async def __aenter__(self) -> Self:
        """Give the transport itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """End all connections. Calls in flight fail."""
        await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """Read one object; ApiError 404 when it is absent."""
        path = resource.build_path(namespace, _check_name(name))
        async with self._reads:
            return parse_object(await self._call("get", resource, path))

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """POST; the object as stored. ApiError 409 `AlreadyExists` when the name is taken."""
        path = resource.build_path(namespace) + self._build_query(fieldManager=self._field_manager)
        async with self._writes:
            return parse_object(
                await self._call("create", resource, path, body, "application/json")
            )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> JsonObject:
        """PATCH; the object as stored. ApiError 404 when it is absent."""
        path = resource.build_path(namespace, _check_name(name), subresource)
        path += self._build_query(fieldManager=self._field_manager)
        async with self._writes:
            return parse_object(await self._call("patch", resource, path, body, patch_type.value))

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = ""
    ) -> JsonObject | None:
        """DELETE in the background. None: it is gone. An object: it waits for its finalizers.

        An object that was gone before raises ApiError 404.
        """
        path = resource.build_path(namespace, _check_name(name))
        body: JsonObject = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        async with self._writes:
            answer = parse_object(
                await self._call("delete", resource, path, body, "application/json")
            )
        return None if answer.get("kind") == "Status" else answer

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        name: str = "",
        limit: int = 500,
        token: str = "",
    ) -> JsonObject:
        """One page of a consistent LIST, `items` always a list; `metadata.continue`: next token.

        `name`: of the only object to list; empty: of all.
        """
        query = {"limit": str(limit)}
        if name:
            query["fieldSelector"] = f"metadata.name={_check_name(name)}"
        if token:
            query["continue"] = token
        path = resource.build_path(namespace) + self._build_query(**query)
        async with self._reads:
            page = parse_object(
                await self._call("list", resource, path, limit=self._timing.list_page)
            )
        # A server that has just started, or a proxy, may answer 200 with something else.
        metadata = page.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("resourceVersion"), str):
            raise ApiError(0, "Undecodable", "the answer is not a list of objects")
        page["items"] = page.get("items") or []
        if not isinstance(page["items"], list):
            raise ApiError(0, "Undecodable", "the answer's items are not a list")
        return page

    async def serves(self, resource: Resource) -> bool:
        """Ask discovery whether the resource exists; False only when it surely does not."""
        root = f"/apis/{resource.group}" if resource.group else "/api"
        version = f"{root}/{resource.version}"
        async with self._reads:
            try:
                answer = parse_object(await self._call("", resource, version))
            except ApiError as error:
                if error.status != HTTPStatus.NOT_FOUND or not resource.group:
                    raise
            else:
                return _lists_name(answer.get("resources"), resource.plural)
            # A proxy on the way can say 404 too: only a list of groups proves the absence.
            answer = parse_object(await self._call("", resource, "/apis"))
        if not isinstance(answer.get("groups"), list):
            raise ApiError(0, "Undecodable", "the answer is not a list of API groups")
        return False

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        resource_version: str,
        timeout_seconds: int,
    ) -> AsyncIterator[AsyncIterator[JsonObject]]:
        """Open a watch with bookmarks; the iterator gives events `{type, object}`.

        Entering waits for the answer's head. The iterator ends when the server ends the watch in
        order; a line that is not an event, or a stream that breaks off, raises ApiError 0.
        """
        path = resource.build_path(namespace) + self._build_query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=str(timeout_seconds),
        )
        response, _ = await self._authorized(
            lambda login: self._open("watch", resource, login, path)
        )
        try:
            yield _read_events(response)
        finally:
            _abort(response)

    @staticmethod
    def _build_query(**query: str) -> str:
        return "?" + urlencode(query)

    async def _call(
        self,
        verb: str,
        resource: Resource,
        path: str,
        body: object = None,
        content_type: str = "",
        limit: float | None = None,
    ) -> bytes:
        data = None if body is None else orjson.dumps(body)

        async def attempt(login: Login) -> bytes:
            _, answer = await self._open(
                verb, resource, login, path, data, content_type, limit, is_whole=True
            )
            return answer

        return await self._authorized(attempt)

    async def _open(
        self,
        verb: str,
        resource: Resource,
        login: Login,
        path: str,
        data: bytes | None = None,
        content_type: str = "",
        limit: float | None = None,
        *,
        is_whole: bool = False,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send one request, and count it. `is_whole`: read the answer to its end, else its head."""
        code, answer = 0, b""
        limit = limit or self._timing.call
        try:
            async with asyncio.timeout(limit):
                method = _METHODS.get(verb, "GET")
                response = await self._send(login, method, path, data, content_type)
                if is_whole:
                    async with response:
                        answer = await response.read()
            code = response.status
        except ApiError as error:
            code = error.status
            raise
        except TimeoutError as error:
            raise ApiError(0, "Timeout", f"no whole answer within {limit:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _build_broken(error) from error
        finally:
            if verb and self._on_request:
                self._on_request(verb, resource, code)
        return response, answer

    async def _authorized(self, attempt: Callable[[Login], Awaitable[T]]) -> T:
        """Try with the present login, after a 401 once more with a new one."""
        try:
            try:
                return await attempt(await self._credentials.login())
            except ApiError as error:
                if error.status != HTTPStatus.UNAUTHORIZED:
                    raise
            return await attempt(await self._credentials.refresh())
        except CredentialError as error:
            raise ApiError(
                HTTPStatus.UNAUTHORIZED.value, "Unauthorized", cut_message(str(error))
            ) from error

    async def _send(
        self, login: Login, method: str, path: str, data: bytes | None, content_type: str
    ) -> aiohttp.ClientResponse:
        """Send and read the head; the answer if it is 2xx, else ApiError."""
        headers = {}
        if content_type:
            headers["Content-Type"] = content_type
        if login.authorization:
            headers["Authorization"] = login.authorization
        response = await self._session.request(
            method,
            URL(login.server + path, encoded=True),
            data=data,
            headers=headers,
            ssl=login.ssl_context or True,
            server_hostname=login.server_hostname,
            proxy=login.proxy,
            allow_redirects=False,
        )
        if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            return response
        async with response:
            body = await response.content.read(_ERROR_MAX)
        secret = login.authorization.rpartition(" ")[2]
        raise build_error(response.status, response.headers, body, secret)


async def _read_events(response: aiohttp.ClientResponse) -> AsyncIterator[JsonObject]:
    rest = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _parse_event(line)
            if len(rest) > _LINE_MAX:
                raise ApiError(0, "Undecodable", "a watch event without an end")
    except (aiohttp.ClientError, OSError) as error:
        raise _build_broken(error) from error
    if rest.strip():
        raise ApiError(0, "Undecodable", "the watch broke off within an event")


def _abort(response: aiohttp.ClientResponse) -> None:
    """Cut the connection of a stream that nobody reads to its end; TLS need not say goodbye."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _parse_event(line: bytes) -> JsonObject:
    event = parse_object(line)
    if not isinstance(event.get("type"), str) or not isinstance(event.get("object"), dict):
        raise ApiError(0, "Undecodable", f"not a watch event ({len(line)} bytes)")
    return event


def _build_broken(error: Exception) -> ApiError:
    if isinstance(error, TimeoutError):
        return ApiError(0, "Timeout", "no connection in time")
    return ApiError(0, "ConnectionFailed", cut_message(f"{type(error).__name__}: {error}"))


def _check_name(name: str) -> str:
    """Without a name the URL would mean the whole collection, fatal in a DELETE."""
    if not name:
        raise ValueError("a name is needed")
    return name


def _lists_name(entries: object, name: str) -> bool:
    return isinstance(entries, list) and any(
        isinstance(entry, dict) and entry.get("name") == name for entry in entries
    )
