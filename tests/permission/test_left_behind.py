"""What stands at a place that its EgressGateway left, or has lost its marks, with no operator."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from testbed.client import Client, Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import OperatorOption, start_operator

from .conftest import SETTLE_S
from .gateway import Gateway, apply_namespace, serving_gateway
from .obstacle import Obstacle, find_theirs, hold
from .standing import (
    AUTHORIZATION,
    LABEL,
    find_denials,
    find_ours,
    find_permissions,
    is_dry_run,
)
from .state import POLICIES, State, begin, enter, let_in, wait_begun, wait_entered
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

GONE_S = 15.0
NEW_PODS = {"istio": "another"}
OPTION = OperatorOption(settings={"EGRESS_SETTLE": str(SETTLE_S)})


def own(client: Client, namespace: str) -> Object:
    """Make an object of somebody else's, and name it as an owner."""
    meta = {"name": "other", "namespace": namespace}
    other = client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    uid = other["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": uid}
    return {"ownerReferences": [owner]}


STRIPS: Mapping[str, Callable[[Client, str], Object]] = {
    "label": lambda _client, _namespace: {"labels": {LABEL: None}},
    "owner": own,
    "annotations": lambda _client, _namespace: {"annotations": None},
    "everything": lambda _client, _namespace: {"labels": None, "annotations": None},
}


def move(gateway: Gateway) -> None:
    gateway.apply_pods(selector=NEW_PODS)
    gateway.apply(selector=NEW_PODS)


ACTS: Mapping[str, Callable[[Gateway], None]] = {"deleted": Gateway.delete, "moved": move}
CASES = [(strip, act) for strip in STRIPS for act in ACTS]


@pytest.fixture(scope="module")
def stripped(control_plane: ControlPlane) -> Iterator[Mapping[tuple[str, str], list[Object]]]:
    """Take marks off permissions while no operator runs, and their gateways away; then start one.

    Gives how to find the permissions that were there.
    """
    client = control_plane.admin
    tenants = {(strip, act): Tenant(client, f"stripped-{strip}-{act}-shop") for strip, act in CASES}
    gateways = {(strip, act): Gateway(client, f"stripped-{strip}-{act}") for strip, act in CASES}
    with ExitStack() as stack:
        with start_operator(control_plane, OPTION):
            for case, gateway in gateways.items():
                stack.enter_context(serving_gateway(client, gateway.name))
                apply_namespace(client, tenants[case].namespace, egress=gateway.name)
                begin(tenants[case], gateway)
            before = {}
            for case, gateway in gateways.items():
                wait_begun(tenants[case], gateway)
                before[case] = find_theirs(gateway, tenants[case])
        for (strip, act), gateway in gateways.items():
            patch = STRIPS[strip](client, gateway.namespace)
            for item in before[strip, act]:
                client.merge_patch(item, {"metadata": patch})
            ACTS[act](gateway)
        with start_operator(control_plane, OPTION):
            yield before
    for tenant in tenants.values():
        client.delete("v1", "Namespace", tenant.namespace)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("strip", "act"), CASES)
def test_a_permission_without_its_marks_goes_with_its_place(
    control_plane: ControlPlane,
    stripped: Mapping[tuple[str, str], list[Object]],
    strip: str,
    act: str,
) -> None:
    before = stripped[strip, act]
    names = {item["metadata"]["name"] for item in before}
    assert names

    def is_gone() -> bool:
        namespace = before[0]["metadata"]["namespace"]
        found = control_plane.admin.list_objects(*AUTHORIZATION, namespace)
        left = names & {item["metadata"]["name"] for item in found}
        require(not left, f"they are still there: {left}")
        return True

    require_soon(is_gone, GONE_S, "permissions stay")


WITHDRAWALS: Mapping[str, Callable[[Gateway], Any]] = {
    "deleted": Gateway.delete,
    "refused": lambda gateway: gateway.apply(namespace="istio-system", namespaces=None),
    "moved": lambda gateway: gateway.apply(selector=NEW_PODS, namespaces=None),
}


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("obstacle", [Obstacle.FINALIZER, Obstacle.DELETE_REFUSED])
@pytest.mark.parametrize("act", WITHDRAWALS)
def test_a_permission_that_cannot_go_allows_nothing_wherever_its_gateway_is(
    control_plane: ControlPlane, namespace: str, act: str, obstacle: Obstacle
) -> None:
    """The policies are on hold, so that the servers stay where they are."""
    client = control_plane.admin
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        tenant = let_in(client, namespace, gateway)
        enter(tenant, State.PAUSED)
        wait_entered(tenant, State.PAUSED)
        with hold(obstacle, gateway, tenant):
            assert len(find_theirs(gateway, tenant)) == len(POLICIES)
            WITHDRAWALS[act](gateway)
            require_soon(
                lambda: not find_permissions(client, gateway.namespace, namespace),
                GONE_S,
                "permissions are in force",
            )
            assert len(find_theirs(gateway, tenant)) == len(POLICIES)
        require_soon(
            lambda: not find_theirs(gateway, tenant), 2 * GONE_S, "permissions are still there"
        )


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("act", ACTS)
def test_a_gateway_that_is_left_while_it_comes_into_force_denies(
    control_plane: ControlPlane, namespace: str, act: str
) -> None:
    """It allows everything for a settle time then. The policies are on hold: their servers stay."""
    client, tenant = control_plane.admin, Tenant(control_plane.admin, namespace)
    slow = OperatorOption(settings={"EGRESS_SETTLE": "4"})
    with (
        start_operator(control_plane, slow),
        serving_gateway(client, f"gw-{namespace}", authorization="DryRun") as gateway,
    ):
        apply_namespace(client, namespace, egress=gateway.name)
        tenant.apply("web", "api.example.com", gateway=gateway.name)
        tenant.wait_condition("web", "Ready", "True")
        tenant.pause("web")
        tenant.wait_condition("web", "Paused", "True")
        gateway.apply()
        wait_until(lambda: is_open(gateway), GONE_S, "it does not begin to come into force")
        ACTS[act](gateway)

        def is_denied() -> object:
            denials = find_denials(client, gateway.namespace)
            denied = [item["spec"]["selector"]["matchLabels"] for item in denials]
            servers = find_ours(client, namespace, "Gateway")
            return servers and all(item["spec"]["selector"] in denied for item in servers)

        require_soon(is_denied, GONE_S, "nothing denies")
        assert not is_open(gateway)


def is_open(gateway: Gateway) -> bool:
    """Whether something allows everybody everything."""
    found = gateway.client.list_objects(*AUTHORIZATION, gateway.namespace)
    return any(item["spec"].get("rules") == [{}] and not is_dry_run(item) for item in found)
