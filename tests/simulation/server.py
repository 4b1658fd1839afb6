"""An API server in virtual time: answers and watch events come late, each at a random moment.

It is there for the order and the time of answers and events alone, which nobody can choose on a
real one. It stores objects, compares versions and uids, keeps what has finalizers, collects what
has lost its owners, refuses what it is told to refuse, and loses answers. It does not validate, its
watches never end, and namespaces are never deleted: that is tested on the real one.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jsonpatch

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import Sink

T = TypeVar("T")

Object = dict[str, Any]
Key = tuple[Resource, str, str]
"""(resource, namespace, name)."""
Refusal = Callable[[str, Resource, Object], ApiError | None]
"""(verb, resource, object as it is or is to be): the error to answer with."""

COLLECT_S = 3.0
"""The garbage collector is at most so late."""
FAILED_TEST = "the server rejected our request due to an error in our request"


@dataclass(frozen=True)
class Write:
    """One write that the operator asked for."""

    at: float
    """Seconds of the loop, when it was carried out or refused."""
    verb: str
    key: Key
    subresource: str
    code: int
    has_changed: bool


@dataclass
class _Watch:
    """The events of one resource, delivered in their order."""

    sink: Sink
    due: float = 0.0
    events: deque[tuple[str, Object]] = field(default_factory=deque)

    def deliver(self) -> None:
        """Tell of the oldest event: the loop may turn round calls that are due at one time."""
        event, body = self.events.popleft()
        getattr(self.sink, event)(body)


@dataclass
class Server:
    """The objects, and who watches them."""

    rng: random.Random
    latency: float = 0.02
    """Seconds; an answer or an event takes up to twice as long, now and then ten times."""
    objects: dict[Key, Object] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    lost: float = 0.0
    """The share of writes without an answer; every other one of them is carried out."""
    version: int = 100
    _watches: list[tuple[Resource, _Watch]] = field(default_factory=list)

    # What users do: at once.

    def apply(self, resource: Resource, body: Object) -> Object:
        """Create an object, or replace its spec, labels and annotations."""
        key = read_key(resource, body)
        before = self.objects.get(key)
        if before is None:
            return self._store(key, self._create(body))
        metadata = {**before["metadata"], **body["metadata"]}
        return self._store(key, {**before, **body, "metadata": metadata})

    def change(self, key: Key, change: Callable[[Object], None]) -> None:
        """Change an object in place, if it is there."""
        if key in self.objects:
            body = deepcopy(self.objects[key])
            change(body)
            self._store(key, body)

    def remove(self, key: Key, *, orphan: bool = False) -> None:
        """Delete an object as `kubectl delete` does, if it is there."""
        body = self.objects.get(key)
        if body is None:
            return
        if orphan:
            for other in [*self.objects]:
                self._disown(other, body["metadata"]["uid"], collect=False)
        self._delete(key)

    def take_unseen(self, keys: Iterable[Key]) -> None:
        """Take objects away while no watch tells; then each lists, as when etcd was restored."""
        for key in keys:
            del self.objects[key]
        self.version += 1
        self.watch({resource: watch.sink for resource, watch in self._watches})

    def select(self, resource: Resource, namespace: str | None = None) -> Iterator[Object]:
        """Give the objects of a resource."""
        for (kind, place, _), body in list(self.objects.items()):
            if kind == resource and namespace in (None, place):
                yield body

    # What the operator does.

    def watch(self, sinks: Mapping[Resource, Sink]) -> None:
        """List everything into the sinks, and tell them of every change from now on."""
        self._watches = [(resource, _Watch(sink)) for resource, sink in sinks.items()]
        for resource, sink in sinks.items():
            sink.begin()
            for body in self.select(resource):
                sink.upsert(deepcopy(body))
            sink.finish(str(self.version))

    def unwatch(self) -> None:
        """Tell nobody any more."""
        self._watches = []

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """POST."""
        key = (resource, namespace, body["metadata"]["name"])

        def act() -> Object:
            if key in self.objects:
                raise ApiError(409, "AlreadyExists", subject=f"{resource.label}/{key[2]}")
            self._refuse("create", resource, body)
            return self._store(key, self._create(body))

        return await self._answer("create", key, act)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: list[Object],
        *,
        subresource: str = "",
        **_: object,
    ) -> Object:
        """JSON patch."""
        key = (resource, namespace, name)

        def act() -> Object:
            before = self._get(key)
            try:
                after: Object = jsonpatch.apply_patch(before, body)
            except jsonpatch.JsonPatchTestFailed as error:
                raise ApiError(422, "Invalid", FAILED_TEST) from error
            if subresource:
                after = {**before, subresource: after.get(subresource)}
            else:
                self._refuse("update", resource, before)
            return self._store(key, after)

        return await self._answer("patch", key, act, subresource)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = ""
    ) -> Object | None:
        """DELETE with a precondition."""
        key = (resource, namespace, name)

        def act() -> Object | None:
            before = self._get(key)
            if uid not in ("", before["metadata"]["uid"]):
                raise ApiError(409, "Conflict", subject=f"{resource.label}/{name}")
            self._refuse("delete", resource, before)
            return self._delete(key)

        return await self._answer("delete", key, act)

    async def list_page(
        self, resource: Resource, *, namespace: str = "", name: str = "", **_: object
    ) -> Object:
        """List in one page."""
        await self._pause()
        items = [
            deepcopy(body)
            for body in self.select(resource, namespace or None)
            if name in {"", body["metadata"]["name"]}
        ]
        version = str(self.version)
        await self._pause()
        return {"metadata": {"resourceVersion": version}, "items": items}

    # What it is made of.

    async def _answer(self, verb: str, key: Key, act: Callable[[], T], subresource: str = "") -> T:
        await self._pause()
        code, version = 200, self.version
        try:
            return self._carry_out(act)
        except ApiError as error:
            code = error.status
            raise
        finally:
            now = asyncio.get_running_loop().time()
            has_changed = self.version > version
            self.writes.append(Write(now, verb, key, subresource, code, has_changed))
            await self._pause()

    def _carry_out(self, act: Callable[[], T]) -> T:
        """Do it, or not, and answer, or not."""
        fate = self.rng.random()
        if fate < self.lost / 2:
            raise ApiError(0, "Timeout")
        answer = deepcopy(act())
        if fate < self.lost:
            raise ApiError(0, "ConnectionFailed")
        return answer

    async def _pause(self) -> None:
        await asyncio.sleep(self._draw_latency())

    def _draw_latency(self) -> float:
        return self.rng.uniform(0, 2 * self.latency) * (10 if self.rng.random() < 0.05 else 1)

    def _refuse(self, verb: str, resource: Resource, body: Object) -> None:
        for refusal in self.refusals:
            if (error := refusal(verb, resource, body)) is not None:
                raise error

    def _get(self, key: Key) -> Object:
        if key not in self.objects:
            raise ApiError(404, "NotFound", subject=f"{key[0].label}/{key[2]}")
        return self.objects[key]

    def _create(self, body: Object) -> Object:
        self.version += 1
        metadata = {**body["metadata"], "uid": f"u{self.version}", "generation": 1}
        metadata["creationTimestamp"] = f"2026-01-01T00:00:{self.version:09}Z"
        return {**deepcopy(body), "metadata": metadata}

    def _store(self, key: Key, body: Object) -> Object:
        before = self.objects.get(key)
        metadata = dict(body["metadata"])
        if before is not None:
            if _strip(before) == _strip(body):
                return before
            metadata["generation"] = before["metadata"]["generation"] + (
                before.get("spec") != body.get("spec")
            )
        self.version += 1
        stored = {**body, "metadata": {**metadata, "resourceVersion": str(self.version)}}
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self._drop(key, stored)
            return stored
        self.objects[key] = stored
        self._tell(key[0], "upsert", stored)
        return stored

    def _delete(self, key: Key) -> Object | None:
        body = self.objects[key]
        if body["metadata"].get("finalizers"):
            metadata = {**body["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
            return self._store(key, {**body, "metadata": metadata})
        self._drop(key, body)
        return None

    def _drop(self, key: Key, body: Object) -> None:
        self.objects.pop(key, None)
        self.version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        self._tell(key[0], "delete", {**body, "metadata": metadata})
        asyncio.get_running_loop().call_later(
            self.rng.uniform(0, COLLECT_S), self._collect, body["metadata"]["uid"]
        )

    def _collect(self, uid: str) -> None:
        for key in [*self.objects]:
            self._disown(key, uid, collect=True)

    def _disown(self, key: Key, uid: str, *, collect: bool) -> None:
        body = self.objects.get(key)
        owners = [] if body is None else body["metadata"].get("ownerReferences") or []
        left = [owner for owner in owners if owner["uid"] != uid]
        if body is None or len(left) == len(owners):
            return
        if not left and collect:
            self._delete(key)
            return
        metadata = {**body["metadata"], "ownerReferences": left}
        self._store(key, {**body, "metadata": metadata})

    def _tell(self, resource: Resource, event: str, body: Object) -> None:
        loop = asyncio.get_running_loop()
        for kind, watch in self._watches:
            if kind == resource:
                watch.due = max(watch.due, loop.time() + self._draw_latency())
                watch.events.append((event, deepcopy(body)))
                loop.call_at(watch.due, watch.deliver)


def read_key(resource: Resource, body: Object) -> Key:
    """Return where an object stands."""
    return resource, body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _strip(body: Object) -> Object:
    metadata = {
        name: value
        for name, value in body["metadata"].items()
        if name not in ("resourceVersion", "generation")
    }
    return {**body, "metadata": metadata}
