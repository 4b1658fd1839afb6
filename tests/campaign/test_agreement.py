"""What the comparison of a cluster with its plan notices; without a cluster."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import Desired
from permission.gateway import GATEWAY, PORT, SERVICE
from testbed.client import Object

from .agreement import find_differences
from .place import GATEWAYS, HOSTS, TENANTS, list_places
from .scene import Scene
from .statement import find_wrong_counts

TENANT = TENANTS[0]
NAME = GATEWAYS[0]
(PODS, SELECTOR), _ = list_places(NAME)


def build_metadata(name: str, **more: object) -> Object:
    created = "2026-11-21T12:00:00Z"
    metadata = {"name": name, "uid": f"u-{name}", "generation": 1, "creationTimestamp": created}
    return metadata | more


def build_scene(hosts: Iterable[str], namespace: Object) -> Scene:
    """Make a gateway and a tenant with a policy through it, and nothing that stands."""
    spec = {
        "namespace": PODS,
        "selector": SELECTOR,
        "service": {"name": SERVICE, "port": PORT},
        "namespaces": {},
        "authorization": "Managed",
    }
    policy = {"destinations": [{"hosts": [*hosts]}], "gatewayRef": {"name": NAME}}
    return Scene(
        policies=({"metadata": build_metadata("web", namespace=TENANT), "spec": policy},),
        gateways=({"kind": GATEWAY[1], "metadata": build_metadata(NAME), "spec": spec},),
        namespaces=(namespace,),
        objects={},
    )


def apply(scene: Scene, wanted: Iterable[Desired]) -> Scene:
    return replace(scene, objects={item.key: build_manifest(item, item.owners) for item in wanted})


@pytest.fixture
def settled() -> Scene:
    """Make a scene where all that is wanted stands."""
    scene = build_scene(HOSTS[:2], {"metadata": build_metadata(TENANT)})
    sets = [*scene.plans[TENANT].sets.values(), *scene.access.sets.values()]
    return apply(scene, [item for each in sets for item in each.objects])


def count(scene: Scene, hosts: int, namespaces: int) -> list[str]:
    item = {"status": {"hosts": hosts, "namespaces": namespaces}}
    return [*find_wrong_counts(scene, scene.results[NAME], item)]


def test_the_counts_of_a_gateway_are_compared(settled: Scene) -> None:
    assert count(settled, 2, 1) == []
    assert count(settled, 3, 2) == ["hosts is 3, not 2", "namespaces is 2, not 1"]
    assert count(replace(settled, objects={}), 0, 0) == []


def test_what_still_has_to_go_with_its_namespace_is_named(settled: Scene) -> None:
    going = {"metadata": build_metadata(TENANT, deletionTimestamp="2026-11-21T12:00:00Z")}
    found = [*find_differences(replace(settled, namespaces=(going,)), {})]
    words = "is there, and its namespace is being deleted"
    assert {key.namespace for key in settled.objects} == {TENANT, PODS}
    for key in settled.objects:
        assert (f"{key} {words}" in found) == (key.namespace == TENANT)
    assert not [line for line in find_differences(settled, {}) if words in line]
