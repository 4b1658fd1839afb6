"""What others do to our objects, or put in their place."""

import time
from collections.abc import Callable, Iterator

import pytest

from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import ALLOCATE_LABEL
from testbed.client import ApiError, Client, Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator

from .tenant import ENTRY, HTTP, ISTIO, ROUTE, TenantNamespace, hosts

HOST = "api.example.com"
ADMISSION = "admissionregistration.k8s.io/v1"
PATCH_ENTRY = "patch serviceentries"
STATUS = "patch egresspolicies/status"


def change_field(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"spec": {"resolution": "DNS_ROUND_ROBIN"}})


def add_field(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"spec": {"subjectAltNames": ["evil.example.com"]}})


def export_everywhere(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"spec": {"exportTo": ["*"]}})


def remove_owners(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"ownerReferences": None}})


def change_annotation(client: Client, entry: Object) -> None:
    client.merge_patch(
        entry, {"metadata": {"annotations": {"egress-operator.io/policies": "nobody"}}}
    )


def change_allocation(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"labels": {ALLOCATE_LABEL: "perhaps"}}})


def remove_allocation(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"labels": {ALLOCATE_LABEL: None}}})


def add_revision(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"labels": {"istio.io/rev": "canary"}}})


def add_more_than_a_patch_can_remove(client: Client, entry: Object) -> None:
    annotations = {f"istio.io/x{number}": "" for number in range(6_000)}
    client.merge_patch(entry, {"metadata": {"annotations": annotations}})


def remove_label(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})


def remove_labels(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"labels": None}})


def remove_host(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"annotations": {"egress-operator.io/host": None}}})


def remove_annotations(client: Client, entry: Object) -> None:
    client.merge_patch(entry, {"metadata": {"annotations": None}})


def disown(client: Client, entry: Object) -> None:
    nothing = {"annotations": None, "labels": None, "ownerReferences": None}
    client.merge_patch(entry, {"metadata": nothing})


def add_owner(client: Client, entry: Object) -> None:
    name, namespace = "owner", entry["metadata"]["namespace"]
    metadata = {"name": name, "namespace": namespace}
    owner = client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": name,
        "uid": owner["metadata"]["uid"],
    }
    owners = [*entry["metadata"]["ownerReferences"], reference]
    client.merge_patch(entry, {"metadata": {"ownerReferences": owners}})


@pytest.fixture
def payments(tenant: TenantNamespace) -> TenantNamespace:
    """Give a tenant with one policy that is applied."""
    tenant.apply("payments", hosts(HOST, ports=[HTTP], http={"timeout": "3s"}))
    tenant.wait_ready("payments")
    return tenant


@pytest.mark.parametrize(
    "tamper",
    [
        change_field,
        add_field,
        remove_label,
        remove_labels,
        remove_host,
        remove_annotations,
        disown,
        add_owner,
        export_everywhere,
        remove_owners,
        change_annotation,
        change_allocation,
        remove_allocation,
        add_revision,
        add_more_than_a_patch_can_remove,
    ],
    ids=lambda function: function.__name__,
)
def test_drift_is_put_right_with_one_write(
    payments: TenantNamespace, operator: Operator, tamper: Callable[[Client, Object], None]
) -> None:
    before = payments.get_entry(HOST)
    drift = 'egress_operator_drift_corrections_total{kind="ServiceEntry"}'
    counted = operator.metric(drift)
    mark = payments.mark()
    tamper(payments.client, before)
    payments.wait_writes(mark, [PATCH_ENTRY])
    after = payments.get_entry(HOST)
    assert after["spec"] == before["spec"]
    for field in ("labels", "annotations", "ownerReferences", "uid"):
        assert after["metadata"][field] == before["metadata"][field]
    assert operator.metric(drift) == counted + 1
    assert payments.ready("payments") == ("True", "Applied")


@pytest.mark.parametrize("kind", [ENTRY, ROUTE], ids=["ServiceEntry", "VirtualService"])
def test_a_deleted_object_is_made_again_with_one_write(
    payments: TenantNamespace, kind: tuple[str, str]
) -> None:
    before = payments.client.list_objects(*kind, payments.namespace)[0]
    mark = payments.mark()
    payments.client.delete(*kind, before["metadata"]["name"], payments.namespace)
    plural = {"ServiceEntry": "serviceentries", "VirtualService": "virtualservices"}[kind[1]]
    payments.wait_writes(mark, [f"create {plural}"])
    after = payments.client.list_objects(*kind, payments.namespace)[0]
    assert after["spec"] == before["spec"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_foreign_labels_on_our_objects_are_left_alone(
    payments: TenantNamespace, operator: Operator
) -> None:
    entry = payments.get_entry(HOST)
    mark = payments.mark()
    payments.client.merge_patch(entry, {"metadata": {"labels": {"team": "shop"}}})
    series = 'egress_operator_reconcile_total{result="settled"}'
    start = operator.metric(series)
    wait_until(lambda: operator.metric(series) >= start + 3, 15, "it was looked at again")
    assert payments.writes(mark) == []
    assert payments.get_entry(HOST)["metadata"]["labels"]["team"] == "shop"


@pytest.mark.parametrize("kind", [ENTRY, ROUTE], ids=["ServiceEntry", "VirtualService"])
def test_a_squatter_is_named_and_untouched(tenant: TenantNamespace, kind: tuple[str, str]) -> None:
    name = build_host_name(HOST)
    squatter = build_squatter(kind[1], tenant.namespace, name)
    stored = tenant.client.create(squatter)
    tenant.apply("payments", hosts(HOST, ports=[HTTP], http={"timeout": "3s"}))
    tenant.wait_ready("payments", ("False", "Conflicted"))
    assert (
        f"{kind[1]} {tenant.namespace}/{name}" in tenant.condition("payments", "Ready")["message"]
    )
    assert tenant.client.get(*kind, name, tenant.namespace) == stored
    tenant.client.delete(*kind, name, tenant.namespace)
    tenant.wait_ready("payments")
    assert tenant.client.get(*kind, name, tenant.namespace)["spec"] != stored["spec"]


def test_a_hand_written_entry_for_the_host_is_named(payments: TenantNamespace) -> None:
    other = build_squatter("ServiceEntry", payments.namespace, "by-hand")
    stored = payments.client.create(other)
    wait_until(lambda: payments.condition("payments", "Shadowed"), 15, "the entry is named")
    assert "by-hand" in payments.condition("payments", "Shadowed")["message"]
    assert payments.client.get(*ENTRY, "by-hand", payments.namespace) == stored
    payments.client.delete(*ENTRY, "by-hand", payments.namespace)
    wait_until(lambda: not payments.condition("payments", "Shadowed"), 15, "it is over")


def test_a_rule_by_hand_that_counts_in_place_of_ours_makes_the_policy_unready(
    tenant: TenantNamespace,
) -> None:
    client, namespace = tenant.client, tenant.namespace
    tenant.apply("payments", hosts(HOST, originateTLS={}))
    tenant.wait_ready("payments")
    name = build_host_name(HOST)
    # Ages count in seconds.
    time.sleep(1.1)
    younger = {
        "apiVersion": ISTIO,
        "kind": "DestinationRule",
        "metadata": {"name": "by-hand", "namespace": namespace},
        "spec": {
            "host": HOST,
            "exportTo": ["."],
            "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 7}}},
        },
    }
    stored = client.create(younger)
    wait_until(lambda: tenant.condition("payments", "Shadowed"), 15, "the rule is named")
    assert (
        "it has no effect beside the operator's own"
        in (tenant.condition("payments", "Shadowed")["message"])
    )
    tenant.wait_ready("payments")

    # Made anew, ours is the younger one.
    time.sleep(1.1)
    client.delete(ISTIO, "DestinationRule", name, namespace)
    tenant.wait_ready("payments", ("False", "Overridden"))
    assert "because it is older" in tenant.condition("payments", "Ready")["message"]
    assert tenant.condition("payments", "Stalled")["reason"] == "Overridden"
    assert client.get(ISTIO, "DestinationRule", "by-hand", namespace) == stored

    client.delete(ISTIO, "DestinationRule", "by-hand", namespace)
    tenant.wait_ready("payments")


def build_squatter(kind: str, namespace: str, name: str) -> Object:
    specs: dict[str, Object] = {
        "ServiceEntry": {
            "hosts": [HOST],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "NONE",
        },
        "VirtualService": {
            "hosts": [HOST],
            "http": [{"route": [{"destination": {"host": HOST}}]}],
        },
    }
    return {
        "apiVersion": ISTIO,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": specs[kind],
    }


@pytest.fixture
def refuse(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[[], None]]:
    """Have the API server refuse ServiceEntries of the namespace; the value lifts that."""
    client = control_plane.admin
    scope = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rules = [
        {
            "apiGroups": ["networking.istio.io"],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["serviceentries"],
        }
    ]
    name = f"refuse-{namespace}"
    client.create(
        {
            "apiVersion": ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": "false", "message": "closed for the holidays"}],
            },
        }
    )
    client.create(
        {
            "apiVersion": ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": scope},
            },
        }
    )

    def lift() -> None:
        for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"):
            client.delete(ADMISSION, kind, name, missing_ok=True)

    def is_closed() -> bool:
        try:
            client.create(build_squatter("ServiceEntry", namespace, "probe"), dry_run=True)
        except ApiError as error:
            return "holidays" in error.message
        return False

    wait_until(is_closed, 20, "the API server refuses")
    yield lift
    lift()


def test_a_refusal_of_the_api_server_stands_in_the_status(
    tenant: TenantNamespace, refuse: Callable[[], None]
) -> None:
    tenant.apply("payments", hosts("a.example.com"))
    tenant.wait_ready("payments", ("False", "Pending"))
    message = tenant.condition("payments", "Ready")["message"]
    assert "closed for the holidays" in message
    row = tenant.status("payments")["destinations"][0]
    assert (row["state"], row["reason"]) == ("Pending", "ApplyFailed")
    refuse()
    # Any change of the policy ends the back-off; without one it would take a minute at most.
    tenant.client.merge_patch(
        tenant.policy("payments"), {"spec": {"justification": "the holidays are over"}}
    )
    tenant.wait_ready("payments", timeout_s=30)


def test_a_mutating_webhook_does_not_make_it_write_for_ever(
    tenant: TenantNamespace, control_plane: ControlPlane
) -> None:
    client = control_plane.admin
    name = f"mutate-{tenant.namespace}"
    mutation = '[JSONPatch{op: "add", path: "/spec/subjectAltNames", value: ["added.example.com"]}]'
    client.create(
        {
            "apiVersion": ADMISSION,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": ["networking.istio.io"],
                            "apiVersions": ["*"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["serviceentries"],
                        }
                    ]
                },
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}}],
            },
        }
    )
    client.create(
        {
            "apiVersion": ADMISSION,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "matchResources": {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}
                    }
                },
            },
        }
    )
    try:

        def is_mutated() -> bool:
            probe = build_squatter("ServiceEntry", tenant.namespace, "probe")
            try:
                return "subjectAltNames" in client.create(probe, dry_run=True)["spec"]
            except ApiError as error:
                # Admission learns of new CRDs every 30 s, and answers so until then.
                if error.code != 503:
                    raise
                return False

        wait_until(is_mutated, 45, "the API server mutates")
        mark = tenant.mark()
        tenant.apply("payments", hosts("a.example.com"))
        tenant.wait_ready("payments")
        assert tenant.get_entry("a.example.com")["spec"]["subjectAltNames"] == ["added.example.com"]
        # A resync each second finds nothing to do.
        tenant.client.merge_patch(tenant.policy("payments"), {"spec": {"justification": "again"}})
        tenant.wait_ready("payments")
        assert tenant.writes(mark) == ["create serviceentries", STATUS, STATUS]
        # And drift is still seen.
        change_field(client, tenant.get_entry("a.example.com"))
        wait_until(
            lambda: tenant.get_entry("a.example.com")["spec"]["resolution"] == "DNS", 15, "repaired"
        )
    finally:
        for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"):
            client.delete(ADMISSION, kind, name, missing_ok=True)
