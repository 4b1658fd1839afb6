"""Which of several DestinationRules for one host counts in its namespace, by Istio's own rules.

As in setDestinationRules and mergeDestinationRule (pilot/pkg/model/push_context.go and
destination_rule.go) and SidecarScope.DestinationRule (sidecar.go) of Istio 1.31; a test with a mesh
compares them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from egress_operator.istio.destination_rule import SELECTOR, TRAFFIC
from egress_operator.plan.source import HandWritten

_SELECTED = frozenset({"."})
"""What a rule with a workloadSelector counts as exported to."""
_HERE = frozenset({".", "*"})


@dataclass(slots=True)
class _Entry:
    """Rules that Istio has merged into one."""

    export: frozenset[str]
    has_selector: bool
    ruler: HandWritten
    """The one whose trafficPolicy counts."""


def is_seen(rule: HandWritten, namespace: str) -> bool:
    """Whether proxies of its own namespace see a DestinationRule at all. Pure."""
    return not rule.export_to or bool({*_HERE, namespace}.intersection(rule.export_to))


def find_rulers(rules: Iterable[HandWritten]) -> list[HandWritten]:
    """Return the DestinationRules whose trafficPolicy some pod of the namespace gets. Pure.

    `rules`: all that name one host exactly and are seen in the namespace. Those with a
    workloadSelector come first, then the older ones. A rule is merged into an earlier one with the
    same exportTo, or with fewer of it; then the first trafficPolicy stays. Else it stands beside
    it, and pods that no selector chooses get the last one. A rule without a selector that is merged
    into one with it is lost to all other pods.
    """
    entries: list[_Entry] = []
    for rule in sorted(rules, key=lambda item: (not _selects(item), item.created, item.name)):
        selects = _selects(rule)
        export = _SELECTED if selects else frozenset(rule.export_to)
        stands_alone = True
        for entry in entries:
            is_same = export == entry.export
            is_wider = bool(entry.export) and export > entry.export
            if (selects and entry.has_selector) or not (is_same or is_wider):
                stands_alone = True
                continue
            stands_alone = not is_same and entry.has_selector
            if TRAFFIC not in entry.ruler.parts and TRAFFIC in rule.parts:
                entry.ruler = rule
        if stands_alone:
            entries.append(_Entry(export, selects, rule))
    chosen = [entry.ruler for entry in entries if entry.has_selector]
    others = [entry.ruler for entry in entries if not entry.has_selector]
    return [*chosen, *others[-1:]]


def explain_ruler(rule: HandWritten, ours: HandWritten, *, is_certain: bool) -> str:
    """Tell why a DestinationRule counts in place of ours, or when. Pure.

    `is_certain`: whether its age is known.
    """
    if _selects(rule):
        return "because it has a workloadSelector"
    is_older = (rule.created, rule.name) < (ours.created, ours.name)
    return f"{'because' if is_certain else 'if'} it is {'older' if is_older else 'younger'}"


def _selects(rule: HandWritten) -> bool:
    return SELECTOR in rule.parts
