"""Rules about an edit, which only the API server can judge."""

from collections.abc import Iterator
from typing import Any

import pytest

from testbed.client import ApiError, Client, Object
from testbed.controlplane import ControlPlane

SPEC: dict[str, Any] = {
    "namespace": "istio-egress",
    "selector": {"istio": "egressgateway"},
    "service": {"name": "egress", "port": 443},
    "authorization": "None",
}
MOVES: tuple[dict[str, Any], ...] = (
    {"namespace": "elsewhere"},
    {"selector": {"istio": "second"}},
    {"service": {"name": "second", "port": 443}},
    {"service": {"name": "egress", "port": 8443}},
)


@pytest.fixture
def gateway(control_plane: ControlPlane) -> Iterator[Object]:
    admin = control_plane.admin
    item: Object = {
        "apiVersion": "egress-operator.io/v1alpha1",
        "kind": "EgressGateway",
        "metadata": {"name": "edited"},
        "spec": SPEC,
    }
    yield admin.create(item)
    admin.delete(item["apiVersion"], item["kind"], "edited")


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_gateway_does_not_move_and_change_its_authorization_in_one_edit(
    gateway: Object, move: Object, control_plane: ControlPlane
) -> None:
    admin: Client = control_plane.admin
    with pytest.raises(ApiError, match="EG070") as refused:
        admin.merge_patch(gateway, {"spec": {**move, "authorization": "Managed"}})
    assert refused.value.code == 422
    admin.merge_patch(gateway, {"spec": move})
    moved = admin.merge_patch(gateway, {"spec": {"authorization": "Managed"}})
    assert moved["spec"] == {**SPEC, **move, "authorization": "Managed"}
    narrowed = {"namespaces": {"matchLabels": {"egress": "shared"}}, "authorization": "DryRun"}
    assert admin.merge_patch(gateway, {"spec": narrowed})["spec"] == moved["spec"] | narrowed
