"""System calls that Python's standard library does not have.

The program that starts every command of a mesh imports this module, so it imports little itself:
`signal` alone would double the time that Python takes to start.
"""

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
SIGPIPE, SIGXFSZ = 13, 25
SIG_DFL = None

_LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling thread to new namespaces. Raises OSError."""
    _check(_LIBC.unshare(flags), "unshare")


def enter_netns(path: str) -> None:
    """Move the calling thread to the network namespace of a file. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_LIBC.setns(handle, CLONE_NEWNET), path)
    finally:
        os.close(handle)


def mount(source: str, target: str, kind: str = "none", flags: int = 0) -> None:
    """Mount `source` on `target`, or change how mounts spread. Raises OSError."""
    words = (word.encode() for word in (source, target, kind))
    _check(_LIBC.mount(*words, ctypes.c_ulong(flags), None), target)


def umount(target: str) -> None:
    """Take the mount on `target` away, at once even when it is in use. Raises OSError."""
    _check(_LIBC.umount2(target.encode(), MNT_DETACH), target)


def restore_signals() -> None:
    """Let the signals that Python ignores do again what they do by default."""
    for number in (SIGPIPE, SIGXFSZ):
        _LIBC.signal(number, SIG_DFL)


def _check(result: int, name: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
