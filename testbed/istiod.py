"""istiod on free ports, with its validating webhook, against a testbed control plane.

Several may run side by side, also against one control plane: they share the root certificate.
"""

import base64
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import urllib3
import yaml

from testbed.certificate import CertificateAuthority
from testbed.client import ApiError, ConnectError, Object
from testbed.controlplane import ISTIOD, ControlPlane
from testbed.deadline import wait_until
from testbed.measure import sum_by_label
from testbed.port import LOOPBACK, find_free_port, is_open
from testbed.process import Process, start_process
from testbed.program import find_program
from testbed.stoppable import Stoppable

NAMESPACE = "istio-system"
WEBHOOK = "testbed-istio-validator"
READY_TIMEOUT_S = 60.0
WEBHOOK_TIMEOUT_S = 20.0
SCRAPE_TIMEOUT_S = 5.0

ENVIRONMENT = {
    "POD_NAMESPACE": NAMESPACE,
    "POD_NAME": "istiod-0",
    "CLUSTER_ID": "Kubernetes",
    "REVISION": "default",
    "ENABLE_LEADER_ELECTION": "false",
    "PILOT_ENABLE_GATEWAY_API": "false",
    "PILOT_ENABLE_GATEWAY_API_STATUS": "false",
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
    "PILOT_ENABLE_GATEWAY_API_GATEWAYCLASS_CONTROLLER": "false",
    "INJECT_ENABLED": "false",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    # These three keep out filters that only Istio's own Envoy build knows.
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_DISABLE_MX_ALPN": "true",
    "PILOT_ENABLE_IP_AUTOALLOCATE": "false",
    "ENABLE_DEBUG_ENDPOINT_AUTH": "false",
    "PILOT_DEBOUNCE_AFTER": "50ms",
    "PILOT_DEBOUNCE_MAX": "1s",
    "PILOT_ENABLE_ANALYSIS": "false",
    "ISTIOD_CUSTOM_HOST": "localhost",
}
"""istiod's environment, beside PATH and HOME."""


@dataclass(frozen=True)
class IstiodOption:
    """What differs between istiods."""

    address: str = LOOPBACK
    """Where proxies reach it; all other ports are on the loopback."""
    discovery_port: int | None = None
    """The port for proxies (TLS); None takes a free one."""
    outbound_mode: str = "REGISTRY_ONLY"
    """Or ALLOW_ANY."""
    mesh: Mapping[str, Any] = field(default_factory=dict)
    """More keys of the mesh config; they win."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More environment variables; they win."""


@dataclass(frozen=True)
class Rejections:
    """What istiod (`config`) and the proxies (`xds`) have refused since istiod started."""

    config: int = 0
    xds: int = 0

    def __bool__(self) -> bool:
        return bool(self.config or self.xds)


@dataclass
class Istiod(Stoppable):
    """A running istiod. `start_istiod` makes one; it is a context manager."""

    control_plane: ControlPlane
    option: IstiodOption
    directory: Path
    """Its working directory, inside the control plane's."""
    discovery_port: int
    """XDS and certificates for proxies, with TLS."""
    http_port: int
    """`/ready` and `/debug/…`, plain HTTP on the loopback."""
    webhook_port: int
    monitoring_port: int
    _plain_port: int
    _process: Process | None = None
    _has_webhook: bool = False

    @property
    def log(self) -> Path:
        return self.directory / "istiod.log"

    @property
    def discovery_address(self) -> str:
        """`ADDRESS:PORT` for a proxy's discoveryAddress and CA_ADDR."""
        return f"{self.option.address}:{self.discovery_port}"

    def start(self) -> None:
        """Start it and wait until it is ready: 1 to 2 s."""
        mesh_file = self.directory / "mesh.yaml"
        mesh_file.write_text(yaml.safe_dump(self._mesh_config()))
        argv = [
            str(find_program("pilot-discovery")),
            "discovery",
            f"--kubeconfig={self.control_plane.kubeconfig_for(ISTIOD)}",
            f"--meshConfig={mesh_file}",
            "--domain=cluster.local",
            "--registries=Kubernetes",
            f"--grpcAddr={LOOPBACK}:{self._plain_port}",
            f"--secureGRPCAddr={self.discovery_address}",
            f"--httpsAddr={LOOPBACK}:{self.webhook_port}",
            f"--httpAddr={LOOPBACK}:{self.http_port}",
            f"--monitoringAddr={LOOPBACK}:{self.monitoring_port}",
            "--ctrlz_port=0",
            f"-n={NAMESPACE}",
        ]
        self._process = start_process(
            "istiod",
            argv,
            log=self.log,
            cwd=self.directory,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.directory),
                **ENVIRONMENT,
                **self.option.environment,
            },
            ready=self._is_ready,
            timeout_s=READY_TIMEOUT_S,
        )

    def stop(self) -> None:
        """End the process and take its webhook away, or nothing could be written any more."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._has_webhook:
            with suppress(ConnectError):  # the registration is gone with the API server
                self.remove_webhook()

    def restart(
        self,
        *,
        outbound_mode: str | None = None,
        mesh: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start anew on the same ports; what is given takes the place of the option's value."""
        if self._process is not None:
            self._process.kill()
        self.option = replace(
            self.option,
            outbound_mode=outbound_mode or self.option.outbound_mode,
            mesh=self.option.mesh if mesh is None else mesh,
            environment=self.option.environment if environment is None else environment,
        )
        self.start()

    def root_certificate(self) -> str:
        """Return the root certificate (PEM) that signs istiod's and the proxies' certificates."""
        return self._read_authority("ca-cert.pem").decode()

    def load_authority(self) -> CertificateAuthority:
        """Return what signs those certificates, for a machine that has no agent to ask istiod."""
        return CertificateAuthority.load(
            self._read_authority("ca-key.pem"), self._read_authority("ca-cert.pem")
        )

    def _read_authority(self, name: str) -> bytes:
        secret = self.control_plane.admin.get("v1", "Secret", "istio-ca-secret", NAMESPACE)
        return base64.b64decode(secret["data"][name])

    def register_webhook(self) -> None:
        """Let istiod judge every Istio object from now on; returns when it does."""
        root = base64.b64encode(self.root_certificate().encode()).decode()
        self.control_plane.admin.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": WEBHOOK},
                "webhooks": [
                    {
                        "name": "validation.istio.io",
                        "clientConfig": {
                            "url": f"https://localhost:{self.webhook_port}/validate",
                            "caBundle": root,
                        },
                        "rules": [
                            {
                                "operations": ["CREATE", "UPDATE"],
                                "apiGroups": [
                                    "security.istio.io",
                                    "networking.istio.io",
                                    "telemetry.istio.io",
                                    "extensions.istio.io",
                                ],
                                "apiVersions": ["*"],
                                "resources": ["*"],
                            }
                        ],
                        "sideEffects": "None",
                        "failurePolicy": "Fail",
                        "timeoutSeconds": 10,
                        "admissionReviewVersions": ["v1"],
                    }
                ],
            }
        )
        self._has_webhook = True
        wait_until(self._refuses, WEBHOOK_TIMEOUT_S, "the webhook does not answer")

    def remove_webhook(self) -> None:
        """Take the webhook's registration away."""
        self.control_plane.admin.delete(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            WEBHOOK,
            missing_ok=True,
        )
        self._has_webhook = False

    def check(self, item: Object) -> str | None:
        """Ask the API server and the webhook by a dry run; None, or the words of the refusal."""
        try:
            self.control_plane.admin.apply(item, dry_run=True)
        except ApiError as error:
            return error.message
        return None

    def rejections(self) -> Rejections:
        """Refusals since istiod started: both numbers must be 0 after every test."""
        return parse_rejections(self.metrics())

    def pushes(self) -> dict[str, int]:
        """How much istiod has sent to all proxies since it started, by type (cds, lds, …)."""
        return sum_by_label(self.metrics(), "pilot_xds_pushes", "type")

    def metrics(self) -> str:
        """Return istiod's own metrics as text."""
        return self._fetch(self.monitoring_port, "/metrics")

    def debug(self, path: str) -> str:
        """Return the text of a debug page, such as `/debug/syncz`."""
        return self._fetch(self.http_port, path)

    def _mesh_config(self) -> Object:
        return {
            "defaultConfig": {"discoveryAddress": self.discovery_address},
            "trustDomain": "cluster.local",
            "rootNamespace": NAMESPACE,
            "ingressControllerMode": "OFF",
            "outboundTrafficPolicy": {"mode": self.option.outbound_mode},
            "accessLogFile": "/dev/stdout",
            "enablePrometheusMerge": False,
            "protocolDetectionTimeout": "0s",
            **self.option.mesh,
        }

    def _is_ready(self) -> bool:
        if not is_open(self.http_port):
            return False
        return self._get(self.http_port, "/ready").status == 200

    def _refuses(self) -> bool:
        """Whether the webhook already refuses what the schema allows and Istio does not."""
        probe = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "testbed-probe", "namespace": NAMESPACE},
            "spec": {
                "hosts": ["probe.example.com"],
                "exportTo": [".", "."],
                "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
                "resolution": "DNS",
            },
        }
        refusal = self.check(probe)
        return refusal is not None and "duplicate" in refusal

    def _fetch(self, port: int, path: str) -> str:
        return self._get(port, path).data.decode()

    def _get(self, port: int, path: str) -> urllib3.BaseHTTPResponse:
        try:
            return urllib3.request(
                "GET",
                f"http://{LOOPBACK}:{port}{path}",
                timeout=SCRAPE_TIMEOUT_S,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"istiod does not answer on port {port}: {error}") from error


def parse_rejections(metrics: str) -> Rejections:
    """Sum the two counters over their labels; istiod shows a counter from its first count on."""
    # prometheus_client's parser renames counters (it adds _total), so lines are read as they are.
    totals = {"pilot_total_rejected_configs": 0, "pilot_total_xds_rejects": 0}
    for line in metrics.splitlines():
        name = line.partition(" ")[0].partition("{")[0]
        if name in totals:
            totals[name] += int(float(line.rpartition(" ")[2]))
    return Rejections(*totals.values())


def start_istiod(control_plane: ControlPlane, option: IstiodOption | None = None) -> Istiod:
    """Start istiod; makes the namespace istio-system. Istio's CRDs must be there.

    Raises MissingProgramError when it is not built, ProcessError when it does not start.
    """
    option = option or IstiodOption()
    control_plane.admin.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    discovery_port = option.discovery_port or find_free_port()
    directory = control_plane.directory / f"istiod-{discovery_port}"
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    istiod = Istiod(
        control_plane=control_plane,
        option=option,
        directory=directory,
        discovery_port=discovery_port,
        http_port=find_free_port(),
        webhook_port=find_free_port(),
        monitoring_port=find_free_port(),
        _plain_port=find_free_port(),
    )
    istiod.start()
    return istiod
