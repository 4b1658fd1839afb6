"""Tenants' objects of kind Gateway stand in the namespace of the gateway's pods."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

from .conftest import SETTLE_S
from .gateway import PODS, Gateway, apply_namespace, serving_gateway
from .standing import NETWORKING, find_ours, find_permissions
from .state import POLICIES, begin, wait_begun
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

GONE_S = 30.0
SERVERS = len(POLICIES)
"""One for each policy: the first's is for all HTTP as well."""
OPTION = OperatorOption(
    settings={"EGRESS_SETTLE": str(SETTLE_S), "EGRESS_GATEWAY_OBJECTS": "GatewayNamespace"}
)


def list_servers(gateway: Gateway) -> dict[str, Object]:
    """Map the uids of what is of kind Gateway where the pods are, or were."""
    found = gateway.client.list_objects(NETWORKING, "Gateway", gateway.namespace)
    return {item["metadata"]["uid"]: item for item in found}


def require_gone(gateway: Gateway, uids: set[str]) -> None:
    def is_gone() -> bool:
        left = uids & list_servers(gateway).keys()
        require(not left, f"{len(left)} of {len(uids)} are still there")
        return True

    require_soon(is_gone, GONE_S, "servers stay")


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    with start_operator(control_plane, OPTION) as running:
        yield running
        assert running.stop() == 0, running.process.tail(20)


def edit_selector(gateway: Gateway) -> None:
    pods = {"istio": "another"}
    gateway.apply_pods(selector=pods)
    gateway.apply(selector=pods)


def edit_namespace(gateway: Gateway) -> None:
    place = f"{gateway.name}-moved"
    gateway.apply_pods(place, PODS)
    gateway.apply(namespace=place)


MOVES: Mapping[str, Callable[[Gateway], None]] = {
    "selector": edit_selector,
    "namespace": edit_namespace,
}


@pytest.fixture(scope="module")
def left(control_plane: ControlPlane) -> Iterator[Mapping[str, tuple[Gateway, Tenant, set[str]]]]:
    """Move gateways while no operator runs, then start one; give the servers at the old places."""
    client = control_plane.admin
    found = {}
    with ExitStack() as stack:
        with start_operator(control_plane, OPTION):
            for move in MOVES:
                gateway = stack.enter_context(serving_gateway(client, f"left-{move}"))
                tenant = Tenant(client, f"left-{move}-shop")
                apply_namespace(client, tenant.namespace, egress=gateway.name)
                begin(tenant, gateway)
                found[move] = (gateway, tenant)
            for gateway, tenant in found.values():
                wait_begun(tenant, gateway)
        before = {move: {*list_servers(gateway)} for move, (gateway, _) in found.items()}
        for move, (gateway, _) in found.items():
            MOVES[move](gateway)
        with start_operator(control_plane, OPTION):
            yield {move: (*found[move], before[move]) for move in MOVES}
    for _, tenant in found.values():
        client.delete("v1", "Namespace", tenant.namespace)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("move", MOVES)
def test_servers_at_a_place_that_was_left_while_no_operator_ran_go(
    left: Mapping[str, tuple[Gateway, Tenant, set[str]]], move: str
) -> None:
    gateway, tenant, before = left[move]
    assert len(before) >= SERVERS
    for policy in POLICIES:
        tenant.wait_condition(policy, "Ready", "True")
    require_gone(gateway, before)


@pytest.mark.usefixtures("operator")
def test_a_namespace_that_is_gone_leaves_nothing_at_the_gateway(
    control_plane: ControlPlane, namespace: str
) -> None:
    client, tenant = control_plane.admin, Tenant(control_plane.admin, f"{namespace}-shop")
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        apply_namespace(client, tenant.namespace, egress=gateway.name)
        begin(tenant, gateway)
        wait_begun(tenant, gateway)
        before = {*list_servers(gateway)}
        assert len(before) >= SERVERS
        assert not find_ours(client, tenant.namespace, "Gateway")
        client.delete("v1", "Namespace", tenant.namespace)
        require_gone(gateway, before)
        assert not find_permissions(client, gateway.namespace, tenant.namespace)

        def is_told() -> bool:
            counts = [gateway.status()[key] for key in ("namespaces", "hosts")]
            require(counts == [0, 0], f"the status counts {counts}")
            return True

        require_soon(is_told, GONE_S, "the status is late")
