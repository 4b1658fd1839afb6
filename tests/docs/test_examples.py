"""Every YAML example of the docs and every sample is an object that Python accepts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from egress_operator.api.check import check_gateway, check_policy
from egress_operator.cli.main import run

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GATEWAY = ROOT / "samples" / "egress-gateway.yaml"
OF_THE_CLOCK = {"EG118", "EG119"}
"""An example that ends is over some day."""
CHECKS = {"EgressPolicy": check_policy, "EgressGateway": check_gateway}


def _examples() -> list[tuple[str, dict[str, Any]]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = [
        (f"{page.relative_to(ROOT)}#{number}", text)
        for page in pages
        for number, text in enumerate(FENCE.findall(page.read_text()), start=1)
    ]
    texts += [(f"samples/{path.name}", path.read_text()) for path in ROOT.glob("samples/*.yaml")]
    return [
        (name, document)
        for name, text in texts
        for document in yaml.safe_load_all(text)
        if isinstance(document, dict) and document.get("kind") in CHECKS
    ]


EXAMPLES = _examples()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("document", [d for _, d in EXAMPLES], ids=[n for n, _ in EXAMPLES])
def test_example_is_accepted(document: dict[str, Any]) -> None:
    found, diagnostics = CHECKS[document["kind"]](document)
    assert diagnostics == ()
    assert found is not None


@pytest.mark.parametrize("document", [d for _, d in EXAMPLES], ids=[n for n, _ in EXAMPLES])
def test_lint_finds_nothing_in_an_example(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(document))
    gateway = yaml.safe_load(GATEWAY.read_text())
    gateway["spec"]["wildcards"] = "HTTPAndTLS"
    beside = tmp_path / "gateway.yaml"
    beside.write_text(yaml.safe_dump(gateway))
    files = [path] if document["kind"] == "EgressGateway" else [path, beside]
    run(["lint", "-o", "json", "--dns-capture", "on", *map(str, files)])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [found for found in findings if found["rule"] not in OF_THE_CLOCK] == []
