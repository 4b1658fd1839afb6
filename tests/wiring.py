"""A controller beside a stand-in for everything outside. No API server is needed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import CacheSink
from egress_operator.plan.source import Settings
from egress_operator.reconcile.controller import Controller
from egress_operator.reconcile.dependencies import Dependencies

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of day when the clock of the loop is at 0."""


class Ignorant:
    """Stands for what may be told anything, such as metrics and events."""

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - whatever is called
        return lambda *_: None


@dataclass(frozen=True)
class Wired:
    """A controller, with the sinks that feed it by what they take."""

    controller: Controller
    dependencies: Dependencies
    sinks: dict[Resource, CacheSink[Any, Any]]


def wire(
    outside: Any,  # noqa: ANN401 - stands for the transport and, if it takes that, metrics and events
    *,
    told: Any = None,  # noqa: ANN401 - stands for metrics and events
    clock: Callable[[], float] | None = None,
    now: Callable[[], datetime] | None = None,
    settings: Settings | None = None,
    **options: Any,  # noqa: ANN401 - as of Controller
) -> Wired:
    """Make a controller in the running loop; feed the sinks, then start it."""
    loop_time = clock or asyncio.get_running_loop().time
    told = outside if told is None else told
    dependencies = Dependencies(
        transport=outside,
        metrics=told,
        events=told,
        clock=loop_time,
        now=now or (lambda: ORIGIN + timedelta(seconds=loop_time())),
    )
    controller = Controller(dependencies, settings=settings or Settings(), **options)
    sinks = {sink.resource: sink for _, sink in controller.build_sinks()}
    return Wired(controller, dependencies, sinks)
