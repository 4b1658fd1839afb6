"""`-f`: files, directories and standard input as bytes, within bounds."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from egress_operator.cli.finding import FileRule, Finding, build_file_finding

SUFFIXES = (".yaml", ".yml", ".json")
"""What is read of a directory."""
MAX_TOTAL = 32 << 20
"""Bytes of one call of the program."""
STDIN = "<stdin>"


class File(NamedTuple):
    """The bytes of one file. `named`: the user named it; otherwise it lay in a directory."""

    name: str
    data: bytes
    named: bool


@dataclass(slots=True)
class Reader:
    """Reads what `-f` names; every file once. Mutable: what was read so far."""

    stdin: BinaryIO
    total: int = 0
    seen: set[tuple[int, int]] = field(default_factory=set)
    """Device and inode of files and directories: ends symlink loops, reads nothing twice."""

    def read(self, paths: Sequence[str]) -> Iterator[File | Finding]:
        """Yield the files, or what is wrong with them, in the order of `paths`.

        Directories are read with everything below them, sorted by name, without hidden entries and
        special files. Stops when the input exceeds MAX_TOTAL bytes.
        """
        for path in dict.fromkeys(paths):
            for item in self._read_path(path):
                yield item
                if self.total > MAX_TOTAL:
                    return

    def _read_path(self, path: str) -> Iterator[File | Finding]:
        if path == "-":
            yield self._read_stream(self.stdin, STDIN, named=True)
            return
        try:
            status = os.stat(path)  # noqa: PTH116  a Path would lose the user's spelling
        except (OSError, ValueError) as error:
            yield _fault(path, error)
            return
        if not self._is_new(status):
            return
        if not stat.S_ISDIR(status.st_mode):
            yield self._read_file(path, named=True)
            return
        found = False
        for item in self._walk(path):
            found = True
            yield item
        if not found:
            wanted = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
            what = f"no {wanted} in this directory"
            yield _build_fault(path, what, "name a file, or another directory")

    def _walk(self, directory: str) -> Iterator[File | Finding]:
        try:
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except OSError as error:
            yield _fault(directory, error)
            return
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118  keeps "./" as the user wrote it
            wanted = name.endswith(SUFFIXES)
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError as error:
                if wanted:
                    yield _fault(path, error)
                continue
            if stat.S_ISDIR(status.st_mode):
                if self._is_new(status):
                    yield from self._walk(path)
            elif wanted and stat.S_ISREG(status.st_mode) and self._is_new(status):
                yield self._read_file(path, named=False)

    def _is_new(self, status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        return True

    def _read_file(self, path: str, *, named: bool) -> File | Finding:
        try:
            with open(path, "rb") as stream:  # noqa: PTH123
                return self._read_stream(stream, path, named=named)
        except OSError as error:
            return _fault(path, error)

    def _read_stream(self, stream: BinaryIO, name: str, *, named: bool) -> File | Finding:
        try:
            data = stream.read(MAX_TOTAL - self.total + 1)
        except OSError as error:
            return _fault(name, error)
        self.total += len(data)
        if self.total > MAX_TOTAL:
            message = f"the input is larger than {MAX_TOTAL >> 20} MiB: name fewer files"
            return build_file_finding(FileRule.LIMIT, name, 0, 0, message)
        return File(name, data, named)


def _fault(path: str, error: OSError | ValueError) -> Finding:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fix = "name a file or directory that is there and that you may read"
    return _build_fault(path, f"cannot be read: {why}", fix)


def _build_fault(path: str, what: str, fix: str) -> Finding:
    sentence = f"{fix[0].upper()}{fix[1:]}."
    return build_file_finding(FileRule.SYNTAX, path, 0, 0, f"{what}; {fix}", sentence)
