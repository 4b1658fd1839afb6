"""Logging in by a kubeconfig: files are merged as kubectl does it.

What stands in the files is read here: a token, a client certificate, a name and a password.
Plugins (`exec`, `auth-provider`) are left to the `kubernetes` library: it takes 0.3 s and 12 MiB.
"""

import base64
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import yaml

from egress_operator.engine.credential import Login
from egress_operator.engine.failure import CredentialError
from egress_operator.engine.tls import create_context

_PLUGINS = ("exec", "auth-provider")


class _Entry(NamedTuple):
    """A cluster, a user or a context. Files that it names are relative to `directory`."""

    value: Mapping[str, Any]
    directory: Path

    def read(self, key: str) -> bytes:
        """Return what stands in `<key>-data` in base64, else in the file `<key>`, else nothing."""
        if data := self.value.get(f"{key}-data"):
            return base64.b64decode("".join(data.split()), validate=True)
        return self.read_file(key)

    def read_file(self, key: str) -> bytes:
        """Return what stands in the file `key`; nothing when none is named."""
        name = self.value.get(key)
        return (self.directory / name).read_bytes() if name else b""


_NOBODY = _Entry({}, Path())


class _Kubeconfig(NamedTuple):
    """The files that exist, in their order: the first one that says something counts."""

    files: tuple[tuple[Path, Mapping[str, Any]], ...]

    @property
    def current_context(self) -> str:
        """The name of the current context; empty when none is set."""
        names = (document.get("current-context") for _, document in self.files)
        return str(next(filter(None, names), ""))

    def find(self, kind: str, name: object) -> _Entry:
        """Return the cluster, user or context of that name. Raises _UnusableError."""
        for path, document in self.files:
            for item in document.get(f"{kind}s") or ():
                if item["name"] == name:
                    return _Entry(item.get(kind) or {}, path.parent)
        raise _UnusableError(f"no {kind} has the name {name!r}")


class _UnusableError(Exception):
    """What is wrong with the kubeconfig, in a few words."""


def load_kubeconfig(paths: str, context: str) -> Login:
    """Log in by the kubeconfig `paths`, which may be several files as in KUBECONFIG.

    `context` names one of its contexts; empty means the current one. Blocks: files, plugins.
    Raises CredentialError.
    """
    where = f"context {context} of {paths}" if context else paths
    try:
        return _load(paths, context)
    except _UnusableError as error:
        raise CredentialError(
            f"{where}: {error}; give a kubeconfig by --kubeconfig or KUBECONFIG"
        ) from error
    except ssl.SSLError as error:
        raise CredentialError(f"{where}: a certificate or key cannot be used") from error
    except OSError as error:
        raise CredentialError(f"{where}: a file cannot be read ({error})") from error
    # The file may hold anything: errors of YAML and base64, wrong types. None may reach a user.
    except Exception as error:
        raise CredentialError(
            f"{where} cannot be used as a kubeconfig ({type(error).__name__})"
        ) from error


def _load(paths: str, context: str) -> Login:
    kubeconfig = _read_files(paths)
    name = context or kubeconfig.current_context
    if not name:
        raise _UnusableError("no current-context is set and --context not given")
    chosen = kubeconfig.find("context", name).value
    cluster = kubeconfig.find("cluster", chosen.get("cluster"))
    user = kubeconfig.find("user", chosen["user"]) if chosen.get("user") else _NOBODY
    if any(plugin in user.value for plugin in _PLUGINS):
        user = _ask_plugin(paths, name)
    return _build_login(cluster, user)


def _read_files(paths: str) -> _Kubeconfig:
    files = []
    for path in (Path(name).expanduser() for name in paths.split(os.pathsep) if name):
        if path.exists():
            document = yaml.safe_load(path.read_bytes())
            if not isinstance(document, dict):
                raise _UnusableError(f"{path} is no kubeconfig")
            files.append((path, document))
    if not files:
        raise _UnusableError("there is no such file")
    return _Kubeconfig(tuple(files))


def _build_login(cluster: _Entry, user: _Entry) -> Login:
    server = str(cluster.value.get("server") or "").rstrip("/")
    if not server:
        raise _UnusableError("the cluster has no server")
    return Login(
        server=server,
        ssl_context=_build_tls(cluster, user) if server.startswith("https://") else None,
        authorization=_build_authorization(user),
        server_hostname=cluster.value.get("tls-server-name") or None,
        proxy=cluster.value.get("proxy-url") or None,
    )


def _build_tls(cluster: _Entry, user: _Entry) -> ssl.SSLContext:
    # A bundle may hold comments in any language.
    authority = cluster.read("certificate-authority").decode("ascii", "backslashreplace")
    tls = create_context(authority)
    if cluster.value.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if certificate := user.read("client-certificate"):
        # OpenSSL takes these from a file alone; only the owner can read it, and it is gone at once.
        with NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + user.read("client-key"))
            file.flush()
            tls.load_cert_chain(file.name)
    return tls


def _build_authorization(user: _Entry) -> str:
    # A file that is named beside a token wins, as for kubectl: it is the one that is renewed.
    if token := user.read_file("tokenFile").decode().strip() or user.value.get("token"):
        return f"Bearer {token}"
    if name := user.value.get("username"):
        pair = f"{name}:{user.value.get('password') or ''}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""


def _ask_plugin(paths: str, context: str) -> _Entry:
    """Return the user as if what the plugin gives stood in the file."""
    # Imported here because of what it costs.
    from kubernetes.client import Configuration  # noqa: PLC0415 - see above
    from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415 - see above

    given = Configuration()
    try:
        load_kube_config(  # type: ignore[no-untyped-call]  # the library has no types
            config_file=paths,
            context=context,
            client_configuration=given,
            persist_config=False,
        )
    except ConfigException as error:
        raise _UnusableError(" ".join(str(error).split())[:200]) from error
    authorization = given.get_api_key_with_prefix("BearerToken", "authorization") or ""
    if not authorization.startswith("Bearer ") and not given.cert_file:
        raise _UnusableError("the plugin gave neither a token nor a certificate")
    user = {
        "token": authorization.removeprefix("Bearer "),
        "client-certificate": given.cert_file,
        "client-key": given.key_file,
    }
    return _Entry(user, Path())
