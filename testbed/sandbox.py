"""A program that runs a command where it may have a mesh beside others.

    python -I -S sandbox.py COMMAND ...

The command has a network of its own, with loopback alone, and an empty /run. Where that is not
allowed it runs as it is, and what it starts says what it lacks. It takes the place of this program:
its process id, its exit code and the signals that it gets are its own. Standard library only.
"""

import os
import sys

# Run by its path and isolated, it finds only the standard library by itself.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from testbed import link, linux
from testbed.launch import execute

RUN = "/run"
RESOLVER = "/etc/resolv.conf"


def main() -> None:
    """Do what the words say."""
    if _is_allowed():
        _build()
    execute(sys.argv[1:])


def _is_allowed() -> bool:
    """Try it in a child: half of it would be worse than nothing."""
    child = os.fork()
    if child == 0:
        try:
            _build()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _build() -> None:
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    resolver = os.path.realpath(RESOLVER)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", RUN, "tmpfs")
    if resolver.startswith(f"{RUN}/"):
        # Commands of a mesh mount theirs over it.
        os.makedirs(os.path.dirname(resolver))  # noqa: PTH103, PTH120
        os.close(os.open(resolver, os.O_CREAT | os.O_WRONLY, 0o644))
    link.set_up("lo")


if __name__ == "__main__":
    main()
