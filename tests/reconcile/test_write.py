"""Why we write as we do, shown on the real API server (docs/design/writes.md has the words)."""

from typing import Any

import pytest

from egress_operator.istio import kinds
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import build_json_patch, build_manifest
from egress_operator.istio.object import Desired, Owner
from egress_operator.istio.set_key import HostSet
from egress_operator.status.patch import build_status_patch
from testbed.client import ApiError, Client, Object
from testbed.controlplane import ControlPlane

from .tenant import build_policy, hosts

MANAGER = "egress-operator"
HOST = "api.example.com"
NAME = "api-example-com-h0000000000000000"
NOBODY: tuple[Owner, ...] = ()
"""An owner that does not exist would bring the garbage collector."""


def build_desired(namespace: str, *ports: int) -> Desired:
    spec: dict[str, Any] = {
        "hosts": [HOST],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [{"number": port, "name": f"tls-{port}", "protocol": "TLS"} for port in ports],
    }
    key = ObjectKey(Kind.SERVICE_ENTRY, namespace, NAME)
    return kinds.build_desired(key, HostSet(namespace, HOST), NOBODY, spec)


def post(client: Client, manifest: Object) -> Object:
    path = client.path_of(manifest, named=False)
    return client.request("POST", path, query={"fieldManager": MANAGER}, body=manifest)


def tamper(client: Client, stored: Object) -> None:
    """Somebody else adds a field that we did not set."""
    client.merge_patch(stored, {"spec": {"subjectAltNames": ["evil.example.com"]}})


def test_an_apply_after_a_post_leaves_our_own_old_fields_and_foreign_ones(
    control_plane: ControlPlane, namespace: str
) -> None:
    client = control_plane.admin
    old = build_manifest(build_desired(namespace, 443), NOBODY)
    old["spec"]["endpoints"] = [{"address": "203.0.113.10"}]
    stored = post(client, old)
    tamper(client, stored)
    new = build_manifest(build_desired(namespace, 443), NOBODY)
    applied = client.apply(new, manager=MANAGER)
    # Ours by the operation Update, so the Apply of the same manager does not remove it.
    assert applied["spec"]["endpoints"] == [{"address": "203.0.113.10"}]
    assert applied["spec"]["subjectAltNames"] == ["evil.example.com"]
    managers = {(m["manager"], m["operation"]) for m in applied["metadata"]["managedFields"]}
    assert {(MANAGER, "Update"), (MANAGER, "Apply")} <= managers


def test_one_json_patch_repairs_both(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    desired = build_desired(namespace, 443)
    old = build_manifest(desired, NOBODY)
    old["spec"]["endpoints"] = [{"address": "203.0.113.10"}]
    stored = post(client, old)
    tamper(client, stored)
    patched = client.json_patch(
        stored, build_json_patch(desired, NOBODY, stored["metadata"]["uid"])
    )
    assert patched["spec"] == desired.spec


def test_a_json_patch_does_not_touch_a_recreated_object(
    control_plane: ControlPlane, namespace: str
) -> None:
    client = control_plane.admin
    desired = build_desired(namespace, 443)
    first = post(client, build_manifest(desired, NOBODY))
    client.delete(first["apiVersion"], first["kind"], NAME, namespace)
    other = build_manifest(build_desired(namespace, 8443), [])
    second = post(client, other)
    with pytest.raises(ApiError) as refusal:
        client.json_patch(second, build_json_patch(desired, NOBODY, first["metadata"]["uid"]))
    assert refusal.value.code == 422
    assert client.get(first["apiVersion"], first["kind"], NAME, namespace)["spec"] == other["spec"]
    # A delete with the uid of the first is refused as well.
    with pytest.raises(ApiError) as conflict:
        client.request(
            "DELETE",
            client.path_of(second),
            body={"preconditions": {"uid": first["metadata"]["uid"]}},
        )
    assert conflict.value.code == 409


def test_only_a_json_patch_keeps_a_status_from_a_recreated_policy(
    control_plane: ControlPlane, namespace: str
) -> None:
    client = control_plane.admin
    policy = build_policy(namespace, "made-anew", hosts(HOST))
    first = client.create(policy)
    client.delete(first["apiVersion"], first["kind"], "made-anew", namespace)
    second = client.create(policy)
    uid = first["metadata"]["uid"]
    patch = build_status_patch(uid, None, {"hosts": "1/1"})
    assert patch is not None
    with pytest.raises(ApiError) as refusal:
        client.json_patch(second, patch, subresource="status")
    assert refusal.value.code == 422
    # What the API server does with the uid of a merge patch: nothing.
    merged = client.merge_patch(
        second, {"metadata": {"uid": uid}, "status": {"hosts": "1/1"}}, subresource="status"
    )
    assert merged["metadata"]["uid"] == second["metadata"]["uid"] != uid
    assert merged["status"]["hosts"] == "1/1"


def test_an_equal_patch_changes_nothing(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    desired = build_desired(namespace, 443)
    stored = post(client, build_manifest(desired, NOBODY))
    patched = client.json_patch(
        stored, build_json_patch(desired, NOBODY, stored["metadata"]["uid"])
    )
    assert patched["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


def test_a_post_does_not_overwrite(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    desired = build_desired(namespace, 443)
    squatter = build_manifest(desired, [])
    squatter["metadata"] = {"name": NAME, "namespace": namespace}
    post(client, squatter)
    with pytest.raises(ApiError) as refusal:
        post(client, build_manifest(desired, NOBODY))
    assert (refusal.value.code, refusal.value.reason) == (409, "AlreadyExists")
