"""A gateway is taken away or moved: what leads through its pods is guarded until it is gone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from testbed.client import Client, Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .conftest import SETTLE_S
from .gateway import GATEWAY, PODS, TIMEOUT_S, Gateway, apply_namespace, serving_gateway
from .replay import Kind, Step, list_standing, replay
from .standing import AUTHORIZATION, NETWORKING, find_ours, is_denial, is_dry_run
from .state import POLICIES, State, begin, enter, wait_begun, wait_entered
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

SERVERS = (NETWORKING, "Gateway")
WATCHED = (SERVERS, AUTHORIZATION, GATEWAY)
NEW_PODS = {"istio": "another"}
LIMIT_S = 6.0


@dataclass
class Scenery:
    """A gateway with one tenant, and what is done to the gateway."""

    gateway: Gateway
    tenant: Tenant
    versions: dict[Kind, str] = field(default_factory=dict)
    first: list[Object] = field(default_factory=list)

    def begin(self) -> None:
        """Write the tenant's policies and wait until they are applied."""
        apply_namespace(self.tenant.client, self.tenant.namespace, egress=self.gateway.name)
        begin(self.tenant, self.gateway)
        wait_begun(self.tenant, self.gateway)
        self.versions, self.first = list_standing(self.tenant.client, WATCHED)

    def find_unguarded(self) -> list[str]:
        """List the changes after which a server of the tenant stood without a denial.

        Servers that were there at first are guarded where the pods were, later ones where they are.
        """
        old = {item["metadata"]["uid"] for item in self.first}
        old_place = self.gateway.namespace
        found = self.tenant.client.find(*GATEWAY, self.gateway.name)
        new_place = found["spec"]["namespace"] if found else old_place
        return [
            step.change
            for step in replay(self.tenant.client, self.versions, self.first)
            for server in self._find_servers(step)
            if not _is_guarded(
                step, server, old_place if server["metadata"]["uid"] in old else new_place
            )
        ]

    def find_uncounted(self) -> list[str]:
        """List the changes after which HOSTS was 0, closed to all, while servers stood."""
        return [
            step.change
            for step in replay(self.tenant.client, self.versions, self.first)
            if self._find_servers(step)
            for item in step.standing.values()
            if item["kind"] == GATEWAY[1] and item["metadata"]["name"] == self.gateway.name
            if "namespaces" not in item["spec"] and item["status"]["hosts"] == 0
        ]

    def _find_servers(self, step: Step) -> list[Object]:
        return [
            item
            for item in step.standing.values()
            if item["kind"] == SERVERS[1] and item["metadata"]["namespace"] == self.tenant.namespace
        ]


def _is_guarded(step: Step, server: Object, place: str) -> bool:
    """Whether an AuthorizationPolicy in force allows nothing on the pods of a server."""
    pods = server["spec"]["selector"]
    return any(
        item["spec"]["selector"]["matchLabels"].items() <= pods.items()
        for item in step.standing.values()
        if item["kind"] == AUTHORIZATION[1] and item["metadata"]["namespace"] == place
        if is_denial(item) and not is_dry_run(item)
    )


def _move(gateway: Gateway, **more: Any) -> None:  # noqa: ANN401 - fields of a spec
    place = more.get("namespace", gateway.namespace)
    gateway.apply_pods(place, more.get("selector", PODS))
    gateway.apply(**more)


ACTS: Mapping[str, Callable[[Gateway], None]] = {
    "deleted": Gateway.delete,
    "selector-edited": lambda gateway: _move(gateway, selector=NEW_PODS),
    "pods-moved": lambda gateway: _move(gateway, namespace=f"{gateway.name}-moved"),
}
OPTION = OperatorOption(settings={"EGRESS_SETTLE": str(SETTLE_S)})


def run_acts(plane: ControlPlane, name: str, *, stop: bool) -> dict[str, list[str]]:
    """Do all acts at once, each to a gateway of its own; return what was unguarded."""
    client = plane.admin
    sceneries = {
        act: Scenery(Gateway(client, f"{name}-{act}"), Tenant(client, f"{name}-{act}-shop"))
        for act in ACTS
    }
    with start_operator(plane, OPTION) as operator:
        for scenery in sceneries.values():
            scenery.gateway.apply_pods()
            scenery.gateway.apply()
        for scenery in sceneries.values():
            scenery.begin()
        if stop:
            operator.stop()
        for act, scenery in sceneries.items():
            ACTS[act](scenery.gateway)
        if not stop:
            _wait_done(client, sceneries)
    if stop:
        # What Kubernetes removes by itself is gone before the operator sees anything.
        _wait_collected(client, sceneries["deleted"])
        with start_operator(plane, OPTION):
            _wait_done(client, sceneries)
    found = {act: scenery.find_unguarded() for act, scenery in sceneries.items()}
    for scenery in sceneries.values():
        scenery.gateway.delete()
        client.delete("v1", "Namespace", scenery.tenant.namespace)
    return found


def _wait_done(client: Client, sceneries: Mapping[str, Scenery]) -> None:
    """Wait until the gateways that moved serve their tenants at the new place."""
    for act in ("selector-edited", "pods-moved"):
        scenery = sceneries[act]
        old = {item["metadata"]["uid"] for item in scenery.first}
        wait_until(
            lambda: (
                not old  # noqa: B023
                & {
                    item["metadata"]["uid"]
                    for item in find_ours(client, scenery.tenant.namespace, SERVERS[1])  # noqa: B023
                }
            ),
            TIMEOUT_S,
            f"{act}: old servers stay",
        )
        for policy in POLICIES:
            scenery.tenant.wait_condition(policy, "Ready", "True")
    _wait_collected(client, sceneries["deleted"])


def _wait_collected(client: Client, scenery: Scenery) -> None:
    """Give Kubernetes time to remove what the deleted EgressGateway owns, if it owns anything."""
    namespace = scenery.gateway.namespace

    def look() -> bool:
        items = find_ours(client, namespace, AUTHORIZATION[1])
        return not [item for item in items if item["metadata"].get("ownerReferences")]

    wait_until(look, TIMEOUT_S, "owned AuthorizationPolicies stay")


@pytest.fixture(scope="module")
def running(control_plane: ControlPlane) -> dict[str, list[str]]:
    """Do all acts while the operator runs."""
    return run_acts(control_plane, "removal-running", stop=False)


@pytest.fixture(scope="module")
def stopped(control_plane: ControlPlane) -> dict[str, list[str]]:
    """Do all acts while no operator runs."""
    return run_acts(control_plane, "removal-stopped", stop=True)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("mode", "act"),
    [(mode, act) for mode in ("running", "stopped") for act in ACTS],
)
def test_no_server_stands_without_a_denial(
    request: pytest.FixtureRequest, mode: str, act: str
) -> None:
    unguarded = request.getfixturevalue(mode)[act]
    require(not unguarded, f"a server stood unguarded after: {unguarded}")


@pytest.fixture
def served(control_plane: ControlPlane, operator: Operator, namespace: str) -> Iterator[Scenery]:
    """Give a gateway that serves a tenant with two hosts."""
    del operator
    with serving_gateway(control_plane.admin, f"gw-{namespace}") as gateway:
        scenery = Scenery(gateway, Tenant(control_plane.admin, namespace))
        scenery.begin()
        yield scenery


@pytest.mark.parametrize("state", [State.ALIVE, State.PAUSED, State.INSIDE_NAME, State.ORPHANED])
def test_the_documented_way_to_take_a_gateway_down_is_safe_at_each_step(
    served: Scenery, state: State
) -> None:
    """Leave `namespaces` out, wait until HOSTS is 0, delete; or delete it all the same.

    What a policy on hold keeps is counted, so HOSTS does not come to 0 before the policy goes on.
    """
    client, gateway, tenant = served.tenant.client, served.gateway, served.tenant
    enter(tenant, state)
    wait_entered(tenant, state)
    gateway.apply(namespaces=None)
    hosts = 0 if state is State.ALIVE else len(POLICIES)
    require_soon(lambda: read_counts(gateway)[1] == hosts, LIMIT_S, f"HOSTS is not {hosts}")
    uncounted = served.find_uncounted()
    require(not uncounted, f"HOSTS is 0, and servers stand after: {uncounted}")
    gateway.delete()
    _wait_collected(client, served)
    unguarded = served.find_unguarded()
    require(not unguarded, f"a server stood unguarded after: {unguarded}")


def read_counts(gateway: Gateway) -> tuple[int, int]:
    status = gateway.status()
    return status["namespaces"], status["hosts"]


@pytest.mark.parametrize(
    "state",
    [
        State.ALIVE,
        State.PAUSED,
        State.INSIDE_NAME,
    ],
)
def test_hosts_and_namespaces_are_counted_also_on_hold(served: Scenery, state: State) -> None:
    enter(served.tenant, state)
    wait_entered(served.tenant, state)
    require_soon(
        lambda: read_counts(served.gateway) == (1, len(POLICIES)),
        LIMIT_S,
        "the counts are not of what stands",
    )


def test_a_namespace_that_is_gone_is_not_counted(served: Scenery) -> None:
    client, namespace = served.tenant.client, served.tenant.namespace
    client.delete("v1", "Namespace", namespace)
    wait_until(
        lambda: client.find("v1", "Namespace", namespace) is None, TIMEOUT_S, "it is still there"
    )
    require_soon(
        lambda: read_counts(served.gateway) == (0, 0), LIMIT_S, "something is still counted"
    )
