"""A small synchronous client of the real API server, for tests only.

It knows kinds by discovery, gives every call a time limit, and raises the server's own words. It
shares no code with the product: a fault there must not hide itself here.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

TIMEOUT_S = 30.0
MANAGER = "testbed"

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

NOT_FOUND = 404
TOO_MANY_REQUESTS = 429


class ApiError(Exception):
    """The API server's refusal: HTTP code, reason, and its message."""

    def __init__(self, method: str, path: str, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        super().__init__(f"{method} {path}: {code} {self.reason}: {self.message}")


class ConnectError(OSError):
    """The API server did not answer: down, or too slow."""


@dataclass(frozen=True)
class Event:
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and its object."""

    type: str
    object: Object


@dataclass(frozen=True)
class _Resource:
    path: str
    plural: str
    namespaced: bool


class Client:
    """Requests as one user. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        ca_file: Path,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        user: str = "",
        groups: Sequence[str] = (),
    ) -> None:
        """Log in with the token; `user` and `groups`: act as this user, if the token's may."""
        self.url = url
        self._timeout_s = timeout_s
        self._headers = urllib3.HTTPHeaderDict({"Authorization": f"Bearer {token}", "Accept": JSON})
        if user:
            self._headers["Impersonate-User"] = user
        for group in groups:
            self._headers.add("Impersonate-Group", group)
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, ca_certs=str(ca_file))
        self._lock = threading.Lock()
        self._resources: dict[tuple[str, str], _Resource] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | bool] | None = None,
        body: object = None,
        content_type: str = JSON,
    ) -> Object:
        """One request; the answer as JSON, or `{"text": …}` when it is none.

        Raises ApiError with the server's message, ConnectError when there is no answer in time.
        """
        response = self._send(
            method, path, query, None if body is None else json.dumps(body), content_type
        )
        return _read(method, path, response)

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
        return self.request("GET", self.path(api_version, kind, name, namespace))

    def find(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> Object | None:
        """Return the object, or None when there is none."""
        try:
            return self.get(api_version, kind, name, namespace)
        except ApiError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def list_objects(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str = ""
    ) -> list[Object]:
        """All objects of a kind, of one namespace or (None) of all; `labels` is a selector."""
        return list(self.list_page(api_version, kind, namespace, labels=labels)["items"])

    def list_table(self, api_version: str, kind: str, namespace: str | None = None) -> Object:
        """List objects as `kubectl get` does: columns with their priorities, and cells."""
        path = self.path(api_version, kind, None, namespace)
        return _read("GET", path, self._send("GET", path, None, None, JSON, accept=TABLE))

    def list_page(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str = ""
    ) -> Object:
        """Return the whole list object; its metadata holds the resourceVersion for a watch."""
        path = self.path(api_version, kind, None, namespace)
        return self.request("GET", path, query={"labelSelector": labels} if labels else None)

    def create(self, item: Object, *, dry_run: bool = False) -> Object:
        return self.request(
            "POST", self.path_of(item, named=False), query=_options(dry_run=dry_run), body=item
        )

    def replace(self, item: Object, *, subresource: str = "") -> Object:
        return self.request("PUT", self.path_of(item, subresource), body=item)

    def apply(
        self,
        item: Object,
        *,
        manager: str = MANAGER,
        force: bool = True,
        dry_run: bool = False,
        subresource: str = "",
    ) -> Object:
        """Server-side apply with strict field validation."""
        return self.request(
            "PATCH",
            self.path_of(item, subresource),
            query={"fieldManager": manager, "force": force, **_options(dry_run=dry_run)},
            body=item,
            content_type=APPLY_PATCH,
        )

    def merge_patch(self, item: Object, patch: Object, *, subresource: str = "") -> Object:
        """Merge `patch` into the object that `item` names (kind, namespace and name count)."""
        path = self.path_of(item, subresource)
        return self.request("PATCH", path, body=patch, content_type=MERGE_PATCH)

    def json_patch(
        self, item: Object, patch: Sequence[Mapping[str, Any]], *, subresource: str = ""
    ) -> Object:
        """Apply JSON patch operations to the object that `item` names."""
        path = self.path_of(item, subresource)
        return self.request("PATCH", path, body=list(patch), content_type=JSON_PATCH)

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        missing_ok: bool = False,
    ) -> None:
        """Ask for deletion; finalizers and the garbage collector take their time."""
        path = self.path(api_version, kind, name, namespace)
        try:
            self.request("DELETE", path, query={"propagationPolicy": propagation})
        except ApiError as error:
            if not (missing_ok and error.code == NOT_FOUND):
                raise

    def delete_all(self, api_version: str, kind: str, namespace: str) -> None:
        """Ask for deletion of every object of a kind in a namespace."""
        self.request("DELETE", self.path(api_version, kind, None, namespace))

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        timeout_s: int = 10,
    ) -> Iterator[Event]:
        """Events until the server ends the watch after `timeout_s`, or the caller stops reading."""
        path = self.path(api_version, kind, None, namespace)
        query: dict[str, str | int | bool] = {
            "watch": True,
            "resourceVersion": resource_version,
            "timeoutSeconds": timeout_s,
        }
        response = self._send("GET", path, query, None, JSON, timeout_s + self._timeout_s)
        if response.status >= 400:
            _read("GET", path, response)
        try:
            buffer = b""
            for chunk in response.stream(amt=None):
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield Event(event["type"], event["object"])
        finally:
            response.close()

    def path(
        self,
        api_version: str,
        kind: str,
        name: str | None = None,
        namespace: str | None = None,
        subresource: str = "",
    ) -> str:
        """Return the URL path of a kind or of one object, found by discovery."""
        resource = self._resource(api_version, kind)
        parts = [resource.path]
        if resource.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(resource.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def path_of(self, item: Object, subresource: str = "", *, named: bool = True) -> str:
        """Return the URL path of the object that `item` is."""
        metadata = item["metadata"]
        return self.path(
            item["apiVersion"],
            item["kind"],
            metadata["name"] if named else None,
            metadata.get("namespace"),
            subresource,
        )

    def lists(self, api_version: str, kind: str) -> bool:
        """Whether the API server's discovery lists a kind now."""
        with self._lock:
            self._resources.pop((api_version, kind), None)
            self._discover(api_version)
            return (api_version, kind) in self._resources

    def _resource(self, api_version: str, kind: str) -> _Resource:
        with self._lock:
            if (api_version, kind) not in self._resources:
                self._discover(api_version)
            try:
                return self._resources[api_version, kind]
            except KeyError:
                raise LookupError(f"the API server knows no {kind} in {api_version}") from None

    def _discover(self, api_version: str) -> None:
        prefix = "/apis/" if "/" in api_version else "/api/"
        path = prefix + api_version
        try:
            found = self.request("GET", path)
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            return
        for entry in found["resources"]:
            if "/" not in entry["name"]:
                self._resources[api_version, entry["kind"]] = _Resource(
                    path, entry["name"], entry["namespaced"]
                )

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | bool] | None,
        body: str | None,
        content_type: str,
        timeout_s: float | None = None,
        accept: str = "",
    ) -> urllib3.BaseHTTPResponse:
        words = {key: _word(value) for key, value in (query or {}).items()}
        headers = self._headers.copy()
        headers["Content-Type"] = content_type
        if accept:
            headers["Accept"] = accept
        url = f"{self.url}{path}" + (f"?{urlencode(words)}" if words else "")
        try:
            return self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=timeout_s or self._timeout_s,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ConnectError(f"{method} {path}: {error}") from error


def read_owners(item: Object) -> set[str]:
    """Read the uids of an object's owners. Pure."""
    return {owner["uid"] for owner in item["metadata"].get("ownerReferences") or ()}


def _options(*, dry_run: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}


def _word(value: str | int | bool) -> str:  # noqa: FBT001 - JSON's own types
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(method: str, path: str, response: urllib3.BaseHTTPResponse) -> Object:
    try:
        data = response.read()
    except urllib3.exceptions.HTTPError as error:
        raise ConnectError(f"{method} {path}: {error}") from error
    finally:
        response.release_conn()
    try:
        answer: Object = json.loads(data)
    except ValueError:
        answer = {"text": data.decode(errors="replace")}
    if response.status >= 400:
        raise ApiError(method, path, response.status, {"message": answer.get("text"), **answer})
    return answer
