"""Runs the operator until it is told to stop: `egressctl run`.

kopf ends itself on some errors of a watch; here it is started again, while everything else goes on.
"""

import asyncio
import logging
import os
import signal
import threading
from enum import Enum, auto

import uvloop

from egress_operator import __version__
from egress_operator.runtime.collection import set_up_collection
from egress_operator.runtime.log import set_up_log
from egress_operator.runtime.server import find_unusable
from egress_operator.runtime.settings import Settings, find_unknown
from egress_operator.runtime.shell import EXIT_LIMIT_S, Shell, register
from egress_operator.runtime.slim import kopf
from egress_operator.runtime.storage import NoMemories
from egress_operator.runtime.watch import TasksOfOthers, collect_streams, end_watches

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""The first is Kubernetes', the second that of Ctrl-C."""
RESTART_FIRST_S = 0.5
RESTART_LAST_S = 10.0
LOOK_S = 1.0
"""How often it is looked whether kopf tells what it should; only memory is looked at."""
STEADY_S = 60.0
"""After so long a run the next restart begins with the first pause again."""


class End(Enum):
    """Why a run has ended."""

    ASKED = auto()
    """By SIGTERM or SIGINT."""
    UNUSABLE = auto()
    """A setting cannot be used; the log says which, and how to fix it."""
    UNREACHABLE = auto()
    """There is no way to the cluster; the log says why."""
    FAILED = auto()
    """Something that must run for ever has ended: a bug; the log says which."""


class Stop:
    """Notes SIGTERM and SIGINT. After one of them there is a time limit for the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked = asyncio.Event()
        self.timer = threading.Timer(EXIT_LIMIT_S, _end_hard, (loop,))
        self.timer.daemon = True
        self._loop = loop
        self.listen()

    def listen(self) -> None:
        """Handle the signals here, whoever has handled them since."""
        for number in STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._note, number)

    def _note(self, number: signal.Signals) -> None:
        if not self.asked.is_set():
            logger.info("%s: stopping", number.name)
            self.asked.set()
            _hold_back_signals()
            self.timer.start()


def run(settings: Settings) -> End:
    """Run the operator until SIGTERM or SIGINT, or until it cannot start."""
    set_up_log(settings.log_format, settings.log_level)
    for name in find_unknown(os.environ):
        logger.warning("%s is no setting and has no effect", name)
    logger.info("egress-operator %s", __version__)
    set_up_collection()
    return uvloop.run(_supervise(settings))


async def _supervise(settings: Settings) -> End:
    stop = Stop(asyncio.get_running_loop())
    await _start_threads()
    shell = Shell(settings)
    shell.outlives_kopf = True
    try:
        # Said here, for kopf would say it in the middle of its start and in words of its own.
        if unusable := await find_unusable(settings):
            logger.critical(unusable)
            return End.UNUSABLE
        return await _keep_kopf(shell, stop)
    finally:
        await _stop_operator(shell)
        stop.timer.cancel()


async def _keep_kopf(shell: Shell, stop: Stop) -> End:
    """Start kopf again whenever it ends, until there is a reason to end."""
    pause = RESTART_FIRST_S
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        reason = await _run_kopf(shell, stop)
        if stop.asked.is_set():
            logger.info("stopped")
            return End.ASKED
        if shell.fatal:
            logger.critical(shell.fatal)
            return End.UNREACHABLE
        if shell.operator is not None and shell.operator.failure.done():
            logger.critical(shell.operator.failure.result())
            return End.FAILED
        if clock() - started > STEADY_S:
            pause = RESTART_FIRST_S
        logger.warning("kopf is started again in %.1f s: %s", pause, reason)
        try:
            async with asyncio.timeout(pause):
                await stop.asked.wait()
        except TimeoutError:
            pause = min(pause * 2, RESTART_LAST_S)
        else:
            return End.ASKED


async def _run_kopf(shell: Shell, stop: Stop) -> str:
    """Run kopf until it ends, or must end; say why, in one line.

    What runs beside it is stopped at the same time, unless it is kopf alone that ends.
    """
    registry = kopf.OperatorRegistry()
    register(shell, registry)
    end = asyncio.Event()
    namespaces = shell.settings.namespaces
    reason = "it ended"
    with collect_streams() as streams:
        tasks = await kopf.spawn_tasks(
            registry=registry,
            memories=NoMemories(),
            settings=kopf.OperatorSettings(),
            namespaces=namespaces,
            clusterwide=not namespaces,
            standalone=True,
            liveness_endpoint=_build_liveness_url(shell.settings),
            stop_flag=end,
        )
        # kopf has put its own handlers in place; those raise at the second signal.
        stop.listen()
        runner = asyncio.create_task(kopf.run_tasks(tasks, ignored=TasksOfOthers()))
        silence = asyncio.create_task(_wait_for_silence(shell))
        failure = asyncio.create_task(_wait_for_failure(shell))
        asked = asyncio.create_task(stop.asked.wait())
        try:
            # As soon as one of kopf's own tasks ends, the others are to follow; the flag ends the
            # task that kopf would otherwise wait for in vain.
            await asyncio.wait(
                {runner, silence, failure, asked, *tasks}, return_when=asyncio.FIRST_COMPLETED
            )
            if asked.done() or failure.done():
                await _stop_operator(shell)
            if silence.done():
                reason = silence.result()
            end.set()
            await asyncio.wait(tasks)
            await end_watches(streams)
            await runner
        except Exception as error:  # noqa: BLE001 - whatever ends kopf, it is started again
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        finally:
            for watcher in (silence, failure, asked):
                watcher.cancel()
    return reason


async def _stop_operator(shell: Shell) -> None:
    if shell.operator is not None:
        await shell.operator.stop()


def _build_liveness_url(settings: Settings) -> str:
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    return f"http://{host}:{settings.health_port}/healthz"


async def _wait_for_failure(shell: Shell) -> None:
    await shell.begun.wait()
    if shell.operator is not None:
        await asyncio.shield(shell.operator.failure)


async def _wait_for_silence(shell: Shell) -> str:
    """Return when kopf does not tell what it should, and say of which kind."""
    while True:
        await asyncio.sleep(LOOK_S)
        if silence := shell.find_silence():
            return silence


def _end_hard(loop: asyncio.AbstractEventLoop) -> None:
    """End the process although something in it does not end, and say what that is."""
    running = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(loop)))
    os.write(2, f"not stopped in time: ended hard; still running: {running}\n".encode())
    os._exit(1)


async def _start_threads() -> None:
    """Start the threads of the event loop, which outlive it, with the signals held back in them.

    Else a signal that comes after the loop is closed would end the process in one of them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", None)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _hold_back_signals() -> None:
    """Keep one more signal from ending the process before it has ended by itself.

    asyncio takes its handlers away when the loop is closed; from then until the process is gone,
    a signal would end it with that signal's own code. Call it in the main thread: threads started
    later hold them back too, those started earlier end with the loop, or see `_start_threads`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
