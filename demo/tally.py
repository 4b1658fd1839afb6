"""What the scenes have shown, counted for the last screen."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of what was seen. Each request of a workload counts once."""

    policies: int = 0
    deleted: int = 0
    """How many of them were deleted again."""
    hosts: set[str] = field(default_factory=set)
    blocked: int = 0
    """Requests that were blocked before there was a policy."""
    reached: int = 0
    """Requests that reached their server with the policy."""
    refused: int = 0
    """Requests of others, or to other hosts, that stayed blocked."""
    repairs: int = 0
    peers: set[str] = field(default_factory=set)
    """Addresses that were shown as those of a call: once each is enough."""


def build_summary(tally: Tally, *, has_traffic: bool) -> list[tuple[str, str]]:
    """Build the lines of the last screen, as (label, text). Pure."""
    deleted = f" ({tally.deleted} deleted again)" if tally.deleted else ""
    hosts = "1 outside host" if len(tally.hosts) == 1 else f"{len(tally.hosts)} outside hosts"
    applied = f"{tally.policies} written{deleted}, for {hosts}"
    lines = [("policies", applied)]
    if has_traffic:
        lines += [
            ("before", f"all {tally.blocked} requests were blocked"),
            ("after", f"all {tally.reached} requests reached their server"),
            (
                "others",
                f"all {tally.refused} requests to other hosts, or of other pods, stayed blocked",
            ),
        ]
    changes = (
        "1 change by hand was" if tally.repairs == 1 else f"{tally.repairs} changes by hand were"
    )
    repairs = f"{changes} undone, with one write"
    return [*lines, ("repairs", repairs)]
