"""A workload that runs: its network namespace, its application and its proxy."""

import shutil
import threading
from pathlib import Path

from testbed.address import build_ipv6
from testbed.caller import Order
from testbed.capture import capture_outbound
from testbed.measure import ProxySize, read_size
from testbed.netns import Netns
from testbed.network import Network
from testbed.process import Process
from testbed.proxy import Credential, start_proxy, wait_for_proxy
from testbed.request import CONTROL, GRPC_SCHEMES, Outcome, judge, send, start_caller
from testbed.workload import Role, Workload

APPLICATION_USER = 1000
ADMIN_PORT = 15000
ACCESS_LOG_LINES = 6
DRAIN_TIMEOUT_S = 20.0
"""How long a gateway may take to hand its connections over; the agent takes 5 s by itself."""
APPLICATION, GRPC_APPLICATION, PROXY = "application", "grpc-application", "proxy"


class Member:
    """One workload of a mesh. `connect`, then `start_proxy`, then `wait_ready`; `stop` any time."""

    def __init__(self, workload: Workload, address: str, directory: Path) -> None:
        self.workload = workload
        self.address = address
        self.directory = directory
        self.netns = Netns("", address)
        self._ca_file = Path()
        self._processes = dict[str, Process]()
        self._lock = threading.Lock()

    @property
    def addresses(self) -> frozenset[str]:
        """All that a server may see of it."""
        ipv6 = {build_ipv6(self.address)} if self.workload.dual_stack else set()
        return frozenset({self.address, *ipv6})

    def connect(self, network: Network, ca_file: Path) -> None:
        """Make the namespace, capture its traffic unless it is a gateway, start the application."""
        workload = self.workload
        self.directory.mkdir(parents=True)
        name = f"{workload.namespace}-{workload.name}"
        self.netns = network.add(name, self.address, ca_file.parent, workload.search)
        self._ca_file = ca_file
        if workload.dual_stack:
            network.add_ipv6(self.netns)
        if workload.role is Role.SIDECAR:
            capture_outbound(self.netns, dns=workload.dns_capture, ipv6=workload.dual_stack)
        self._start_application(APPLICATION)

    def start_proxy(self, credential: Credential, programs: Path) -> None:
        """Start the proxy, without waiting."""
        home = self.directory / PROXY
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        self._processes[PROXY] = start_proxy(self.workload, self.netns, credential, programs, home)

    def wait_ready(self) -> None:
        """Wait until the proxy has its configuration."""
        wait_for_proxy(self._processes[PROXY], self.netns)

    def end_proxy(self) -> None:
        """End the proxy as a kubelet does: it hands its connections over before it goes."""
        self._processes.pop(PROXY).end(DRAIN_TIMEOUT_S)

    def kill_proxy(self) -> None:
        """SIGKILL the proxy: it says nothing to anybody."""
        self._processes.pop(PROXY).kill()

    def stop(self) -> None:
        """End all processes; the namespace ends with the network."""
        while self._processes:
            self._processes.popitem()[1].kill()

    def call(self, order: Order, gateways: frozenset[str] = frozenset()) -> Outcome:
        """Let the application make a request."""
        application = GRPC_APPLICATION if order.scheme in GRPC_SCHEMES else APPLICATION
        with self._lock:
            if application not in self._processes:
                self._start_application(application)
        result = send(order, self.directory / application / CONTROL)
        return judge(result, self.addresses, gateways)

    def ask_proxy(self, path: str) -> str:
        """Get a page of Envoy's admin interface, such as `/config_dump` or `/clusters`."""
        order = Order("http", "127.0.0.1", ADMIN_PORT, timeout_s=10.0, path=path)
        return send(order, self.directory / APPLICATION / CONTROL).body

    def measure(self) -> ProxySize:
        """Tell how much the proxy has been given and what it takes."""
        return read_size(self.ask_proxy)

    @property
    def proxy_log(self) -> Path:
        """The log of agent and Envoy; access log lines come up to a second late."""
        return self.directory / PROXY / "log"

    def read_access_log(self, host: str = "") -> list[str]:
        """Read the last access log lines of Envoy, of those that name `host`."""
        if not self.proxy_log.exists():
            return []
        lines = self.proxy_log.read_text(errors="replace").splitlines()
        return [line for line in lines if _is_access(line) and host in line][-ACCESS_LOG_LINES:]

    def _start_application(self, name: str) -> None:
        """Start what makes the requests: gRPC has a program of its own, when it is first needed."""
        directory = self.directory / name
        directory.mkdir()
        program = "grpc_caller" if name == GRPC_APPLICATION else "caller"
        self._processes[name] = start_caller(
            self.workload.key, self.netns, APPLICATION_USER, self._ca_file, directory, program
        )


def _is_access(line: str) -> bool:
    return line.startswith("[20") and '"' in line
