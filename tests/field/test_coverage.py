"""Random policies use the whole language: every field, and nearly every two fields together."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

from field.example import FIELDS, GATEWAYS, POLICIES
from field.pair import Pair, is_allowed, list_pairs, list_scopes
from field.path import Object, find_places
from mesh.oracle.draw import Site, draw_policies
from mesh.oracle.surroundings import draw_gateway_settings, draw_sidecars
from testbed.seed import SEED

SITES = tuple(Site(f"h{number}.set.example", f"203.0.113.{number}") for number in range(2))
SETS, WIDTH = 500, 25
"""Sets, and those of a batch, which have their gateways together."""
LEAST = 20
"""In how many sets each field must be."""
SHARE = 0.99
"""Of the pairs that the API allows."""
MOST_NAMED = 60


@cache
def draw_sets() -> list[list[Object]]:
    """Draw the policies of all sets."""
    return [draw_policies(f"{SEED}-{number}", "drawn", SITES) for number in range(SETS)]


def list_drawn_scopes() -> Iterator[frozenset[str]]:
    """Name the fields that are together, for each destination of each policy."""
    for policies in draw_sets():
        for policy in policies:
            yield from list_scopes(policy["spec"])


def test_every_field_of_a_policy_is_drawn() -> None:
    found = Counter(
        path
        for policies in draw_sets()
        for path in frozenset[str]().union(
            *(scope for policy in policies for scope in list_scopes(policy["spec"]))
        )
    )
    rare = {path: found[path] for path in FIELDS[POLICIES] if found[path] < LEAST}
    assert not rare, f"seed {SEED}: fewer than {LEAST} of {SETS} sets have {rare}"


def test_every_field_of_a_gateway_is_drawn_or_fixed() -> None:
    """Where the pods are, and that wildcards go through, is the same in all batches."""
    found: Counter[str] = Counter()
    for number in range(0, SETS, WIDTH):
        drawn = draw_gateway_settings(f"{SEED}-{number}").values()
        documents = [{"spec": {**BASE, **spec}} for spec in drawn]
        for path in FIELDS[GATEWAYS]:
            found[path] += WIDTH * any(find_places(document, path) for document in documents)
    rare = {path: found[path] for path in FIELDS[GATEWAYS] if found[path] < LEAST}
    assert not rare, f"seed {SEED}: fewer than {LEAST} of {SETS} sets have {rare}"


BASE: Object = {
    "namespace": "istio-egress",
    "selector": {"istio": "egress"},
    "service": {"name": "egress", "port": 443},
    "authorization": "Managed",
    "wildcards": "HTTPAndTLS",
}


def test_fields_are_drawn_together() -> None:
    masks = _mark(list_drawn_scopes())
    absent = [pair for pair in list_pairs() if not masks[pair[0]] & masks[pair[1]]]
    missing = [pair for pair in absent if is_allowed(*pair)]
    allowed = len(list_pairs()) - len(absent) + len(missing)
    share = 1 - len(missing) / allowed
    assert share >= SHARE, (
        f"seed {SEED}: {SETS} sets have {share:.1%} of the pairs of fields that the API allows; "
        f"tests/mesh/oracle/draw.py never draws {_name_some(missing)}"
    )


def _mark(scopes: Iterable[frozenset[str]]) -> Counter[str]:
    """Map each field to a bit for each scope that has it."""
    masks: Counter[str] = Counter()
    for index, scope in enumerate(scopes):
        for path in scope:
            masks[path] |= 1 << index
    return masks


def _name_some(pairs: list[Pair]) -> str:
    """Name the pairs of the fields that are missing most often first."""
    count = Counter(path for pair in pairs for path in pair)
    ordered = sorted(pairs, key=lambda pair: -max(count[path] for path in pair))
    named = [f"{one} with {other}" for one, other in ordered[:MOST_NAMED]]
    rest = len(pairs) - len(named)
    return "; ".join(named) + (f"; and {rest} more" if rest else "")


def test_pairs_are_judged_by_the_api() -> None:
    files, ref = "spec.destinations[].originateTLS.files.ca", "spec.gatewayRef.name"
    assert not is_allowed(files, ref)
    assert is_allowed(files, "spec.destinations[].http.mirror.percentage")
    assert is_allowed("spec.destinations[].failover", "spec.destinations[].backends[].weight")


def test_sidecars_show_and_hide() -> None:
    entries = [
        entry
        for number in range(SETS)
        for sidecar in draw_sidecars(f"{SEED}-{number}", [SITES])
        for listener in sidecar["spec"].get("egress", ())
        for entry in listener["hosts"]
    ]
    for form in ("./*", "~/*", "~", "*/*"):
        assert any(entry.startswith(form) for entry in entries), f"seed {SEED}: no {form}"
    assert any(SITES[0].host in entry for entry in entries)
