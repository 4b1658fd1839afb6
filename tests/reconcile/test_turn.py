"""An EgressGateway that changes its place and its authorization in one edit.

Its operator compares nothing by itself: every step follows from a change that it sees.
"""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import PORT, SERVICE, Place, placed
from .world import HTTP, TIMEOUT_S, World, build_policy, hosts

ACCESS = ("security.istio.io/v1", "AuthorizationPolicy")
DRY_RUN = "istio.io/dry-run"
OTHER_PORT = 8443


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator, which settles quickly."""
    settings = {"EGRESS_RESYNC": "3600", "EGRESS_SETTLE": "0.3"}
    with start_operator(control_plane, OperatorOption(settings=settings)) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


@pytest.fixture
def place(world: World) -> Iterator[Place]:
    """Give a gateway that serves on two ports, with the test's namespace among its tenants."""
    with placed(world.client, f"gw-{world.namespace}") as place:
        place.apply_service(PORT, OTHER_PORT)
        place.select(world.namespace)
        yield place


def list_access(place: Place) -> list[tuple[bool, str]]:
    """Tell of each AuthorizationPolicy whether it allows anything, and whether it only tries."""
    items = place.client.list_objects(*ACCESS, place.namespace)
    return sorted(
        (bool(item["spec"].get("rules")), item["metadata"].get("annotations", {}).get(DRY_RUN, ""))
        for item in items
    )


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        ("None", "Managed", "false"),
        ("DryRun", "Managed", "false"),
        ("Managed", "DryRun", "true"),
        ("Managed", "None", ""),
    ],
)
def test_it_ends_as_if_it_had_always_been_so(
    world: World, place: Place, old: str, new: str, end: str
) -> None:
    place.apply(authorization=old)
    policy = build_policy(world.namespace, "web", hosts("api.example.com", ports=[HTTP]))
    policy["spec"]["gatewayRef"] = {"name": place.name}
    world.client.apply(policy)
    world.wait_ready("web")
    before = set(place.objects(world.namespace))
    place.apply(authorization=new, service={"name": SERVICE, "port": OTHER_PORT})

    def look() -> bool:
        assert list_access(place) == ([(False, end), (True, end)] if end else [])
        assert len(before & set(place.objects(world.namespace))) == 2, "the host's own two stay"
        return True

    wait_until(look, TIMEOUT_S, f"{new} does not come")
    world.wait_ready("web")
