"""Every golden case, what each output must keep, and that together they show everything.

`UPDATE_GOLDEN=1` writes the outputs anew, removes stale ones, and still compares.
"""

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from egress_operator.api.address import parse_address
from egress_operator.diagnostic import Level, Scope, read_rules
from egress_operator.istio.kind import Kind
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import (
    ALLOCATE_LABEL,
    DRY_RUN_ANNOTATION,
    EGRESS_GATEWAY_ANNOTATION,
    GATEWAY_ANNOTATION,
    HOST_ANNOTATION,
    MANAGED_BY_LABEL,
    NAMESPACE_ANNOTATION,
    POLICIES_ANNOTATION,
)
from egress_operator.istio.observed import read_observed
from egress_operator.istio.service_entry import is_closed
from egress_operator.istio.set_key import find_scope
from egress_operator.plan.cache import CachedPolicy
from egress_operator.plan.gateway import judge_gateways
from egress_operator.plan.limit import build_demand
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.result import ClaimState
from egress_operator.plan.standing import build_host_standings
from egress_operator.status.condition import Reason, Type
from egress_operator.status.destination import RowState
from egress_operator.status.gateway import GatewayType
from golden.case import OUTPUTS, ROOT, Result, build_inputs, find_cases, read_case, run_case
from status.lint import lint_status
from testbed.document import load_document

CASES = find_cases()


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


_OF_HOST = {HOST_ANNOTATION, POLICIES_ANNOTATION}
_OF_TENANT = {GATEWAY_ANNOTATION}
_OF_ACCESS = {GATEWAY_ANNOTATION, EGRESS_GATEWAY_ANNOTATION, DRY_RUN_ANNOTATION}
_ANNOTATIONS = (
    _OF_HOST,
    _OF_HOST | _OF_TENANT | {NAMESPACE_ANNOTATION},
    _OF_TENANT,
    _OF_TENANT | {NAMESPACE_ANNOTATION},
    _OF_ACCESS,
    _OF_ACCESS | {NAMESPACE_ANNOTATION},
    _OF_ACCESS | {NAMESPACE_ANNOTATION, HOST_ANNOTATION},
    (_OF_ACCESS | {NAMESPACE_ANNOTATION, HOST_ANNOTATION}) - {DRY_RUN_ANNOTATION},
)


@each_case
def test_objects_keep_the_rules(directory: Path) -> None:
    seen = set()
    for obj in _run(directory).objects:
        metadata = obj["metadata"]
        assert set(obj) == {"apiVersion", "kind", "metadata", "spec"}
        assert obj["apiVersion"] == KINDS[Kind(obj["kind"])].api_version
        assert read_observed(obj).ours
        assert metadata["labels"] == {MANAGED_BY_LABEL: "egress-operator", **_expect_label(obj)}
        assert set(metadata["annotations"]) in _ANNOTATIONS
        key = obj["kind"], metadata["namespace"], metadata["name"]
        assert key not in seen
        seen.add(key)


@each_case
def test_what_counts_as_asked_for_is_what_stands_of_it(directory: Path) -> None:
    """Each upstream of each port that is claimed, in the namespace and at its gateway."""
    case = read_case(directory)
    if case.istio:
        return
    seen = [read_observed(item) for item in _run(directory).objects]
    for inputs in build_inputs(case):
        plan = plan_namespace(inputs)
        asked, ports = set(), set()
        gateways = judge_gateways(inputs.gateways, inputs.settings)
        for source in inputs.policies:
            got = {
                (row.host, row.port)
                for row in plan.results[source.name].claims
                if row.state is ClaimState.CLAIMED
            }
            for claim in CachedPolicy(source).claims:
                if (claim.host, claim.port.number) in got:
                    ports.add((claim.key, claim.port.number))
                    at = gateways[claim.gateway].gateway if claim.gateway else None
                    for host, *rest in build_demand([claim], claim.gateway).pairs:
                        asked |= {(host, label, *rest) for label in ("", at.label if at else "")}
        own = [item for item in seen if item.set_key and find_scope(item.set_key) == plan.scope]
        assert asked == {
            (row.host, *pair)
            for row in build_host_standings(own, ())
            for pair in row.pairs
            if (row.host, pair[1]) in ports
        }


@each_case
def test_what_is_wanted_and_what_is_observed_have_the_same_facts(directory: Path) -> None:
    for inputs in build_inputs(read_case(directory)):
        for group in plan_namespace(inputs).sets.values():
            for desired in group.objects:
                manifest = json.loads(json.dumps(build_manifest(desired, desired.owners)))
                assert read_observed(manifest).facts == desired.facts


@each_case
def test_objects_have_the_name_of_their_group(directory: Path) -> None:
    for obj in _run(directory).objects:
        annotations, name = obj["metadata"]["annotations"], obj["metadata"]["name"]
        host = annotations.get(HOST_ANNOTATION)
        if NAMESPACE_ANNOTATION not in annotations:
            own = annotations.get(GATEWAY_ANNOTATION) if host is None else build_host_name(host)
            assert name.startswith(own)
        if host is not None and obj["kind"] == "ServiceEntry" and name == build_host_name(host):
            assert obj["spec"]["hosts"] == [host]


@each_case
def test_objects_have_owners(directory: Path) -> None:
    for obj in _run(directory).objects:
        metadata = obj["metadata"]
        owners = [(owner["kind"], owner["name"]) for owner in metadata.get("ownerReferences", ())]
        # Else the deletion of the EgressGateway would take the denial away.
        assert obj["kind"] not in {"AuthorizationPolicy", "EnvoyFilter"} or not owners
        policies = [name for kind, name in owners if kind == "EgressPolicy"]
        assert owners == sorted(owners, key=lambda owner: owner[1])
        assert not policies or len(policies) == len(owners)
        listed = metadata["annotations"].get(POLICIES_ANNOTATION, "")
        assert listed == ",".join(policies)


@each_case
def test_nothing_is_shown_beyond_two_namespaces(directory: Path) -> None:
    case = read_case(directory)
    places = {gateway["spec"]["namespace"] for gateway in case.gateways}
    by_hand = {tuple(item["spec"].get("exportTo", ())) for item in case.istio}
    for obj in _run(directory).objects:
        if obj["kind"] in {"Gateway", "AuthorizationPolicy", "EnvoyFilter"}:
            continue
        export = tuple(obj["spec"].get("exportTo", ()))
        synthetic = obj["spec"].get("host", "").endswith(".svc.cluster.local")
        if synthetic and export in by_hand:
            continue
        (only,) = export
        assert only in {".", *places}


def _expect_label(obj: dict[str, Any]) -> dict[str, str]:
    """Only a host that cannot do without it gets an address from istiod."""
    spec = obj["spec"]
    if obj["kind"] != "ServiceEntry":
        return {}
    alone = all(port["protocol"] in {"HTTP", "HTTP2", "GRPC", "TLS"} for port in spec["ports"])
    behind = obj["metadata"]["name"] != build_host_name(
        obj["metadata"]["annotations"][HOST_ANNOTATION]
    )
    own = {f"{host}." for host in spec["hosts"]}
    elsewhere = any(endpoint["address"] not in own for endpoint in spec.get("endpoints", ()))
    needed = not behind and "addresses" not in spec and (elsewhere or not alone)
    if not behind and is_closed(spec):
        # Without endpoints it is as it would be with them.
        needed = obj["metadata"]["labels"][ALLOCATE_LABEL] == "true"
    return {ALLOCATE_LABEL: "true" if needed else "false"}


@each_case
def test_no_resolver_completes_an_endpoint(directory: Path) -> None:
    """Endpoints that are names end with a dot; all other names are compared, and have none."""
    for obj in _run(directory).objects:
        spec = dict(obj["spec"])
        endpoints = [endpoint["address"] for endpoint in spec.pop("endpoints", ())]
        sockets = [address for address in endpoints if address.startswith("unix:")]
        assert sockets in ([], endpoints)
        named = [] if sockets else [a for a in endpoints if parse_address(a) is None]
        assert all(address.endswith(".") for address in named)
        assert (spec.get("resolution") == "DNS") == bool(named)
        assert re.findall(r'"[^" ]+\w\."', json.dumps(spec)) == []


@each_case
def test_ports_of_objects_are_right(directory: Path) -> None:
    objects = _run(directory).objects
    offered = {
        host: obj["spec"]["ports"]
        for obj in objects
        if obj["kind"] == "ServiceEntry"
        for host in obj["spec"]["hosts"]
    }
    for ports in offered.values():
        listed = [port["number"] for port in ports]
        assert listed == sorted(set(listed))
        assert len({port["name"] for port in ports}) == len(ports)
    for obj in objects:
        if obj["kind"] == "VirtualService":
            for rule in _list_rules(obj):
                assert " " not in rule.get("retries", {}).get("retryOn", "")
                for route in rule.get("route", ()):
                    target = route["destination"]
                    numbers = {port["number"] for port in offered.get(target["host"], ())}
                    assert "subset" in target or target["port"]["number"] in numbers


@each_case
def test_tls_is_checked(directory: Path) -> None:
    """A server name without names to check would let any public certificate pass.

    Without either, as for a wildcard, the name of the request is sent and checked.
    """
    for obj in _run(directory).objects:
        if obj["kind"] != "DestinationRule":
            continue
        for policy in _list_traffic_policies(obj["spec"]):
            tls = policy.get("tls", {})
            if tls and tls["mode"] != "ISTIO_MUTUAL":
                is_named = not obj["spec"]["host"].startswith("*")
                assert bool(tls.get("sni")) is is_named
                assert bool(tls.get("subjectAltNames")) is is_named


def _list_rules(obj: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for kind in ("http", "tls", "tcp") for rule in obj["spec"].get(kind, ())]


def _list_traffic_policies(spec: dict[str, Any]) -> list[dict[str, Any]]:
    own = spec.get("trafficPolicy", {})
    subsets = [subset["trafficPolicy"] for subset in spec.get("subsets", ())]
    return [own, *own.get("portLevelSettings", ()), *subsets]


@each_case
def test_statuses_keep_the_rules(directory: Path) -> None:
    result = _run(directory)
    for label in result.generations:
        status = result.statuses[label]
        assert lint_status(status, result.generations[label]) == []


@each_case
def test_compiling_twice_gives_the_same(directory: Path) -> None:
    case = read_case(directory)
    assert run_case(case) == _run(directory)
    for inputs in build_inputs(case):
        assert plan_namespace(inputs) == plan_namespace(inputs)


def _statuses() -> Iterator[dict[str, Any]]:
    yield from (status for label, status in _all_statuses() if "/" in label)


def _gateway_statuses() -> Iterator[dict[str, Any]]:
    yield from (status for label, status in _all_statuses() if "/" not in label)


def _all_statuses() -> Iterator[tuple[str, dict[str, Any]]]:
    for directory in CASES:
        yield from load_document((directory / "status.yaml").read_text()).items()


def test_every_code_is_shown() -> None:
    text = "".join((directory / "diagnostics.txt").read_text() for directory in CASES)
    shown = set(re.findall(r" (EG\d\d\d) ", text))
    reasons = {row.get("reason") for status in _statuses() for row in status["destinations"]}
    shown |= {code for code in ("EG104", "EG301", "EG302") if read_rules()[code].reason in reasons}
    assert shown <= set(read_rules())
    expected = {
        code for code, rule in read_rules().items() if rule.scope in {Scope.SETTINGS, Scope.CLUSTER}
    }
    assert expected <= shown, f"no case shows {sorted(expected - shown)}"


def test_every_reason_and_state_is_shown() -> None:
    conditions = [condition for status in _statuses() for condition in status["conditions"]]
    rows = [row for status in _statuses() for row in status["destinations"]]
    assert {condition["type"] for condition in conditions} == set(Type)
    assert {row["state"] for row in rows} == set(RowState)
    settings = {
        rule.reason
        for rule in read_rules().values()
        if rule.scope is Scope.SETTINGS and rule.level is Level.ERROR
    }
    shown = {condition["reason"] for condition in conditions}
    of_gateways = [item for status in _gateway_statuses() for item in status["conditions"]]
    assert {condition["type"] for condition in of_gateways} == set(GatewayType)
    shown |= {condition["reason"] for condition in of_gateways}
    expected = set(Reason) | settings
    assert expected <= shown, f"no case shows {sorted(expected - shown)}"
