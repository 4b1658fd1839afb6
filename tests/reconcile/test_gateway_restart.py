"""The operator comes back where a gateway is in use."""

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import OperatorOption, read_values, start_operator, sum_values

from .gateway import managed_gateway
from .tenant import HTTP, TenantNamespace, build_policy, hosts

MISSING = "reserved-names.egress-operator.io is missing"


def test_a_restart_does_not_touch_the_status_of_a_gateway(
    control_plane: ControlPlane, namespace: str
) -> None:
    with managed_gateway(control_plane.admin, f"gw-{namespace}") as gateway:
        with start_operator(control_plane) as first:
            tenant = TenantNamespace(control_plane, namespace, first.user)
            gateway.apply()
            gateway.select(namespace)
            policy = build_policy(namespace, "web", hosts("api.example.com", ports=[HTTP]))
            policy["spec"]["gatewayRef"] = {"name": gateway.name}
            tenant.client.apply(policy)
            tenant.wait_ready("web")
            gateway.wait_condition("Ready", "True", "Serving")
            gateway.wait_condition("Isolated", "False", "AdmissionPolicyMissing", MISSING)
        mark = tenant.mark()
        with start_operator(
            control_plane, OperatorOption(settings={"EGRESS_RESYNC": "1"})
        ) as second:
            settled = 'egress_operator_reconcile_total{result="settled"}'
            # Every set has at least one object, and objects of other tests count as well.
            objects = sum_values(read_values(second.metrics()), {"egress_operator_objects"})
            wanted = second.metric(settled) + 3 * objects
            wait_until(
                lambda: second.metric(settled) >= wanted > 0, 60, "all is compared three times"
            )
            second.wait_idle()
            records = control_plane.audit.records(since=mark, user=second.user, writes=True)
            assert [record.path for record in records if record.name == gateway.name] == []
