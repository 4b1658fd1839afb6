"""In what order a namespace loses what it had of a gateway."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import placed
from .world import HTTP, World, build_policy, hosts

HOSTS = 20


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator with one worker: what it takes up first, it writes first."""
    option = OperatorOption(settings={"EGRESS_WORKERS": "1", "EGRESS_SETTLE": "0.3"})
    with start_operator(control_plane, option) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


def test_the_permission_goes_before_the_hosts(world: World) -> None:
    names = [f"h{number}.example.com" for number in range(HOSTS)]
    half = HOSTS // 2
    destinations = (hosts(*part, ports=[HTTP]) for part in (names[:half], names[half:]))
    policy = build_policy(world.namespace, "web", *destinations)
    with placed(world.client, f"gw-{world.namespace}") as place:
        place.apply()
        place.select(world.namespace)
        place.wait_condition("Ready", "True", "Serving")
        policy["spec"]["gatewayRef"] = {"name": place.name}
        world.client.apply(policy)
        world.wait_ready("web", timeout_s=60)
        mark = world.mark()
        place.select(world.namespace, member=False)
        world.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        writes = [
            f"{record.verb} {record.resource}"
            for record in world.plane.audit.records(since=mark, user=world.user, writes=True)
            if record.group.endswith(".istio.io")
        ]
        assert writes[0] == "delete authorizationpolicies"
        assert len(writes) > HOSTS
