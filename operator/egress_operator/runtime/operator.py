"""The running operator without kopf: connections, watches, controller, servers, and their end."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from egress_operator import __version__
from egress_operator.diagnostic import read_rules
from egress_operator.engine.credential import Credentials
from egress_operator.engine.peers import Peers
from egress_operator.engine.reflector import Reflector
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import RestartReason
from egress_operator.engine.sink import CacheSink
from egress_operator.engine.timing import ReflectorState, ReflectorTiming
from egress_operator.engine.transport import Transport
from egress_operator.istio.kind import Kind
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource
from egress_operator.reconcile.controller import Controller
from egress_operator.reconcile.dependencies import Dependencies
from egress_operator.reconcile.kinds import OWN_KINDS
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.resource import POLICIES, RESOURCES
from egress_operator.runtime.admission import read_admission
from egress_operator.runtime.event_recorder import EventRecorder
from egress_operator.runtime.gateway_watch import GatewayWatches
from egress_operator.runtime.heartbeat import Heartbeat, measure_holds
from egress_operator.runtime.mesh import (
    INTERVAL_S,
    Mesh,
    build_compiler_settings,
    read_mesh,
)
from egress_operator.runtime.metric import Metric, build_gauge
from egress_operator.runtime.server import Server
from egress_operator.runtime.settings import Settings

logger = logging.getLogger(__name__)

FIELD_MANAGER = "egress-operator"
WRITE_VERBS = frozenset({"create", "patch", "delete"})
KIND_NAMES = {resource: str(kind) for kind, resource in RESOURCES.items()} | {
    row.resource: str(kind) for kind, row in OWN_KINDS.items()
}
ADMISSION_S = 15.0
"""Seconds between two looks at the admission policies; each look takes twelve requests."""
ORPHANS_S = 20.0
"""How often objects are looked for that the garbage collector left; what is left over twice goes.
Only memory is looked at while there are none."""
MISSING_RETRY_S = 3.0
"""How soon Istio's CRDs are noticed once they are installed; two cheap requests each time."""
PAGE = 200
"""Objects per page of a list. Small, for a page is held in full, and memory that was needed once is
seldom given back."""
TIMING = ReflectorTiming(missing=MISSING_RETRY_S, page=PAGE)
NO_KIND = (
    "the cluster has no EgressPolicy kind: install the CRDs (egressctl crds | "
    "kubectl apply --server-side -f -)"
)
POLL_S = 0.02
STOP_GRACE_S = 2.0
WATCH_DEAD_S = 900.0
"""A watch without any sign of life, refusals included, for this long: the process is stuck. Long,
because restarting does not help against an API server that is down."""


class Operator:
    """All that runs beside kopf. Make it in the running loop; `stop` may always be called."""

    def __init__(self, settings: Settings, metric: Metric, credentials: Credentials) -> None:
        self.settings = settings
        self.metric = metric
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Set with one line when something that must run for ever has ended."""
        # Counts from the same moment as the loop's clock, which uvloop rounds to milliseconds.
        self._clock = time.monotonic
        self._heartbeat = Heartbeat(self._clock)
        self._server = Server(self.metric.registry, self.find_unready)
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: set[Resource] = set()
        """Of which kinds kopf has told something since it began."""
        self._waiting_for = "starting"
        """What is lacking, once every watch has brought its list; empty when nothing is."""
        self._degraded = False
        self._has_gateways = asyncio.Event()
        self._peers = Peers()
        self._transport = Transport(
            credentials,
            field_manager=FIELD_MANAGER,
            user_agent=f"egress-operator/{__version__}",
            # Slots and those that are handed on, each with one more that is urgent; one for events.
            writes=2 * (settings.in_flight + 1) + 1,
            on_request=self._on_request,
        )
        self._events = EventRecorder(self._transport, clock=self._clock)
        self._controller = Controller(
            Dependencies(
                transport=self._transport,
                metrics=metric,
                events=self._events,
                clock=self._clock,
                now=lambda: datetime.now(UTC),
            ),
            settings=build_compiler_settings(settings, Mesh()),
            scopes=settings.namespaces or (EVERYWHERE,),
            workers=settings.workers,
            in_flight=settings.in_flight,
            is_missing=self._is_missing,
            on_not_found=self._doubt,
            on_gateways=self._follow_gateways,
        )
        self._gateway_watches = GatewayWatches(self._controller, self._build_reflector, self._spawn)
        self._reflectors = [
            self._build_reflector(namespace, sink)
            for namespace, sink in self._controller.build_sinks()
        ]
        """Those that are there all the time."""

    async def start(self) -> None:
        """Listen and begin to watch; returns before the caches are synced. Raises OSError."""
        await self._server.start(self.settings.bind, self.settings.metrics_port)
        self.metric.collect_with(self._collect)
        for reflector in self._reflectors:
            self._spawn(f"watch of {reflector.resource.plural}", reflector.run())
        self._spawn("events", self._events.run())
        self._spawn("heartbeat", self._heartbeat.run())
        self._spawn("holds", measure_holds(self._clock, self.metric.observe_hold))
        self._spawn("controller", self._run())

    async def stop(self) -> None:
        """End within a few seconds: nothing new is picked up, requests under way may finish."""
        await self._controller.stop(STOP_GRACE_S)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close()
        await self._server.stop()

    # What kopf tells.

    def listen(self) -> None:
        """Know that kopf begins, for the first time or again."""
        self._heard.clear()

    def ring(self, resource: Resource, metadata: Mapping[str, Any]) -> None:
        """Take from kopf that an object of ours has changed: its watch must show that soon."""
        self._heard.add(resource)
        places = {EVERYWHERE, metadata.get("namespace", "")}
        for reflector in self._reflectors:
            if reflector.resource == resource and reflector.namespace in places:
                reflector.poke(metadata["resourceVersion"])

    def find_silence(self) -> str:
        """Name the kind of which there is something and kopf has told nothing; empty when none."""
        for store in self._controller.cluster.stores.values():
            if len(store) and store.resource not in self._heard:
                return store.resource.plural
        return ""

    # What probes ask.

    def find_unready(self) -> str:
        """Say what is lacking before policies are worked on; empty when nothing is."""
        for reflector in self._reflectors:
            if not reflector.synced.is_set():
                error = f" ({reflector.last_error})" if reflector.last_error else ""
                return f"waiting for the first list of {reflector.resource.plural}{error}"
        return self._waiting_for

    def find_unhealthy(self) -> str:
        """Say why only a restart helps; empty when the process is well."""
        if self.failure.done():
            return self.failure.result()
        if lag := self._heartbeat.find_lag():
            return lag
        now = self._clock()
        for reflector in self._list_reflectors():
            if now - reflector.last_event > WATCH_DEAD_S:
                return f"no sign of life of the watch of {reflector.resource.plural}"
        return ""

    def _list_reflectors(self) -> list[Reflector]:
        return [*self._reflectors, *self._gateway_watches.reflectors]

    def _build_reflector(self, namespace: str, sink: CacheSink[Any, Any]) -> Reflector:
        return Reflector(
            self._transport,
            sink.resource,
            sink,
            namespace=namespace,
            peers=self._peers,
            timing=TIMING,
            on_restart=self._on_restart,
        )

    # Tasks.

    async def _run(self) -> None:
        _warm_up()
        for reflector in self._reflectors:
            await reflector.synced.wait()
        await self._wait_for_kind()
        await self._read_mesh()
        await self._wait_for_kopf()
        if not self.settings.namespaces and len(self._controller.cluster.gateways):
            # Before the first statuses: they would report that isolation is lost.
            await self._read_admission()
        self._controller.start()
        self._waiting_for = ""
        logger.info("ready: every cache is synced")
        self._spawn("resync", self._resync())
        self._spawn("orphans", self._delete_orphans())
        if not self.settings.namespaces:
            self._spawn("admission", self._watch_admission())
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self._read_mesh()

    async def _wait_for_kind(self) -> None:
        """Wait until the API server serves policies."""
        while any(
            reflector.resource == POLICIES and reflector.state is ReflectorState.MISSING
            for reflector in self._reflectors
        ):
            if self._waiting_for != NO_KIND:
                self._waiting_for = NO_KIND
                logger.warning("not ready: %s", NO_KIND)
            await asyncio.sleep(POLL_S)

    async def _wait_for_kopf(self) -> None:
        """Wait until kopf has told of each kind of which there is something.

        Its handlers are what makes this an operator of kopf's: without them nothing is written.
        """
        while silent := self.find_silence():
            self._waiting_for = f"waiting for kopf's first event of {silent}"
            await asyncio.sleep(POLL_S)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat.spread(self.settings.resync))
            self._controller.resync()

    async def _delete_orphans(self) -> None:
        while True:
            await asyncio.sleep(ORPHANS_S)
            await self._controller.delete_orphans()

    async def _watch_admission(self) -> None:
        """Look now and again, while there is a gateway that asks for it."""
        while True:
            await self._has_gateways.wait()
            await self._read_admission()
            missing = bool(self._controller.cluster.admission.problem)
            await asyncio.sleep(MISSING_RETRY_S if missing else ADMISSION_S)

    async def _read_admission(self) -> None:
        admission = await read_admission(self._transport)
        if admission is not None:
            self._controller.observe_admission(admission)

    async def _read_mesh(self) -> None:
        mesh = await read_mesh(self._transport, self.settings)
        if mesh is not None:
            self._controller.change_settings(build_compiler_settings(self.settings, mesh))

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.add(task)
        return task

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        line = f"{task.get_name()} ended: {error}"
        logger.error(line, exc_info=error)
        if not self.failure.done():
            self.failure.set_result(line)

    # Hooks.

    def _is_missing(self, kind: Kind) -> bool:
        return any(
            reflector.state is ReflectorState.MISSING for reflector in self._select_reflectors(kind)
        )

    def _doubt(self, kind: Kind) -> None:
        for reflector in self._select_reflectors(kind):
            reflector.doubt()

    def _select_reflectors(self, kind: Kind) -> list[Reflector]:
        resource = RESOURCES[kind]
        return [reflector for reflector in self._reflectors if reflector.resource == resource]

    def _follow_gateways(self) -> None:
        self._gateway_watches.follow()
        if len(self._controller.cluster.gateways):
            self._has_gateways.set()
        else:
            self._has_gateways.clear()

    def _on_restart(self, resource: Resource, reason: RestartReason) -> None:
        self.metric.count_watch_restart(resource.plural, str(reason))

    def _on_request(self, verb: str, resource: Resource, code: int) -> None:
        if verb in WRITE_VERBS:
            kind = KIND_NAMES.get(resource, "Event")
            self.metric.count_write(kind, verb, code)
        if code in {0, 502, 503}:
            self._degraded = True
        elif self._degraded:
            self._degraded = False
            self._controller.resume()

    def _collect(self) -> Iterable[GaugeMetricFamily]:
        controller = self._controller
        for store in controller.cluster.stores.values():
            name, counts = store.resource.plural.removeprefix("egress"), store.count_conditions()
            text = f"{name.title()} by condition and its status."
            yield build_gauge(name, text, ("condition", "status"), counts.items())
        yield build_gauge(
            "hosts",
            "Hosts that policies claim, in all namespaces.",
            (),
            [((), controller.planner.count_hosts())],
        )
        expiry = controller.planner.find_next_expiry()
        yield build_gauge(
            "next_expiry_timestamp_seconds",
            "When a policy expires next, in Unix time; absent if none does.",
            (),
            [] if expiry is None else [((), expiry)],
        )
        yield build_gauge(
            "objects",
            "Istio objects that the operator keeps.",
            ("kind",),
            [
                ((str(kind),), float(count))
                for kind, count in controller.cluster.objects.count().items()
            ],
        )
        load = controller.load
        for name, text, count in (
            ("queue_depth", "Keys that are ready and wait for a worker.", load.ready),
            ("queue_busy", "Keys that are being worked on.", load.busy),
            ("queue_waiting", "Keys in a settle wait or in back-off.", load.waiting),
        ):
            yield build_gauge(name, text, (), [((), count)])
        offset = time.time() - self._clock()
        seen: dict[str, float] = {}
        for reflector in self._list_reflectors():
            plural = reflector.resource.plural
            seen[plural] = min(seen.get(plural, float("inf")), reflector.last_event)
        yield build_gauge(
            "watch_last_event_timestamp_seconds",
            "When a watch last gave a sign of life, in Unix time.",
            ("resource",),
            [((plural,), offset + at) for plural, at in seen.items()],
        )


def _warm_up() -> None:
    """Compile a policy for nobody, and read the rules: the first use of the models takes 50 ms."""
    read_rules()
    spec = {"destinations": [{"hosts": ["example.com"]}]}
    source = PolicySource(namespace="", name="", uid="", generation=1, created="", spec=spec)
    plan_namespace(NamespaceInput("", (source,)))
