"""Our own CRD is removed, with every policy, and comes back; the operator stays."""

from collections.abc import Callable

import pytest

from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import install_crds, load_istio_crds, load_our_crds, remove_crds
from testbed.deadline import wait_until
from testbed.operator import OperatorOption, start_operator

from .world import World, hosts


@pytest.mark.timeout(300)
def test_the_operator_waits_for_its_crd_and_survives_its_removal(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> None:
    plane = fresh_control_plane(ControlPlaneOption(audit=True))
    install_crds(plane.admin, load_istio_crds())
    plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    with start_operator(plane, OperatorOption(wait=False)) as operator:
        wait_until(
            lambda: "no EgressPolicy kind" in operator.log.read_text(),
            20,
            "it says what is lacking",
        )
        world = World(plane, "shop", operator.user)
        for host in ("a.example.com", "b.example.com"):
            install_crds(plane.admin, load_our_crds())
            wait_until(lambda: _is_ready(operator.is_ready), 60, "it is ready")
            world.apply("payments", hosts(host))
            # Where kopf misses the moment in which the kind is served, a list finds it out.
            world.wait_ready("payments", timeout_s=80)
            world.wait_hosts(host, timeout_s=80)
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
