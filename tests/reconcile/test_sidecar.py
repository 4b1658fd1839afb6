"""Sidecars that hide a policy's hosts, on the real API server."""

from collections.abc import Iterator

import pytest

from testbed.client import Object
from testbed.deadline import wait_until
from testbed.operator import Operator

from .tenant import HTTP, ISTIO, TIMEOUT_S, TenantNamespace, hosts

HOST = "api.example.com"
SIDECAR = (ISTIO, "Sidecar")
ROOT = "istio-system"
STATUS = ["patch egresspolicies/status"]
HIDDEN = ("False", "Hidden")


def build_sidecar(namespace: str, *entries: str, **more: object) -> Object:
    return {
        "apiVersion": ISTIO,
        "kind": "Sidecar",
        "metadata": {"name": "by-hand", "namespace": namespace},
        "spec": {"egress": [{"hosts": list(entries)}], **more},
    }


@pytest.fixture
def payments(tenant: TenantNamespace) -> TenantNamespace:
    """Give a namespace with a policy that is Ready."""
    tenant.apply("payments", hosts(HOST, ports=[HTTP]))
    tenant.wait_ready("payments")
    return tenant


@pytest.fixture
def root(tenant: TenantNamespace) -> Iterator[str]:
    """Give the mesh's root namespace; its Sidecar goes after the test."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT}}
    tenant.client.apply(namespace)
    yield ROOT
    if tenant.client.find(*SIDECAR, "by-hand", ROOT) is not None:
        tenant.client.delete(*SIDECAR, "by-hand", ROOT)


def test_a_policy_is_unready_while_a_sidecar_hides_its_host(payments: TenantNamespace) -> None:
    client, namespace = payments.client, payments.namespace
    mark = payments.mark()
    stored = client.create(build_sidecar(namespace, "./*.svc.cluster.local"))
    status = payments.wait_ready("payments", HIDDEN)
    assert (
        'add "./api.example.com" to the egress hosts (EG120)'
        in (payments.condition("payments", "Ready")["message"])
    )
    assert payments.condition("payments", "Programmed")["status"] == "True"
    assert payments.condition("payments", "Stalled")["reason"] == "Hidden"
    assert status["hosts"] == "1/1"

    client.apply(build_sidecar(namespace, "./*.svc.cluster.local", f"./{HOST}"))
    payments.wait_ready("payments")
    client.apply(build_sidecar(namespace, "pay/*"))
    payments.wait_ready("payments", HIDDEN)
    client.delete(*SIDECAR, "by-hand", namespace)
    payments.wait_ready("payments")

    assert payments.writes(mark) == STATUS * 4
    assert stored["spec"] == build_sidecar(namespace, "./*.svc.cluster.local")["spec"]


def test_a_sidecar_of_some_workloads_is_told_beside_ready(payments: TenantNamespace) -> None:
    chosen = {"workloadSelector": {"labels": {"app": "batch"}}}
    payments.client.create(build_sidecar(payments.namespace, "~/*", **chosen))
    wait_until(lambda: payments.condition("payments", "PartlyHidden"), TIMEOUT_S, "it is told")
    assert payments.ready("payments") == ("True", "Applied")
    assert "; PartlyHidden: Sidecar by-hand" in payments.condition("payments", "Ready")["message"]
    payments.client.delete(*SIDECAR, "by-hand", payments.namespace)
    wait_until(lambda: not payments.condition("payments", "PartlyHidden"), TIMEOUT_S, "it is over")


def test_the_default_of_the_mesh_holds_until_the_namespace_has_its_own(
    payments: TenantNamespace, root: str
) -> None:
    client = payments.client
    client.create(build_sidecar(root, "istio-system/*"))
    payments.wait_ready("payments", HIDDEN)
    assert "Sidecar istio-system/by-hand" in payments.condition("payments", "Ready")["message"]
    client.create(build_sidecar(payments.namespace, "./*"))
    payments.wait_ready("payments")
    client.delete(*SIDECAR, "by-hand", payments.namespace)
    payments.wait_ready("payments", HIDDEN)
    client.delete(*SIDECAR, "by-hand", root)
    payments.wait_ready("payments")


def test_a_mode_is_told_by_the_sidecar(payments: TenantNamespace, operator: Operator) -> None:
    policy = {"mode": "ALLOW_ANY"}
    payments.client.create(build_sidecar(payments.namespace, "./*", outboundTrafficPolicy=policy))

    def look() -> bool:
        words = "Sidecar by-hand has mode ALLOW_ANY, so hosts that no policy names are not blocked"
        return words in payments.condition("payments", "Ready")["message"]

    wait_until(look, TIMEOUT_S, "it is told")
    operator.wait_idle()
