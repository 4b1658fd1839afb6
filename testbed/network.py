"""The mesh's network: namespaces on one bridge.

    host 10.10.0.1 ── bridge (in a namespace of its own) ──┬── workload 10.10.1.1
                                                          ├── workload 10.10.1.2
                                                          └── ext 10.10.0.2: 198.51.100.0/24

Where this machine has routes into 10.10.0.0/16, it is another range. The bridge is not in the
host's namespace, so the host's packet filter never sees what workloads send to each other and to
the outside, and one link is all that the host gets. DNS and istiod listen on the host's end of that
link: a packet filter that drops what comes in there stops both. The addresses of the outside world
are routed inside the workloads' namespaces only: on the host they could hide real ones. A workload
may have an IPv6 address as well, and what is dialled by IPv6 then goes the same ways.
"""

import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from testbed import leash, linux, netns, sweep
from testbed.address import (
    CANDIDATES,
    OUTSIDE_NETWORK,
    OUTSIDE_NETWORK_V6,
    PREFIX_LENGTH,
    AddressRange,
    build_ipv6,
    find_free_range,
)
from testbed.capture import write_capture
from testbed.link import delete_link
from testbed.netns import Netns
from testbed.sweep import HOST_LINK, PREFIX, RESOLVERS
from testbed.system import RESOLVER, ROOTS_DIR, find_missing_files
from testbed.wiring import (
    LOOPBACK,
    add_address,
    add_bridge,
    add_default_route,
    add_local,
    add_pair,
    plug_in,
    read_routes,
    set_up,
    wire,
)

HUB = f"{PREFIX}hub"
BRIDGE, HOST_PORT = "bridge", "host"
"""Links of the hub: the bridge itself, and its port for this machine."""
OWN_LINK = "eth0"
"""The link of a workload."""
PREFIX_LENGTH_V6 = 64


class NetworkError(RuntimeError):
    """The kernel refused a part of the network; shows its words."""


class Network:
    """The bridge, our address on it and the namespaces: a context manager.

    Entering takes the machine's lock (`sweep.BusyError` when another mesh is up), removes what an
    earlier run left behind, and chooses `addresses`. Methods raise NetworkError.
    """

    def __init__(self) -> None:
        self.addresses = AddressRange()
        self._lock = sweep.Lock()
        self._leash = 0
        self._ports = dict[str, str]()
        """Links of the bridge by the namespaces at their other ends."""
        self._numbers = itertools.count(1)
        self._has_ipv6 = False

    def __enter__(self) -> Self:
        self._lock.acquire()
        try:
            sweep.sweep()
            self._leash = leash.run_on_death([sys.executable, "-I", "-S", "-B", sweep.__file__])
            with _explaining("the bridge"):
                self.addresses = choose_range()
                self._build_hub()
            RESOLVERS.mkdir()
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

    def add(
        self, name: str, address: str, roots: Path | None = None, search: Sequence[str] = ()
    ) -> Netns:
        """Make a namespace whose way to everything beyond the bridge is through `ext`.

        The directory `roots`, if given, holds `ca-certificates.crt`: all the roots that those who
        run inside find in the system. With `search` their resolver completes names as in a pod.
        """
        files = {} if roots is None else {str(ROOTS_DIR): roots}
        with _explaining(name):
            made = self._connect(name, address, files, search)
            wire(made.name, lambda channel: add_default_route(channel, self.addresses.outside))
        return made

    def remove(self, removed: Netns) -> None:
        """Take a namespace away in which nothing runs any more; nobody has its address then."""
        port = self._ports.pop(removed.name)
        with _explaining(removed.name):
            # The kernel takes a namespace apart later, and until then it would answer.
            netns.run_inside(HUB, lambda: delete_link(port))
            netns.delete(removed.name)

    def add_outside(self) -> Netns:
        """Make the namespace of the outside world: every address of OUTSIDE_NETWORK is its own."""
        with _explaining("ext"):
            outside = self._connect("ext", self.addresses.outside, {}, ())
        route_outside(outside, OUTSIDE_NETWORK)
        return outside

    def add_ipv6(self, to: Netns) -> None:
        """Give a namespace an IPv6 address as well, and the way to the outside by it."""
        if not self._has_ipv6:
            outside = Netns(f"{PREFIX}ext", self.addresses.outside)
            with _explaining(outside.name):
                wire(outside.name, lambda channel: _add_ipv6(channel, outside.address))
            route_outside(outside, OUTSIDE_NETWORK_V6)
            self._has_ipv6 = True

        def work(channel: IPRoute) -> None:
            _add_ipv6(channel, to.address)
            add_default_route(channel, build_ipv6(self.addresses.outside))

        with _explaining(to.name):
            wire(to.name, work)

    def _connect(
        self,
        name: str,
        address: str,
        files: Mapping[str, Path],
        search: Sequence[str],
    ) -> Netns:
        full = f"{PREFIX}{name}"
        resolver = RESOLVERS / full
        resolver.write_text(build_resolver(self.addresses.host, search))
        port = f"port{next(self._numbers)}"
        netns.create(full)
        self._ports[full] = port

        def connect(channel: IPRoute) -> None:
            add_pair(channel, port, OWN_LINK, full)
            plug_in(channel, port, BRIDGE)

        def give_address(channel: IPRoute) -> None:
            set_up(channel, LOOPBACK)
            add_address(channel, OWN_LINK, address, PREFIX_LENGTH)

        wire(HUB, connect)
        wire(full, give_address)
        return Netns(full, address, {str(RESOLVER): resolver, **files})

    def _build_hub(self) -> None:
        netns.create(HUB)
        with IPRoute() as channel:
            add_pair(channel, HOST_LINK, HOST_PORT, HUB)
            add_address(channel, HOST_LINK, self.addresses.host, PREFIX_LENGTH)
        wire(HUB, _build_bridge)

    def _remove(self) -> None:
        sweep.sweep()
        if self._leash:
            leash.release(self._leash)
        self._lock.release()


def build_resolver(server: str, search: Sequence[str]) -> str:
    """Return a resolv.conf; with domains to search, as a kubelet gives it to a pod. Pure."""
    domains = f"search {' '.join(search)}\n" if search else ""
    dots = "ndots:5 " if search else ""
    return f"nameserver {server}\n{domains}options {dots}timeout:1 attempts:3\n"


def route_outside(outside: Netns, network: str) -> None:
    """Let the outside world have every address of `network`. Raises NetworkError."""
    with _explaining(outside.name):
        wire(outside.name, lambda channel: add_local(channel, ip_network(network)))


def choose_range() -> AddressRange:
    """Choose addresses that nobody else has on this machine. Raises NetworkError.

    What a mesh has does not count: either an earlier run left it behind, and the next start removes
    that, or it is up, and the next one waits for its end.
    """
    found = find_free_range(read_routes(but_of=HOST_LINK))
    if found is None:
        ranges = ", ".join(map(str, CANDIDATES))
        raise NetworkError(f"no range of addresses is free: routes lead into all of {ranges}")
    return found


def find_missing() -> list[str]:
    """List what this machine lacks to carry a mesh, one line each; [] when nothing does."""
    if sys.platform != "linux":
        return ["the mesh needs Linux: network namespaces carry its workloads"]
    if os.geteuid() != 0:
        return ["network namespaces need root; with sudo, there are a mesh and real requests"]
    try:
        choose_range()
        with _explaining("the kernel refuses a namespace with a bridge and packet rules"):
            netns.run_in_thread(_try)
    except NetworkError as error:
        return [f"the mesh cannot have a network here: {error}"]
    return find_missing_files()


def _try() -> None:
    """Make one of each thing in namespaces that end with this thread."""
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    with IPRoute() as channel:
        channel.link("add", ifname=HOST_PORT, kind="veth", peer={"ifname": OWN_LINK})
        add_address(channel, OWN_LINK, AddressRange().host, PREFIX_LENGTH)
        _build_bridge(channel)
    write_capture(dns=True)


def _build_bridge(channel: IPRoute) -> None:
    set_up(channel, LOOPBACK)
    add_bridge(channel, BRIDGE)
    plug_in(channel, HOST_PORT, BRIDGE)


def _add_ipv6(channel: IPRoute, address: str) -> None:
    add_address(channel, OWN_LINK, build_ipv6(address), PREFIX_LENGTH_V6)


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise NetworkError(f"{what}: {os.strerror(error.code)}") from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise NetworkError(f"{what}: {error.strerror}{where}") from error
