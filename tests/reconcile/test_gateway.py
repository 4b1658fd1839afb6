"""Policies that go through a gateway, on the real API server."""

from collections.abc import Iterator

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import Place, placed
from .world import COLLECTED_S, HTTP, TIMEOUT_S, World, build_policy, hosts


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator, which settles quickly."""
    option = OperatorOption(settings={"EGRESS_RESYNC": "1", "EGRESS_SETTLE": "0.3"})
    with start_operator(control_plane, option) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


@pytest.fixture
def place(world: World) -> Iterator[Place]:
    """Give a gateway that serves, with the test's namespace among its tenants."""
    with placed(world.client, f"gw-{world.namespace}") as place:
        place.apply()
        place.select(world.namespace)
        place.wait_condition("Ready", "True", "Serving")
        yield place


def apply_policy(world: World, place: Place, **more: object) -> Object:
    policy = build_policy(world.namespace, "web", hosts("api.example.com", ports=[HTTP]))
    policy["spec"] |= {"gatewayRef": {"name": place.name}, **more}
    return world.client.apply(policy)


def test_a_gateway_alone_denies_everything(world: World) -> None:
    with placed(world.client, f"gw-{world.namespace}", serving=False) as place:
        place.apply()
        place.wait_condition("Accepted", "True", "Accepted")
        place.wait_condition("Ready", "False", "NotServing", "there is no Service")
        (denial,) = place.objects()
        assert denial.startswith("AuthorizationPolicy ")

        place.apply_service()
        place.wait_condition("Ready", "False", "NotServing", "no ready endpoint")
        place.apply_endpoints("192.0.2.10")
        place.wait_condition("Ready", "True", "Serving")
        place.apply_service(80)
        place.wait_condition("Ready", "False", "NotServing", "no port 443")


def test_isolation_needs_the_admission_policies(place: Place) -> None:
    missing = "reserved-names.egress-operator.io is missing"
    place.wait_condition("Isolated", "False", "AdmissionPolicyMissing", missing)
    place.apply(authorization="None")
    place.wait_condition("Isolated", "False", "NotEnforced")


def test_one_policy_is_five_writes_and_three_for_the_tenant(world: World, place: Place) -> None:
    since = world.mark()
    apply_policy(world, place)
    world.wait_ready("web")
    assert world.writes(since) == sorted(
        [
            "create serviceentries",
            "create serviceentries",
            "create virtualservices",
            "create virtualservices",
            "patch egresspolicies/status",
            "create destinationrules",
            "create gateways",
        ]
    )
    assert len([name for name in place.objects() if name.startswith("Auth")]) == 2
    assert place.status()["hosts"] == 1
    assert place.status()["namespaces"] == 1


def test_a_second_policy_of_the_tenant_is_five_writes(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    since = world.mark()
    policy = build_policy(world.namespace, "more", hosts("www.example.com", ports=[HTTP]))
    policy["spec"]["gatewayRef"] = {"name": place.name}
    world.client.apply(policy)
    world.wait_ready("more")
    assert len(world.writes(since)) == 5


def test_what_serves_a_tenant_goes_with_its_last_host(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    world.delete("web")

    def look() -> bool:
        assert place.objects(world.namespace) == []
        assert len(place.objects()) == 1, place.objects()
        return True

    wait_until(look, COLLECTED_S, "the tenant's objects go")


def test_a_namespace_that_is_not_selected_any_more_is_closed(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    place.select(world.namespace, member=False)
    world.wait_ready("web", ("False", "NamespaceNotAllowed"))

    def look() -> bool:
        assert len(place.objects()) == 1, place.objects()
        (entry,) = place.objects(world.namespace)
        assert entry.startswith("ServiceEntry ")
        return True

    wait_until(look, TIMEOUT_S, "only the closed ServiceEntry stays")
    closed = world.get_entry("api.example.com")["spec"]
    assert (closed["resolution"], closed.get("endpoints")) == ("STATIC", None)
    assert world.status("web")["destinations"][0]["state"] == "Closed"

    place.select(world.namespace)
    world.wait_ready("web")


def test_a_gateway_that_is_deleted_leaves_the_host_closed(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    place.delete()
    world.wait_ready("web", ("False", "GatewayNotFound"))

    def look() -> bool:
        left = place.objects(world.namespace)
        assert not [name for name in left if name.startswith(("Gateway ", "DestinationRule "))]
        assert place.objects() == []
        return True

    wait_until(look, COLLECTED_S, "what serves the tenant goes with the gateway")
    assert world.get_entry("api.example.com")["spec"]["resolution"] == "STATIC"
    place.apply()
    world.wait_ready("web")


def test_a_gateway_that_moves_has_new_objects_beside_the_old(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    before = set(place.objects(world.namespace))
    place.apply_service(443, 8443)
    place.apply(service={"name": "istio-egressgateway", "port": 8443})

    def look() -> bool:
        after = set(place.objects(world.namespace))
        assert len(after) == len(before)
        assert len(after & before) == 2, "the host's own two objects stay"
        return True

    wait_until(look, TIMEOUT_S, "the host moves")
    world.wait_ready("web")


def test_a_policy_moves_to_the_gateway_and_back(world: World, place: Place) -> None:
    direct = build_policy(world.namespace, "web", hosts("api.example.com", ports=[HTTP]))
    world.client.apply(direct)
    world.wait_ready("web")
    (entry,) = place.objects(world.namespace)
    apply_policy(world, place)
    world.wait_ready("web")
    assert world.get_entry("api.example.com")["spec"]["resolution"] == "STATIC"
    world.client.apply(direct)

    def look() -> bool:
        assert place.objects(world.namespace) == [entry]
        assert len(place.objects()) == 1
        return True

    wait_until(look, TIMEOUT_S, "everything of the gateway goes")
    assert world.get_entry("api.example.com")["spec"]["resolution"] == "DNS"


def test_service_accounts_have_a_permission_of_their_own(world: World, place: Place) -> None:
    apply_policy(world, place, **{"from": {"serviceAccounts": ["checkout"]}})
    world.wait_ready("web")
    assert len(place.objects()) == 3
    world.delete("web")
    wait_until(
        lambda: len(place.objects()) == 1, COLLECTED_S, "the permission goes with the policy"
    )


def test_an_older_gateway_keeps_its_pods(world: World, place: Place) -> None:
    younger = Place(world.client, f"{place.name}-b", place.namespace)
    younger.apply()
    try:
        younger.wait_condition("Accepted", "False", "Conflicted")
        apply_policy(world, younger)
        world.wait_ready("web", ("False", "GatewayNotAccepted"))
    finally:
        younger.delete()


def test_a_gateway_without_pods_is_said_in_the_policy(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    place.apply_endpoints()
    world.wait_ready("web", ("False", "GatewayNotReady"))
    place.apply_endpoints("192.0.2.10")
    world.wait_ready("web")


def test_drift_of_what_serves_a_tenant_is_one_write(world: World, place: Place) -> None:
    apply_policy(world, place)
    world.wait_ready("web")
    (gateway,) = world.client.list_objects("networking.istio.io/v1", "Gateway", world.namespace)
    since = world.mark()
    world.client.merge_patch(gateway, {"spec": {"selector": {"istio": "other"}}})
    world.wait_writes(since, ["patch gateways"])
    world.client.delete(
        "networking.istio.io/v1", "Gateway", gateway["metadata"]["name"], world.namespace
    )
    world.wait_writes(since, ["patch gateways", "create gateways"])
