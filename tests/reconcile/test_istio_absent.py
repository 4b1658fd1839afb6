"""Istio's CRDs are absent at the start, come, go, and come again; the operator stays."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from testbed.audit import Record
from testbed.client import Object
from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import install_crds, load_istio_crds, load_our_crds, remove_crds
from testbed.deadline import wait_until
from testbed.operator import Operator, start_operator

from .world import World, hosts


def is_missing(world: World) -> bool:
    rows = world.status("payments").get("destinations", [])
    return [row.get("reason") for row in rows] == ["IstioMissing"]


def list_refused(world: World) -> list[Record]:
    return [record for record in world.records(0) if record.code == HTTPStatus.NOT_FOUND]


def count_missing(operator: Operator, crd: Object) -> float:
    """How often the watch of a kind found that the kind is not served."""
    resource = crd["spec"]["names"]["plural"]
    return operator.metric(
        f'egress_operator_watch_restarts_total{{reason="missing",resource="{resource}"}}'
    )


def test_policies_wait_for_istio_and_say_so(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> None:
    plane = fresh_control_plane(ControlPlaneOption(audit=True))
    install_crds(plane.admin, load_our_crds())
    istio = [
        item
        for item in load_istio_crds()
        if item["spec"]["names"]["kind"] in {"ServiceEntry", "VirtualService"}
    ]
    plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    with start_operator(plane) as operator:
        world = World(plane, "shop", operator.user)
        world.apply("payments", hosts("a.example.com"))
        for _ in range(2):
            # While a CRD is being removed other refusals may be said first.
            wait_until(partial(is_missing, world), 20, "the policy says that Istio is missing")
            assert "install Istio's CRDs" in world.condition("payments", "Ready")["message"]
            install_crds(plane.admin, istio)
            world.wait_ready("payments", timeout_s=20)
            world.wait_hosts("a.example.com")
            known = [count_missing(operator, crd) for crd in istio]
            remove_crds(plane.admin, istio)
        wait_until(partial(is_missing, world), 20, "the policy says that Istio is missing")
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
        before = list_refused(world)
        changed = world.client.merge_patch(
            world.policy("payments"), {"spec": {"justification": "while Istio is missing"}}
        )
        generation = changed["metadata"]["generation"]
        wait_until(
            lambda: world.status("payments").get("observedGeneration") == generation,
            20,
            "the edit is taken note of",
        )
        assert is_missing(world)
        assert list_refused(world) == before
        assert operator.stop() == 0
