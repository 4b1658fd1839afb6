"""Which of several DestinationRules for one host counts in its namespace, by Istio's own rules.

As in setDestinationRules and mergeDestinationRule (pilot/pkg/model/push_context.go and
destination_rule.go) and SidecarScope.DestinationRule (sidecar.go) of Istio 1.31; a test with a mesh
compares them.
"""

from collections.abc import Iterable

from egress_operator.istio.destination_rule import SELECTOR, TRAFFIC
from egress_operator.plan.source import HandWritten

_SELECTED = frozenset({"."})
"""What a rule with a workloadSelector counts as exported to."""
_HERE = frozenset({".", "*"})


def is_seen(rule: HandWritten, namespace: str) -> bool:
    """Whether proxies of its own namespace see a DestinationRule at all. Pure."""
    return not rule.export_to or bool({*_HERE, namespace}.intersection(rule.export_to))


def find_rulers(rules: Iterable[HandWritten]) -> list[HandWritten]:
    """Return the DestinationRules whose trafficPolicy some pod of the namespace gets. Pure.

    `rules`: all that name one host exactly and are seen in the namespace. Those with a
    workloadSelector come first, then the older ones. A rule is merged into an earlier one with the
    same exportTo, or with fewer of it; then the first trafficPolicy stays. Else it stands beside
    it, and pods that no selector chooses get the last one. A rule without a selector that is merged
    into one with it is lost to all other pods. n log n.
    """
    ordered = sorted(rules, key=lambda item: (item.created, item.name))
    special = [rule for rule in ordered if _selects(rule)]
    general = [(rule, frozenset(rule.export_to)) for rule in ordered if not _selects(rule)]
    fitting = (rule for rule, export in general if _fits(export, _SELECTED) and _rules(rule))
    filler = next(fitting, None)
    chosen = [rule if filler is None or _rules(rule) else filler for rule in special]
    # Istio compares a rule with all before it, and the last of these decides if it stands alone.
    last: frozenset[str] | None = None
    ruler: HandWritten | None = None
    for rule, export in general:
        if last is None:
            stands_alone = not special or export != _SELECTED
        else:
            stands_alone = not _fits(export, last)
        if stands_alone:
            last, ruler = export, rule
        elif ruler is not None and not _rules(ruler) and _rules(rule):
            ruler = rule
    return chosen if ruler is None else [*chosen, ruler]


def _fits(export: frozenset[str], older: frozenset[str]) -> bool:
    """Whether a rule with one exportTo is merged into an older rule with another one."""
    return export == older or (bool(older) and export > older)


def _rules(rule: HandWritten) -> bool:
    return TRAFFIC in rule.parts


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
