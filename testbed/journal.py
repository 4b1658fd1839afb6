"""The leash's list in a file, for the next leash when this one is killed as well.

The file lies where temporary files are. Its first line tells in which boot and PID namespace its
ids hold, and who owns it: nobody else cleans up while the owner lives. Each line after that is one
entry, as the leash reads it. Standard library only.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PREFIX = "egress-operator-leash-"
MALFORMED = (ValueError, TypeError, LookupError, AttributeError)
"""What reading a file raises that no leash wrote."""

Entry = dict[str, object]


def create_journal() -> Path | None:
    """Make the journal of this process; None where no file can be made."""
    owner = os.getpid()
    try:
        handle, name = tempfile.mkstemp(prefix=PREFIX)
        os.close(handle)
        append_line(Path(name), json.dumps([_read_place(), owner, read_start(owner)]))
    except OSError:
        return None
    return Path(name)


def append_line(journal: Path | None, line: str) -> None:
    """Append a line at once; on a full disk it is missing."""
    if journal is not None:
        with suppress(OSError), journal.open("a") as file:
            file.write(f"{line}\n")


def apply_lines(lines: Iterable[str]) -> list[Entry]:
    """Return the entries that are left after all lines. Raises ValueError or LookupError."""
    entries = dict[object, Entry]()
    for line in lines:
        entry = json.loads(line)
        ident = entry.pop("id")
        entries.pop(ident, None)
        if entry:
            entries[ident] = entry
    return list(entries.values())


def take_left() -> list[Entry]:
    """Return and forget what killed leashes of this user left: process groups and directories."""
    found = list[Entry]()
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, *MALFORMED):
            if (left := _read_left(path)) is not None:
                path.unlink()
                found += left
    return found


def read_start(pid: int) -> int | None:
    """Read when a process started, in ticks since boot; None when it does not run any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _read_left(path: Path) -> list[Entry] | None:
    """Read a journal; None when it is another user's, or its owner lives."""
    # No link, so that the owner of the file is the one who wrote it.
    journal = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(journal, encoding="utf-8") as file:
        if os.fstat(journal).st_uid != os.geteuid():
            return None
        # The last line may have been cut.
        first, *lines = file.read().split("\n")[:-1]
    place, owner, start = json.loads(first)
    if place != _read_place() or _is_same(owner, start):
        return None
    return [
        entry
        for entry in apply_lines(lines)
        if "remove" in entry or _is_same(entry.get("kill"), entry.get("start"))
    ]


def _is_same(pid: object, start: object) -> bool:
    """Whether a process is the one that it was: ids are given again."""
    return isinstance(pid, int) and start is not None and read_start(pid) == start


def _read_place() -> list[str]:
    """Read where process ids mean the same: the boot and the PID namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return [boot, str(Path("/proc/self/ns/pid").readlink())]
