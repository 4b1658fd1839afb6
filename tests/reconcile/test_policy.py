"""Policies come, change and go; every write is counted in the API server's audit log."""

from testbed.client import Object
from testbed.deadline import wait_until
from testbed.operator import Operator

from .world import COLLECTED_S, ENTRY, HTTP, POLICY, ROUTE, World, hosts

CREATE = "create serviceentries"
STATUS = "patch egresspolicies/status"
FOUR = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")


def wait_resyncs(operator: Operator, count: int) -> None:
    """Wait until every host was compared again so many times."""
    series = 'egress_operator_reconcile_total{result="settled"}'
    hosts_now = max(operator.metric("egress_operator_hosts"), 1)
    start = operator.metric(series)
    wait_until(lambda: operator.metric(series) >= start + count * hosts_now, 20, f"{count} resyncs")


def test_a_new_policy_takes_one_write_for_each_object_and_one_for_its_status(world: World) -> None:
    mark = world.mark()
    world.apply("payments", hosts(*FOUR))
    status = world.wait_ready("payments")
    assert world.writes(mark) == [CREATE, CREATE, CREATE, CREATE, STATUS]
    assert status["hosts"] == "4/4"
    assert status["objects"] == [{"kind": "ServiceEntry", "count": 4}]
    world.wait_hosts(*FOUR)


def test_nothing_is_written_while_nothing_changes(world: World, operator: Operator) -> None:
    world.apply("payments", hosts(*FOUR))
    world.wait_ready("payments")
    mark = world.mark()
    wait_resyncs(operator, 3)
    assert world.writes(mark) == []


def test_a_changed_host_takes_its_objects_and_one_status(world: World) -> None:
    world.apply("payments", hosts(*FOUR))
    world.wait_ready("payments")
    mark = world.mark()
    world.apply("payments", hosts(*FOUR[:3], "e.example.com"))
    world.wait_ready("payments")
    world.wait_hosts(*FOUR[:3], "e.example.com")
    world.wait_writes(mark, [CREATE, "delete serviceentries", STATUS])


def test_a_changed_field_takes_one_patch_and_one_status(world: World) -> None:
    def destination(timeout: str) -> Object:
        return hosts("api.example.com", ports=[HTTP], http={"timeout": timeout})

    world.apply("slow", destination("3s"))
    world.wait_ready("slow")
    mark = world.mark()
    world.apply("slow", destination("5s"))
    world.wait_ready("slow")
    assert world.writes(mark) == [STATUS, "patch virtualservices"]
    route = world.client.list_objects(*ROUTE, world.namespace)[0]
    assert route["spec"]["http"][0]["timeout"] == "5s"


def test_nothing_but_the_status_of_a_policy_is_touched(world: World) -> None:
    labels = {"argocd.argoproj.io/instance": "shop", "app.kubernetes.io/part-of": "shop"}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    applied = world.apply(
        "payments", hosts("a.example.com"), labels=labels, annotations=annotations
    )
    world.wait_ready("payments")
    policy = world.policy("payments")
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
    child = world.get_entry("a.example.com")["metadata"]
    assert child["labels"] == {
        "app.kubernetes.io/managed-by": "egress-operator",
        "networking.istio.io/enable-autoallocate-ip": "false",
    }
    assert sorted(child["annotations"]) == [
        "egress-operator.io/host",
        "egress-operator.io/policies",
    ]


def test_a_deleted_policy_takes_its_objects_along(world: World) -> None:
    world.apply("payments", hosts("a.example.com", "b.example.com"))
    world.wait_ready("payments")
    mark = world.mark()
    world.delete("payments")
    world.wait_hosts(timeout_s=COLLECTED_S)
    # The garbage collector does it; the operator has nothing to write.
    assert world.writes(mark) == []


def test_a_shared_host_stays_with_the_policy_that_is_left(world: World) -> None:
    world.apply("one", hosts("a.example.com"))
    world.wait_ready("one")
    uid = world.get_entry("a.example.com")["metadata"]["uid"]
    world.apply("two", hosts("a.example.com"))
    world.wait_ready("two")
    world.delete("one")

    def look() -> bool:
        metadata = world.get_entry("a.example.com")["metadata"]
        return [owner["name"] for owner in metadata["ownerReferences"]] == ["two"] and metadata[
            "uid"
        ] == uid

    wait_until(look, 15, "the entry belongs to two alone")
    assert world.ready("two") == ("True", "Applied")


def test_a_conflict_names_the_winner_and_ends_with_it(world: World) -> None:
    world.apply("older", hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"}))
    world.wait_ready("older")
    uid = world.get_entry("api.example.com")["metadata"]["uid"]
    world.apply("younger", hosts("api.example.com", ports=[HTTP], http={"timeout": "9s"}))
    status = world.wait_ready("younger", ("False", "Conflicted"))
    assert "older" in world.condition("younger", "Ready")["message"]
    assert [row["state"] for row in status["destinations"]] == ["Conflicted"]
    assert world.ready("older") == ("True", "Applied")
    world.delete("older")
    world.wait_ready("younger")
    # Changed in place: age has a meaning in Istio.
    assert world.get_entry("api.example.com")["metadata"]["uid"] == uid


def test_a_refused_policy_says_why_and_keeps_what_it_had(world: World) -> None:
    world.apply("payments", hosts("a.example.com"))
    world.wait_ready("payments")
    mark = world.mark()
    # A name that the proxy's resolver would complete inside the cluster.
    world.apply("payments", hosts("a.example.com", f"db.{world.namespace}"))

    def look() -> bool:
        return world.condition("payments", "Accepted").get("status") == "False"

    wait_until(look, 15, "the policy is refused")
    assert world.condition("payments", "Stalled")["status"] == "True"
    world.wait_hosts("a.example.com")
    assert world.writes(mark) == [STATUS]
    world.apply("payments", hosts("a.example.com"))
    world.wait_ready("payments")


def test_a_paused_policy_is_left_alone(world: World) -> None:
    pause = {"egress-operator.io/paused": "true"}
    world.apply("payments", hosts("a.example.com"))
    world.wait_ready("payments")
    world.apply("payments", hosts("a.example.com"), annotations=pause)
    wait_until(lambda: world.condition("payments", "Paused"), 15, "the policy is paused")
    mark = world.mark()
    world.apply("payments", hosts("b.example.com"), annotations=pause)
    wait_until(
        lambda: world.condition("payments", "Paused").get("observedGeneration") == 2,
        15,
        "the new generation is seen",
    )
    world.wait_hosts("a.example.com")
    assert world.writes(mark) == [STATUS]
    world.client.merge_patch(
        world.policy("payments"), {"metadata": {"annotations": {"egress-operator.io/paused": None}}}
    )
    world.wait_ready("payments")
    world.wait_hosts("b.example.com")


def test_a_status_that_somebody_wiped_is_written_again(world: World) -> None:
    world.apply("payments", hosts("a.example.com"))
    before = world.wait_ready("payments")
    mark = world.mark()
    world.client.merge_patch(world.policy("payments"), {"status": None}, subresource="status")
    world.wait_ready("payments")
    assert world.writes(mark) == [STATUS]
    after = world.status("payments")
    assert after["destinations"] == before["destinations"]


def test_a_recreated_policy_gets_fresh_objects_and_a_fresh_status(world: World) -> None:
    world.apply("payments", hosts("a.example.com"))
    world.wait_ready("payments")
    world.delete("payments")
    again = world.apply("payments", hosts("b.example.com"))
    world.wait_ready("payments")
    world.wait_hosts("b.example.com", timeout_s=COLLECTED_S)
    owners = world.get_entry("b.example.com")["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [again["metadata"]["uid"]]


def test_transitions_are_told_as_events_and_a_quick_start_is_not(world: World) -> None:
    def reasons(name: str) -> list[str]:
        return sorted(
            item["reason"]
            for item in world.client.list_objects("events.k8s.io/v1", "Event", world.namespace)
            if item["regarding"]["name"] == name
            and item["reportingController"] == "egress-operator"
        )

    world.apply("older", hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"}))
    world.wait_ready("older")
    world.apply("younger", hosts("api.example.com", ports=[HTTP], http={"timeout": "9s"}))
    world.wait_ready("younger", ("False", "Conflicted"))
    wait_until(lambda: reasons("younger") == ["Conflicted"], 15, "the conflict is told")
    world.delete("older")
    world.wait_ready("younger")
    wait_until(lambda: reasons("younger") == ["Applied", "Conflicted"], 15, "its end is told")
    assert reasons("older") == []


def test_ports_come_before_and_go_after_the_routes_that_need_them(world: World) -> None:
    web = {"number": 8080, "protocol": "HTTP"}
    timeout = {"timeout": "3s"}
    world.apply("api", hosts("api.example.com", ports=[HTTP], http=timeout))
    world.wait_ready("api")
    mark = world.mark()
    world.apply("api", hosts("api.example.com", ports=[web], http=timeout))
    world.wait_ready("api")
    order = [(record.verb, record.resource) for record in world.records(mark)]
    order = [step for step in order if step[1] != "egresspolicies"]
    # Both ports, the route, and after the settle time the old port goes.
    assert order == [
        ("patch", "serviceentries"),
        ("patch", "virtualservices"),
        ("patch", "serviceentries"),
    ]
    entry = world.client.list_objects(*ENTRY, world.namespace)[0]
    assert [port["number"] for port in entry["spec"]["ports"]] == [8080]
    assert world.client.get(*POLICY, "api", world.namespace)["metadata"]["generation"] == 2


def test_a_namespace_that_is_deleted_goes_without_a_fight(world: World) -> None:
    world.apply("payments", hosts(*FOUR))
    world.wait_ready("payments")
    mark = world.mark()
    world.client.delete("v1", "Namespace", world.namespace)
    wait_until(
        lambda: world.client.find("v1", "Namespace", world.namespace) is None, 60, "it is gone"
    )
    made = [record for record in world.records(mark) if record.verb == "create"]
    assert [record for record in made if record.code < 300] == []
    assert len(made) <= len(FOUR)
