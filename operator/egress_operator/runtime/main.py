"""Runs the operator until it is told to stop: `egressctl run`.

kopf ends itself on some errors of a watch; here it is started again, with everything else, in the
same process.
"""

import asyncio
import gc
import logging
import os
import signal
import threading
from enum import Enum, auto

from egress_operator import __version__
from egress_operator.reconcile.resource import POLICIES
from egress_operator.runtime.log import set_up_log
from egress_operator.runtime.metric import Metric
from egress_operator.runtime.server import find_unusable
from egress_operator.runtime.settings import Settings, find_unknown
from egress_operator.runtime.shell import (
    EXIT_LIMIT_S,
    STOP_SIGNALS,
    Shell,
    hold_back_signals,
    register,
)
from egress_operator.runtime.slim import kopf
from egress_operator.runtime.watch import Streams, collect_streams, end_watches

logger = logging.getLogger(__name__)

RESTART_FIRST_S = 0.5
RESTART_LAST_S = 10.0
STEADY_S = 60.0
"""After so long a run the next restart begins with the first pause again."""


class End(Enum):
    """Why a run has ended."""

    ASKED = auto()
    """By SIGTERM or SIGINT."""
    UNUSABLE = auto()
    """A setting cannot be used; the log says which, and how to mend it."""
    UNREACHABLE = auto()
    """There is no way to the cluster; the log says why."""


def run(settings: Settings) -> End:
    """Run the operator until SIGTERM or SIGINT, or until it cannot start."""
    set_up_log(settings.log_format, settings.log_level)
    for name in find_unknown(os.environ):
        logger.warning("%s is no setting and has no effect", name)
    logger.info("egress-operator %s", __version__)
    # Modules live as long as the process: no collection is to walk over them, 50 ms each time.
    gc.freeze()
    return asyncio.run(_supervise(settings))


async def _supervise(settings: Settings) -> End:
    stop = asyncio.Event()
    _listen_to_signals(stop)
    pause = RESTART_FIRST_S
    metric = Metric()
    clock = asyncio.get_running_loop().time
    while True:
        # Said here, for kopf would say it in the middle of its start and in words of its own.
        if unusable := await find_unusable(settings):
            logger.critical(unusable)
            return End.UNUSABLE
        started = clock()
        shell = Shell(settings, metric)
        reason = await _run_once(shell, stop)
        if stop.is_set():
            logger.info("stopped")
            return End.ASKED
        if shell.fatal:
            logger.critical(shell.fatal)
            return End.UNREACHABLE
        if clock() - started > STEADY_S:
            pause = RESTART_FIRST_S
        metric.count_watch_restart(POLICIES.plural, "crash")
        logger.error("restarted in %.1f s: %s", pause, reason)
        try:
            async with asyncio.timeout(pause):
                await stop.wait()
        except TimeoutError:
            pause = min(pause * 2, RESTART_LAST_S)
        else:
            return End.ASKED


async def _run_once(shell: Shell, stop: asyncio.Event) -> str:
    """Run kopf and all that its handlers start until it ends; say why, in one line."""
    with collect_streams() as streams:
        return await _run_kopf(shell, stop, streams)


async def _run_kopf(shell: Shell, stop: asyncio.Event, streams: Streams) -> str:
    registry = kopf.OperatorRegistry()
    register(shell, registry)
    end = asyncio.Event()
    mine = asyncio.all_tasks()
    namespaces = shell.settings.namespaces
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf.OperatorSettings(),
        namespaces=namespaces,
        clusterwide=not namespaces,
        standalone=True,
        liveness_endpoint=_build_liveness_url(shell.settings),
        stop_flag=end,
    )
    # kopf has put its own handlers in place; those raise at the second signal.
    _listen_to_signals(stop)
    runner = asyncio.create_task(kopf.run_tasks(tasks, ignored=mine))
    watchers = [
        asyncio.create_task(stop.wait()),
        asyncio.create_task(_wait_for_failure(shell)),
    ]
    mine |= {runner, *watchers}
    reason = "kopf ended"
    timer = threading.Timer(EXIT_LIMIT_S, _end_hard, (asyncio.get_running_loop(),))
    timer.daemon = True
    try:
        # As soon as one of kopf's own tasks ends, the others are to follow; the flag ends the task
        # that kopf would otherwise wait for in vain.
        await asyncio.wait({runner, *watchers, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        end.set()
        timer.start()
        await asyncio.wait(tasks)
        await end_watches(mine, streams)
        await runner
    except Exception as error:  # noqa: BLE001 - whatever ends kopf, it is started again
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()
    if shell.operator is not None and shell.operator.failure.done():
        reason = shell.operator.failure.result()
    return reason


def _build_liveness_url(settings: Settings) -> str:
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    return f"http://{host}:{settings.health_port}/healthz"


async def _wait_for_failure(shell: Shell) -> None:
    await shell.begun.wait()
    if shell.operator is not None:
        await asyncio.shield(shell.operator.failure)


def _listen_to_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        if not stop.is_set():
            logger.info("%s: stopping", number.name)
            stop.set()
            hold_back_signals()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, end, number)


def _end_hard(loop: asyncio.AbstractEventLoop) -> None:
    """End the process although something in it does not end, and say what that is."""
    running = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(loop)))
    os.write(2, f"not stopped in time: ended hard; still running: {running}\n".encode())
    os._exit(1)
