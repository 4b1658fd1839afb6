"""Free ports and open ports."""

import random
import socket
from functools import cache

LOOPBACK = "127.0.0.1"
FIRST, LAST = 20000, 31999
"""Below the kernel's range for outgoing connections, so no client can take a port in between."""


def find_free_port() -> int:
    """Find a TCP port nobody listens on; never the same twice in one process."""
    taken = _taken()
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.randint(FIRST, LAST)
        if port not in taken and _can_bind(port):
            taken.add(port)
            return port
    raise OSError(f"no free port between {FIRST} and {LAST}")


def is_open(port: int, address: str = LOOPBACK, timeout_s: float = 1.0) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((address, port), timeout_s):
            return True
    except OSError:
        return False


@cache
def _taken() -> set[int]:
    return set()


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
