"""A workload that runs: its network namespace, its application and its proxy."""

import shutil
from pathlib import Path

from testbed.caller import Order
from testbed.network import Netns, Network, capture_outbound
from testbed.process import Process
from testbed.proxy import Credential, start_proxy, wait_for_proxy
from testbed.request import CONTROL, Outcome, judge, send, start_caller
from testbed.workload import Role, Workload

APPLICATION_USER = 1000
ADMIN_PORT = 15000
ACCESS_LOG_LINES = 6


class Member:
    """One workload of a mesh. `connect`, then `start_proxy`, then `wait_ready`; `stop` any time."""

    def __init__(self, workload: Workload, address: str, directory: Path) -> None:
        self.workload = workload
        self.address = address
        self.directory = directory
        self.netns = Netns("", address)
        self._processes = dict[str, Process]()

    def connect(self, network: Network, ca_file: Path) -> None:
        """Make the namespace, capture its traffic unless it is a gateway, start the application."""
        workload = self.workload
        self.directory.mkdir(parents=True)
        self.netns = network.add(f"{workload.namespace}-{workload.name}", self.address)
        if workload.role is Role.SIDECAR:
            capture_outbound(self.netns, dns=workload.dns_capture)
        (self.directory / "application").mkdir()
        self._processes["application"] = start_caller(
            workload.key, self.netns, APPLICATION_USER, ca_file, self.directory / "application"
        )

    def start_proxy(self, credential: Credential, programs: Path) -> None:
        """Start the proxy, without waiting."""
        home = self.directory / "proxy"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        self._processes["proxy"] = start_proxy(
            self.workload, self.netns, credential, programs, home
        )

    def wait_ready(self) -> None:
        """Wait until the proxy has its configuration."""
        wait_for_proxy(self._processes["proxy"], self.netns)

    def stop(self) -> None:
        """End both processes; the namespace ends with the network."""
        while self._processes:
            self._processes.popitem()[1].kill()

    def call(self, order: Order, gateways: frozenset[str] = frozenset()) -> Outcome:
        """Let the application make a request."""
        result = send(order, self.directory / "application" / CONTROL)
        return judge(result, self.address, gateways)

    def ask_proxy(self, path: str) -> str:
        """Get a page of Envoy's admin interface, such as `/config_dump` or `/clusters`."""
        order = Order("http", "127.0.0.1", ADMIN_PORT, timeout_s=10.0, path=path)
        return send(order, self.directory / "application" / CONTROL).body

    @property
    def proxy_log(self) -> Path:
        """The log of agent and Envoy; access log lines come up to a second late."""
        return self.directory / "proxy" / "log"

    def read_access_log(self, host: str = "") -> list[str]:
        """Read the last access log lines of Envoy, of those that name `host`."""
        if not self.proxy_log.exists():
            return []
        lines = self.proxy_log.read_text(errors="replace").splitlines()
        return [line for line in lines if _is_access(line) and host in line][-ACCESS_LOG_LINES:]


def _is_access(line: str) -> bool:
    return line.startswith("[20") and '"' in line
