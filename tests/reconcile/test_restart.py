"""The operator stops, is killed, comes back; the state of the cluster decides, not its memory."""

import secrets
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_istio_crds, load_our_crds
from testbed.deadline import wait_until
from testbed.operator import ACCOUNT, NAMESPACE, Command, Operator, OperatorOption, start_operator
from testbed.seed import SEED, build_rng

from .world import COLLECTED_S, ENTRY, HTTP, POLICY, ROUTE, World, hosts

USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
FOUR = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")


@pytest.fixture
def start(control_plane: ControlPlane) -> Iterator[Callable[..., Operator]]:
    """Start operators one after the other; what still runs is stopped."""
    running: list[Operator] = []

    def start_one(**option: object) -> Operator:
        running.append(start_operator(control_plane, OperatorOption(**option)))  # type: ignore[arg-type]
        return running[-1]

    yield start_one
    for operator in running:
        operator.stop()


@pytest.fixture
def quiet_world(control_plane: ControlPlane, namespace: str) -> World:
    """Give a fresh namespace; no operator runs but those of `start`."""
    return World(control_plane, namespace, USER)


@pytest.fixture(scope="module")
def own_plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    """Start a control plane of the module's own: its API server may be killed."""
    definitions = [*load_istio_crds(ENTRY[1], ROUTE[1]), *load_our_crds()]
    with start_control_plane(ControlPlaneOption(audit=True, definitions=definitions)) as plane:
        yield plane


@pytest.fixture
def own_namespace(own_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace there; its deletion is asked for afterwards."""
    name = f"t-{secrets.token_hex(5)}"
    own_plane.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    own_plane.admin.delete("v1", "Namespace", name)


@pytest.mark.parametrize("command", list(Command))
def test_a_restart_writes_nothing_when_all_is_in_order(
    quiet_world: World, start: Callable[..., Operator], command: Command
) -> None:
    first = start(command=command)
    quiet_world.apply("payments", hosts(*FOUR))
    quiet_world.apply("slow", hosts("slow.example.com", ports=[HTTP], http={"timeout": "3s"}))
    quiet_world.apply("refused", hosts(f"db.{quiet_world.namespace}"))
    quiet_world.wait_ready("payments")
    quiet_world.wait_ready("slow")
    wait_until(lambda: quiet_world.ready("refused")[0] == "False", 15, "it is refused")
    assert first.stop() == 0
    mark = quiet_world.mark()
    second = start(command=command, settings={"EGRESS_RESYNC": "1"})
    settled = 'egress_operator_reconcile_total{result="settled"}'
    wanted = second.metric("egress_operator_hosts")
    wait_until(lambda: second.metric(settled) >= 3 * wanted > 0, 30, "all was compared thrice")
    assert quiet_world.writes(mark) == []


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_deletion_while_it_is_away_leaves_nothing(
    quiet_world: World, start: Callable[..., Operator], how: str
) -> None:
    operator = start()
    quiet_world.apply("payments", hosts(*FOUR))
    quiet_world.apply("other", hosts("d.example.com", "e.example.com"))
    quiet_world.wait_ready("payments")
    quiet_world.wait_ready("other")
    if how == "stopped":
        assert operator.stop() == 0
    else:
        assert operator.kill() < 0
    quiet_world.delete("payments")
    quiet_world.wait_hosts("d.example.com", "e.example.com", timeout_s=COLLECTED_S)
    mark = quiet_world.mark()
    start()
    wait_until(lambda: quiet_world.writes(mark) != [], 15, "the shared entry has one owner")
    assert set(quiet_world.writes(mark)) == {"patch serviceentries"}
    quiet_world.wait_hosts("d.example.com", "e.example.com")
    assert quiet_world.ready("other") == ("True", "Applied")


def test_changes_while_it_is_away_are_made_up_for(
    quiet_world: World, start: Callable[..., Operator]
) -> None:
    operator = start()
    quiet_world.apply("payments", hosts("a.example.com", "b.example.com"))
    quiet_world.wait_ready("payments")
    operator.kill()
    quiet_world.apply("payments", hosts("a.example.com", "c.example.com"))
    entry = quiet_world.get_entry("a.example.com")
    quiet_world.client.merge_patch(entry, {"spec": {"resolution": "NONE"}})
    mark = quiet_world.mark()
    start()
    quiet_world.wait_ready("payments")
    quiet_world.wait_hosts("a.example.com", "c.example.com")
    assert quiet_world.get_entry("a.example.com")["spec"] == entry["spec"]
    quiet_world.wait_writes(
        mark,
        [
            "create serviceentries",
            "delete serviceentries",
            "patch egresspolicies/status",
            "patch serviceentries",
        ],
    )


def has_objects(world: World, count: int) -> bool:
    return len(world.objects()) >= count


def test_kills_during_a_burst_lose_nothing(
    quiet_world: World, start: Callable[..., Operator]
) -> None:
    rng = build_rng("kills during a burst")
    print(f"EGRESS_SEED={SEED}")  # noqa: T201 - shown when the test fails
    names = [f"p{number}" for number in range(12)]

    def burst() -> None:
        for number, name in enumerate(names):
            quiet_world.apply(name, hosts(f"h{number}.example.com", f"g{number}.example.com"))

    operator = start()
    thread = threading.Thread(target=burst)
    thread.start()
    for _ in range(3):
        wanted = len(quiet_world.objects()) + rng.randint(1, 5)
        enough = partial(has_objects, quiet_world, min(wanted, 22))
        wait_until(enough, 30, "some are made")
        operator.kill()
        operator = start()
    thread.join(30)
    for name in names:
        quiet_world.wait_ready(name, timeout_s=30)
    found = sorted(item["spec"]["hosts"][0] for item in quiet_world.objects())
    assert found == sorted(
        f"{letter}{number}.example.com" for number in range(12) for letter in "gh"
    )


def test_deletions_that_the_watch_missed_are_found(
    own_plane: ControlPlane, own_namespace: str
) -> None:
    """After an outage kopf lists again and never says what is gone: the sweep does."""
    with start_operator(own_plane) as operator:
        world = World(own_plane, own_namespace, operator.user)
        world.apply("older", hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"}))
        world.wait_ready("older")
        world.apply("younger", hosts("api.example.com", ports=[HTTP], http={"timeout": "9s"}))
        world.wait_ready("younger", ("False", "Conflicted"))
        operator.pause()
        world.delete("older")
        wait_until(
            lambda: len(world.client.list_objects(*POLICY, world.namespace)) == 1,
            10,
            "one policy is left",
        )
        # The new API server's watch cache knows nothing of the deletion.
        own_plane.restart_apiserver()
        operator.resume()
        world.wait_ready("younger", timeout_s=30)
        assert operator.health() == 200
        assert operator.is_ready()


def test_an_outage_of_the_api_server_is_survived(
    own_plane: ControlPlane, own_namespace: str
) -> None:
    with start_operator(own_plane) as operator:
        world = World(own_plane, own_namespace, operator.user)
        world.apply("payments", hosts("a.example.com"))
        world.wait_ready("payments")
        own_plane.kill_apiserver()
        restarts = "egress_operator_watch_restarts_total"
        wait_until(
            lambda: (
                sum(
                    float(line.rpartition(" ")[2])
                    for line in operator.metrics().splitlines()
                    if line.startswith(restarts)
                )
                > 2
            ),
            30,
            "the watches try again",
        )
        own_plane.start_apiserver()
        world.apply("payments", hosts("a.example.com", "b.example.com"))
        world.wait_ready("payments", timeout_s=30)
        world.wait_hosts("a.example.com", "b.example.com")
        assert operator.process.is_alive
        assert operator.stop() == 0
