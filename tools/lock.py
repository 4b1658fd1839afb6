"""requirements/build.lock: what builds our wheel, with the hashes that requirements/dev.lock has.

The image's first stage needs the build backend and nothing else of the development tools.
"""

import re
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_HEADER = "# Made from requirements/dev.lock by `make gen`. Do not edit.\n"
_NAME = re.compile(r"[A-Za-z0-9._-]+(?===)")


def parse_lock(text: str) -> dict[str, str]:
    """Canonical name → its entry, hashes included, as it stands in a lock file."""
    entries: dict[str, str] = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        if name := _NAME.match(entry):
            lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
            entries[canonicalize_name(name.group())] = "\n".join(lines).rstrip() + "\n"
    return entries


def build_lock(dev_lock: str, backend: str = "hatchling") -> str:
    """Build the lock of the backend and all that it requires, sorted.

    Reads the metadata of the installed packages. Raises KeyError when `dev_lock` lacks one of them.
    """
    names: set[str] = set()
    waiting = [backend]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in names:
            continue
        names.add(name)
        for line in requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    locked = parse_lock(dev_lock)
    return _HEADER + "".join(locked[name] for name in sorted(names))
