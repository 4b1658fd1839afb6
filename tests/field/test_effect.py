"""A field that is accepted and does nothing fails here by name, and the message tells what to add.

Examples are the inputs of the golden cases: a field that none of them uses has no example.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice

import pytest

from egress_operator.explain.want import list_wants
from egress_operator.explain.world import read_world
from field.example import FIELDS, POLICIES, Example, find_examples
from field.path import Object
from golden.case import MOMENT
from tools.api_reference import render_api

MOST_EXAMPLES = 40
"""How many examples of a field are tried until its effect shows."""
DESTINATION = "spec.destinations[]."
FOR_PEOPLE = {
    "spec.justification": "stays in the policy",
}
"""Fields that change no object, with the reason."""
UNITED = {
    "spec.expiresAt": "each policy ends at its own time",
    "spec.destinations": "each destination is claimed for itself",
    "spec.destinations[].name": "the name that a policy's own messages use",
    "spec.destinations[].hosts": "each host is claimed for itself",
    "spec.destinations[].ports": "each port is claimed for itself",
    "spec.destinations[].ports[].number": "each port is claimed for itself",
}
"""Fields in which two policies for one host may differ, and both hold."""

every_policy_field = pytest.mark.parametrize("path", FIELDS[POLICIES])
every_claimed_field = pytest.mark.parametrize(
    "path", [path for path in FIELDS[POLICIES] if path not in FOR_PEOPLE | UNITED]
)


@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind, fields in FIELDS.items() for path in fields]
)
def test_a_field_has_an_effect(kind: str, path: str) -> None:
    examples = list(islice(find_examples(kind, path), MOST_EXAMPLES))
    assert examples, f"no golden case uses {path}: add one to tests/golden"
    shows = any(
        example.run_with(changed) != example.run() for example, changed in list_changes(examples)
    )
    if path in FOR_PEOPLE:
        assert not shows, f"{path} has an effect: take it out of FOR_PEOPLE"
    else:
        assert shows, f"{path} is accepted and changes no object, status or finding"


@every_claimed_field
def test_a_conflict_names_the_field(path: str) -> None:
    """Two policies that differ in one field: the younger one is told in which."""
    changes = list_changes(find_examples(POLICIES, path))
    named = any(_is_named(example, changed, path) for example, changed in changes)
    assert named, f"policies may differ in {path}, and none of them is told so"


@every_policy_field
def test_an_explanation_reads_the_field(path: str) -> None:
    """The explanation compares what policies want, made from the API without the compiler."""
    changes = list_changes(islice(find_examples(POLICIES, path), MOST_EXAMPLES))
    reads = any(
        _list_wants(example.document) != _list_wants(changed) for example, changed in changes
    )
    assert reads or path in FOR_PEOPLE or path == f"{DESTINATION}name", (
        f"egress_operator.explain does not read {path}"
    )


@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind, fields in FIELDS.items() for path in fields]
)
def test_the_reference_describes_the_field(kind: str, path: str) -> None:
    assert _read_meanings(kind)[path].endswith("."), f"{path} has no description"


def list_changes(examples: Iterable[Example]) -> Iterator[tuple[Example, Object]]:
    """List examples with each of their variants."""
    return ((example, changed) for example in examples for changed in example.variants)


def _is_named(example: Example, changed: Object, path: str) -> bool:
    """Whether a younger policy, with the change, is told that it loses by this field.

    What is a list, or says who may call, is compared as a whole.
    """
    metadata = {
        **changed["metadata"],
        "name": "the-younger",
        "creationTimestamp": "2027-01-01T00:00:00Z",
    }
    findings = example.run_beside({**changed, "metadata": metadata}).findings
    name = path.removeprefix(DESTINATION).removeprefix("ports[].").removeprefix("spec.")
    name = "from" if name.startswith("from.") else name.split("[]")[0].removesuffix(".name")
    told = re.compile(rf"(different value of|or) {re.escape(name)}\b|EG103 .*\.{name}\[")
    return any("/the-younger EG10" in line and told.search(line) for line in findings)


@cache
def _read_meanings(kind: str) -> dict[str, str]:
    """Map the fields of a kind to what the reference writes of them."""
    _, policies, gateways = render_api().split("\n## Egress")
    rows = policies if kind == POLICIES else gateways
    return dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| (.*) \|$", rows, re.MULTILINE))


def _list_wants(document: Object) -> list[str]:
    world = read_world([document], now=MOMENT)
    return [
        repr((want.host, want.port, want.way, want.place, want.source))
        for policies in world.policies.values()
        for policy in policies
        for want in list_wants(policy)
    ]
