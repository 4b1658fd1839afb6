"""A program that tells who gets the queries for names of a workload whose names are captured.

    python -m mesh.zone

It prints who answers an application and then the proxy, both from the same port: once with the
rules of the testbed, and once more, from another port, without those about zones. Last it prints
the tables of rules that are left on the host's side, and the namespaces that are left.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

from pyroute2.nftables.main import NFTables

from testbed import sweep
from testbed.capture import PROXY_ID, build_capture_chain, capture_outbound
from testbed.netns import run_inside
from testbed.network import Network
from testbed.nftables import write_chains
from testbed.rule import Family

APPLICATION_ID = 1000
AGENT_PORT = 15053
NAME_PORT = 53
TIMEOUT_S = 5.0


def main() -> None:
    """Make the network, ask inside, and look at what is left."""
    with Network() as network, answering("server", network.addresses.host, NAME_PORT):
        netns = network.add("shop-batch", network.addresses.workload(1))
        capture_outbound(netns, dns=True)
        words = (sys.executable, "-P", "-m", "mesh.zone", network.addresses.host)
        subprocess.run(netns.command(*words, "40001"), check=True, timeout=TIMEOUT_S * 4)
        redirect = build_capture_chain(Family.IPV4, dns=True)
        run_inside(netns.name, lambda: write_chains([redirect]))
        subprocess.run(netns.command(*words, "40002"), check=True, timeout=TIMEOUT_S * 4)
    with NFTables() as channel:
        _tell([table.get_attr("NFTA_TABLE_NAME") for table in channel.get_tables()])
    _tell(sweep.find_remains())


def ask_inside(server: str, port: int) -> None:
    """Tell who answers an application, and who the proxy."""
    with answering("agent", "127.0.0.1", AGENT_PORT, PROXY_ID):
        _tell([_ask(user, server, port) for user in (APPLICATION_ID, PROXY_ID)])


@contextlib.contextmanager
def answering(word: str, address: str, port: int, user: int = 0) -> Iterator[None]:
    """Answer every datagram with a word."""
    server = _open(user, address, port)

    def answer() -> None:
        while True:
            data, client = server.recvfrom(512)
            if not data:
                return
            server.sendto(word.encode(), client)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        with _open(0, address, 0) as last:
            last.sendto(b"", (address, port))
        thread.join()
        server.close()


def _ask(user: int, server: str, port: int) -> str:
    with _open(user, "0.0.0.0", port) as client:  # noqa: S104 - it asks the other side
        client.settimeout(TIMEOUT_S)
        client.connect((server, NAME_PORT))
        client.send(b"who")
        return client.recv(512).decode()


def _open(user: int, address: str, port: int) -> socket.socket:
    """Open a socket that the rules take for one of `user`."""
    os.seteuid(user)
    try:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)
    opened.bind((address, port))
    return opened


def _tell(what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - this is a program


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ask_inside(sys.argv[1], int(sys.argv[2]))
    else:
        main()
