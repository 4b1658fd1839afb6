"""Where the API server is and how to log in: kubeconfig or the pod's service account."""

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from egress_operator.engine.failure import CredentialError
from egress_operator.engine.tls import create_context

_TOKEN_AGE = 60.0
"""Seconds after which the service account's files are read again; the kubelet renews the token
long before it expires."""
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Login:
    """What one request needs. Its repr never shows the token."""

    server: str
    """Base URL without a slash at the end."""
    ssl_context: ssl.SSLContext | None
    """None for a plain http server."""
    authorization: str = field(default="", repr=False)
    """Value of the Authorization header, empty for client certificates."""
    server_hostname: str | None = None
    """The name to check in the server's certificate, if not the URL's."""
    proxy: str | None = field(default=None, repr=False)


class Credentials:
    """A valid Login at any time, from a blocking `load` in a thread: files, or a plugin's program.

    Both methods raise CredentialError. A login older than `max_age` seconds is loaded again;
    infinite means only after a 401.
    """

    def __init__(self, load: Callable[[], Login], max_age: float = float("inf")) -> None:
        self._load = load
        self._max_age = max_age
        self._login: Login | None = None
        self._loaded_at = 0.0
        self._lock = asyncio.Lock()

    async def login(self) -> Login:
        """Return the present login; cheap, called before every request."""
        if self._login is not None and not self._is_old():
            return self._login
        async with self._lock:
            if self._login is not None and not self._is_old():
                return self._login
            return await self._reload()

    async def refresh(self) -> Login:
        """Load again after a 401; concurrent calls share one load."""
        before = self._login
        async with self._lock:
            # Whoever held the lock may have done the work.
            if self._login is not None and self._login is not before:
                return self._login
            return await self._reload()

    def _is_old(self) -> bool:
        return asyncio.get_running_loop().time() - self._loaded_at > self._max_age

    async def _reload(self) -> Login:
        try:
            login = await asyncio.to_thread(self._load)
        except CredentialError:
            if self._login is None:
                raise
            # A file that is being replaced: the old login may still do, a 401 tells otherwise.
            login = self._login
        self._loaded_at = asyncio.get_running_loop().time()
        self._login = login
        return login


async def load_credentials(kubeconfig: str = "", context: str = "") -> Credentials:
    """Log in by the kubeconfig if one is given or there, else by the pod's service account.

    Order: `kubeconfig`, $KUBECONFIG, the service account when $KUBERNETES_SERVICE_HOST is set,
    ~/.kube/config. `context` names one of the kubeconfig; empty means its current one.
    Raises CredentialError. Nothing is sent to the API server yet.
    """
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not named and not context and host:
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        credentials = build_account_credentials(host, port)
    else:
        from egress_operator.engine.kubeconfig import load_kubeconfig  # noqa: PLC0415  lazy: YAML

        path = named or str(Path.home() / ".kube" / "config")
        credentials = Credentials(lambda: load_kubeconfig(path, context))
    await credentials.login()
    return credentials


def build_account_credentials(host: str, port: str, directory: Path | None = None) -> Credentials:
    """Log in by a service account's `token` and `ca.crt`, read again at most every 60 s.

    Made by hand, so that the `kubernetes` library (0.3 s of CPU, 12 MiB) is not loaded.
    """
    directory = directory or _ACCOUNT
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    contexts: dict[str, ssl.SSLContext] = {}

    def load() -> Login:
        try:
            token = (directory / "token").read_text(encoding="ascii").strip()
            authority = (directory / "ca.crt").read_text(encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise CredentialError(
                f"the service account's files in {directory} cannot be read ({error}); "
                "set automountServiceAccountToken: true, or give a kubeconfig"
            ) from error
        if not token:
            raise CredentialError(f"the service account's token in {directory} is empty")
        if authority not in contexts:
            # The same context object as long as the authority is the same: connections are kept.
            contexts.clear()
            try:
                contexts[authority] = create_context(authority)
            except ssl.SSLError as error:
                raise CredentialError(f"{directory}/ca.crt holds no certificate") from error
        return Login(server, contexts[authority], f"Bearer {token}")

    return Credentials(load, _TOKEN_AGE)
