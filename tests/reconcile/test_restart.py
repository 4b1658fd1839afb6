"""The operator stops, is killed, comes back; the state of the cluster decides, not its memory."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_istio_crds, load_our_crds
from testbed.deadline import wait_until
from testbed.operator import ACCOUNT, NAMESPACE, Command, Operator, start_operator
from testbed.seed import SEED, build_rng
from testbed.workload import temporary_namespace

from .tenant import COLLECTED_S, ENTRY, HTTP, POLICY, ROUTE, TenantNamespace, hosts

USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
FOUR = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")


@pytest.fixture
def tenant(control_plane: ControlPlane, namespace: str) -> TenantNamespace:
    """Give a fresh namespace; no operator runs but those of `start`."""
    return TenantNamespace(control_plane, namespace, USER)


@pytest.fixture(scope="module")
def own_plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    """Start a control plane of the module's own: its API server may be killed."""
    definitions = [*load_istio_crds(ENTRY[1], ROUTE[1]), *load_our_crds()]
    with start_control_plane(ControlPlaneOption(audit=True, definitions=definitions)) as plane:
        yield plane


@pytest.fixture
def own_namespace(own_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace there; its deletion is asked for afterwards."""
    with temporary_namespace(own_plane.admin) as name:
        yield name


@pytest.mark.parametrize("command", list(Command))
def test_a_restart_writes_nothing_when_all_is_in_order(
    tenant: TenantNamespace, start: Callable[..., Operator], command: Command
) -> None:
    first = start(command=command)
    tenant.apply("payments", hosts(*FOUR))
    tenant.apply("slow", hosts("slow.example.com", ports=[HTTP], http={"timeout": "3s"}))
    tenant.apply("refused", hosts(f"db.{tenant.namespace}.svc"))
    tenant.wait_ready("payments")
    tenant.wait_ready("slow")
    wait_until(lambda: tenant.ready("refused")[0] == "False", 15, "it is refused")
    assert first.stop() == 0
    mark = tenant.mark()
    second = start(command=command, settings={"EGRESS_RESYNC": "1"})
    settled = 'egress_operator_reconcile_total{result="settled"}'
    wanted = second.metric("egress_operator_hosts")
    wait_until(lambda: second.metric(settled) >= 3 * wanted > 0, 60, "all was compared")
    assert tenant.writes(mark) == []


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_deletion_while_it_is_away_leaves_nothing(
    tenant: TenantNamespace, start: Callable[..., Operator], how: str
) -> None:
    operator = start()
    tenant.apply("payments", hosts(*FOUR))
    tenant.apply("other", hosts("d.example.com", "e.example.com"))
    tenant.wait_ready("payments")
    tenant.wait_ready("other")
    if how == "stopped":
        assert operator.stop() == 0
    else:
        assert operator.kill() < 0
    tenant.delete("payments")
    tenant.wait_hosts("d.example.com", "e.example.com", timeout_s=COLLECTED_S)
    mark = tenant.mark()
    start()
    wait_until(lambda: tenant.writes(mark) != [], 15, "the shared entry has one owner")
    assert set(tenant.writes(mark)) == {"patch serviceentries"}
    tenant.wait_hosts("d.example.com", "e.example.com")
    assert tenant.ready("other") == ("True", "Applied")


def test_changes_while_it_is_away_are_made_up_for(
    tenant: TenantNamespace, start: Callable[..., Operator]
) -> None:
    operator = start()
    tenant.apply("payments", hosts("a.example.com", "b.example.com"))
    tenant.wait_ready("payments")
    operator.kill()
    tenant.apply("payments", hosts("a.example.com", "c.example.com"))
    entry = tenant.get_entry("a.example.com")
    tenant.client.merge_patch(entry, {"spec": {"resolution": "DNS_ROUND_ROBIN"}})
    mark = tenant.mark()
    start()
    tenant.wait_ready("payments")
    tenant.wait_hosts("a.example.com", "c.example.com")
    assert tenant.get_entry("a.example.com")["spec"] == entry["spec"]
    tenant.wait_writes(
        mark,
        [
            "create serviceentries",
            "delete serviceentries",
            "patch egresspolicies/status",
            "patch serviceentries",
        ],
    )


def has_objects(tenant: TenantNamespace, count: int) -> bool:
    return len(tenant.objects()) >= count


def test_kills_during_a_burst_lose_nothing(
    tenant: TenantNamespace, start: Callable[..., Operator]
) -> None:
    rng = build_rng("kills during a burst")
    print(f"EGRESS_SEED={SEED}")  # noqa: T201 - shown when the test fails
    names = [f"p{number}" for number in range(12)]

    def burst() -> None:
        for number, name in enumerate(names):
            tenant.apply(name, hosts(f"h{number}.example.com", f"g{number}.example.com"))

    operator = start()
    thread = threading.Thread(target=burst)
    thread.start()
    for _ in range(3):
        wanted = len(tenant.objects()) + rng.randint(1, 5)
        enough = partial(has_objects, tenant, min(wanted, 22))
        wait_until(enough, 30, "some are made")
        operator.kill()
        operator = start()
    thread.join(30)
    for name in names:
        tenant.wait_ready(name, timeout_s=30)
    found = sorted(item["spec"]["hosts"][0] for item in tenant.objects())
    assert found == sorted(
        f"{letter}{number}.example.com" for number in range(12) for letter in "gh"
    )


def test_deletions_that_the_watch_missed_are_found(
    own_plane: ControlPlane, own_namespace: str
) -> None:
    """After an outage nobody says what is gone: a list shows it."""
    with start_operator(own_plane) as operator:
        tenant = TenantNamespace(own_plane, own_namespace, operator.user)
        tenant.apply("older", hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"}))
        tenant.wait_ready("older")
        tenant.apply("younger", hosts("api.example.com", ports=[HTTP], http={"timeout": "9s"}))
        tenant.wait_ready("younger", ("False", "Conflicted"))
        operator.pause()
        tenant.delete("older")
        wait_until(
            lambda: len(tenant.client.list_objects(*POLICY, tenant.namespace)) == 1,
            10,
            "one policy is left",
        )
        # The new API server's watch cache knows nothing of the deletion.
        own_plane.restart_apiserver()
        operator.resume()
        tenant.wait_ready("younger", timeout_s=30)
        # It stood still while the API server started; its next heartbeat is in time again.
        wait_until(lambda: operator.health() == 200, 10, "it is healthy")
        assert operator.is_ready()


def count_restarts(operator: Operator) -> float:
    """Count the restarts of all watches."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in operator.metrics().splitlines()
        if line.startswith("egress_operator_watch_restarts_total")
    )


def test_an_outage_of_the_api_server_is_survived(
    own_plane: ControlPlane, own_namespace: str
) -> None:
    with start_operator(own_plane) as operator:
        tenant = TenantNamespace(own_plane, own_namespace, operator.user)
        tenant.apply("payments", hosts("a.example.com"))
        tenant.wait_ready("payments")
        own_plane.kill_apiserver()
        try:
            wait_until(lambda: count_restarts(operator) > 2, 30, "the watches try again")
        finally:
            # Other tests use it too.
            own_plane.start_apiserver()
        tenant.apply("payments", hosts("a.example.com", "b.example.com"))
        tenant.wait_ready("payments", timeout_s=30)
        tenant.wait_hosts("a.example.com", "b.example.com")
        assert operator.process.is_alive
        assert operator.stop() == 0
