"""Policies that go through a gateway, on the real API server."""

import time
from collections.abc import Iterator

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import ManagedGateway, managed_gateway
from .tenant import COLLECTED_S, HTTP, POLICY, TIMEOUT_S, TenantNamespace, build_policy, hosts


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator, which settles quickly."""
    option = OperatorOption(settings={"EGRESS_RESYNC": "1", "EGRESS_SETTLE": "0.3"})
    with start_operator(control_plane, option) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


@pytest.fixture
def gateway(tenant: TenantNamespace) -> Iterator[ManagedGateway]:
    """Give a gateway that serves, with the test's namespace among its tenants."""
    with managed_gateway(tenant.client, f"gw-{tenant.namespace}") as gateway:
        gateway.apply()
        gateway.select(tenant.namespace)
        gateway.wait_condition("Ready", "True", "Serving")
        yield gateway


def apply_policy(tenant: TenantNamespace, gateway: ManagedGateway, **more: object) -> Object:
    policy = build_policy(tenant.namespace, "web", hosts("api.example.com", ports=[HTTP]))
    policy["spec"] |= {"gatewayRef": {"name": gateway.name}, **more}
    return tenant.client.apply(policy)


def test_a_gateway_alone_denies_everything(tenant: TenantNamespace) -> None:
    with managed_gateway(tenant.client, f"gw-{tenant.namespace}", serving=False) as gateway:
        gateway.apply()
        gateway.wait_condition("Accepted", "True", "Accepted")
        gateway.wait_condition("Ready", "False", "NotServing", "there is no Service")
        (denial,) = gateway.objects()
        assert denial.startswith("AuthorizationPolicy ")

        gateway.apply_service()
        gateway.wait_condition("Ready", "False", "NotServing", "no ready endpoint")
        gateway.apply_endpoints("192.0.2.10")
        gateway.wait_condition("Ready", "True", "Serving")
        gateway.apply_service(80)
        gateway.wait_condition("Ready", "False", "NotServing", "no port 443")


def test_isolation_needs_the_admission_policies(gateway: ManagedGateway) -> None:
    missing = "reserved-names.egress-operator.io is missing"
    gateway.wait_condition("Isolated", "False", "AdmissionPolicyMissing", missing)
    gateway.apply(authorization="None")
    gateway.wait_condition("Isolated", "False", "NotEnforced")


def test_the_end_of_isolation_is_told_in_an_event_and_what_fails_in_the_log_as_a_warning(
    tenant: TenantNamespace, operator: Operator, gateway: ManagedGateway
) -> None:
    def find_told() -> set[tuple[str, str]]:
        return {
            (item["type"], item["reason"])
            for item in tenant.client.list_objects("events.k8s.io/v1", "Event", "default")
            if item["regarding"]["name"] == gateway.name
        }

    def find_levels(text: str) -> set[str]:
        lines = operator.log.read_text().splitlines()
        about = [line for line in lines if f"EgressGateway {gateway.name}: {text}" in line]
        return {line.split()[1] for line in about}

    gateway.apply_endpoints()
    gateway.wait_condition("Ready", "False", "NotServing")
    gateway.apply(authorization="None")
    gateway.wait_condition("Isolated", "False", "NotEnforced")
    told = {("Warning", "NotServing"), ("Normal", "NotEnforced")}
    wait_until(lambda: told <= find_told(), TIMEOUT_S, "both changes are told")
    served = f"Service {gateway.namespace}/istio-egressgateway has no ready endpoint"
    assert find_levels(served) == {"WARNING"}
    assert find_levels("authorization is None") == {"INFO"}
    for condition in ("Ready", "Isolated"):
        metric = f'egress_operator_gateways{{condition="{condition}",status="False"}}'
        assert operator.metric(metric) >= 1


def test_one_policy_is_five_writes_and_three_for_the_tenant(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    since = tenant.mark()
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    assert tenant.writes(since) == sorted(
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
    assert len([name for name in gateway.objects() if name.startswith("Auth")]) == 2
    gateway.wait_counts(namespaces=1, hosts=1)


def test_a_second_policy_of_the_tenant_is_five_writes(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    since = tenant.mark()
    policy = build_policy(tenant.namespace, "more", hosts("www.example.com", ports=[HTTP]))
    policy["spec"]["gatewayRef"] = {"name": gateway.name}
    tenant.client.apply(policy)
    tenant.wait_ready("more")
    assert len(tenant.writes(since)) == 5


def test_what_serves_a_tenant_goes_with_its_last_host(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    tenant.delete("web")

    def look() -> bool:
        assert gateway.objects(tenant.namespace) == []
        assert len(gateway.objects()) == 1, gateway.objects()
        return True

    wait_until(look, COLLECTED_S, "the tenant's objects go")


def test_a_namespace_that_is_not_selected_any_more_is_closed(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    gateway.select(tenant.namespace, member=False)
    tenant.wait_ready("web", ("False", "NamespaceNotAllowed"))

    def look() -> bool:
        assert len(gateway.objects()) == 1, gateway.objects()
        (entry,) = gateway.objects(tenant.namespace)
        assert entry.startswith("ServiceEntry ")
        return True

    wait_until(look, TIMEOUT_S, "only the closed ServiceEntry stays")
    closed = tenant.get_entry("api.example.com")["spec"]
    assert (closed["resolution"], closed.get("endpoints")) == ("STATIC", None)
    assert tenant.status("web")["destinations"][0]["state"] == "Closed"

    gateway.select(tenant.namespace)
    tenant.wait_ready("web")


def test_a_gateway_that_is_deleted_leaves_the_host_closed(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    gateway.delete()
    tenant.wait_ready("web", ("False", "GatewayNotFound"))

    def look() -> bool:
        left = gateway.objects(tenant.namespace)
        assert not [name for name in left if name.startswith(("Gateway ", "DestinationRule "))]
        assert gateway.objects() == []
        return True

    wait_until(look, COLLECTED_S, "what serves the tenant goes with the gateway")
    assert tenant.get_entry("api.example.com")["spec"]["resolution"] == "STATIC"
    left, status = len(gateway.objects(tenant.namespace)), tenant.status("web")
    assert (status["hosts"], status["objectCount"]) == ("0/1", left)
    (ready,) = (item for item in status["conditions"] if item["type"] == "Ready")
    assert ready["message"].endswith(f"; kept from before: {left} objects")
    gateway.apply()
    tenant.wait_ready("web")


def test_a_gateway_that_moves_has_new_objects_beside_the_old(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    before = set(gateway.objects(tenant.namespace))
    gateway.apply_service(443, 8443)
    gateway.apply(service={"name": "istio-egressgateway", "port": 8443})

    def look() -> bool:
        after = set(gateway.objects(tenant.namespace))
        assert len(after) == len(before)
        assert len(after & before) == 2, "the host's own two objects stay"
        return True

    wait_until(look, TIMEOUT_S, "the host moves")
    tenant.wait_ready("web")


def test_a_policy_moves_to_the_gateway_and_back(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    direct = build_policy(tenant.namespace, "web", hosts("api.example.com", ports=[HTTP]))
    tenant.client.apply(direct)
    tenant.wait_ready("web")
    (entry,) = gateway.objects(tenant.namespace)
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    assert tenant.get_entry("api.example.com")["spec"]["resolution"] == "STATIC"
    tenant.client.apply(direct)

    def look() -> bool:
        assert gateway.objects(tenant.namespace) == [entry]
        assert len(gateway.objects()) == 1
        return True

    wait_until(look, TIMEOUT_S, "everything of the gateway goes")
    assert tenant.get_entry("api.example.com")["spec"]["resolution"] == "DNS"


def test_service_accounts_have_a_permission_of_their_own(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway, **{"from": {"serviceAccounts": ["checkout"]}})
    tenant.wait_ready("web")
    assert len(gateway.objects()) == 3
    tenant.delete("web")
    wait_until(
        lambda: len(gateway.objects()) == 1, COLLECTED_S, "the permission goes with the policy"
    )


def test_an_older_gateway_keeps_its_pods(tenant: TenantNamespace, gateway: ManagedGateway) -> None:
    younger = ManagedGateway(tenant.client, f"{gateway.name}-b", gateway.namespace)
    younger.apply()
    try:
        younger.wait_condition("Accepted", "False", "Conflicted")
        apply_policy(tenant, younger)
        tenant.wait_ready("web", ("False", "GatewayNotAccepted"))
    finally:
        younger.delete()


def test_the_watches_of_what_surrounds_a_gateway_are_counted_with_all_others(
    operator: Operator, gateway: ManagedGateway
) -> None:
    """The liveness probe and the metric look at the same watches."""
    for plural in ("services", "endpointslices", "namespaces", "egressgateways"):
        operator.wait_heard(plural, 0)
    assert f"EgressGateway {gateway.name}: " in operator.log.read_text()


def test_a_gateway_without_pods_is_said_in_the_policy(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    gateway.apply_endpoints()
    tenant.wait_ready("web", ("False", "GatewayNotReady"))
    gateway.apply_endpoints("192.0.2.10")
    tenant.wait_ready("web")


def test_a_policy_that_is_held_by_a_finalizer_does_not_stop_the_status_of_gateways(
    tenant: TenantNamespace, gateway: ManagedGateway, operator: Operator
) -> None:
    """It names a gateway that is not there, so nothing was made for it and nothing is planned."""
    policy = build_policy(tenant.namespace, "held", hosts("api.example.com", ports=[HTTP]))
    policy["metadata"]["finalizers"] = ["example.com/held"]
    policy["spec"]["gatewayRef"] = {"name": "nowhere"}
    tenant.client.apply(policy)
    tenant.wait_ready("held", ("False", "GatewayNotFound"))
    assert tenant.objects() == []
    try:
        begin = time.time()
        tenant.delete("held")
        operator.wait_heard("egresspolicies", begin)
        operator.wait_idle()
        gateway.apply(authorization="None")
        gateway.wait_condition("Isolated", "False", "NotEnforced")
    finally:
        tenant.client.merge_patch(policy, {"metadata": {"finalizers": None}})
    wait_until(
        lambda: tenant.client.find(*POLICY, "held", tenant.namespace) is None,
        TIMEOUT_S,
        "the policy goes",
    )


def test_drift_of_what_serves_a_tenant_is_one_write(
    tenant: TenantNamespace, gateway: ManagedGateway
) -> None:
    apply_policy(tenant, gateway)
    tenant.wait_ready("web")
    (istio_gateway,) = tenant.client.list_objects(
        "networking.istio.io/v1", "Gateway", tenant.namespace
    )
    since = tenant.mark()
    tenant.client.merge_patch(istio_gateway, {"spec": {"selector": {"istio": "other"}}})
    tenant.wait_writes(since, ["patch gateways"])
    tenant.client.delete(
        "networking.istio.io/v1", "Gateway", istio_gateway["metadata"]["name"], tenant.namespace
    )
    tenant.wait_writes(since, ["patch gateways", "create gateways"])
