"""The CRDs and the editors' schemas: complete, small, and as the API server wants them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import yaml

from api.corpus import find_resource, load_pairs, load_samples
from api.server import REFUSED
from egress_operator.api.policy import API_VERSION, KIND, PLURAL
from egress_operator.api.state import MOST_ROWS
from egress_operator.diagnostic import Scope, read_rules
from egress_operator.status.destination import RowState
from testbed.client import ApiError
from testbed.controlplane import ControlPlane
from tools.crd import GATEWAY, POLICY, RESOURCES, Resource, build_crds, render_crd
from tools.schema import build_strict_schema

LARGEST = 150_000
"""Bytes. Client-side apply keeps a copy in an annotation, which may hold 262,144."""

FORBIDDEN = {"$ref", "$defs", "anyOf", "const", "default", "propertyNames", "title"}
REPORTED_BY_SERVER = {f"EG00{digit}" for digit in range(1, 9)}

VERSIONS = {
    resource.kind: crd["spec"]["versions"][0]
    for resource, crd in zip(RESOURCES, build_crds(), strict=True)
}


def walk(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema of a tree by its path; items of a list end in `[]`, values of a map in `{}`."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


SCHEMAS = {
    f"{kind}{path}": schema
    for kind, version in VERSIONS.items()
    for path, schema in walk(version["schema"]["openAPIV3Schema"])
}
FIELDS = {
    path: schema
    for path, schema in SCHEMAS.items()
    if path not in VERSIONS and not path.endswith(("[]", "{}"))
}


def test_the_walk_finds_the_fields() -> None:
    assert "EgressPolicy.spec.destinations[].http.retries.codes" in FIELDS
    assert "EgressPolicy.status.destinations[].host" in FIELDS
    assert "EgressGateway.spec.traffic.connectionPool.tcpKeepalive.time" in FIELDS
    assert "EgressGateway.spec.selector{}" in SCHEMAS


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_described_with_an_example(path: str) -> None:
    if path.endswith(".metadata"):
        return
    text, example, value = FIELDS[path].get("description", "").partition(" Example: ")
    if path.partition(".")[2] in {"spec", "status"}:
        assert text
        return
    assert text.endswith(".")
    assert example
    json.loads(value)


def test_the_schema_is_structural() -> None:
    for path, schema in SCHEMAS.items():
        is_status = path.partition(".")[2] == "status"
        assert FORBIDDEN & schema.keys() == ({"default"} if is_status else set()), path
        assert schema.get("additionalProperties") is not False, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path
        assert schema["type"] in {"object", "array", "string", "integer", "boolean"}, path
        if schema["type"] == "array":
            assert schema["x-kubernetes-list-type"] in {"atomic", "set", "map"}, path
            assert "maxItems" in schema, path
        if schema["type"] == "integer" and ".spec." in path:
            assert {"minimum", "maximum"} <= schema.keys(), path
        if schema["type"] == "string" and ".spec." in path:
            assert {"maxLength", "enum"} & schema.keys(), path


def test_an_object_at_which_nobody_has_looked_says_so() -> None:
    for kind in VERSIONS:
        assert SCHEMAS[f"{kind}.status"]["default"] == {"observedGeneration": -1}


def test_every_shape_rule_beyond_the_schema_is_in_cel() -> None:
    messages = [
        entry["message"]
        for schema in SCHEMAS.values()
        for entry in schema.get("x-kubernetes-validations", ())
    ]
    shape = {code for code, rule in read_rules().items() if rule.scope in {Scope.SHAPE, Scope.EDIT}}
    assert {message.partition(":")[0] for message in messages} == shape - REPORTED_BY_SERVER
    for message in messages:
        rule = read_rules()[message.partition(":")[0]]
        assert message == f"{rule.code}: {rule.title}; {rule.fix}"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_a_crd_is_small_and_stable(resource: Resource) -> None:
    text = render_crd(resource)
    assert len(text.encode()) < LARGEST
    assert text == render_crd(resource)
    assert yaml.safe_load(text) in build_crds()


def test_no_field_is_a_boolean_of_yaml() -> None:
    names = {path.rpartition(".")[2].removesuffix("[]") for path in FIELDS}
    assert all(isinstance(yaml.safe_load(name), str) for name in names)


def test_categories_and_selectable_fields(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    spec = load_samples()["smallest"]["spec"]
    for name, extra in (("bare", {}), ("said", {"justification": "PAY-123"})):
        policy = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}}
        client.request("POST", path, body=policy | {"spec": spec | extra})
    found = client.request("GET", path, query={"fieldSelector": "spec.justification="})
    assert [item["metadata"]["name"] for item in found["items"]] == ["bare"]
    with pytest.raises(ApiError) as refusal:
        client.request("GET", path, query={"fieldSelector": "spec.destinations=x"})
    assert refusal.value.code in REFUSED
    resources = client.request("GET", f"/apis/{API_VERSION}")["resources"]
    assert {(item["name"], item["namespaced"]): item.get("categories") for item in resources} == {
        ("egresspolicies", True): ["egress"],
        ("egresspolicies/status", True): None,
        ("egressgateways", False): ["egress"],
        ("egressgateways/status", False): None,
    }
    assert not any("shortNames" in item for item in resources)


@pytest.mark.parametrize(
    ("kind", "shown", "wide"),
    [
        (
            POLICY.kind,
            ["Ready", "Reason", "Hosts", "Gateway", "Age"],
            ["Message", "Objects", "Expires"],
        ),
        (
            GATEWAY.kind,
            ["Accepted", "Ready", "Isolated", "Namespaces", "Hosts", "Age"],
            ["Message"],
        ),
    ],
)
def test_columns(kind: str, shown: list[str], wide: list[str]) -> None:
    columns = VERSIONS[kind]["additionalPrinterColumns"]
    assert [item["name"] for item in columns if item["priority"] == 0] == shown
    assert [item["name"] for item in columns if item["priority"] == 1] == wide


def test_a_full_status_is_accepted_and_kept(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    client.request("POST", path, body=load_samples()["smallest"] | {"metadata": {"name": "sample"}})
    condition = {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
        "reason": "Applied",
        "message": "1 object for 1 host is applied.",
    }
    status = {
        "observedGeneration": 1,
        "conditions": [condition],
        "hosts": "1/1",
        "objectCount": 1,
        "objects": [{"kind": "ServiceEntry", "count": 1}],
        "moreDestinations": 2,
        "destinations": [
            {
                "name": "stripe",
                "host": "api.stripe.com",
                "port": 443,
                "route": "Direct",
                "state": "Applied",
                "reason": "Applied",
                "message": "",
            }
        ],
    }
    query = {"fieldValidation": "Strict"}
    kept = client.request(
        "PATCH",
        f"{path}/sample/status",
        query=query,
        body={"status": status},
        content_type="application/merge-patch+json",
    )
    assert kept["status"] == status
    bad = {"status": {"conditions": [condition | {"status": "Maybe"}]}}
    with pytest.raises(ApiError, match="Unsupported value"):
        client.request(
            "PATCH",
            f"{path}/sample/status",
            body=bad,
            content_type="application/merge-patch+json",
        )


def test_a_full_status_of_a_gateway_is_accepted_and_kept(control_plane: ControlPlane) -> None:
    client = control_plane.admin
    path = f"/apis/{API_VERSION}/{GATEWAY.plural}"
    name = "full-status"
    body = load_samples()["gateway-smallest"] | {"metadata": {"name": name}}
    condition = {
        "type": "Isolated",
        "status": "False",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
        "reason": "NotManaged",
        "message": "authorization is None.",
    }
    status = {"observedGeneration": 1, "conditions": [condition], "namespaces": 0, "hosts": 0}
    client.request("POST", path, body=body)
    try:
        kept = client.request(
            "PATCH",
            f"{path}/{name}/status",
            query={"fieldValidation": "Strict"},
            body={"status": status},
            content_type="application/merge-patch+json",
        )
    finally:
        client.request("DELETE", f"{path}/{name}")
    assert kept["status"] == status


def test_the_status_that_is_written_fits_its_schema() -> None:
    rows = FIELDS["EgressPolicy.status.destinations"]
    assert rows["maxItems"] == MOST_ROWS
    states = FIELDS["EgressPolicy.status.destinations[].state"]
    assert max(map(len, RowState)) <= states["maxLength"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_editors_schema_accepts_what_is_valid_and_closes_every_object(
    resource: Resource,
) -> None:
    strict = build_strict_schema(resource.whole)
    jsonschema.Draft7Validator.check_schema(strict)
    validator = jsonschema.Draft7Validator(strict)
    for name, document in load_samples().items():
        if find_resource(document) is resource:
            assert list(validator.iter_errors(document)) == [], name
    for path, schema in walk(strict):
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
    lenient = ("null", "with-point", "newline", "zero", "per-try")
    seen = {*(f"EG00{digit}" for digit in "1234578"), "EG010", "EG017", "EG025", "EG027"}
    for pair in load_pairs():
        told = pair.code in seen and not any(word in pair.name for word in lenient)
        if told and pair.resource is resource:
            assert not validator.is_valid(pair.invalid), pair.name
