"""A workload's proxy: pilot-agent and a stock Envoy inside the workload's network namespace."""

import json
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3

from testbed.capture import PROXY_ID
from testbed.netns import Netns
from testbed.process import Process, start_process
from testbed.program import find_file, find_program
from testbed.workload import Role, Workload

READY_TIMEOUT_S = 60.0
LOOK_TIMEOUT_S = 2.0
STATUS_PORT = 15020
READY_PORT = 15021
ISTIO_VERSION = "1.31.1"
AGENT = "pilot-agent"
ENVOY = "envoy"
PROGRAMS = (AGENT, ENVOY)
COUNTED = [".upstream_rq_retry"]
"""What Envoy counts besides Istio's own choice. To count all is more than half of its work."""


@dataclass(frozen=True)
class Credential:
    """What a proxy needs to be let in by istiod."""

    discovery_address: str
    """`HOST:PORT` of istiod's TLS port."""
    root_certificate: str
    """PEM, to verify istiod."""
    token: str
    """Of the workload's service account, audience istio-ca."""


def publish_programs(directory: Path) -> None:
    """Put agent and Envoy where the proxy's user can reach them: the originals may be in a home."""
    directory.mkdir(parents=True)
    for name in PROGRAMS:
        original, public = find_program(name).resolve(), directory / name
        if original.stat().st_mode & stat.S_IXOTH:
            with suppress(OSError):  # another file system
                os.link(original, public)
        if not public.exists():
            shutil.copyfile(original, public)
            public.chmod(0o755)


def start_proxy(
    workload: Workload, netns: Netns, credential: Credential, programs: Path, directory: Path
) -> Process:
    """Start the proxy with `directory` as its home; follow with `wait_for_proxy`.

    `programs` is a directory that `publish_programs` filled.
    """
    user = PROXY_ID if workload.role is Role.SIDECAR else 0
    _fill_directory(directory, credential, user)
    log = directory / "log"
    log.touch()
    # Envoy opens /dev/stdout anew by name, as its own user, for every listener's access log.
    log.chmod(0o666)
    argv: list[str | Path] = [
        programs / AGENT,
        "proxy",
        workload.role,
        "--domain",
        f"{workload.namespace}.svc.cluster.local",
        "--proxyLogLevel",
        "warning",
        "--concurrency",
        "1",
    ]
    return start_process(
        f"proxy of {workload.key}",
        netns.command(*argv, user=user or None),
        log=log,
        cwd=directory,
        env={
            **_build_environment(workload, netns.address, credential),
            "HOME": str(directory),
            "PROXY_CONFIG": json.dumps(
                {**_build_config(credential, programs, directory), **workload.proxy_config}
            ),
        },
    )


def wait_for_proxy(process: Process, netns: Netns) -> None:
    """Wait until Envoy has its first configuration: about 2 s after the start."""
    url = f"http://{netns.address}:{READY_PORT}/healthz/ready"

    def is_ready() -> bool:
        try:
            return urllib3.request("GET", url, timeout=LOOK_TIMEOUT_S, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    process.wait_ready(is_ready, READY_TIMEOUT_S)


def _fill_directory(directory: Path, credential: Credential, user: int) -> None:
    """Lay out what the agent finds under its working directory instead of under `/`."""
    files = {
        "var/lib/istio/envoy/envoy_bootstrap_tmpl.json": (
            find_file("envoy_bootstrap.json").read_text()
        ),
        "var/run/secrets/tokens/istio-token": credential.token,
        "var/run/secrets/istio/root-cert.pem": credential.root_certificate,
    }
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in ("etc/istio/proxy", "etc/istio/pod"):
        (directory / name).mkdir(parents=True)
    for entry in (directory, *directory.rglob("*")):
        shutil.chown(entry, user, user)


def _build_environment(workload: Workload, address: str, credential: Credential) -> dict[str, str]:
    capture = {"ISTIO_META_DNS_CAPTURE": "true", "ISTIO_META_DNS_AUTO_ALLOCATE": "true"}
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "POD_NAME": workload.name,
        "POD_NAMESPACE": workload.namespace,
        "INSTANCE_IP": address,
        "SERVICE_ACCOUNT": workload.service_account,
        "HOST_IP": address,
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "ISTIO_META_ISTIO_VERSION": ISTIO_VERSION,
        "ISTIO_META_WORKLOAD_NAME": workload.name,
        "ISTIO_METAJSON_LABELS": json.dumps(workload.all_labels),
        "TRUST_DOMAIN": "cluster.local",
        "ISTIOD_SAN": "istiod.istio-system.svc",
        "CA_ADDR": credential.discovery_address,
        "JWT_POLICY": "third-party-jwt",
        **(capture if workload.dns_capture else {}),
        **({"ISTIO_DUAL_STACK": "true"} if workload.dual_stack else {}),
    }


def _build_config(credential: Credential, programs: Path, directory: Path) -> dict[str, object]:
    return {
        "discoveryAddress": credential.discovery_address,
        "binaryPath": str(programs / ENVOY),
        "concurrency": 1,
        "configPath": str(directory / "etc/istio/proxy"),
        "proxyStatsMatcher": {"inclusionSuffixes": COUNTED},
        "statusPort": STATUS_PORT,
    }
