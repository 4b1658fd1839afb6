"""Gateways, policies and namespaces change places: nobody keeps a permission of before."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import Operator

from .gateway import Gateway, serving_gateway
from .standing import find_denials, find_permissions
from .state import POLICIES, RESTRICTED, State, begin, enter, let_in, wait_begun, wait_entered
from .tenant import ACCOUNT, Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 3.0
MOVED_S = 15.0
Pair = tuple[Gateway, Gateway]


@pytest.fixture(scope="module")
def gateways(control_plane: ControlPlane, operator: Operator) -> Iterator[Pair]:
    """Give two gateways that serve."""
    del operator
    with (
        serving_gateway(control_plane.admin, "exchange-one") as one,
        serving_gateway(control_plane.admin, "exchange-two") as two,
    ):
        yield one, two


def is_let_in(gateway: Gateway, tenant: Tenant, place: str = "") -> bool:
    return bool(find_permissions(gateway.client, place or gateway.namespace, tenant.namespace))


def wait_shut_out(gateway: Gateway, tenant: Tenant, timeout_s: float) -> None:
    require_soon(lambda: not is_let_in(gateway, tenant), timeout_s, "the permission stays")


def find_accounts(gateway: Gateway, tenant: Tenant) -> set[str]:
    """Name the service accounts of a tenant that are let in."""
    return {
        name.rpartition("/")[2]
        for item in find_permissions(gateway.client, gateway.namespace, tenant.namespace)
        for rule in item["spec"]["rules"]
        for entry in rule["from"]
        for name in entry["source"].get("principals", ())
    }


@pytest.mark.parametrize("state", [State.ALIVE, State.PAUSED])
def test_gateways_that_exchange_whom_they_select_keep_nobody(
    gateways: Pair, namespace: str, state: State
) -> None:
    one, two = gateways
    tenants = [
        let_in(gateway.client, f"{namespace}-{number}", gateway)
        for number, gateway in enumerate(gateways)
    ]
    for tenant in tenants:
        enter(tenant, state)
    for tenant in tenants:
        wait_entered(tenant, state)
    try:
        one.apply(namespaces={"matchLabels": {"egress": two.name}})
        two.apply(namespaces={"matchLabels": {"egress": one.name}})
        for gateway, tenant in zip(gateways, tenants, strict=True):
            wait_shut_out(gateway, tenant, LIMIT_S)
    finally:
        for gateway, tenant in zip(gateways, tenants, strict=True):
            gateway.apply()
            gateway.client.delete("v1", "Namespace", tenant.namespace)


def test_an_account_that_a_policy_no_longer_names_is_shut_out(
    gateways: Pair, namespace: str
) -> None:
    one, _ = gateways
    tenant = let_in(one.client, namespace, one)
    accounts = {"from": {"serviceAccounts": [ACCOUNT, "another"]}}
    tenant.apply(RESTRICTED, "cards.example.com", gateway=one.name, **accounts)
    tenant.wait_condition(RESTRICTED, "Ready", "True")
    require(find_accounts(one, tenant) == {ACCOUNT, "another"}, "not both are let in")
    accounts = {"from": {"serviceAccounts": ["another"]}}
    tenant.apply(RESTRICTED, "cards.example.com", gateway=one.name, **accounts)
    require_soon(lambda: find_accounts(one, tenant) == {"another"}, LIMIT_S, "it is let in")


def test_a_policy_that_moves_to_another_gateway_leaves_nothing_behind(
    gateways: Pair, namespace: str
) -> None:
    one, two = gateways
    tenant = let_in(one.client, namespace, one)
    two.apply(namespaces={"matchLabels": {"egress": one.name}})
    try:
        begin(tenant, two)
        wait_begun(tenant, two)
        wait_shut_out(one, tenant, MOVED_S)
    finally:
        one.client.delete("v1", "Namespace", namespace)
        two.apply()


@pytest.mark.parametrize("authorization", ["Managed", "DryRun"])
def test_a_gateway_that_is_made_again_lets_in_only_whom_it_selects(
    control_plane: ControlPlane, operator: Operator, namespace: str, authorization: str
) -> None:
    """Under its name, with other namespaces, at another place, beside policies on hold."""
    del operator
    client = control_plane.admin
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        tenant = let_in(client, namespace, gateway)
        moved = f"{gateway.namespace}-moved"
        gateway.apply_pods(moved)
        enter(tenant, State.PAUSED)
        for name in POLICIES:
            tenant.wait_condition(name, "Paused", "True")
        gateway.delete()
        nobody = {"matchLabels": {"egress": "nobody"}}
        gateway.apply(namespace=moved, namespaces=nobody, authorization=authorization)

        def look() -> bool:
            for place in (gateway.namespace, moved):
                require(not is_let_in(gateway, tenant, place), f"it is let in at {place}")
            return True

        require_soon(look, LIMIT_S, "the permission stays")
        if authorization == "Managed":
            require(find_denials(client, gateway.namespace), "the old place is open")
