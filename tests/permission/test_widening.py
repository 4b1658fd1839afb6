"""A restriction to service accounts that another policy of the namespace lifts."""

import pytest

from testbed.controlplane import ControlPlane

from .gateway import apply_namespace, serving_gateway
from .tenant import ACCOUNT, Tenant
from .violation import require, require_soon

STRICT, CARELESS = "strict-cards", "careless-cards"
HOST = "cards.example.com"
LIMIT_S = 10.0
EVENTS = ("events.k8s.io/v1", "Event")


def find_naming(tenant: Tenant, name: str, other: str) -> list[str]:
    """List the types of a policy's conditions whose messages name another policy."""
    conditions = tenant.conditions(name)
    assert "Ready" in conditions
    return [kind for kind, found in conditions.items() if other in found["message"]]


def count_events(tenant: Tenant, name: str, other: str) -> int:
    """Count the events about a policy that name another one."""
    return len(
        [
            event
            for event in tenant.client.list_objects(*EVENTS, tenant.namespace)
            if event["regarding"].get("name") == name and other in event.get("note", "")
        ]
    )


@pytest.mark.usefixtures("operator")
def test_both_policies_say_who_opens_the_host(control_plane: ControlPlane, namespace: str) -> None:
    client, tenant = control_plane.admin, Tenant(control_plane.admin, namespace)
    pairs = ((STRICT, CARELESS), (CARELESS, STRICT))
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        apply_namespace(client, namespace, egress=gateway.name)
        tenant.apply(STRICT, HOST, gateway=gateway.name, **{"from": {"serviceAccounts": [ACCOUNT]}})
        tenant.wait_condition(STRICT, "Ready", "True")
        require(not find_naming(tenant, STRICT, CARELESS), "there is no other policy")

        tenant.apply(CARELESS, HOST, gateway=gateway.name)
        tenant.wait_condition(CARELESS, "Ready", "True")
        for name, other in pairs:
            require_soon(
                lambda: find_naming(tenant, name, other) and count_events(tenant, name, other),  # noqa: B023
                LIMIT_S,
                f"no condition and event of {name} names {other}",
            )

        before = count_events(tenant, STRICT, CARELESS)
        tenant.delete(CARELESS)
        require_soon(lambda: not find_naming(tenant, STRICT, CARELESS), LIMIT_S, "it is still said")
        tenant.apply(CARELESS, HOST, gateway=gateway.name)
        require_soon(lambda: find_naming(tenant, STRICT, CARELESS), LIMIT_S, "it is not said again")
        require_soon(
            lambda: count_events(tenant, STRICT, CARELESS) >= before,
            LIMIT_S,
            "no event tells of the second time",
        )


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"host": "other.example.com"}, id="another-host"),
        pytest.param({"from": {"serviceAccounts": ["other"]}}, id="restricted-too"),
    ],
)
def test_nothing_is_said_where_nothing_is_opened(
    control_plane: ControlPlane, namespace: str, more: dict[str, object]
) -> None:
    """Another host, or a policy for other accounts, which is how a list is made longer."""
    client, tenant = control_plane.admin, Tenant(control_plane.admin, namespace)
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        apply_namespace(client, namespace, egress=gateway.name)
        tenant.apply(STRICT, HOST, gateway=gateway.name, **{"from": {"serviceAccounts": [ACCOUNT]}})
        fields = {key: value for key, value in more.items() if key != "host"}
        tenant.apply(CARELESS, str(more.get("host", HOST)), gateway=gateway.name, **fields)
        for name, other in ((STRICT, CARELESS), (CARELESS, STRICT)):
            tenant.wait_condition(name, "Ready", "True")
            require(not find_naming(tenant, name, other), f"{name} names {other}")
