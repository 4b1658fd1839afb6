"""Which DestinationRules count: the quick way finds what Istio's own loop finds."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.destination_rule import SELECTOR, TRAFFIC
from egress_operator.plan.override import find_rulers
from egress_operator.plan.source import HandWritten

UNTIMED = settings(deadline=None, max_examples=500)
HOST = "a.example.com"

exports = st.sets(st.sampled_from([".", "*", "shop", "pay"])).map(
    lambda found: tuple(sorted(found))
)
rules = st.lists(
    st.builds(
        HandWritten,
        kind=st.just("DestinationRule"),
        name=st.sampled_from("abcdefgh"),
        created=st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        hosts=st.just((HOST,)),
        export_to=exports,
        parts=st.sets(st.sampled_from([SELECTOR, TRAFFIC])).map(tuple),
    ),
    unique_by=lambda rule: rule.name,
)


@dataclass
class Entry:
    export: frozenset[str]
    has_selector: bool
    ruler: HandWritten


def merge_all(found: list[HandWritten]) -> list[HandWritten]:
    """Compare each rule with all before it, as mergeDestinationRule does."""
    entries: list[Entry] = []
    for rule in sorted(found, key=lambda it: (SELECTOR not in it.parts, it.created, it.name)):
        selects = SELECTOR in rule.parts
        export = frozenset("." if selects else rule.export_to)
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
            entries.append(Entry(export, selects, rule))
    chosen = [entry.ruler for entry in entries if entry.has_selector]
    return [*chosen, *[entry.ruler for entry in entries if not entry.has_selector][-1:]]


@UNTIMED
@given(rules)
def test_the_rulers_are_those_of_the_loop(found: list[HandWritten]) -> None:
    assert find_rulers(found) == merge_all(found)
