"""`kubectl delete --cascade=orphan`: objects without owners find a new one, or go."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from testbed.client import Object, read_owners
from testbed.controlplane import ControlPlane
from testbed.deadline import DeadlineError, wait_until
from testbed.operator import Operator

from .gateway import Gateway, apply_namespace, serving_gateway
from .standing import find_ours, find_permissions
from .state import POLICIES, State, begin, enter, let_in, wait_begun
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LOOK_S = 60.0
"""Until objects that nobody claims are gone."""
CLAIMED_S = 10.0
HOST = "api.example.com"
TIMED = {
    "hosts": [HOST],
    "ports": [{"number": 8080, "protocol": "HTTP"}],
    "http": {"timeout": "3s"},
}


@dataclass(frozen=True)
class Orphans:
    """Three namespaces whose policies went without their objects, a look later."""

    direct: Tenant
    through: Tenant
    gateway: Gateway
    shared: Tenant

    def find_without_owners(self, tenant: Tenant) -> list[Object]:
        return [
            item for item in find_ours(tenant.client, tenant.namespace) if not read_owners(item)
        ]

    def is_clean(self) -> bool:
        return not (
            find_ours(self.direct.client, self.direct.namespace)
            or find_ours(self.through.client, self.through.namespace)
            or self.find_without_owners(self.shared)
        )


def orphan(tenant: Tenant, *names: str) -> None:
    """Delete policies without their objects."""
    for name in names:
        tenant.delete(name, "Orphan")
    for name in names:
        tenant.wait_gone(name)


@pytest.fixture(scope="module")
def orphans(control_plane: ControlPlane, operator: Operator) -> Iterator[Orphans]:
    """Make the orphans of all cases at once, and give the operator its time."""
    client = control_plane.admin
    direct, through, shared = (
        Tenant(client, f"orphan-{n}") for n in ("direct", "through", "shared")
    )
    with serving_gateway(client, "orphan") as gateway:
        for tenant in (direct, through, shared):
            apply_namespace(client, tenant.namespace, egress=gateway.name)
        direct.apply("a", TIMED)
        shared.apply("x", TIMED)
        shared.apply("y", HOST)
        begin(through, gateway)
        wait_begun(through, gateway)
        for tenant, name in ((direct, "a"), (shared, "x"), (shared, "y")):
            tenant.wait_condition(name, "Ready", "True")
        orphan(direct, "a")
        orphan(through, *POLICIES)
        operator.pause()
        try:
            shared.delete("y")
            shared.wait_gone("y")
            shared.apply("y", HOST)
            orphan(shared, "x")
        finally:
            operator.resume()
        shared.wait_condition("y", "Ready", "True")
        found = Orphans(direct, through, gateway, shared)
        with suppress(DeadlineError):
            wait_until(found.is_clean, LOOK_S, "orphans are there")
        yield found
    for tenant in (direct, through, shared):
        client.delete("v1", "Namespace", tenant.namespace)


def test_objects_of_a_direct_host_go(orphans: Orphans) -> None:
    found = find_ours(orphans.direct.client, orphans.direct.namespace)
    require(not found, f"they are still there: {found}")


def test_objects_and_permissions_of_hosts_through_a_gateway_go(orphans: Orphans) -> None:
    client, tenant = orphans.through.client, orphans.through
    found = find_ours(client, tenant.namespace)
    found += find_permissions(client, orphans.gateway.namespace, tenant.namespace)
    require(not found, f"they are still there: {found}")


def test_what_nobody_claims_of_a_shared_host_goes(orphans: Orphans) -> None:
    """While the operator was away one policy was made anew, and the other went without objects."""
    found = orphans.find_without_owners(orphans.shared)
    require(not found, f"without owners: {found}")
    (entry,) = find_ours(orphans.shared.client, orphans.shared.namespace, "ServiceEntry")
    ports = [port["number"] for port in entry["spec"]["ports"]]
    require(ports == [443], f"the ports are {ports}")


@pytest.mark.parametrize("through", [False, True], ids=["direct", "through-a-gateway"])
@pytest.mark.usefixtures("operator")
def test_objects_that_a_policy_claims_are_adopted(
    control_plane: ControlPlane, namespace: str, *, through: bool
) -> None:
    """Another policy for the same host; nothing is deleted in between."""
    client, tenant = control_plane.admin, Tenant(control_plane.admin, namespace)
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        apply_namespace(client, namespace, egress=gateway.name)
        name = gateway.name if through else ""
        tenant.apply("old", HOST, gateway=name)
        tenant.wait_condition("old", "Ready", "True")
        uids = {item["metadata"]["uid"] for item in find_ours(client, namespace)}
        orphan(tenant, "old")
        new = tenant.apply("new", HOST, gateway=name)

        def look() -> bool:
            items = [i for i in find_ours(client, namespace) if gateway_is_no_owner(i)]
            owners = [read_owners(item) for item in items]
            require(
                owners and all(each == {new["metadata"]["uid"]} for each in owners),
                f"the owners are {owners}",
            )
            return True

        require_soon(look, CLAIMED_S, "the objects are not adopted")
        after = {item["metadata"]["uid"] for item in find_ours(client, namespace)}
        require(after == uids, "objects were made anew")


def gateway_is_no_owner(item: Object) -> bool:
    """Whether an object is a host's, and not of all hosts of the namespace."""
    owners = item["metadata"].get("ownerReferences") or ()
    return all(owner["kind"] != "EgressGateway" for owner in owners)


@pytest.mark.usefixtures("operator")
def test_a_policy_that_is_orphaned_and_made_again_keeps_its_permissions(
    control_plane: ControlPlane, namespace: str
) -> None:
    client = control_plane.admin
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        tenant = let_in(client, namespace, gateway)
        enter(tenant, State.ORPHANED)
        begin(tenant, gateway)
        wait_begun(tenant, gateway)
