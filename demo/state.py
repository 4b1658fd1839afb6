"""The file by which `demo.call` finds a running demo, inside the demo's temporary directory."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.request import CONTROL

FILE = "demo.json"
PATTERN = f"egress-operator-*/{FILE}"


@dataclass(frozen=True)
class Pod:
    """A workload that can make requests."""

    control: str
    """The socket of its application."""
    addresses: Sequence[str]


@dataclass(frozen=True)
class State:
    """What a running demo tells about itself."""

    pid: int
    pods: Mapping[str, Pod]
    """By `NAMESPACE/NAME`; none without a mesh."""
    gateways: Sequence[str]
    """Addresses of the gateway's pods."""


def write_state(directory: Path, state: State) -> None:
    """Write it; it goes with the directory."""
    # By a rename, so that nobody reads half of it.
    draft = directory / f".{FILE}"
    draft.write_text(json.dumps(asdict(state)))
    draft.rename(directory / FILE)


def find_state() -> State | None:
    """Find the demo of this user that runs, with a mesh if there are several; or None."""
    found: list[State] = []
    for file in Path(tempfile.gettempdir()).glob(PATTERN):
        # Another user's, or gone since.
        with suppress(OSError):
            found.append(_read(file))
    alive = [state for state in found if Path(f"/proc/{state.pid}").exists()]
    return max(alive, key=lambda state: len(state.pods), default=None)


def _read(file: Path) -> State:
    value = json.loads(file.read_text())
    pods = {name: Pod(**pod) for name, pod in value["pods"].items()}
    return State(value["pid"], pods, value["gateways"])


def build_pod(directory: Path, addresses: Sequence[str]) -> Pod:
    """Describe a workload whose application runs in `directory`."""
    return Pod(str(directory / CONTROL), addresses)
