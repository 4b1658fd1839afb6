"""A program that tells who gets the queries for names of a workload whose names are captured.

    python -m mesh.zone

It prints who answers an application and then the proxy, both from the same port: once with the
rules of the testbed, and once more, from another port, without those about zones. Last it prints
the rules about zones that are left on the host's side, and the namespaces that are left.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

from testbed import sweep
from testbed.network import HOST_ADDRESS, PROXY_ID, Network, capture_outbound

APPLICATION_ID = 1000
AGENT_PORT = 15053
NAME_PORT = 53
TIMEOUT_S = 5.0


def main() -> None:
    """Make the network, ask inside, and look at what is left."""
    with Network() as network, answering("server", HOST_ADDRESS, NAME_PORT):
        netns = network.add("shop-batch", "10.10.1.1")
        capture_outbound(netns, dns=True)
        inside = netns.command(sys.executable, "-P", "-m", "mesh.zone")
        subprocess.run([*inside, "40001"], check=True, timeout=TIMEOUT_S * 4)
        subprocess.run(netns.command("iptables", "-t", "raw", "-F"), check=True, timeout=TIMEOUT_S)
        subprocess.run([*inside, "40002"], check=True, timeout=TIMEOUT_S * 4)
    rules = subprocess.run(
        ["iptables-save", "-t", "raw"],
        check=True,
        timeout=TIMEOUT_S,
        capture_output=True,
        text=True,
    )
    _tell([line for line in rules.stdout.splitlines() if "zone" in line])
    _tell(sweep.find_remains())


def ask_inside(port: int) -> None:
    """Tell who answers an application, and who the proxy."""
    with answering("agent", "127.0.0.1", AGENT_PORT, PROXY_ID):
        _tell([_ask(user, port) for user in (APPLICATION_ID, PROXY_ID)])


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


def _ask(user: int, port: int) -> str:
    with _open(user, "0.0.0.0", port) as client:  # noqa: S104 - it asks the other side
        client.settimeout(TIMEOUT_S)
        client.connect((HOST_ADDRESS, NAME_PORT))
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
        ask_inside(int(sys.argv[1]))
    else:
        main()
