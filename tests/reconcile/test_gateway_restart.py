"""The operator comes back where a gateway is in use."""

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import OperatorOption, start_operator

from .gateway import placed
from .world import HTTP, World, build_policy, hosts

MISSING = "reserved-names.egress-operator.io is missing"


def test_a_restart_does_not_touch_the_status_of_a_gateway(
    control_plane: ControlPlane, namespace: str
) -> None:
    with placed(control_plane.admin, f"gw-{namespace}") as place:
        with start_operator(control_plane) as first:
            world = World(control_plane, namespace, first.user)
            place.apply()
            place.select(namespace)
            policy = build_policy(namespace, "web", hosts("api.example.com", ports=[HTTP]))
            policy["spec"]["gatewayRef"] = {"name": place.name}
            world.client.apply(policy)
            world.wait_ready("web")
            place.wait_condition("Ready", "True", "Serving")
            place.wait_condition("Isolated", "False", "AdmissionPolicyMissing", MISSING)
        mark = world.mark()
        with start_operator(
            control_plane, OperatorOption(settings={"EGRESS_RESYNC": "1"})
        ) as second:
            settled = 'egress_operator_reconcile_total{result="settled"}'
            wait_until(lambda: second.metric(settled) >= 3, 30, "all was compared thrice")
            records = control_plane.audit.records(since=mark, user=second.user, writes=True)
            assert [record.path for record in records if record.name == place.name] == []
