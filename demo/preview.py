"""The first part: what policies become, by the operator's own compiler. It needs no cluster."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from demo.act import ACTS, GATEWAY_TEXT, GATEWAY_TITLE, NAMESPACE, Act
from demo.describe import describe_object, find_own, find_shared, is_at_gateway
from demo.show import INDENT, Show
from demo.text import find_right_width, join_columns, wrap
from egress_operator.cli.file import Reader
from egress_operator.cli.outcome import build_outcome
from egress_operator.cli.resource import build_inventory
from egress_operator.plan.source import Settings
from testbed.client import Object
from testbed.sample import ALLOWED_CIDRS, GATEWAY_FILE

SIDECAR = "for the sidecars of the namespace:"
AT_GATEWAY = "for the gateway:"
HEADS = "The policy:", "The operator writes:"
SHARED = "shared by all hosts that the namespace calls through the gateway:"
SHARED_ABOVE = "plus the {} shared objects listed above"
SETTINGS = Settings(allowed_cidrs=(ALLOWED_CIDRS,), dns_capture=True)


def play_preview(show: Show, *, everything: bool) -> None:
    """Show what the samples become. It takes a second and needs nothing but Python."""
    show.title("What a policy becomes")
    show.text(
        "An app team writes a short EgressPolicy for each outside host that it calls. The operator "
        "writes the Istio objects for it, and keeps them as they should be. These come from the "
        "operator's own compiler; nothing runs yet."
    )
    layout = Layout(show.width, beside=show.beside)
    is_first = True
    shown = [act for act in ACTS if act.text or everything]
    for act in shown:
        if is_first and act.sample.is_for_gateway:
            show.heading(f"{GATEWAY_TITLE}: samples/egress-gateway.yaml")
            show.text(GATEWAY_TEXT)
            show.block(build_gateway_preview(layout))
        show.heading(f"{act.title}: samples/{act.sample.file}")
        if act.text:
            show.text(act.text)
        show.block(build_preview(act, layout, is_first=is_first, is_headed=act is shown[0]))
        is_first = is_first and not act.sample.is_for_gateway


@dataclass(frozen=True)
class Layout:
    """How a preview is laid out."""

    width: int
    beside: bool
    """Whether the objects stand beside the policy where there is room, else below it."""


def build_preview(
    act: Act, layout: Layout, *, is_first: bool = True, is_headed: bool = False
) -> list[str]:
    """Show a sample's policy, and what it becomes.

    What all hosts at a gateway share is described for the first one only. Columns that are headed
    have a line above them that tells what each shows.
    """
    items = compile_sample(act.sample.path)
    shared = find_shared(items, NAMESPACE)
    lines = partial(_describe, find_own(items, act.sample.policy), shared, in_full=is_first)
    return _show(act.sample.path, lines, layout, HEADS if is_headed else None)


def build_gateway_preview(layout: Layout) -> list[str]:
    """Show the sample EgressGateway, and the one object of its own."""
    lines = partial(_describe, compile_sample(GATEWAY_FILE), [], in_full=True)
    return _show(GATEWAY_FILE, lines, layout)


def _show(
    path: Path,
    describe: Callable[[int], list[str]],
    layout: Layout,
    heads: tuple[str, str] | None = None,
) -> list[str]:
    left = _read_policy(path)
    inner = layout.width - len(INDENT)
    right_width = find_right_width(left, inner) if layout.beside else 0
    if right_width:
        right = describe(right_width)
        if heads:
            left, right = [heads[0], *left], [heads[1], *right]
        lines = join_columns(left, right)
    else:
        becomes = ["becomes", *(f"  {line}" for line in describe(inner - 2))]
        lines = [*left, *becomes]
    return [f"{INDENT}{line}".rstrip() for line in lines]


def _read_policy(path: Path) -> list[str]:
    """Return kind, name and spec of a sample as they stand in the file, without comments."""
    lines = [line.partition(" #")[0].rstrip() for line in path.read_text().splitlines()]
    start = lines.index("spec:")
    kind = next(line for line in lines if line.startswith("kind:"))
    name = next(line.strip() for line in lines if line.startswith("  name:"))
    return [kind, f"metadata: {{{name}}}", *lines[start:]]


@cache
def compile_sample(path: Path) -> list[Object]:
    """Compile a sample together with the gateway, as `egressctl render` does."""
    files = dict.fromkeys([str(path), str(GATEWAY_FILE)])
    inventory = build_inventory(Reader(io.BytesIO()).read(list(files)), NAMESPACE)
    return list(build_outcome(inventory, SETTINGS, time.time()).objects)


def _describe(own: list[Object], shared: list[Object], width: int, *, in_full: bool) -> list[str]:
    """Describe the objects, first those that a request meets first."""
    if not shared:
        return list(_describe_all(own, width))
    sidecar = [item for item in own if not is_at_gateway(item)]
    gateway = [item for item in own if is_at_gateway(item)]
    parts = [SIDECAR, *_describe_all(sidecar, width), AT_GATEWAY, *_describe_all(gateway, width)]
    if in_full:
        return [*parts, *wrap(SHARED, width), *_describe_all(shared, width)]
    return [*parts, *wrap(SHARED_ABOVE.format(len(shared)), width)]


def _describe_all(items: list[Object], width: int) -> Iterator[str]:
    for item in items:
        yield from wrap(f"{item['kind']}: {describe_object(item)}", width, "- ", "  ")
