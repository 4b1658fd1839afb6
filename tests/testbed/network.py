"""The mesh's network: namespaces on one bridge, and the capture of outgoing traffic.

    host 10.10.0.1 ── bridge (in a namespace of its own) ──┬── workload 10.10.1.1
                                                          ├── workload 10.10.1.2
                                                          └── ext 10.10.0.2: 198.51.100.0/24

The bridge is not in the host's namespace, so the host's packet filter never sees the traffic, and
one link is all that the host gets. The addresses of the outside world are routed inside the
workloads' namespaces only: on the host they could hide real ones. A workload may have an IPv6
address as well, and what is dialled by IPv6 then goes the same ways.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed import leash, sweep
from testbed.sweep import CONFIG_DIR, HOST_LINK, PREFIX

HOST_ADDRESS = "10.10.0.1"
"""Of the host on the bridge: istiod and the name server listen there."""
EXT_ADDRESS = "10.10.0.2"
MESH_NETWORK = "10.10.0.0/16"
OUTSIDE_NETWORK = "198.51.100.0/24"
OUTSIDE_NETWORK_V6 = "2001:db8::/64"
PROXY_ID = 1337
"""User and group of the proxy: its own traffic is not captured."""
HUB = f"{PREFIX}hub"
TIMEOUT_S = 20.0


class NetworkError(RuntimeError):
    """A command of iproute2 or iptables failed; shows its words."""


@dataclass(frozen=True)
class Netns:
    """A network namespace with one address on the bridge."""

    name: str
    address: str

    def command(self, *argv: str | Path, user: int | None = None) -> list[str]:
        """Build the words of a command inside, as `user` with the group of the same id."""
        words = ["ip", "netns", "exec", self.name]
        if user is not None:
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return [*words, *(str(word) for word in argv)]


@dataclass(frozen=True)
class Loopback:
    """Local addresses of one IP version."""

    own: str
    inbound: str
    """From which a proxy calls its own application."""


LOOPBACK_V4 = Loopback("127.0.0.1/32", "127.0.0.6/32")
LOOPBACK_V6 = Loopback("::1/128", "::6/128")


class Network:
    """The bridge, our address on it and the namespaces: a context manager.

    Entering takes the machine's lock (`sweep.BusyError` when another mesh is up) and removes what
    an earlier run left behind.
    """

    def __init__(self) -> None:
        self._lock = sweep.Lock()
        self._leash = 0
        self._links = 0
        self._has_ipv6 = False

    def __enter__(self) -> Self:
        self._lock.acquire()
        try:
            sweep.sweep()
            self._leash = leash.run_on_death([sys.executable, "-I", sweep.__file__])
            self._build_hub()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def add(self, name: str, address: str, ca_file: Path | None = None) -> Netns:
        """Make a namespace whose way to everything beyond the bridge is through `ext`.

        The certificates in `ca_file`, if given, are the system's roots for all that runs inside.
        """
        netns = self._connect(name, address)
        if ca_file is not None:
            _write_roots(netns.name, ca_file)
        _run("ip", "-n", netns.name, "route", "add", "default", "via", EXT_ADDRESS)
        return netns

    def remove(self, netns: Netns) -> None:
        """Take a namespace away in which nothing runs any more; nobody has its address then."""
        _run("ip", "netns", "delete", netns.name)
        shutil.rmtree(CONFIG_DIR / netns.name, ignore_errors=True)

    def add_outside(self) -> Netns:
        """Make the namespace of the outside world: every address of OUTSIDE_NETWORK is its own."""
        netns = self._connect("ext", EXT_ADDRESS)
        _batch(netns.name, f"route add local {OUTSIDE_NETWORK} dev lo")
        return netns

    def add_ipv6(self, netns: Netns) -> None:
        """Give a namespace an IPv6 address as well, and the way to the outside by it."""
        if not self._has_ipv6:
            outside = Netns(f"{PREFIX}ext", EXT_ADDRESS)
            _batch(
                outside.name,
                _build_ipv6_address(outside),
                f"route add local {OUTSIDE_NETWORK_V6} dev lo",
            )
            self._has_ipv6 = True
        _batch(
            netns.name,
            _build_ipv6_address(netns),
            f"route add default via {build_ipv6(EXT_ADDRESS)}",
        )

    def _connect(self, name: str, address: str) -> Netns:
        full = f"{PREFIX}{name}"
        self._links += 1
        port = f"port{self._links}"
        _run("ip", "netns", "add", full)
        _batch(
            HUB,
            f"link add {port} type veth peer name eth0 netns {full}",
            f"link set {port} master bridge up",
        )
        _batch(full, "link set lo up", f"address add {address}/16 dev eth0", "link set eth0 up")
        _write_resolver(full)
        return Netns(full, address)

    def _build_hub(self) -> None:
        _run("ip", "netns", "add", HUB)
        _run("ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", "host", "netns", HUB)
        _batch(
            HUB,
            "link set lo up",
            # Without spanning tree a port forwards at once.
            "link add bridge type bridge stp_state 0 forward_delay 0",
            "link set bridge up",
            "link set host master bridge up",
        )
        _run("ip", "address", "add", f"{HOST_ADDRESS}/16", "dev", HOST_LINK)
        _run("ip", "link", "set", HOST_LINK, "up")

    def _remove(self) -> None:
        sweep.sweep()
        if self._leash:
            leash.release(self._leash)
        self._lock.release()


def build_ipv6(address: str) -> str:
    """Build the IPv6 address that belongs to an IPv4 address on the bridge. Pure."""
    return str(IPv6Address(f"fd10::{address}"))


def _build_ipv6_address(netns: Netns) -> str:
    # Nobody else can have it, so there is no need to wait until the kernel has found out.
    return f"address add {build_ipv6(netns.address)}/64 dev eth0 nodad"


def capture_outbound(netns: Netns, *, dns: bool = False, ipv6: bool = False) -> None:
    """Lead outgoing TCP of everybody but the proxy to the sidecar's port 15001.

    With `dns`, queries go to the agent's name server on 15053 as well; with `ipv6`, what is dialled
    by IPv6 is captured too. These are the rules of `istio-iptables`, without those for incoming
    traffic.
    """
    _run(
        *netns.command("iptables-restore", "--wait"),
        text=build_rule_text(dns=dns),
    )
    if ipv6:
        lines = ["*nat", *build_capture_rules(LOOPBACK_V6), "COMMIT", ""]
        _run(*netns.command("ip6tables-restore", "--wait"), text="\n".join(lines))


def write_rules(netns: Netns, *, nat: Sequence[str] = (), filters: Sequence[str] = ()) -> None:
    """Replace the rules for IPv4 of a namespace that captures nothing: those of two tables."""
    lines = ["*nat", *nat, "COMMIT", "*filter", *filters, "COMMIT", ""]
    _run(*netns.command("iptables-restore", "--wait"), text="\n".join(lines))


def build_rule_text(*, dns: bool) -> str:
    """Build what iptables-restore reads. Pure."""
    zones = ["*raw", *build_zone_rules(), "COMMIT"] if dns else []
    return "\n".join(["*nat", *build_capture_rules(LOOPBACK_V4, dns=dns), "COMMIT", *zones, ""])


def build_capture_rules(loopback: Loopback, *, dns: bool = False) -> list[str]:
    """Build the lines of the nat table, in order. Pure."""
    names = "-A OUTPUT -p udp --dport 53 -m owner ! --uid-owner"
    return [
        ":ISTIO_OUTPUT - [0:0]",
        ":ISTIO_REDIRECT - [0:0]",
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
        *([f"{names} {PROXY_ID} -j REDIRECT --to-ports 15053"] if dns else []),
        "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
        f"-A ISTIO_OUTPUT -s {loopback.inbound} -o lo -j RETURN",
        f"-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner {PROXY_ID} -j RETURN",
        f"-A ISTIO_OUTPUT -m owner --uid-owner {PROXY_ID} -j RETURN",
        f"-A ISTIO_OUTPUT -m owner --gid-owner {PROXY_ID} -j RETURN",
        f"-A ISTIO_OUTPUT -d {loopback.own} -j RETURN",
        "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
    ]


def build_zone_rules() -> list[str]:
    """Build the lines of the raw table, for captured names. Pure.

    The nat table decides once for each pair of addresses and ports. Without zones a query of the
    proxy from a port that an application has used within half a minute goes to the agent, and the
    proxy takes the address that was made for the application for that of the host.
    """
    return [
        f"-A OUTPUT -p udp --dport 53 -m owner --uid-owner {PROXY_ID} -j CT --zone 1",
        f"-A OUTPUT -p udp --sport 15053 -m owner --uid-owner {PROXY_ID} -j CT --zone 2",
        f"-A OUTPUT -p udp --dport 53 -m owner ! --uid-owner {PROXY_ID} -j CT --zone 2",
        "-A PREROUTING -p udp --sport 53 -j CT --zone 1",
    ]


def _write_resolver(name: str) -> None:
    directory = CONFIG_DIR / name
    directory.mkdir(parents=True, exist_ok=True)
    text = f"nameserver {HOST_ADDRESS}\noptions timeout:1 attempts:3\n"
    (directory / "resolv.conf").write_text(text)


def _write_roots(name: str, ca_file: Path) -> None:
    directory = CONFIG_DIR / name / "ssl" / "certs"
    directory.mkdir(parents=True)
    shutil.copyfile(ca_file, directory / "ca-certificates.crt")


def _batch(name: str, *lines: str) -> None:
    _run("ip", "-n", name, "-batch", "-", text="\n".join(lines))


def _run(*argv: str, text: str | None = None) -> None:
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, input=text, timeout=TIMEOUT_S
    )
    if done.returncode:
        raise NetworkError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")


def find_missing() -> list[str]:
    """List what this machine lacks to carry a mesh, one line each; [] when nothing does."""
    if sys.platform != "linux":
        return ["the mesh needs Linux: network namespaces carry its workloads"]
    if os.geteuid() != 0:
        return ["the mesh needs root: it makes network namespaces and packet filter rules"]
    packages = {"ip": "iproute2", "setpriv": "util-linux", "iptables-restore": "iptables"}
    missing = [
        f"the mesh needs `{program}`: install the package {package}"
        for program, package in packages.items()
        if shutil.which(program) is None
    ]
    return missing or [*_find_refusal(), *_find_collision()]


def _find_refusal() -> list[str]:
    """Try the rules in a namespace that ends with the command."""
    try:
        _run("unshare", "--net", "iptables-restore", "--wait", text=build_rule_text(dns=True))
    except NetworkError as error:
        return [f"the mesh needs a kernel that lets root redirect in a namespace: {error}"]
    return []


def _find_collision() -> list[str]:
    routes = subprocess.run(
        ["ip", "-o", "route", "show", "root", MESH_NETWORK],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    # Our own are of an earlier run, which the next start removes, or of a mesh that is up.
    foreign = [line for line in routes.stdout.splitlines() if HOST_LINK not in line]
    return [f"the mesh needs {MESH_NETWORK}, taken by the route `{foreign[0]}`"] if foreign else []
