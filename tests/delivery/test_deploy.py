"""deploy/ and everything else that is made from the chart."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.chart import render_chart
from testbed.document import load_document, load_documents
from tools.generate import ROOT, build_files, find_stale, main
from tools.manifest import build_deploy

Object = dict[str, Any]
DEPLOY = ROOT / "deploy"


def _load(path: Path) -> list[Object]:
    return load_documents(path.read_text())


def _identity(item: Object) -> tuple[str, str, str]:
    metadata = item["metadata"]
    return item["kind"], metadata.get("namespace", ""), metadata["name"]


def test_nothing_is_stale() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.generate", "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "operator:."},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_stale_and_surplus_files_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    assert find_stale({path: "old"}) == find_stale({})
    assert path in find_stale({path: "new"})
    assert DEPLOY / "install.yaml" in find_stale({})
    assert tmp_path / "missing" in find_stale({tmp_path / "missing": ""})


def test_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_one_file_holds_what_the_base_holds() -> None:
    kustomization = load_document((DEPLOY / "base" / "kustomization.yaml").read_text())
    base = [item for name in kustomization["resources"] for item in _load(DEPLOY / "base" / name)]
    assert base == _load(DEPLOY / "install.yaml")
    present = {path.name for path in (DEPLOY / "base").iterdir()} - {"kustomization.yaml"}
    assert present == set(kustomization["resources"])


def test_it_is_the_chart_without_helm() -> None:
    chart = {_identity(item): item for item in render_chart()}
    deploy = {_identity(item): item for item in _load(DEPLOY / "install.yaml")}
    assert deploy.keys() - chart.keys() == {("Namespace", "", "egress-system")}
    assert chart.keys() <= deploy.keys()
    for identity, item in chart.items():
        assert {k: v for k, v in item.items() if k != "metadata"} == {
            k: v for k, v in deploy[identity].items() if k != "metadata"
        }
    assert "helm" not in (DEPLOY / "install.yaml").read_text().lower()


def test_rights_are_the_chart_s() -> None:
    def rules(objects: list[Object]) -> dict[tuple[str, str, str], object]:
        return {
            _identity(o): o.get("rules") or o["roleRef"] for o in objects if "Role" in o["kind"]
        }

    assert len(rules(_load(DEPLOY / "install.yaml"))) == 6
    assert rules(_load(DEPLOY / "install.yaml")) == rules(render_chart())


def test_crds_come_as_they_stand_in_crds() -> None:
    text = (DEPLOY / "install.yaml").read_text()
    sources = sorted((ROOT / "crds").glob("*.yaml"))
    assert sources
    for path in sources:
        assert path.read_text().partition("---\n")[2] in text
    copies = sorted((ROOT / "charts" / "egress-operator" / "files" / "crds").glob("*.yaml"))
    assert [path.read_bytes() for path in copies] == [path.read_bytes() for path in sources]


def test_kind_without_a_file_is_an_error() -> None:
    with pytest.raises(KeyError, match="Job"):
        build_deploy([{"kind": "Job", "metadata": {"name": "x"}}], {})


def test_kustomize_makes_the_same() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip(
            "no kubectl on PATH; test_one_file_holds_what_the_base_holds compares without it"
        )
    done = subprocess.run(
        [kubectl, "kustomize", str(DEPLOY / "base")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    made = {_identity(item): item for item in load_documents(done.stdout)}
    assert made == {_identity(item): item for item in _load(DEPLOY / "install.yaml")}


def test_the_component_makes_what_the_chart_makes_of_the_level(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    overlay = {"resources": ["deploy/base"], "components": ["deploy/compatible"]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    made = subprocess.run(
        [kubectl, "kustomize", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = {_identity(item): item for item in load_documents(made.stdout)}
    wanted = {
        _identity(item): item for item in render_chart({"admission": {"level": "Compatible"}})
    }
    assert found.keys() - wanted.keys() == {("Namespace", "", "egress-system")}
    assert wanted.keys() <= found.keys()
    for identity, item in wanted.items():
        if "Admission" in identity[0]:
            assert found[identity]["spec"] == item["spec"]
            assert found[identity]["metadata"]["annotations"] == item["metadata"]["annotations"]


def test_every_made_file_is_inside_the_repository() -> None:
    assert all(path.is_relative_to(ROOT) for path in build_files())
