"""What the operator declares, what it uses: the same, in both directions."""

from collections.abc import Callable
from functools import partial

from egress_operator.compiler.name import build_group_name
from egress_operator.runtime.permission import PERMISSIONS
from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption

Start = Callable[[OperatorOption], Operator]
GROUP = "egress-operator.io/v1alpha1"
ISTIO = "networking.istio.io/v1"
DISCOVERY = {"", "/api", "/apis"}


def is_gone(client: Client, kind: str, name: str, namespace: str) -> bool:
    return client.find(ISTIO, kind, name, namespace) is None


def test_nothing_is_refused_and_nothing_granted_is_unused(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    client = control_plane.admin
    mark = control_plane.audit.position()
    operator = start(OperatorOption(account="audited"))

    def apply(name: str, *hosts: str, **more: object) -> None:
        client.apply(
            {
                "apiVersion": GROUP,
                "kind": "EgressPolicy",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"destinations": [{"hosts": list(hosts), **more}]},
            }
        )

    def wait_ready(name: str, expected: str) -> None:
        def look() -> bool:
            policy = client.get(GROUP, "EgressPolicy", name, namespace)
            status = policy.get("status", {})
            return any(
                c["type"] == "Ready"
                and c["status"] == expected
                and c["observedGeneration"] == policy["metadata"]["generation"]
                for c in status.get("conditions", [])
            )

        wait_until(look, 20, f"{name} has Ready={expected}")

    # Create, replace and delete both kinds.
    port = {"number": 80, "protocol": "HTTP"}
    for timeout in ("3s", "4s"):
        apply("web", "web.example.com", ports=[port], http={"timeout": timeout})
        wait_ready("web", "True")
    web = client.get(ISTIO, "ServiceEntry", build_group_name("web.example.com"), namespace)
    client.merge_patch(web, {"spec": {"resolution": "NONE"}})
    apply("web", "other.example.com")
    wait_ready("web", "True")
    gone = build_group_name("web.example.com")
    for kind in ("ServiceEntry", "VirtualService"):
        wait_until(partial(is_gone, client, kind, gone, namespace), 20, f"{kind} is gone")
    # A transition is told as an event, and everything is looked at once more by a sweep.
    apply("refused", f"db.{namespace}")
    wait_ready("refused", "False")
    wait_until(lambda: client.list_objects("events.k8s.io/v1", "Event", namespace), 20, "an event")
    records = control_plane.audit.records(since=mark, user=operator.user)
    # Namespaces of other tests may be on their way out, where nothing can be made (403).
    refused = [
        record
        for record in records
        if record.code in {401, 403} and record.namespace in {namespace, "istio-system", ""}
    ]
    assert refused == []
    used = {record.permission for record in records if record.resource}
    granted = {
        (verb, permission.group, permission.resource)
        for permission in PERMISSIONS
        for verb in permission.verbs
    }
    assert used - granted == set()
    assert granted - used == set()
