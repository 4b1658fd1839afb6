"""The page about Sidecars: its examples do what it says, and its message is the operator's."""

import re
from pathlib import Path

import yaml

from egress_operator.istio.sidecar import Sidecar, read_sidecar
from egress_operator.plan.piece import finish
from egress_operator.plan.result import HIDDEN
from egress_operator.plan.sidecar import Opening, Screen, Sight, find_sight
from egress_operator.plan.source import OutboundMode
from plan.scene import NARROW
from plan.test_sidecar import judge

PAGES = Path(__file__).parents[2] / "docs"
PAGE = PAGES / "use" / "sidecars.md"
FENCE = re.compile(r"^ *```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OPENING = Opening("shop", (), {"partner.example.com": {80: True}})


def read_examples(page: Path) -> list[Sidecar]:
    found = (yaml.safe_load(text) for text in FENCE.findall(page.read_text()) if "Sidecar" in text)
    return [read_sidecar(document) for document in found]


def see(sidecar: Sidecar) -> Sight:
    return finish(find_sight(Screen((sidecar,)), OPENING, OutboundMode.ALLOW_ANY))


def test_the_first_example_imports_policies_and_leaves_the_mode_alone() -> None:
    first, _ = read_examples(PAGE)
    assert see(first).hidden == ()
    assert "the mesh is in mode ALLOW_ANY" in see(first).unblocked


def test_the_second_example_blocks_and_imports_everything() -> None:
    for page in (PAGE, PAGES / "operate" / "install.md"):
        sidecar = read_examples(page)[-1]
        assert see(sidecar) == Sight()


def test_the_message_is_the_operator_s() -> None:
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith("partner "))
    narrow = read_sidecar({**NARROW, "metadata": {**NARROW["metadata"], "name": "default"}})
    look = find_sight(Screen((narrow,)), OPENING, OutboundMode.REGISTRY_ONLY)
    (sentence,) = finish(look).hidden
    assert line.endswith(f"{sentence} ({HIDDEN})")


def test_services_alone_import_no_policy() -> None:
    assert judge(NARROW).sight.hidden
