"""Where kopf and the operator meet: the handlers, and how kopf is set.

kopf starts and stops the rest, logs in, and answers the liveness probe. It watches policies and
EgressGateways too, but only as a bell: its handlers say that something has changed, and the watches
of the operator must show it soon. Without the handlers nothing is reconciled. kopf's state
handlers, timers, daemons and finalizers are not used: they write into users' objects.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import aiohttp

from egress_operator.engine.connector import Connector
from egress_operator.engine.credential import load_credentials
from egress_operator.engine.failure import CredentialError
from egress_operator.engine.resource import Resource
from egress_operator.reconcile.kinds import OWN_KINDS
from egress_operator.runtime.metric import Metric
from egress_operator.runtime.operator import PAGE, Operator
from egress_operator.runtime.settings import Settings
from egress_operator.runtime.slim import kopf
from egress_operator.runtime.storage import NoDiffBase, NoProgress

if TYPE_CHECKING:
    from egress_operator.engine.credential import Credentials

logger = logging.getLogger(__name__)

DOMAIN = "egress-operator.io"
LOGIN_PAUSE_S = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Before the next login, by logins in a row: a refused token must not become a hot loop."""
LOGIN_MEMORY_S = 60.0
SILENCE_S = 20.0
"""What the operator's own watch has brought kopf must have seen after this long."""
EXIT_LIMIT_S = 4.5
"""After a signal; then the process is ended hard. Kubernetes waits for 30 s by default."""


class Shell:
    """What the handlers share. One per `kopf.operator`."""

    def __init__(self, settings: Settings, metric: Metric | None = None) -> None:
        self.settings = settings
        self._metric = metric or Metric()
        self.outlives_kopf = False
        """Whether somebody else stops what runs beside kopf: kopf may end and be started again."""
        self.exit_limit: float | None = None
        """When kopf is to kill the process that does not end; None: somebody else sees to it."""
        self.operator: Operator | None = None
        self.begun = asyncio.Event()
        """`operator` is there."""
        self.fatal = ""
        """Why the start failed, in one line."""
        self._silent_since = 0.0
        self._credentials: Credentials | None = None
        self._logins = 0
        self._login_at = float("-inf")

    async def start(self, settings: kopf.OperatorSettings, **_: object) -> None:
        """Set kopf up, and start everything else if it does not run yet."""
        set_up_kopf(settings)
        settings.process.ultimate_exiting_timeout = self.exit_limit
        self._silent_since = asyncio.get_running_loop().time()
        if self.operator is not None:
            self.operator.listen()
            return
        try:
            credentials = await load_credentials(self.settings.kubeconfig, self.settings.context)
            self._credentials = credentials
            self.operator = Operator(self.settings, self._metric, credentials)
            self.begun.set()
            await self.operator.start()
        except (CredentialError, OSError) as error:
            self.fatal = " ".join(str(error).split())
            raise kopf.PermanentError(self.fatal) from error

    async def stop(self, **_: object) -> None:
        """Stop everything else, unless it is to outlive kopf."""
        if self.operator is not None and not self.outlives_kopf:
            await self.operator.stop()
        _cancel_requests_of_kopf()

    async def login(self, **_: object) -> kopf.AiohttpSession:
        """Give kopf a session that logs in like everything else, renewed tokens included."""
        credentials = self._credentials
        if credentials is None:
            raise kopf.PermanentError("not started")
        now = asyncio.get_running_loop().time()
        self._logins = self._logins + 1 if now - self._login_at < LOGIN_MEMORY_S else 0
        await asyncio.sleep(LOGIN_PAUSE_S[min(self._logins, len(LOGIN_PAUSE_S) - 1)])
        self._login_at = asyncio.get_running_loop().time()
        login = await credentials.login()

        async def authorize(
            request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            authorization = (await credentials.login()).authorization
            if authorization:
                request.headers["Authorization"] = authorization
            return await send(request)

        session = aiohttp.ClientSession(
            connector=Connector(limit=0, ssl=login.ssl_context or True),
            middlewares=(authorize,),
            proxy=login.proxy,
        )
        return kopf.AiohttpSession(aiohttp_session=session, server=login.server)

    async def see(self, resource: kopf.Resource, meta: Mapping[str, object], **_: object) -> None:
        """Tell that an object of ours was listed, added, modified or deleted."""
        if self.operator is not None:
            seen = Resource(resource.group, resource.version, resource.plural)
            self.operator.ring(seen, meta)

    def find_silence(self) -> str:
        """Say of which kind kopf tells nothing though there is something; empty when of none.

        It reads which kinds are served only when it starts, so it has to be started again then.
        """
        silent = "" if self.operator is None else self.operator.find_silence()
        now = asyncio.get_running_loop().time()
        if not silent:
            self._silent_since = now
        return f"kopf tells nothing of {silent}" if now - self._silent_since > SILENCE_S else ""

    async def probe(self, **_: object) -> str:
        """Answer the liveness probe; an error makes it 500."""
        unhealthy = "not started" if self.operator is None else self.operator.find_unhealthy()
        if not unhealthy and not self.outlives_kopf:
            unhealthy = self.find_silence()
        if unhealthy:
            raise kopf.PermanentError(unhealthy)
        return "ok"


def _cancel_requests_of_kopf() -> None:
    """Cancel what kopf leaves behind when it is stopped while the API server is away.

    It starts the requests of its discovery as tasks, forgets them when it is cancelled,
    and then waits five seconds for them.
    """
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and "/kopf/_cogs/clients/" in code.co_filename.replace(os.sep, "/"):
            task.cancel()


class _Backoffs:
    """Pauses of kopf's requests: short, and without an end, for an API server comes back.

    kopf's own list ends after a minute, and then the process; its last pauses are 13 and 21 s.
    """

    def __iter__(self) -> Iterator[float]:
        """Begin again for each request."""
        return itertools.chain((0.1, 0.2, 0.5, 1.0), itertools.repeat(2.0))


def set_up_kopf(settings: kopf.OperatorSettings) -> None:
    """Set everything of kopf that matters here, its defaults included."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.execution.default_backoff = 5.0
    # Nothing is ever written into users' objects; the name is ours all the same.
    settings.persistence.finalizer = f"{DOMAIN}/finalizer"
    settings.persistence.progress_storage = NoProgress()
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = None
    settings.watching.connect_timeout = 3.0
    settings.watching.reconnect_backoff = 0.1
    # The API server sends a bookmark each minute.
    settings.watching.inactivity_timeout = 90.0
    settings.watching.chunk_size = PAGE
    # kopf would watch CRDs, to notice that a kind comes. The operator notices, see `find_silence`.
    settings.scanning.disabled = True
    # kopf keeps a task for each object that it has just seen: few, and not for long.
    settings.queueing.worker_limit = 32
    settings.queueing.idle_timeout = 0.01
    settings.queueing.exit_timeout = 0.5
    settings.queueing.error_delays = (0.1, 1.0, 5.0)
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 3.0
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.enforce_retry_after = False
    settings.networking.trust_env = False


def register(shell: Shell, registry: kopf.OperatorRegistry) -> None:
    """Add the handlers of one operator to a registry of kopf."""
    kopf.on.startup(registry=registry, id="start")(shell.start)
    kopf.on.cleanup(registry=registry, id="stop")(shell.stop)
    kopf.on.login(registry=registry, id="login")(shell.login)
    kopf.on.probe(registry=registry, id="operator")(shell.probe)
    for kind, row in OWN_KINDS.items():
        # Roles in single namespaces cannot grant to watch a kind without namespaces.
        if row.namespaced or not shell.settings.namespaces:
            at = row.resource
            kopf.on.event(at.group, at.version, at.plural, registry=registry, id=kind)(shell.see)
