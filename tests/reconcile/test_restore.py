"""etcd is restored from a backup while the operator runs: it forgets what the backup does not have.

Versions are lower from then on, and generations are used a second time.
"""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_istio_crds, load_our_crds
from testbed.deadline import wait_until
from testbed.operator import start_operator

from .gateway import managed_gateway
from .tenant import ENTRY, HTTP, POLICY, ROUTE, TenantNamespace, build_policy, hosts

SHOP = "shop"
LATER_WRITES = 100
"""More than the API server itself makes when it starts: the versions of what is restored are lower.

Otherwise only the next list of each kind shows that etcd was restored."""


def build_note(number: int) -> dict[str, object]:
    """Build a ConfigMap, which is nothing to the operator; each number makes a new version."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "note", "namespace": SHOP},
        "data": {"number": str(number)},
    }


@pytest.fixture
def plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    definitions = [*load_istio_crds(ENTRY[1], ROUTE[1]), *load_our_crds()]
    with start_control_plane(ControlPlaneOption(audit=True, definitions=definitions)) as running:
        yield running


@pytest.mark.timeout(300)
def test_policies_gateways_and_namespaces_are_as_the_backup_has_them(plane: ControlPlane) -> None:
    data, saved = plane.directory / "etcd", plane.directory / "saved"
    client = plane.admin
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}})
    with start_operator(plane) as operator, managed_gateway(client, "shared") as gateway:
        tenant = TenantNamespace(plane, SHOP, operator.user)

        def wait_open(*, expected: bool) -> None:
            wait_until(
                lambda: tenant.condition("through", "ResolvedRefs").get("status") == str(expected),
                30,
                f"the gateway is open to the namespace: {expected}",
            )

        tenant.apply("edited", hosts("a.example.com"))
        tenant.wait_ready("edited")
        gateway.apply(authorization="None")
        through = build_policy(SHOP, "through", hosts("x.example.com", ports=[HTTP]))
        through["spec"]["gatewayRef"] = {"name": gateway.name}
        client.apply(through)
        wait_open(expected=False)
        plane.copy_data(data, saved)
        gateway.select(SHOP)
        wait_open(expected=True)
        tenant.apply("edited", hosts("b.example.com"))
        tenant.apply("later", hosts("c.example.com"))
        tenant.wait_ready("edited", timeout_s=40)
        tenant.wait_ready("later", timeout_s=40)
        for number in range(LATER_WRITES):
            client.apply(build_note(number))
        plane.copy_data(saved, data)
        tenant.wait_hosts("a.example.com", "x.example.com", timeout_s=60)
        wait_open(expected=False)
        # Generation 2 for the second time.
        tenant.apply("edited", hosts("d.example.com"))
        tenant.wait_ready("edited", timeout_s=40)
        tenant.wait_hosts("d.example.com", "x.example.com", timeout_s=30)
        gateway.select(SHOP)
        wait_open(expected=True)
        left = [item["metadata"]["name"] for item in client.list_objects(*POLICY, SHOP)]
        assert left == ["edited", "through"]
        assert operator.stop() == 0
