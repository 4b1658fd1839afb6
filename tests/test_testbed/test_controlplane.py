"""The control plane: what it offers, and that nothing of it stays behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from testbed.client import ApiError, Client, Object
from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.deadline import wait_until
from testbed.identity import Identity, apply_identity

pytestmark = pytest.mark.long("testbed")

TIMEOUT_S = 30

Start = Callable[[ControlPlaneOption], ControlPlane]


def find_users_of(directory: Path) -> list[str]:
    """Command lines of running processes that name the directory."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if str(directory) in line:
            lines.append(line)
    return lines


def build_config_map(namespace: str, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": namespace},
        "data": data,
    }


def test_data_outlives_the_api_server_and_nothing_outlives_stop(
    fresh_control_plane: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # etcd refuses one that says something else than its flag.
    monkeypatch.setenv("ETCD_DATA_DIR", "/nonexistent")
    option = ControlPlaneOption(
        controller_manager=False,
        users=("developer",),
        apiserver_flags=("--emulated-version=1.33",),
    )
    plane = fresh_control_plane(option)
    assert plane.admin.request("GET", "/version")["emulationMajor"] == "1"
    assert plane.admin.request("GET", "/version")["emulationMinor"] == "33"
    plane.admin.create(build_config_map("default", color="red"))

    plane.kill_apiserver()
    with pytest.raises(OSError, match=r"GET .*settings"):
        plane.admin.get("v1", "ConfigMap", "settings", "default")
    plane.start_apiserver()
    stored = plane.admin.get("v1", "ConfigMap", "settings", "default")
    assert stored["data"] == {"color": "red"}

    with pytest.raises(ApiError, match='User "developer" cannot get resource "configmaps"'):
        plane.client_for("developer").get("v1", "ConfigMap", "settings", "default")

    assert len(find_users_of(plane.directory)) == 2
    plane.stop()
    assert find_users_of(plane.directory) == []
    assert not plane.directory.exists()


@pytest.mark.usefixtures("programs")
def test_nothing_outlives_a_killed_test_process() -> None:
    script = """
import time
from testbed.controlplane import start_control_plane
plane = start_control_plane()
print(plane.directory, flush=True)
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    directory = Path(parent.stdout.readline().strip())
    assert len(find_users_of(directory)) == 3
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=TIMEOUT_S)
    wait_until(lambda: not find_users_of(directory), TIMEOUT_S, "programs live on")
    wait_until(lambda: not directory.exists(), TIMEOUT_S, f"{directory} is left")


def test_a_service_account_may_do_exactly_what_its_rules_say(
    control_plane: ControlPlane, namespace: str
) -> None:
    identity = Identity(
        namespace,
        "operator",
        cluster_rules=[{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}],
        rules={namespace: [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]},
    )
    apply_identity(control_plane.admin, identity)
    file = control_plane.kubeconfig_for_service_account(namespace, "operator")
    assert file.stat().st_mode & 0o777 == 0o600
    token = yaml.safe_load(file.read_text())["users"][0]["user"]["token"]
    client = Client(control_plane.url, control_plane.ca_file, token)

    since = control_plane.audit.position()
    assert client.list_objects("v1", "Namespace")
    client.create(build_config_map(namespace))
    with pytest.raises(ApiError, match='cannot get resource "configmaps"'):
        client.get("v1", "ConfigMap", "settings", namespace)
    with pytest.raises(ApiError, match='cannot create resource "configmaps"'):
        client.create(build_config_map("default"))

    records = control_plane.audit.records(since=since, user=identity.user)
    asked = [(*entry.permission, entry.namespace, entry.code) for entry in records]
    assert [entry for entry in asked if entry[2]] == [
        ("list", "", "namespaces", "", 200),
        ("create", "", "configmaps", namespace, 201),
        ("get", "", "configmaps", namespace, 403),
        ("create", "", "configmaps", "default", 403),
    ]
    writes = control_plane.audit.records(since=since, user=identity.user, writes=True)
    assert [entry.code for entry in writes] == [201, 403]


def test_client_applies_patches_and_watches(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    item = build_config_map(namespace, color="red")
    version = client.list_page("v1", "ConfigMap", namespace)["metadata"]["resourceVersion"]
    client.apply(item, manager="first")
    with pytest.raises(ApiError, match='conflict with "first"') as refusal:
        client.apply(build_config_map(namespace, color="blue"), manager="second", force=False)
    assert (refusal.value.code, refusal.value.reason) == (409, "Conflict")
    assert client.find("v1", "ConfigMap", "other", namespace) is None
    client.apply(build_config_map(namespace, color="green"), manager="first", dry_run=True)
    client.merge_patch(item, {"data": {"size": "1"}})
    operation = {"op": "replace", "path": "/data/size", "value": "2"}
    assert client.json_patch(item, [operation])["data"] == {"color": "red", "size": "2"}
    client.delete("v1", "ConfigMap", "settings", namespace)

    events = client.watch(
        "v1", "ConfigMap", namespace, resource_version=version, timeout_s=TIMEOUT_S
    )
    seen = []
    for event in events:
        if event.object["metadata"]["name"] == "settings":
            seen.append((event.type, event.object["data"]))
        if event.type == "DELETED":
            break
    assert seen == [
        ("ADDED", {"color": "red"}),
        ("MODIFIED", {"color": "red", "size": "1"}),
        ("MODIFIED", {"color": "red", "size": "2"}),
        ("DELETED", {"color": "red", "size": "2"}),
    ]


def test_owned_objects_go_with_their_owner(control_plane: ControlPlane, namespace: str) -> None:
    client = control_plane.admin
    owner = client.create(build_config_map(namespace))
    child = build_config_map(namespace)
    child["metadata"]["name"] = "child"
    child["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "settings",
            "uid": owner["metadata"]["uid"],
        }
    ]
    client.create(child)
    client.delete("v1", "ConfigMap", "settings", namespace)
    wait_until(
        lambda: client.find("v1", "ConfigMap", "child", namespace) is None,
        TIMEOUT_S,
        "the child is still there",
    )
