"""etcd, kube-apiserver and, when asked for, kube-controller-manager, on free ports.

Several may run side by side. Nothing is left when it stops, nor when the test process is killed.
"""

import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed import audit, certificate, leash
from testbed.audit import AuditLog
from testbed.client import ApiError, Client, Object
from testbed.crd import install_crds
from testbed.deadline import wait_until
from testbed.identity import request_token
from testbed.kubeconfig import write_kubeconfig
from testbed.port import LOOPBACK, find_free_port, is_open
from testbed.process import Process, start_process
from testbed.program import find_program
from testbed.stoppable import Stoppable

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
"""As every cluster calls it."""
ISTIOD = "istiod"
SUPERUSERS = (ADMIN, CONTROLLER_MANAGER, ISTIOD)
"""Users with all rights; three, so that the audit log tells them apart."""
READY_TIMEOUT_S = 60.0
RESTART_TIMEOUT_S = 60.0
AUDIENCES = "istio-ca,https://kubernetes.default.svc"
# podgc and nodelifecycle delete pods of nodes that do not exist: never add them.
CONTROLLERS = "garbage-collector-controller,namespace-controller,serviceaccount-controller"


@dataclass(frozen=True)
class ControlPlaneOption:
    """What differs between control planes."""

    controller_manager: bool = True
    """Needed for ownerReferences and for the end of namespaces."""
    definitions: Sequence[Object] = field(default=(), repr=False)
    """CustomResourceDefinitions that are there from the start.

    The garbage collector looks for kinds when it starts and then every 30 s: until then it deletes
    nothing of a kind that came later.
    """
    audit: bool = False
    """Log every request without its body, see `ControlPlane.audit`."""
    users: Sequence[str] = ()
    """Names that get a token beside the superusers; they may do nothing until a role says so."""
    apiserver_flags: Sequence[str] = ()
    """For example `--emulated-version=1.33`; later flags win."""


@dataclass
class ControlPlane(Stoppable):
    """A running control plane. `start_control_plane` makes one; it is a context manager."""

    option: ControlPlaneOption
    directory: Path
    """Everything it writes: data, keys, kubeconfig files, logs. Removed by `stop`."""
    url: str
    ca_file: Path
    """The root that signed the API server's certificate."""
    admin_kubeconfig: Path
    admin: Client
    """A client with all rights."""
    audit: AuditLog
    """Empty unless the option `audit` is set."""
    _port: int
    _etcd_url: str
    _tokens: dict[str, str]
    _leash: int
    _processes: dict[str, Process] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The API server's version, such as `v1.36.4`."""
        return str(self.admin.request("GET", "/version")["gitVersion"])

    @property
    def etcd_url(self) -> str:
        """Where etcd answers, without login: its history outlives the API server's."""
        return self._etcd_url

    def client_for(self, user: str) -> Client:
        """Return a client as a superuser or as one of the users of the option."""
        return Client(self.url, self.ca_file, self._token(user))

    def client_as(self, user: str, *groups: str) -> Client:
        """Return a client that acts as any user of these groups, with the rights of those."""
        return Client(self.url, self.ca_file, self._token(ADMIN), user=user, groups=groups)

    def kubeconfig_for(self, user: str) -> Path:
        """Write a kubeconfig file (mode 600) for a superuser or a user of the option."""
        return self.write_kubeconfig(user, self._token(user))

    def write_kubeconfig(self, name: str, token: str) -> Path:
        """Write a kubeconfig file (mode 600) for a bearer token from elsewhere."""
        file = self.directory / f"{name.replace('/', '_')}.kubeconfig"
        write_kubeconfig(file, self.url, self.ca_file, name, token)
        return file

    def kubeconfig_for_service_account(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig file with a fresh token of a service account, see `identity.py`."""
        return self.write_kubeconfig(
            f"{namespace}-{name}", request_token(self.admin, namespace, name)
        )

    def kill_apiserver(self) -> None:
        """SIGKILL the API server; etcd keeps the data. Returns when its port is closed."""
        self._processes.pop("kube-apiserver").kill()
        wait_until(lambda: not is_open(self._port), RESTART_TIMEOUT_S, f"port {self._port} is open")

    def start_apiserver(self) -> None:
        """Start the API server on its own port and wait until it is ready."""
        flags = [
            f"--etcd-servers={self._etcd_url}",
            f"--secure-port={self._port}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--tls-cert-file={self.directory}/apiserver.crt",
            f"--tls-private-key-file={self.directory}/apiserver.key",
            f"--cert-dir={self.directory}",
            f"--token-auth-file={self.directory}/tokens.csv",
            f"--service-account-key-file={self.directory}/sa.pub",
            f"--service-account-signing-key-file={self.directory}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--api-audiences={AUDIENCES}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            "--allow-privileged",
            "--endpoint-reconciler-type=none",
            "--disable-admission-plugins=ServiceAccount",
        ]
        if self.option.audit:
            flags += [
                f"--audit-policy-file={self.directory}/audit-policy.yaml",
                f"--audit-log-path={self.directory}/audit.log",
                "--audit-log-mode=blocking",
                "--audit-log-maxsize=10000",
            ]
        self._start("kube-apiserver", [*flags, *self.option.apiserver_flags], self._is_ready)

    def restart_apiserver(self) -> None:
        """SIGKILL the API server if it runs, then start it again on the same port."""
        if "kube-apiserver" in self._processes:
            self.kill_apiserver()
        self.start_apiserver()

    @contextmanager
    def suspend_controller_manager(self) -> Iterator[None]:
        """Hold up the controller manager, and with it garbage collection; its memory stays."""
        process = self._processes["kube-controller-manager"]
        process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send(signal.SIGCONT)

    def restart_controller_manager(self) -> None:
        """SIGKILL the controller manager, then start it again: it learns anew what there is."""
        self._processes.pop("kube-controller-manager").kill()
        self.start_controller_manager()

    def start_controller_manager(self) -> None:
        """Start the controller manager and wait until it listens."""
        flags = [
            f"--kubeconfig={self.kubeconfig_for(CONTROLLER_MANAGER)}",
            f"--controllers={CONTROLLERS}",
            f"--service-account-private-key-file={self.directory}/sa.key",
            f"--secure-port={(port := find_free_port())}",
            f"--bind-address={LOOPBACK}",
            f"--cert-dir={self.directory}",
            "--leader-elect=false",
            # The garbage collector makes 2 or 3 calls for each object, by default 20 a second.
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]
        self._start("kube-controller-manager", flags, lambda: is_open(port))

    def kill_etcd(self) -> None:
        """SIGKILL etcd; its data stay in `directory / "etcd"`. Kill the API server first."""
        self._processes.pop("etcd").kill()

    def start_etcd(self) -> None:
        """Start etcd on its own port, with the data that are there."""
        peer_url = f"http://{LOOPBACK}:{find_free_port()}"
        flags = [
            f"--data-dir={self.directory}/etcd",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
        ]
        self._start("etcd", flags, lambda: is_open(int(self._etcd_url.rpartition(":")[2])))

    def copy_data(self, source: Path, target: Path) -> None:
        """Copy etcd's files, for a backup or from it, while etcd and the API server are down."""
        self.kill_apiserver()
        self.kill_etcd()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        self.start_etcd()
        self.start_apiserver()

    def log_of(self, program: str) -> Path:
        """Return the log file of etcd, kube-apiserver or kube-controller-manager."""
        return self.directory / f"{program}.log"

    def stop(self) -> None:
        """SIGKILL everything (there is nothing to save) and remove the directory."""
        with ExitStack() as stack:
            stack.callback(leash.release, self._leash)
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            for process in self._processes.values():
                stack.callback(process.kill)
            self._processes.clear()

    def start(self) -> None:
        """Start etcd, the API server and the controller manager, each when the former is ready."""
        self.start_etcd()
        self.start_apiserver()
        install_crds(self.admin, self.option.definitions)
        if self.option.controller_manager:
            self.start_controller_manager()

    def _start(self, name: str, flags: Sequence[str], ready: Callable[[], bool]) -> None:
        self._processes[name] = start_process(
            name,
            [find_program(name), *flags],
            log=self.log_of(name),
            cwd=self.directory,
            # No settings of the user: etcd takes any ETCD_... for its own.
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory)},
            ready=ready,
            timeout_s=READY_TIMEOUT_S,
        )

    def _is_ready(self) -> bool:
        try:
            return bool(self.admin.request("GET", "/readyz")["text"] == "ok")
        except ApiError:
            return False

    def _token(self, user: str) -> str:
        try:
            return self._tokens[user]
        except KeyError:
            known = ", ".join(sorted(self._tokens))
            raise LookupError(f"no token for {user!r}; the option names: {known}") from None


def start_control_plane(option: ControlPlaneOption | None = None) -> ControlPlane:
    """Start a control plane and wait until it is ready: about 5 s.

    Raises MissingProgramError when a program is not built, ProcessError when one does not start.
    """
    option = option or ControlPlaneOption()
    directory = Path(tempfile.mkdtemp(prefix="egress-operator-"))
    entry = leash.remove_on_death(directory)
    port = find_free_port()
    tokens = {user: secrets.token_urlsafe(24) for user in (*SUPERUSERS, *option.users)}
    url = f"https://{LOOPBACK}:{port}"
    ca_file = _write_files(directory, tokens)
    admin = Client(url, ca_file, tokens[ADMIN])
    plane = ControlPlane(
        option=option,
        directory=directory,
        url=url,
        ca_file=ca_file,
        admin_kubeconfig=directory / f"{ADMIN}.kubeconfig",
        admin=admin,
        audit=AuditLog(directory / "audit.log", admin),
        _port=port,
        _etcd_url=f"http://{LOOPBACK}:{find_free_port()}",
        _tokens=tokens,
        _leash=entry,
    )
    plane.kubeconfig_for(ADMIN)
    try:
        plane.start()
    except BaseException:
        plane.stop()
        raise
    return plane


def _write_files(directory: Path, tokens: Mapping[str, str]) -> Path:
    """Write keys, tokens and the audit policy; return the root certificate's file."""
    authority = certificate.CertificateAuthority.create("testbed control plane")
    names = [LOOPBACK, "localhost", "kubernetes.default.svc", "10.96.0.1"]
    authority.issue("kube-apiserver", names).write(directory, "apiserver")
    certificate.write_signing_key(directory, "sa")
    lines = [
        f"{token},{user},{user}" + (',"system:masters"' if user in SUPERUSERS else "")
        for user, token in tokens.items()
    ]
    (directory / "tokens.csv").write_text("\n".join(lines) + "\n")
    (directory / "audit-policy.yaml").write_text(audit.POLICY)
    ca_file = directory / "ca.crt"
    ca_file.write_bytes(authority.pem)
    return ca_file
