"""The driver's own client of the API server: bare aiohttp, nothing of the product."""

import asyncio
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml

Object = dict[str, Any]

POLICIES = "/apis/egress-operator.io/v1alpha1"
NETWORKING = "/apis/networking.istio.io/v1"
MERGE = "application/merge-patch+json"
WATCH_LINE_BYTES = 4 * 1024 * 1024
WATCH_S = 60
"""How long the server is asked to keep a watch; one that stays silent for longer is broken."""


@dataclass
class Load:
    """At most `in_flight` requests at once. `open_load` makes one."""

    session: aiohttp.ClientSession
    url: str
    gate: asyncio.Semaphore

    async def send(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Object:
        """Send one request and return the answer. Raises RuntimeError with the server's words."""
        data = None if body is None else orjson.dumps(body)
        async with (
            self.gate,
            self.session.request(
                method, self.url + path, data=data, headers={"Content-Type": content_type}
            ) as response,
        ):
            answer = await response.read()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
            decoded: Object = orjson.loads(answer)
            return decoded

    async def watch(self, path: str) -> AsyncIterator[Object]:
        """Give the events of everything that happens from now on, without an end.

        A watch that the server ends is opened again where it ended. One that breaks off, or whose
        version the server has forgotten, is followed by a list: of each object that is there an
        event MODIFIED is given, of what has gone meanwhile none.
        """
        version = (await self.send("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        while True:
            try:
                async for event in self._read_events(path, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event
            except aiohttp.ClientError:
                listed = await self.send("GET", path)
                version = listed["metadata"]["resourceVersion"]
                for item in listed["items"]:
                    yield {"type": "MODIFIED", "object": item}

    async def _read_events(self, path: str, version: str) -> AsyncIterator[Object]:
        async with self.session.get(
            f"{self.url}{path}?watch=1&resourceVersion={version}&timeoutSeconds={WATCH_S}",
            timeout=aiohttp.ClientTimeout(total=None, sock_read=2 * WATCH_S),
            raise_for_status=True,
        ) as response:
            async for line in response.content:
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise aiohttp.ClientError(event["object"])
                yield event


@asynccontextmanager
async def open_load(kubeconfig: Path, in_flight: int) -> AsyncIterator[Load]:
    """Open a client with the cluster and token of a kubeconfig file."""
    config = yaml.safe_load(kubeconfig.read_text())  # noqa: ASYNC240 - before anything runs
    cluster = config["clusters"][0]["cluster"]
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
        connector=aiohttp.TCPConnector(limit=0, ssl=context),
        read_bufsize=WATCH_LINE_BYTES,
    ) as session:
        yield Load(session, cluster["server"], asyncio.Semaphore(in_flight))


@dataclass
class ReadyWatch:
    """Waits for policies to be Ready=True at a generation."""

    waiting: dict[tuple[str, str], asyncio.Future[None]] = field(default_factory=dict)

    def expect(self, namespace: str, name: str) -> asyncio.Future[None]:
        """Return what is done when the policy is Ready."""
        return self.waiting.setdefault(
            (namespace, name), asyncio.get_running_loop().create_future()
        )

    async def run(self, load: Load) -> None:
        """Follow all policies until cancelled."""
        async for event in load.watch(f"{POLICIES}/egresspolicies"):
            policy = event["object"]
            key = policy["metadata"]["namespace"], policy["metadata"]["name"]
            future = self.waiting.get(key)
            if future is not None and not future.done() and _is_ready(policy):
                future.set_result(None)


def _is_ready(policy: Object) -> bool:
    generation = policy["metadata"]["generation"]
    conditions: Iterable[Object] = policy.get("status", {}).get("conditions", ())
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition.get("observedGeneration") == generation
        for condition in conditions
    )
