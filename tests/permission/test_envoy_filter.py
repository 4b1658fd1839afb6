"""EnvoyFilters at a gateway, for wildcards by TLS: they go with the permission, or with the value.

Whatever became of the policies, while the operator runs or is stopped meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from delivery.admission import STRICT, build_policies
from testbed.client import Client, Object
from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

from .conftest import SETTLE_S
from .gateway import TIMEOUT_S, Gateway, apply_namespace, serving_gateway
from .obstacle import FILTERS, WORDS, refuse
from .standing import FILTER, find_ours, find_permissions
from .state import OPEN, State, enter, release, wait_entered
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("programs")]

OPTION = OperatorOption(settings={"EGRESS_SETTLE": str(SETTLE_S)})
GONE_S = 15.0
THROUGH = "HTTPAndTLS"
WILDCARD = "*.wild.example.com"
NAMESPACE = "egress-operator.io/namespace"
STATES = (State.ALIVE, State.PAUSED, State.INSIDE_NAME, State.NO_SUCH_GATEWAY, State.HELD)


def withdraw_label(gateway: Gateway, tenants: Mapping[State, Tenant]) -> None:
    for tenant in tenants.values():
        apply_namespace(gateway.client, tenant.namespace)


WAYS: Mapping[str, Callable[[Gateway, Mapping[State, Tenant]], object]] = {
    "label-off": withdraw_label,
    "namespaces-left-out": lambda gateway, _: gateway.apply(wildcards=THROUGH, namespaces=None),
    "gateway-deleted": lambda gateway, _: gateway.delete(),
    "value-taken-back": lambda gateway, _: gateway.apply(wildcards="HTTP"),
}


def find_filters(gateway: Gateway, namespace: str = "") -> list[Object]:
    """List the EnvoyFilters at a gateway, for a tenant or for all."""
    found = gateway.client.list_objects(*FILTER, gateway.namespace)
    annotations = [item["metadata"].get("annotations") or {} for item in found]
    return [
        item
        for item, marks in zip(found, annotations, strict=True)
        if namespace in {"", marks.get(NAMESPACE)}
    ]


def begin(client: Client, gateway: Gateway, namespace: str) -> Tenant:
    """Let a namespace in, with a policy for a wildcard."""
    tenant = Tenant(client, namespace)
    apply_namespace(client, namespace, egress=gateway.name)
    tenant.apply(OPEN, WILDCARD, gateway=gateway.name)
    return tenant


class Site(NamedTuple):
    """A gateway for wildcards with a tenant in each state."""

    gateway: Gateway
    tenants: Mapping[State, Tenant]

    def enter_states(self) -> None:
        """Bring the policies into their states, with an EnvoyFilter for each."""
        for state, tenant in self.tenants.items():
            tenant.wait_condition(OPEN, "Ready", "True")
            enter(tenant, state, [OPEN])
        for state, tenant in self.tenants.items():
            wait_entered(tenant, state, [OPEN])
            assert len(find_filters(self.gateway, tenant.namespace)) == 1, state

    def end(self) -> None:
        """Take finalizers and namespaces away."""
        release(self.tenants[State.HELD])
        for tenant in self.tenants.values():
            tenant.client.delete("v1", "Namespace", tenant.namespace)


@pytest.fixture(scope="module", autouse=True)
def _strict(control_plane: ControlPlane) -> Iterator[None]:
    """Put the admission policies in force, as wildcards at a gateway need them."""
    policies = build_policies(STRICT)
    for item in policies:
        control_plane.admin.apply(item)
    yield
    for item in reversed(policies):
        name = item["metadata"]["name"]
        control_plane.admin.delete(item["apiVersion"], item["kind"], name)


@pytest.fixture(scope="module", params=["running", "stopped"])
def sites(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[dict[str, Site]]:
    """Withdraw the wildcards of a gateway in each way; then an operator runs."""
    client, mode = control_plane.admin, request.param
    found: dict[str, Site] = {}
    with ExitStack() as stack:
        operator = stack.enter_context(start_operator(control_plane, OPTION))
        for way in WAYS:
            name = f"filter-{mode}-{way}"
            gateway = stack.enter_context(serving_gateway(client, name, wildcards=THROUGH))
            tenants = {state: begin(client, gateway, f"{name}-{state}") for state in STATES}
            found[way] = Site(gateway, tenants)
        for site in found.values():
            site.enter_states()
        if mode == "stopped":
            operator.stop()
        for way, site in found.items():
            WAYS[way](site.gateway, site.tenants)
        if mode == "stopped":
            stack.enter_context(start_operator(control_plane, OPTION))
        yield found
        for site in found.values():
            site.end()


@pytest.mark.parametrize("way", WAYS)
def test_they_go_whatever_became_of_the_policies(sites: Mapping[str, Site], way: str) -> None:
    gateway, _ = sites[way]

    def look() -> bool:
        left = [item["metadata"]["annotations"][NAMESPACE] for item in find_filters(gateway)]
        require(not left, f"they are still there for {left}")
        return True

    require_soon(look, GONE_S, "EnvoyFilters stay")


@pytest.fixture
def gateway(control_plane: ControlPlane, namespace: str) -> Iterator[Gateway]:
    """Give a gateway for wildcards."""
    with serving_gateway(control_plane.admin, f"gw-{namespace}", wildcards=THROUGH) as found:
        yield found


def test_one_that_cannot_be_deleted_holds_up_nothing_and_is_named(
    control_plane: ControlPlane, operator: Operator, gateway: Gateway, namespace: str
) -> None:
    del operator
    client = control_plane.admin
    stuck = begin(client, gateway, namespace)
    other = begin(client, gateway, f"{namespace}-other")
    for tenant in (stuck, other):
        tenant.wait_condition(OPEN, "Ready", "True")
    (item,) = find_filters(gateway, namespace)
    name = item["metadata"]["name"]
    with refuse(client, item, ["DELETE"], f"oldObject.metadata.name == '{name}'", FILTERS):
        for tenant in (stuck, other):
            apply_namespace(client, tenant.namespace)
        require_soon(
            lambda: not find_permissions(client, gateway.namespace),
            GONE_S,
            "somebody is still let in",
        )
        require_soon(lambda: not find_filters(gateway, other.namespace), GONE_S, "it is held up")

        def is_named() -> bool:
            isolated = gateway.condition("Isolated")
            require(isolated.get("reason") == "PermissionStuck", f"it is {isolated}")
            text = isolated["message"]
            require(namespace in text and name in text and WORDS in text, f"it says {text}")
            return True

        require_soon(is_named, GONE_S, "the status does not name it")
        assert [item["metadata"]["name"] for item in find_filters(gateway)] == [name]
    require_soon(lambda: not find_filters(gateway), 2 * GONE_S, "it is still there")
    client.delete("v1", "Namespace", other.namespace)


def test_one_that_cannot_be_made_is_named_in_the_policy(
    control_plane: ControlPlane, operator: Operator, gateway: Gateway, namespace: str
) -> None:
    """Neither the listener that needs it nor a route is written meanwhile."""
    del operator
    client = control_plane.admin
    other = begin(client, gateway, f"{namespace}-other")
    other.wait_condition(OPEN, "Ready", "True")
    (item,) = find_filters(gateway)
    new = f"object.metadata.name != '{item['metadata']['name']}'"
    item["metadata"]["name"] = "another"
    with refuse(client, item, ["CREATE"], new, FILTERS):
        tenant = begin(client, gateway, namespace)
        ready = tenant.wait_condition(OPEN, "Ready", "False")

        def is_told() -> bool:
            ready = tenant.conditions(OPEN)["Ready"]
            words = ("EnvoyFilter", WORDS)
            require(all(word in ready["message"] for word in words), f"it says {ready}")
            return True

        require_soon(is_told, TIMEOUT_S, f"the policy does not name it: {ready}")
        servers = find_ours(client, namespace, "Gateway")
        assert not any("bind" in server["spec"]["servers"][0] for server in servers)
        assert not find_ours(client, namespace, "VirtualService")
        assert other.conditions(OPEN)["Ready"]["status"] == "True"
    tenant.wait_condition(OPEN, "Ready", "True", timeout_s=2 * GONE_S)
    client.delete("v1", "Namespace", other.namespace)
