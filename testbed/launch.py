"""A program that runs a command inside a network namespace with files of its own over the system's.

    python -I -S launch.py NETNS USER [SOURCE:TARGET ...] -- COMMAND ...

NETNS is the file of the namespace, USER an id (its group has the same one, and it is in no others)
or `-` for the one who calls. The command takes the place of this program: its process id, its exit
code and the signals that it gets are its own. Standard library only.
"""

import os
import sys
import warnings  # noqa: F401 - execvp needs it, and the user may not be allowed to read it

# Run by its path and isolated, it finds only the standard library by itself.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from testbed import linux

FAILED = 125
"""Exit code when the command is not reached."""


def main() -> None:
    """Do what the words say."""
    path, user, *rest = sys.argv[1:]
    end = rest.index("--")
    files, argv = rest[:end], rest[end + 1 :]
    try:
        linux.enter_netns(path)
        _mount(files)
        if user != "-":
            _become(int(user))
        execute(argv)
    except OSError as error:
        sys.stderr.write(f"cannot run `{' '.join(argv)}` in {path}: {error}\n")
        sys.exit(FAILED)


def execute(argv: list[str]) -> None:
    """Become the command."""
    linux.restore_signals()
    os.execvp(argv[0], argv)  # noqa: S606 - this is what the program is for


def _mount(files: list[str]) -> None:
    linux.unshare(linux.CLONE_NEWNS)
    # Nothing that is mounted here is seen outside.
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    for pair in files:
        source, _, target = pair.partition(":")
        linux.mount(source, target, flags=linux.MS_BIND)


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


if __name__ == "__main__":
    main()
