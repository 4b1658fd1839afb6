"""Definitions: installed and removed for sure, and known to the garbage collector."""

import copy
import time
from collections.abc import Callable

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import load_our_crds, remove_crds
from testbed.deadline import wait_until

pytestmark = pytest.mark.long("testbed")

ROUNDS = 30
PAUSES_S = (0.0, 0.02, 0.1, 0.5)
"""Only some changes meet the moment, now after one pause, now after another."""
KNOWN_S = 15.0
"""Half of what the garbage collector takes to find a kind that came after its start."""


def change(definitions: list[Object]) -> list[Object]:
    """Return definitions whose storage the API server makes anew."""
    changed = copy.deepcopy(definitions)
    for item in changed:
        for version in item["spec"]["versions"]:
            version.pop("additionalPrinterColumns")
    return changed


@pytest.mark.timeout(600)
def test_definitions_are_removed_right_after_a_change(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> None:
    client = fresh_control_plane(ControlPlaneOption(controller_manager=False)).admin
    definitions = load_our_crds()
    for number in range(ROUNDS):
        for item in change(definitions):
            client.apply(item)
        time.sleep(PAUSES_S[number % len(PAUSES_S)])
        for item in definitions:
            client.apply(item)
        remove_crds(client, definitions)
    assert client.list_objects("apiextensions.k8s.io/v1", "CustomResourceDefinition") == []


def test_the_garbage_collector_knows_the_kinds_from_the_start(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> None:
    client = fresh_control_plane(ControlPlaneOption(definitions=load_our_crds())).admin
    policy: Object = {
        "apiVersion": "egress-operator.io/v1alpha1",
        "kind": "EgressPolicy",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {"destinations": [{"hosts": ["api.example.com"]}]},
    }
    created = client.create(policy)
    owner = {
        "apiVersion": policy["apiVersion"],
        "kind": policy["kind"],
        "name": "payments",
        "uid": created["metadata"]["uid"],
    }
    metadata = {"name": "owned", "namespace": "default", "ownerReferences": [owner]}
    client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    client.delete(policy["apiVersion"], policy["kind"], "payments", "default")
    wait_until(
        lambda: client.find("v1", "ConfigMap", "owned", "default") is None,
        KNOWN_S,
        "what the policy owned is still there",
    )
