"""Kinds are missing when the operator starts, come, go, and come again; the operator stays.

One control plane serves all tests: each begins with the kinds that it names and no others.
"""

from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus

import pytest

from testbed.audit import Mark, Record
from testbed.client import Object
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import install_crds, load_istio_crds, load_our_crds, remove_crds
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .tenant import ENTRY, HTTP, ROUTE, TenantNamespace, hosts

STATUS = "patch egresspolicies/status"
SHOP = "shop"
ServeKinds = Callable[..., None]


@pytest.fixture(scope="module")
def plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    definitions = [*load_istio_crds(ENTRY[1], ROUTE[1]), *load_our_crds()]
    with start_control_plane(ControlPlaneOption(audit=True, definitions=definitions)) as running:
        running.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}})
        yield running


@pytest.fixture
def serve(plane: ControlPlane) -> ServeKinds:
    """Have the API server serve these definitions, without any object, and none of the others."""

    def serve(*definitions: Object) -> None:
        remove_crds(plane.admin, plane.option.definitions)
        install_crds(plane.admin, definitions)

    return serve


def is_istio_missing(tenant: TenantNamespace) -> bool:
    rows = tenant.status("payments").get("destinations", [])
    return [row.get("reason") for row in rows] == ["IstioMissing"]


def list_refused(tenant: TenantNamespace, mark: Mark) -> list[Record]:
    return [record for record in tenant.records(mark) if record.code == HTTPStatus.NOT_FOUND]


def count_missing(operator: Operator, crd: Object) -> float:
    """How often the watch of a kind found that the kind is not served."""
    resource = crd["spec"]["names"]["plural"]
    return operator.metric(
        f'egress_operator_watch_restarts_total{{reason="missing",resource="{resource}"}}'
    )


def test_policies_wait_for_istio_and_say_so(plane: ControlPlane, serve: ServeKinds) -> None:
    serve(*load_our_crds())
    mark = plane.audit.position()
    istio = load_istio_crds(ENTRY[1], ROUTE[1])
    with start_operator(plane) as operator:
        tenant = TenantNamespace(plane, SHOP, operator.user)
        tenant.apply("payments", hosts("a.example.com"))
        for _ in range(2):
            # While a CRD is being removed other refusals may be said first.
            wait_until(
                partial(is_istio_missing, tenant), 20, "the policy says that Istio is missing"
            )
            assert "install Istio's CRDs" in tenant.condition("payments", "Ready")["message"]
            install_crds(plane.admin, istio)
            tenant.wait_ready("payments", timeout_s=20)
            tenant.wait_hosts("a.example.com")
            known = [count_missing(operator, crd) for crd in istio]
            remove_crds(plane.admin, istio)
        wait_until(partial(is_istio_missing, tenant), 20, "the policy tells of missing kinds")
        assert operator.is_ready()
        assert operator.health() == 200
        # The policy may say it from a refusal. While the watches know it, nothing is sent in vain.
        wait_until(
            lambda: all(
                count_missing(operator, crd) > known[index] for index, crd in enumerate(istio)
            ),
            20,
            "the watches know that the kinds are missing",
        )
        before = list_refused(tenant, mark)
        changed = tenant.client.merge_patch(
            tenant.policy("payments"), {"spec": {"justification": "while Istio is missing"}}
        )
        generation = changed["metadata"]["generation"]
        wait_until(
            lambda: tenant.status("payments").get("observedGeneration") == generation,
            20,
            "the edit is taken note of",
        )
        assert is_istio_missing(tenant)
        assert list_refused(tenant, mark) == before
        assert operator.stop() == 0


def timed(host: str) -> dict[str, object]:
    """Build a destination that needs a VirtualService."""
    return hosts(host, ports=[HTTP], http={"timeout": "3s"})


def read_rows(tenant: TenantNamespace, name: str) -> dict[str, tuple[str, str]]:
    """(state, reason) by host."""
    return {
        row["host"]: (row["state"], row.get("reason", ""))
        for row in tenant.status(name).get("destinations", [])
    }


def is_missing(tenant: TenantNamespace, name: str, host: str) -> bool:
    return read_rows(tenant, name).get(host) == ("Pending", "IstioMissing")


@pytest.fixture
def tenant(plane: ControlPlane, serve: ServeKinds) -> Iterator[TenantNamespace]:
    """Give a namespace of a cluster that serves ServiceEntries and no VirtualServices."""
    serve(*load_our_crds(), *load_istio_crds(ENTRY[1]))
    with start_operator(plane, OperatorOption(settings={"EGRESS_RESYNC": "1"})) as operator:
        yield TenantNamespace(plane, SHOP, operator.user)
        assert operator.stop() == 0, operator.process.tail(50)


def test_only_what_needs_a_virtual_service_waits_for_the_kind(tenant: TenantNamespace) -> None:
    mark = tenant.mark()
    tenant.apply("plain", hosts("a.example.com"))
    tenant.apply("timed", timed("b.example.com"))
    tenant.apply("both", hosts("c.example.com"), timed("d.example.com"))
    tenant.wait_ready("plain")
    for name, host in (("timed", "b.example.com"), ("both", "d.example.com")):
        wait_until(partial(is_missing, tenant, name, host), 20, f"{host} waits for the kind")
        assert tenant.ready(name) == ("False", "Pending")
        assert "serves no VirtualService" in tenant.condition(name, "Ready")["message"]
    wait_until(
        lambda: read_rows(tenant, "both")["c.example.com"] == ("Applied", ""),
        20,
        "the host that needs no route is applied",
    )
    every = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")
    tenant.wait_hosts(*every)
    install_crds(tenant.client, load_istio_crds(ROUTE[1]))
    for name in ("plain", "timed", "both"):
        tenant.wait_ready(name, timeout_s=20)
    tenant.wait_hosts(*every)
    routes = tenant.client.list_objects(*ROUTE, tenant.namespace)
    assert sorted(item["spec"]["hosts"][0] for item in routes) == ["b.example.com", "d.example.com"]
    # No ServiceEntry was written twice, and no VirtualService in vain.
    written = [line for line in tenant.writes(mark) if line != STATUS]
    assert written == ["create serviceentries"] * 4 + ["create virtualservices"] * 2


@pytest.mark.timeout(300)
def test_the_operator_waits_for_its_crd_and_survives_its_removal(
    plane: ControlPlane, serve: ServeKinds
) -> None:
    serve(*load_istio_crds(ENTRY[1], ROUTE[1]))
    with start_operator(plane, OperatorOption(wait=False)) as operator:
        wait_until(
            lambda: "no EgressPolicy kind" in operator.log.read_text(),
            20,
            "it says what is lacking",
        )
        tenant = TenantNamespace(plane, SHOP, operator.user)
        for host in ("a.example.com", "b.example.com"):
            install_crds(plane.admin, load_our_crds())
            wait_until(lambda: _is_ready(operator.is_ready), 60, "it is ready")
            tenant.apply("payments", hosts(host))
            # Where kopf misses the moment in which the kind is served, a list finds it out.
            tenant.wait_ready("payments", timeout_s=80)
            tenant.wait_hosts(host, timeout_s=80)
            # The garbage collector judges the old objects once it knows the kind again.
            remove_crds(plane.admin, load_our_crds())
        assert operator.process.is_alive
        assert operator.stop() == 0


def _is_ready(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:
        # It is started again, with its server, when kopf ends over the missing kind.
        return False
