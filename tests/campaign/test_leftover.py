"""Objects that the garbage collector leaves for good, by a defect of its own."""

from collections.abc import Iterator

import pytest

from reconcile.tenant import HTTP, TenantNamespace, hosts
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_istio_crds, load_our_crds
from testbed.deadline import wait_until
from testbed.operator import start_operator
from testbed.workload import temporary_namespace

from .collector import wait_for_collector
from .history import CHILDREN

DELETED_S = 60.0
"""The operator looks every 20 s and deletes what it finds twice."""
TIMED = {"ports": [HTTP], "http": {"timeout": "3s"}}
LEFT = ["delete serviceentries", "delete virtualservices"]


@pytest.fixture(scope="module")
def plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    """Start a control plane whose API server may be killed."""
    definitions = [*load_istio_crds(*CHILDREN), *load_our_crds()]
    with start_control_plane(ControlPlaneOption(audit=True, definitions=definitions)) as running:
        yield running


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """Make a namespace there; its deletion is asked for afterwards."""
    with temporary_namespace(plane.admin) as name:
        yield name


@pytest.mark.timeout(300)
def test_what_the_collector_does_not_see_go_is_deleted(plane: ControlPlane, namespace: str) -> None:
    """A policy is made anew under its name while the garbage collector does not watch."""
    with start_operator(plane) as operator:
        tenant = TenantNamespace(plane, namespace, operator.user)
        tenant.apply("renewed", hosts("left.example.com", **TIMED))
        tenant.apply("other", hosts("other.example.com", **TIMED))
        tenant.wait_ready("renewed")
        tenant.wait_ready("other")
        wait_for_collector(tenant)
        with plane.suspend_controller_manager():
            # Its watch ends with this API server, and the next one cannot tell what it missed.
            plane.restart_apiserver()
            tenant.delete("renewed")
            tenant.apply("renewed", hosts("new.example.com", **TIMED))
            tenant.wait_ready("renewed", timeout_s=60)
            mark = tenant.mark()
        tenant.wait_hosts("new.example.com", "other.example.com", timeout_s=DELETED_S)
        assert tenant.writes(mark) == LEFT
        # The garbage collector is at work again: it deletes what goes now.
        tenant.delete("other")
        tenant.wait_hosts("new.example.com", timeout_s=DELETED_S)
        assert tenant.writes(mark) == LEFT


@pytest.mark.timeout(300)
def test_an_object_goes_with_its_last_owner_also_when_another_owner_went_unseen(
    plane: ControlPlane, namespace: str
) -> None:
    """An object on hold keeps the owner reference that the garbage collector did not take off."""
    with start_operator(plane) as operator:
        tenant = TenantNamespace(plane, namespace, operator.user)
        for name in ("renewed", "held"):
            tenant.apply(name, hosts("shared.example.com", **TIMED))
            tenant.wait_ready(name)
        wait_for_collector(tenant)
        tenant.apply("held", hosts("shared.example.com", f"db.{namespace}.svc", **TIMED))
        wait_until(
            lambda: tenant.condition("held", "Accepted").get("status") == "False",
            30,
            "it is on hold",
        )
        with plane.suspend_controller_manager():
            plane.restart_apiserver()
            tenant.delete("renewed")
            tenant.apply("renewed", hosts("new.example.com", **TIMED))
            tenant.wait_ready("renewed", timeout_s=60)
        tenant.wait_hosts("new.example.com", "shared.example.com")
        tenant.delete("held")
        tenant.wait_hosts("new.example.com", timeout_s=DELETED_S)
