"""Policies come, change and go; every write is counted in the API server's audit log."""

from testbed.client import Object
from testbed.deadline import wait_until
from testbed.operator import Operator

from .tenant import COLLECTED_S, ENTRY, HTTP, POLICY, ROUTE, TenantNamespace, hosts

CREATE = "create serviceentries"
STATUS = "patch egresspolicies/status"
FOUR = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")


def wait_resyncs(operator: Operator, count: int) -> None:
    """Wait until every host was compared again so many times."""
    series = 'egress_operator_reconcile_total{result="settled"}'
    hosts_now = max(operator.metric("egress_operator_hosts"), 1)
    start = operator.metric(series)
    wait_until(lambda: operator.metric(series) >= start + count * hosts_now, 20, f"{count} resyncs")


def test_a_new_policy_takes_one_write_for_each_object_and_one_for_its_status(
    tenant: TenantNamespace,
) -> None:
    mark = tenant.mark()
    tenant.apply("payments", hosts(*FOUR))
    status = tenant.wait_ready("payments")
    assert tenant.writes(mark) == [CREATE, CREATE, CREATE, CREATE, STATUS]
    assert status["hosts"] == "4/4"
    assert status["objects"] == [{"kind": "ServiceEntry", "count": 4}]
    tenant.wait_hosts(*FOUR)


def test_nothing_is_written_while_nothing_changes(
    tenant: TenantNamespace, operator: Operator
) -> None:
    tenant.apply("payments", hosts(*FOUR))
    tenant.wait_ready("payments")
    mark = tenant.mark()
    wait_resyncs(operator, 3)
    assert tenant.writes(mark) == []


def test_a_changed_host_takes_its_objects_and_one_status(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts(*FOUR))
    tenant.wait_ready("payments")
    mark = tenant.mark()
    tenant.apply("payments", hosts(*FOUR[:3], "e.example.com"))
    tenant.wait_ready("payments")
    tenant.wait_hosts(*FOUR[:3], "e.example.com")
    tenant.wait_writes(mark, [CREATE, "delete serviceentries", STATUS])


def test_a_changed_field_takes_one_patch_and_one_status(tenant: TenantNamespace) -> None:
    def destination(timeout: str) -> Object:
        return hosts("api.example.com", ports=[HTTP], http={"timeout": timeout})

    tenant.apply("slow", destination("3s"))
    tenant.wait_ready("slow")
    mark = tenant.mark()
    tenant.apply("slow", destination("5s"))
    tenant.wait_ready("slow")
    assert tenant.writes(mark) == [STATUS, "patch virtualservices"]
    route = tenant.client.list_objects(*ROUTE, tenant.namespace)[0]
    assert route["spec"]["http"][0]["timeout"] == "5s"


def test_nothing_but_the_status_of_a_policy_is_touched(tenant: TenantNamespace) -> None:
    labels = {"argocd.argoproj.io/instance": "shop", "app.kubernetes.io/part-of": "shop"}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    applied = tenant.apply(
        "payments", hosts("a.example.com"), labels=labels, annotations=annotations
    )
    tenant.wait_ready("payments")
    policy = tenant.policy("payments")
    written = {
        entry.get("subresource")
        for entry in policy["metadata"]["managedFields"]
        if entry["manager"] == "egress-operator"
    }
    assert written == {"status"}
    for field in ("labels", "annotations", "generation", "uid"):
        assert policy["metadata"][field] == applied["metadata"][field]
    assert "finalizers" not in policy["metadata"]
    assert "ownerReferences" not in policy["metadata"]
    child = tenant.get_entry("a.example.com")["metadata"]
    assert child["labels"] == {
        "app.kubernetes.io/managed-by": "egress-operator",
        "networking.istio.io/enable-autoallocate-ip": "false",
    }
    assert sorted(child["annotations"]) == [
        "egress-operator.io/host",
        "egress-operator.io/policies",
    ]


def test_a_deleted_policy_takes_its_objects_along(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts("a.example.com", "b.example.com"))
    tenant.wait_ready("payments")
    mark = tenant.mark()
    tenant.delete("payments")
    tenant.wait_hosts(timeout_s=COLLECTED_S)
    # The garbage collector does it; the operator has nothing to write.
    assert tenant.writes(mark) == []


def test_a_shared_host_stays_with_the_policy_that_is_left(tenant: TenantNamespace) -> None:
    tenant.apply("one", hosts("a.example.com"))
    tenant.wait_ready("one")
    uid = tenant.get_entry("a.example.com")["metadata"]["uid"]
    tenant.apply("two", hosts("a.example.com"))
    tenant.wait_ready("two")
    tenant.delete("one")

    def look() -> bool:
        metadata = tenant.get_entry("a.example.com")["metadata"]
        return [owner["name"] for owner in metadata["ownerReferences"]] == ["two"] and metadata[
            "uid"
        ] == uid

    wait_until(look, 15, "the entry belongs to two alone")
    assert tenant.ready("two") == ("True", "Applied")


def test_a_conflict_names_the_winner_and_ends_with_it(tenant: TenantNamespace) -> None:
    tenant.apply("older", hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"}))
    tenant.wait_ready("older")
    uid = tenant.get_entry("api.example.com")["metadata"]["uid"]
    tenant.apply("younger", hosts("api.example.com", ports=[HTTP], http={"timeout": "9s"}))
    status = tenant.wait_ready("younger", ("False", "Conflicted"))
    assert "older" in tenant.condition("younger", "Ready")["message"]
    assert [row["state"] for row in status["destinations"]] == ["Conflicted"]
    assert tenant.ready("older") == ("True", "Applied")
    tenant.delete("older")
    tenant.wait_ready("younger")
    # Changed in place: age has a meaning in Istio.
    assert tenant.get_entry("api.example.com")["metadata"]["uid"] == uid


def test_a_refused_policy_says_why_and_keeps_what_it_had(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts("a.example.com"))
    tenant.wait_ready("payments")
    mark = tenant.mark()
    tenant.apply("payments", hosts("a.example.com", f"db.{tenant.namespace}.svc"))

    def look() -> bool:
        return tenant.condition("payments", "Accepted").get("status") == "False"

    wait_until(look, 15, "the policy is refused")
    assert tenant.condition("payments", "Stalled")["status"] == "True"
    tenant.wait_hosts("a.example.com")
    assert tenant.writes(mark) == [STATUS]
    tenant.apply("payments", hosts("a.example.com"))
    tenant.wait_ready("payments")


def test_a_name_that_ends_with_that_of_a_namespace_is_outside(tenant: TenantNamespace) -> None:
    host = f"db.{tenant.namespace}"
    tenant.apply("payments", hosts(host))
    tenant.wait_ready("payments")
    assert tenant.get_entry(host)["spec"]["endpoints"] == [{"address": f"{host}."}]


def test_a_paused_policy_is_left_alone(tenant: TenantNamespace) -> None:
    pause = {"egress-operator.io/paused": "true"}
    tenant.apply("payments", hosts("a.example.com"))
    tenant.wait_ready("payments")
    tenant.apply("payments", hosts("a.example.com"), annotations=pause)
    wait_until(lambda: tenant.condition("payments", "Paused"), 15, "the policy is paused")
    mark = tenant.mark()
    tenant.apply("payments", hosts("b.example.com"), annotations=pause)
    wait_until(
        lambda: tenant.condition("payments", "Paused").get("observedGeneration") == 2,
        15,
        "the new generation is seen",
    )
    tenant.wait_hosts("a.example.com")
    assert tenant.writes(mark) == [STATUS]
    tenant.client.merge_patch(
        tenant.policy("payments"),
        {"metadata": {"annotations": {"egress-operator.io/paused": None}}},
    )
    tenant.wait_ready("payments")
    tenant.wait_hosts("b.example.com")


def test_a_status_that_somebody_wiped_is_written_again(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts("a.example.com"))
    before = tenant.wait_ready("payments")
    mark = tenant.mark()
    tenant.client.merge_patch(tenant.policy("payments"), {"status": None}, subresource="status")
    tenant.wait_ready("payments")
    assert tenant.writes(mark) == [STATUS]
    after = tenant.status("payments")
    assert after["destinations"] == before["destinations"]


def test_a_recreated_policy_gets_fresh_objects_and_a_fresh_status(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts("a.example.com"))
    tenant.wait_ready("payments")
    tenant.delete("payments")
    again = tenant.apply("payments", hosts("b.example.com"))
    tenant.wait_ready("payments")
    tenant.wait_hosts("b.example.com", timeout_s=COLLECTED_S)
    owners = tenant.get_entry("b.example.com")["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [again["metadata"]["uid"]]


def test_transitions_are_told_as_events_and_a_quick_start_is_not(tenant: TenantNamespace) -> None:
    def reasons(name: str) -> list[str]:
        return sorted(
            item["reason"]
            for item in tenant.client.list_objects("events.k8s.io/v1", "Event", tenant.namespace)
            if item["regarding"]["name"] == name
            and item["reportingController"] == "egress-operator"
        )

    tenant.apply("older", hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"}))
    tenant.wait_ready("older")
    tenant.apply("younger", hosts("api.example.com", ports=[HTTP], http={"timeout": "9s"}))
    tenant.wait_ready("younger", ("False", "Conflicted"))
    wait_until(lambda: reasons("younger") == ["Conflicted"], 15, "the conflict is told")
    tenant.delete("older")
    tenant.wait_ready("younger")
    wait_until(lambda: reasons("younger") == ["Applied", "Conflicted"], 15, "its end is told")
    assert reasons("older") == []


def test_ports_come_before_and_go_after_the_routes_that_need_them(tenant: TenantNamespace) -> None:
    web = {"number": 8080, "protocol": "HTTP"}
    timeout = {"timeout": "3s"}
    tenant.apply("api", hosts("api.example.com", ports=[HTTP], http=timeout))
    tenant.wait_ready("api")
    mark = tenant.mark()
    tenant.apply("api", hosts("api.example.com", ports=[web], http=timeout))
    tenant.wait_ready("api")
    order = [(record.verb, record.resource) for record in tenant.records(mark)]
    order = [step for step in order if step[1] != "egresspolicies"]
    # Both ports, the route, and after the settle time the old port goes.
    assert order == [
        ("patch", "serviceentries"),
        ("patch", "virtualservices"),
        ("patch", "serviceentries"),
    ]
    entry = tenant.client.list_objects(*ENTRY, tenant.namespace)[0]
    assert [port["number"] for port in entry["spec"]["ports"]] == [8080]
    assert tenant.client.get(*POLICY, "api", tenant.namespace)["metadata"]["generation"] == 2


def test_a_namespace_that_is_deleted_goes_without_a_fight(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts(*FOUR))
    tenant.wait_ready("payments")
    mark = tenant.mark()
    tenant.client.delete("v1", "Namespace", tenant.namespace)
    wait_until(
        lambda: tenant.client.find("v1", "Namespace", tenant.namespace) is None, 60, "it is gone"
    )
    made = [record for record in tenant.records(mark) if record.verb == "create"]
    assert [record for record in made if record.code < 300] == []
    assert len(made) <= len(FOUR)
