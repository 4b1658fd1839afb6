"""An operator that starts finds permissions that are not to be, or cannot go."""

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import OperatorOption, start_operator

from .conftest import SETTLE_S
from .gateway import Gateway, apply_namespace
from .obstacle import Obstacle, hold
from .standing import ACCOUNT, AUTHORIZATION, LABEL, find_denials, find_permissions
from .state import OPEN, begin, let_in, wait_begun, wait_collected
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 3.0
OPTION = OperatorOption(settings={"EGRESS_SETTLE": str(SETTLE_S)})


@pytest.mark.parametrize(
    "obstacle",
    [
        Obstacle.WRITES_REFUSED,
        pytest.param(Obstacle.FINALIZER, marks=pytest.mark.long("permission")),
    ],
)
def test_an_operator_that_starts_beside_a_stuck_permission_serves_everybody_else(
    control_plane: ControlPlane, namespace: str, obstacle: Obstacle
) -> None:
    client, gateway = control_plane.admin, Gateway(control_plane.admin, f"gw-{namespace}")
    stuck, other = Tenant(client, f"{namespace}-stuck"), Tenant(client, f"{namespace}-other")
    gateway.apply_pods()
    gateway.apply()
    for tenant in (stuck, other):
        apply_namespace(client, tenant.namespace, egress=gateway.name)
    with start_operator(control_plane, OPTION):
        begin(stuck, gateway)
        wait_begun(stuck, gateway)
    with hold(obstacle, gateway, stuck):
        apply_namespace(client, stuck.namespace)
        begin(other, gateway)
        with start_operator(control_plane, OPTION):
            wait_begun(other, gateway)
    gateway.delete()
    for tenant in (stuck, other):
        client.delete("v1", "Namespace", tenant.namespace)


def test_a_namespace_that_is_made_again_while_nobody_looks_has_no_permission(
    control_plane: ControlPlane, namespace: str
) -> None:
    client, gateway = control_plane.admin, Gateway(control_plane.admin, f"gw-{namespace}")
    gateway.apply_pods()
    gateway.apply()
    with start_operator(control_plane, OPTION):
        tenant = let_in(client, namespace, gateway)
    client.delete("v1", "Namespace", namespace)
    wait_collected(tenant)
    apply_namespace(client, namespace)
    tenant.apply(OPEN, "api.example.com", gateway=gateway.name)

    def is_let_in() -> bool:
        return bool(find_permissions(client, gateway.namespace, namespace))

    require(is_let_in(), "there is nothing to look for")
    with start_operator(control_plane, OPTION):
        require_soon(lambda: not is_let_in(), LIMIT_S, "the permission stays")
        tenant.wait_condition(OPEN, "ResolvedRefs", "False")
        require(not is_let_in(), "the permission came back")
    gateway.delete()


def test_what_lost_its_label_while_nobody_looked_is_withdrawn_or_restored(
    control_plane: ControlPlane, namespace: str
) -> None:
    """Nobody owns an AuthorizationPolicy: its name and its place tell whose it is."""
    client, gateway = control_plane.admin, Gateway(control_plane.admin, f"gw-{namespace}")
    going, staying = Tenant(client, f"{namespace}-going"), Tenant(client, f"{namespace}-staying")
    gateway.apply_pods()
    gateway.apply()
    with start_operator(control_plane, OPTION):
        for tenant in (going, staying):
            apply_namespace(client, tenant.namespace, egress=gateway.name)
            begin(tenant, gateway)
            wait_begun(tenant, gateway)
        gateway.wait_serving()
    kind = {"apiVersion": AUTHORIZATION[0], "kind": AUTHORIZATION[1]}
    (denial,) = find_denials(client, gateway.namespace)
    for item in client.list_objects(*AUTHORIZATION, gateway.namespace):
        client.merge_patch({**item, **kind}, {"metadata": {"labels": {LABEL: None}}})
    client.merge_patch({**denial, **kind}, {"spec": {"rules": [{}]}})
    apply_namespace(client, going.namespace)

    def look() -> bool:
        let_in = find_permissions(client, gateway.namespace, going.namespace)
        require(not let_in, f"the permission stays: {let_in}")
        require(find_denials(client, gateway.namespace), "the denial is open")
        for item in client.list_objects(*AUTHORIZATION, gateway.namespace):
            require(item["metadata"].get("labels") == {LABEL: ACCOUNT}, f"no label: {item}")
        return True

    with start_operator(control_plane, OPTION):
        require_soon(look, LIMIT_S, "what was edited stays")
        require(find_permissions(client, gateway.namespace, staying.namespace), "nobody is let in")
    gateway.delete()
    for tenant in (going, staying):
        client.delete("v1", "Namespace", tenant.namespace)
