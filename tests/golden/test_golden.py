"""Every golden case, what each output must keep, and that together they show everything.

`UPDATE_GOLDEN=1` writes the outputs anew, removes stale ones, and still compares.
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from egress_operator.compiler.name import build_group_name
from egress_operator.compiler.object import HOST_ANNOTATION, MANAGED_BY_LABEL, POLICIES_ANNOTATION
from egress_operator.compiler.plan import plan_namespace
from egress_operator.diagnostic import RULES, Scope
from egress_operator.status.condition import Reason, Type
from egress_operator.status.destination import RowState
from egress_operator.status.lint import lint_status
from golden.case import OUTPUTS, ROOT, Result, build_inputs, find_cases, read_case, run_case

CASES = find_cases()
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _name(directory: Path) -> str:
    return f"{directory.parent.name}/{directory.name}"


@cache
def _run(directory: Path) -> Result:
    return run_case(read_case(directory))


each_case = pytest.mark.parametrize("directory", CASES, ids=_name)


@each_case
def test_output_is_golden(directory: Path) -> None:
    texts = _run(directory).build_texts()
    if os.environ.get("UPDATE_GOLDEN"):
        for name, text in texts.items():
            (directory / name).write_text(text)
        for path in directory.iterdir():
            if path.name not in {"input.yaml", *OUTPUTS}:
                path.unlink()
    assert {path.name for path in directory.iterdir()} == {"input.yaml", *OUTPUTS}
    for name, text in texts.items():
        assert (directory / name).read_text() == text, f"{name}: UPDATE_GOLDEN=1 writes it anew"


def test_every_directory_is_a_case() -> None:
    directories = {
        path for path in ROOT.glob("*/*") if path.is_dir() and path.name != "__pycache__"
    }
    assert directories == set(CASES)


@each_case
def test_objects_keep_the_rules(directory: Path) -> None:
    seen = set()
    for obj in _run(directory).objects:
        metadata, spec = obj["metadata"], obj["spec"]
        assert set(obj) == {"apiVersion", "kind", "metadata", "spec"}
        assert obj["apiVersion"] == "networking.istio.io/v1"
        assert spec["exportTo"] == ["."]
        assert LABEL.fullmatch(metadata["name"])
        assert metadata["labels"] == {MANAGED_BY_LABEL: "egress-operator"}
        assert set(metadata["annotations"]) == {HOST_ANNOTATION, POLICIES_ANNOTATION}
        assert spec["hosts"] == [metadata["annotations"][HOST_ANNOTATION]]
        assert metadata["name"] == build_group_name(spec["hosts"][0])
        names = [reference["name"] for reference in metadata["ownerReferences"]]
        assert metadata["annotations"][POLICIES_ANNOTATION] == ",".join(names)
        assert names == sorted(names)
        assert "istio.io" not in " ".join([*metadata["labels"], *metadata["annotations"]])
        key = obj["kind"], metadata["namespace"], metadata["name"]
        assert key not in seen
        seen.add(key)


@each_case
def test_ports_of_objects_are_right(directory: Path) -> None:
    objects = _run(directory).objects
    offered = {
        (obj["metadata"]["namespace"], obj["metadata"]["name"]): obj["spec"]["ports"]
        for obj in objects
        if obj["kind"] == "ServiceEntry"
    }
    for ports in offered.values():
        numbers = [port["number"] for port in ports]
        assert numbers == sorted(set(numbers))
        assert len({port["name"] for port in ports}) == len(ports)
    for obj in objects:
        if obj["kind"] == "VirtualService":
            metadata = obj["metadata"]
            numbers = [port["number"] for port in offered[metadata["namespace"], metadata["name"]]]
            for rule in obj["spec"]["http"]:
                assert rule["match"] == [
                    {"port": rule["route"][0]["destination"]["port"]["number"]}
                ]
                assert rule["match"][0]["port"] in numbers
                assert " " not in rule.get("retries", {}).get("retryOn", "")


@each_case
def test_statuses_keep_the_rules(directory: Path) -> None:
    result = _run(directory)
    for label, status in result.statuses.items():
        assert lint_status(status, result.generations[label]) == []


@each_case
def test_compiling_twice_gives_the_same(directory: Path) -> None:
    case = read_case(directory)
    assert run_case(case) == _run(directory)
    for inputs in build_inputs(case):
        assert plan_namespace(inputs) == plan_namespace(inputs)


def _statuses() -> Iterator[dict[str, Any]]:
    for directory in CASES:
        yield from yaml.safe_load((directory / "status.yaml").read_text()).values()


def test_every_code_is_shown() -> None:
    text = "".join((directory / "diagnostics.txt").read_text() for directory in CASES)
    shown = set(re.findall(r" (EG\d\d\d) ", text))
    reasons = {row.get("reason") for status in _statuses() for row in status["destinations"]}
    shown |= {code for code in ("EG104", "EG301", "EG302") if RULES[code].reason in reasons}
    assert shown <= set(RULES)
    expected = {code for code, rule in RULES.items() if rule.scope is not Scope.SHAPE}
    assert expected <= shown, f"no case shows {sorted(expected - shown)}"


def test_every_reason_and_state_is_shown() -> None:
    conditions = [condition for status in _statuses() for condition in status["conditions"]]
    rows = [row for status in _statuses() for row in status["destinations"]]
    assert {condition["type"] for condition in conditions} == set(Type)
    assert {row["state"] for row in rows} == set(RowState)
    settings = {rule.reason for rule in RULES.values() if rule.scope is Scope.SETTINGS}
    shown = {condition["reason"] for condition in conditions}
    expected = set(Reason) | settings
    assert expected <= shown, f"no case shows {sorted(expected - shown)}"
