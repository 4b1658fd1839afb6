"""What the scenes have shown, counted for the last screen."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of what was seen. Each request of a workload counts once."""

    policies: int = 0
    hosts: set[str] = field(default_factory=set)
    blocked: int = 0
    """Requests that were blocked before there was a policy."""
    reached: int = 0
    """Requests that reached their server with the policy."""
    refused: int = 0
    """Requests of others, or to other hosts, that stayed blocked."""
    repairs: int = 0


def build_summary(tally: Tally, *, has_traffic: bool) -> list[tuple[str, str]]:
    """Build the lines of the last screen, as (label, text). Pure."""
    lines = [("policies", f"{tally.policies} applied, for {len(tally.hosts)} outside hosts")]
    if has_traffic:
        lines += [
            ("before", f"all {tally.blocked} requests were blocked"),
            ("after", f"all {tally.reached} requests reached their server"),
            (
                "others",
                f"all {tally.refused} requests to other hosts, or of other pods, stayed blocked",
            ),
        ]
    repairs = f"{tally.repairs} change by hand was undone, with one write"
    return [*lines, ("repairs", repairs)]
