"""Which connections a change ends.

Envoy ends those of a filter chain that has changed or gone, `drainDuration` later. HTTP is told
before, and asks the next time on another connection; what is opaque is cut. Each chain of a gateway
holds the rules of all its AuthorizationPolicies.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.scenario import (
    OTHER_EGRESS,
    Hosts,
    add_hosts,
    build_company,
    build_edit,
    build_place,
    build_way,
)
from mesh.gateway.scenario_run import Gateways, enter_all, wait_done
from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import build_policy
from testbed.client import Object
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import DIRECT, REACHED, VIA_GATEWAY, Outcome, Verdict, call
from testbed.workload import Workload

pytestmark = pytest.mark.mesh

DRAIN_S = 1.0
SHORT_DRAIN = {"drainDuration": f"{DRAIN_S:g}s"}
DRAINED_S = DRAIN_S + 1.0
"""When all is ended that shall end: no sign tells it."""
KEEPER = Workload("shop", "keeper", service_account="keeper", proxy_config=SHORT_DRAIN)


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> Iterator[Gateway]:
    """Give a gateway that ends connections soon, and a workload whose sidecar does."""
    mesh.add(KEEPER)
    with mesh.start_gateway(replace(EGRESS, proxy_config=SHORT_DRAIN)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def other(mesh: Mesh) -> Iterator[Gateway]:
    """Give a second one."""
    with mesh.start_gateway(replace(OTHER_EGRESS, proxy_config=SHORT_DRAIN)) as gateway:
        yield gateway


class Kept:
    """Connections that `shop/keeper` keeps open: one of HTTP and two opaque ones."""

    def __init__(self, mesh: Mesh, hosts: Hosts, verdict: Verdict) -> None:
        self._mesh = mesh
        self._name = uuid.uuid4().hex
        self._plain = f"GET http://{hosts.plain}/"
        self._opaque = (f"GET https://{hosts.encrypted}/", f"TCP {hosts.database}:5432")
        for text in (self._plain, *self._opaque):
            mesh.expect(KEEPER.key, text, verdict)
        self.ask()

    def ask(self) -> list[int]:
        """Ask on each; the numbers of the opaque ones, as the servers count connections.

        One that has ended is opened anew. That never befalls a request on the one of HTTP.
        """
        numbers = []
        for text in self._opaque:
            outcome = self._ask(text)
            if outcome.answer is None:
                outcome = self._ask(text)
            assert outcome.answer is not None, f"{text}: {outcome}"
            numbers.append(outcome.answer.connection)
        outcome = self._ask(self._plain)
        assert outcome.verdict in REACHED, f"{self._plain}: {outcome}"
        return numbers

    def _ask(self, text: str) -> Outcome:
        return self._mesh.request(KEEPER.key, call(text, session=f"{self._name} {text}"))


def keep(operated: OperatedMesh) -> Kept:
    """Open connections through the gateway."""
    hosts = add_hosts(operated.mesh, "kept")
    operated.apply(build_gateway_policy("shop/kept", *hosts.destinations))
    return Kept(operated.mesh, hosts, VIA_GATEWAY)


def ask_when_drained(mesh: Mesh, kept: Kept) -> list[int]:
    """Ask when every connection has ended that does."""
    mesh.settle()
    time.sleep(DRAINED_S)
    return kept.ask()


@pytest.mark.timeout(300)
def test_changes_of_others_end_no_connection(
    operated: OperatedMesh, mesh: Mesh, gateways: Gateways
) -> None:
    """Neither those of the same namespace nor those of another, on the sidecar or the gateway."""
    assert gateways
    direct = add_hosts(mesh, "kept-direct")
    destinations = add_hosts(mesh, "pay").destinations
    for policy in (
        build_gateway_policy("pay/web", *destinations),
        build_policy("shop/kept-direct", *direct.destinations),
    ):
        operated.apply(policy)
    through, around = keep(operated), Kept(mesh, direct, DIRECT)
    before = through.ask(), around.ask()
    scenarios = [build(mesh) for build in (build_way, build_place, build_edit, build_company)]
    for number in range(max(len(scenario.stages) for scenario in scenarios)):
        mesh.apply(build_gateway_policy("pay/web", *destinations[: 3 - number % 2]))
        enter_all(
            operated,
            [
                (scenario.stages[number - 1] if number else None, scenario.stages[number])
                for scenario in scenarios
                if number < len(scenario.stages)
            ],
        )
        operated.wait_ready("pay/web")
        after = ask_when_drained(mesh, through), around.ask()
        assert after == before, f"after stage {number}"


@pytest.mark.parametrize("source", [None, {"serviceAccounts": ["checkout"]}], ids=["pay", "shop"])
def test_a_policy_that_changes_permissions_ends_what_is_opaque(
    operated: OperatedMesh, mesh: Mesh, gateways: Gateways, source: Object | None
) -> None:
    """The first one of another namespace, or one for service accounts; it comes and goes."""
    assert gateways
    kept = keep(operated)
    name = "shop/few" if source else "pay/web"
    more = build_gateway_policy(name, *add_hosts(mesh, "more").destinations, source=source)
    first = kept.ask()
    operated.apply(more)
    second = ask_when_drained(mesh, kept)
    operated.delete(more)
    third = ask_when_drained(mesh, kept)
    assert len({*first, *second, *third}) == 3 * len(first)
    assert kept.ask() == third


def test_another_authorization_ends_what_is_opaque(
    operated: OperatedMesh, mesh: Mesh, gateways: Gateways
) -> None:
    kept = keep(operated)
    first = kept.ask()
    wait_done(operated, mesh.apply(build_egress_gateway(gateways[SHARED], authorization="DryRun")))
    assert not set(first) & set(ask_when_drained(mesh, kept))


def test_the_old_way_of_a_host_ends(operated: OperatedMesh, mesh: Mesh, gateways: Gateways) -> None:
    """With the change of the way, and with the policy."""
    assert gateways
    kept = keep(operated)
    before = kept.ask()
    direct = build_policy("shop/kept", *add_hosts(mesh, "kept").destinations)
    operated.apply(direct)
    assert not set(before) & set(ask_when_drained(mesh, kept))
    operated.delete(direct)
    with pytest.raises(AssertionError, match=r"GET https.*BLOCKED"):
        ask_when_drained(mesh, kept)
