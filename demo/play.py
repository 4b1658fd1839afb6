"""The order of the live part, without or with traffic."""

from collections.abc import Callable, Sequence

from demo.act import DIRECT_ACTS, GATEWAY_ACTS, Act
from demo.incident import (
    play_conflict,
    play_deletion,
    play_edit,
    play_mistake,
    play_refusal,
    play_restart,
)
from demo.playground import Playground
from demo.scene import play_act, play_briefly, play_gateway
from demo.show import Show

INCIDENTS: Sequence[Callable[[Playground, Show], None]] = (
    play_refusal,
    play_mistake,
    play_conflict,
    play_edit,
    play_restart,
    play_deletion,
)


def play(playground: Playground, show: Show, *, everything: bool) -> None:
    """Play all scenes. Raises AssertionError when something comes out otherwise."""
    _play_acts(playground, show, DIRECT_ACTS, everything=everything)
    play_gateway(playground, show)
    _play_acts(playground, show, GATEWAY_ACTS, everything=everything)
    for play_incident in INCIDENTS:
        play_incident(playground, show)


def _play_acts(
    playground: Playground, show: Show, acts: Sequence[Act], *, everything: bool
) -> None:
    in_full = [act for act in acts if act.text or everything]
    for act in in_full:
        play_act(playground, show, act)
    if rest := [act for act in acts if act not in in_full]:
        show.heading(f"{len(rest)} more samples in short (make demo ALL=1 shows every step)")
    for act in rest:
        play_briefly(playground, show, act)
