"""What the operator declares, what it uses: the same, in both directions."""

from collections.abc import Callable
from functools import partial

from egress_operator.istio.name import build_host_name
from egress_operator.runtime.permission import PERMISSIONS
from reconcile.gateway import ManagedGateway, managed_gateway
from reconcile.tenant import HTTP, build_policy, hosts
from testbed.chart import render_chart
from testbed.client import Client, Object
from testbed.controlplane import CONTROLLER_MANAGER, ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption

Start = Callable[[OperatorOption], Operator]
GROUP = "egress-operator.io/v1alpha1"
ISTIO = "networking.istio.io/v1"
ALPHA = "networking.istio.io/v1alpha3"
DISCOVERY = {"", "/api", "/apis"}


def is_gone(client: Client, kind: str, name: str, namespace: str) -> bool:
    return client.find(ISTIO, kind, name, namespace) is None


def use_gateway(
    gateway: ManagedGateway, namespace: str, wait_ready: Callable[[str, str], None]
) -> None:
    """Have everything that serves a tenant made, changed and deleted."""
    client = gateway.client
    gateway.apply()
    gateway.select(namespace)
    gateway.wait_condition("Ready", "True", "Serving")
    policy = build_policy(namespace, "through", hosts("gw.example.com", ports=[HTTP]))
    policy["spec"]["gatewayRef"] = {"name": gateway.name}
    client.apply(policy)
    wait_ready("through", "True")
    for version, kind, where in (
        (ISTIO, "DestinationRule", namespace),
        (ISTIO, "Gateway", namespace),
        ("security.istio.io/v1", "AuthorizationPolicy", gateway.namespace),
    ):
        for item in client.list_objects(version, kind, where):
            change = {"host": "by-hand"} if kind == "DestinationRule" else {"selector": None}
            client.merge_patch({**item, "apiVersion": version, "kind": kind}, {"spec": change})
    client.delete(GROUP, "EgressPolicy", "through", namespace)
    wait_until(lambda: len(gateway.objects()) == 1, 60, "what serves the tenant goes")


def use_filters(
    plane: ControlPlane, operator: Operator, gateway: ManagedGateway, namespace: str
) -> None:
    """Have an EnvoyFilter made, changed and deleted: that needs the admission policies."""
    client = plane.admin
    rendered = render_chart({"admission": {"exemptUsers": [operator.user, "admin"]}})
    policies = [item for item in rendered if "ValidatingAdmission" in item["kind"]]
    for item in policies:
        client.apply(item)
    try:
        gateway.apply(wildcards="HTTPAndTLS")
        gateway.wait_condition("Isolated", "True", "Isolated")
        policy = build_policy(namespace, "wild", hosts("*.gw.example.com"))
        policy["spec"]["gatewayRef"] = {"name": gateway.name}
        client.apply(policy)

        def find() -> list[Object]:
            return client.list_objects(ALPHA, "EnvoyFilter", gateway.namespace)

        wait_until(find, 60, "the EnvoyFilter is made")
        (item,) = find()
        spoiler = plane.client_as(CONTROLLER_MANAGER, "system:masters")
        spoiler.merge_patch(
            {**item, "apiVersion": ALPHA, "kind": "EnvoyFilter"}, {"spec": {"priority": 7}}
        )
        wait_until(lambda: [found["spec"] for found in find()] == [item["spec"]], 60, "restored")
        client.delete(GROUP, "EgressPolicy", "wild", namespace)
        wait_until(lambda: not find(), 60, "the EnvoyFilter goes")
    finally:
        for item in reversed(policies):
            client.delete(item["apiVersion"], item["kind"], item["metadata"]["name"])


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
    web = client.get(ISTIO, "ServiceEntry", build_host_name("web.example.com"), namespace)
    client.merge_patch(web, {"spec": {"resolution": "DNS_ROUND_ROBIN"}})
    apply("web", "other.example.com")
    wait_ready("web", "True")
    gone = build_host_name("web.example.com")
    for kind in ("ServiceEntry", "VirtualService"):
        wait_until(partial(is_gone, client, kind, gone, namespace), 20, f"{kind} is gone")
    with managed_gateway(client, f"gw-{namespace}") as gateway:
        use_gateway(gateway, namespace, wait_ready)
        use_filters(control_plane, operator, gateway, namespace)
    # A transition is told as an event.
    apply("refused", f"db.{namespace}.svc")
    wait_ready("refused", "False")
    granted = {
        (verb, permission.group, permission.resource)
        for permission in PERMISSIONS
        for verb in permission.verbs
    }

    def read_used() -> set[tuple[str, str, str]]:
        records = control_plane.audit.records(since=mark, user=operator.user)
        return {record.permission for record in records if record.resource}

    def is_used() -> bool:
        assert granted - read_used() == set()
        return True

    # What is done can be seen a moment before it stands in the audit log.
    wait_until(is_used, 20, "every right is used")
    assert read_used() - granted == set()
    # Namespaces of other tests may be on their way out, where nothing can be made (403).
    refused = [
        record
        for record in control_plane.audit.records(since=mark, user=operator.user)
        if record.code in {401, 403} and record.namespace in {namespace, "istio-system", ""}
    ]
    assert refused == []
