"""The operator's metrics. Labels have few values: no host or policy names, no namespaces."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from egress_operator import __version__

PREFIX = "egress_operator"

disable_created_metrics()  # type: ignore[no-untyped-call]
"""A second series for each counter, with its time of birth: nothing here needs it."""
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metric:
    """Every metric of the operator in a registry. Implements `reconcile.dependencies.Metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "reconcile",
            "Attempts to bring the objects of one host to the desired state.",
            ["result"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self._duration = Histogram(
            "reconcile_duration_seconds",
            "Time that one attempt took, requests included, waiting excluded.",
            namespace=PREFIX,
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._plan = Histogram(
            "plan_seconds",
            "Time of the longest slice of a plan; nothing else is done then.",
            namespace=PREFIX,
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._hold = Histogram(
            "loop_hold_seconds",
            "How late the event loop turned to a timer of 25 ms; nothing else was done then.",
            namespace=PREFIX,
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._writes = Counter(
            "writes",
            "Answered writes to the API server; code 0 means no answer.",
            ["kind", "verb", "code"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self._drift = Counter(
            "drift_corrections",
            "Objects repaired because somebody else had changed or deleted them.",
            ["kind"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self._restarts = Counter(
            "watch_restarts",
            "Watches that began again, by cause.",
            ["resource", "reason"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self._unreadable = Counter(
            "unreadable_objects",
            "Objects that the operator could not read; each counts as one that says nothing.",
            ["resource"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self._scrape = _Scrape()
        self.registry.register(self._scrape)
        Gauge(
            "build_info",
            "Always 1; the label carries the version.",
            ["version"],
            namespace=PREFIX,
            registry=self.registry,
        ).labels(__version__).set(1)

    def count_write(self, kind: str, verb: str, code: int) -> None:
        """Count one answered write."""
        self._writes.labels(kind, verb, str(code)).inc()

    def count_drift(self, kind: str) -> None:
        """Count one repaired object."""
        self._drift.labels(kind).inc()

    def count_reconcile(self, result: str, seconds: float) -> None:
        """Count one attempt at a host."""
        self._reconciles.labels(result).inc()
        self._duration.observe(seconds)

    def observe_plan(self, seconds: float) -> None:
        """Take the time of the longest slice of one plan."""
        self._plan.observe(seconds)

    def observe_hold(self, seconds: float) -> None:
        """Take by how much the event loop was late."""
        self._hold.observe(seconds)

    def count_unreadable(self, resource: str) -> None:
        """Count one object that cannot be read."""
        self._unreadable.labels(resource).inc()

    def count_watch_restart(self, resource: str, reason: str) -> None:
        """Count one watch that began again."""
        self._restarts.labels(resource, reason).inc()

    def collect_with(self, collect: Callable[[], Iterable[GaugeMetricFamily]]) -> None:
        """Have `collect` asked for its gauges on each scrape: they are read off the caches.

        It takes the place of an earlier one: counts outlive a restart of everything else.
        """
        self._scrape.collect_gauges = collect


class _Scrape(Collector):
    collect_gauges: Callable[[], Iterable[GaugeMetricFamily]] = tuple

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read the gauges off the caches."""
        return self.collect_gauges()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: else the registry would collect before the caches exist."""
        return ()


def build_gauge(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    """Make a gauge of (label values, value) pairs."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family
