"""A tenant may not use a gateway any more: no packet gets out, whatever became of its policies.

Three tenants, all at once: `shop` and `pay` lose their permission, `bank` keeps it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from mesh.gateway.scenario_run import Gateways
from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, BATCH, CHECKOUT, POLICY, TLS, build_destination
from mesh.traffic.stream import Load, Pace
from permission.standing import find_denials, find_ours, find_permissions
from permission.state import HOLD
from permission.tenant import Tenant
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.request import REACHED, VIA_GATEWAY
from testbed.workload import PATIENT, Workload

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(300)]

BANK = "bank/teller"
LOSERS = ("shop", "pay")
ALIVE, CARDS = "alive", "cards"
"""Of `shop`: for the whole namespace, and for the service account of `shop/checkout` alone."""
HELD = ("paused", "invalid", "no-such-gateway", "orphaned", "held")
"""Of `pay`, each in the state that its name says; `held` is being deleted, with a finalizer."""
STEADY = "steady"
"""Of `bank`."""
RATE = Pace(per_second=40, threads=4)
BETWEEN = 20
GONE_S = 20.0
COLLECTED_S = 60.0


@dataclass(frozen=True)
class Scenery:
    """A gateway, its tenants, and the hosts of their policies."""

    operated: OperatedMesh
    gateway: Gateway

    @property
    def mesh(self) -> Mesh:
        return self.operated.mesh

    def begin(self) -> None:
        """Write all policies, alive, and see that their calls get out."""
        policies = [("shop", ALIVE), ("shop", CARDS), ("bank", STEADY)]
        policies += [("pay", name) for name in HELD]
        for namespace, name in policies:
            hosts = [_name_host(namespace, name), _name_host(namespace, name, secret=True)]
            for host in hosts:
                self.mesh.outside.add(host)
            destinations = [
                build_destination(hosts[0]),
                build_destination(hosts[1], ports=(TLS,)),
            ]
            source = {"serviceAccounts": ["checkout"]} if name == CARDS else None
            self.mesh.apply(
                build_gateway_policy(f"{namespace}/{name}", *destinations, source=source)
            )
        for namespace, name in policies:
            self.operated.wait_ready(f"{namespace}/{name}")
        self.expect_open()

    def hold(self) -> None:
        """Bring the policies of `pay` into the states that their names say."""
        tenant = Tenant(self.operated.client, "pay")
        tenant.pause("paused")
        spec = self.operated.policy("pay/invalid")["spec"]
        inside = {"hosts": ["mysql.shop.svc"], "ports": [TLS]}
        tenant.patch("invalid", {"spec": {"destinations": [*spec["destinations"], inside]}})
        tenant.patch("no-such-gateway", {"spec": {"gatewayRef": {"name": "no-such"}}})
        tenant.patch("held", {"metadata": {"finalizers": [HOLD]}})
        tenant.delete("held")
        tenant.delete("orphaned", "Orphan")
        tenant.wait_gone("orphaned")
        self.operated.wait_condition("pay/paused", "Paused", "True")
        self.operated.wait_condition("pay/invalid", "Accepted", "False")
        self.operated.wait_condition("pay/no-such-gateway", "ResolvedRefs", "False")

    def list_calls(self, *names: str) -> list[tuple[str, str]]:
        """List the calls of policies, or of all that lose their permission, with their callers."""
        found = [(CHECKOUT, text) for name in (ALIVE, CARDS) for text in _list_calls("shop", name)]
        found += [(APP, text) for name in HELD for text in _list_calls("pay", name)]
        return [
            call for call in found if not names or any(f"/{name}." in call[1] for name in names)
        ]

    def expect_open(self) -> None:
        """See that the callers of the policies get out, and strangers do not."""
        for caller, text in self.list_calls():
            self.mesh.expect(caller, text, VIA_GATEWAY)
        self.expect_closed(self.list_strangers())

    def withdraw(self) -> None:
        for namespace in LOSERS:
            self.mesh.label(namespace, {"egress": None})

    def wait_withdrawn(self) -> None:
        """Wait until no permission of theirs stands, and every proxy knows.

        A connection that is open carries one more request under the old rules: it gets one.
        """
        client, place = self.operated.client, self.gateway.namespace
        wait_until(
            lambda: not any(find_permissions(client, place, each) for each in LOSERS),
            GONE_S,
            "permissions stand",
        )
        self.mesh.settle()
        for caller, text in self.list_calls():
            self.mesh.request(caller, text)

    def list_strangers(self) -> list[tuple[str, str]]:
        """List the calls of a workload that a policy leaves out, and of another tenant."""
        cards, alive = _list_calls("shop", CARDS), _list_calls("shop", ALIVE)
        return [*((BATCH, text) for text in cards), *((BANK, text) for text in alive)]

    def expect_closed(self, calls: Iterable[tuple[str, str]]) -> None:
        """None of these calls gets out, neither by the gateway nor directly."""
        for caller, text in calls:
            outcome = self.mesh.request(caller, text)
            assert outcome.verdict not in REACHED, (caller, text, outcome)

    @contextmanager
    def forbidden_load(self) -> Iterator[Load]:
        """Let those who may not try all the time: none of their requests gets out."""
        calls: dict[str, list[str]] = {}
        for caller, text in [*self.list_calls(), *self.list_strangers()]:
            calls.setdefault(caller, []).append(text)
        with Load(self.mesh, calls, pace=RATE) as load:
            yield load
            load.wait(BETWEEN)
        reached = {verdict: load.verdicts[verdict] for verdict in REACHED}
        assert not any(reached.values()), f"{reached} of {load.count} requests got out"

    @contextmanager
    def steady_load(self) -> Iterator[Load]:
        """Let `bank` call over HTTP all the time: it loses nothing."""
        calls = {BANK: [_list_calls("bank", STEADY)[0]]}
        with Load(self.mesh, calls, fine=frozenset({VIA_GATEWAY}), pace=RATE) as load:
            yield load
            load.wait(BETWEEN)
        assert not load.lost, load.lost[:3]


def _name_host(namespace: str, name: str, *, secret: bool = False) -> str:
    return f"{name}.{namespace}{'-secret' if secret else ''}.example"


def _list_calls(namespace: str, name: str) -> list[str]:
    secret = _name_host(namespace, name, secret=True)
    return [f"GET http://{_name_host(namespace, name)}/", f"GET https://{secret}/"]


@pytest.fixture(scope="module")
def bank(mesh: Mesh) -> str:
    """Bring up the workload of a third tenant."""
    mesh.add(Workload("bank", "teller", proxy_config=PATIENT))
    return BANK


@pytest.fixture
def scenery(
    operated: OperatedMesh, gateway: Gateway, shared: Object, bank: str
) -> Iterator[Scenery]:
    """Give tenants whose policies are in all states, and who may use the gateway."""
    assert shared
    operated.mesh.label(bank.partition("/")[0], {"egress": SHARED})
    found = Scenery(operated, gateway)
    found.begin()
    found.hold()
    yield found
    Tenant(operated.client, "pay").patch("held", {"metadata": {"finalizers": None}})


def test_nothing_gets_out_after_the_label_is_taken_away(scenery: Scenery, mesh: Mesh) -> None:
    """By an operator that runs, and then by one that was away meanwhile."""
    with scenery.steady_load():
        scenery.withdraw()
        scenery.wait_withdrawn()
        scenery.expect_closed([*scenery.list_calls(), *scenery.list_strangers()])
        with scenery.forbidden_load():
            pass
        for namespace in LOSERS:
            mesh.label(namespace, {"egress": SHARED})
        scenery.operated.wait_ready(f"shop/{ALIVE}")
        for caller, text in scenery.list_calls(ALIVE, CARDS, "paused"):
            mesh.expect(caller, text, VIA_GATEWAY)
        with scenery.operated.without_operator():
            scenery.withdraw()
        scenery.wait_withdrawn()
        scenery.expect_closed([*scenery.list_calls(), *scenery.list_strangers()])
        with scenery.forbidden_load() as load:
            load.wait(BETWEEN)


def test_a_forbidden_tenant_never_gets_through_while_the_gateway_moves_and_goes(
    scenery: Scenery, mesh: Mesh, gateways: Gateways
) -> None:
    operated = scenery.operated
    other = gateways["other"]
    scenery.withdraw()
    scenery.wait_withdrawn()
    mesh.delete(build_egress_gateway(other, "other"))
    with scenery.forbidden_load() as forbidden:
        with scenery.steady_load() as steady:
            # Other pods, in another namespace.
            mesh.apply(build_egress_gateway(other))
            steady.wait(BETWEEN)
            wait_until(
                lambda: find_denials(operated.client, other.namespace), GONE_S, "nothing denies"
            )
            operated.wait_gateway(SHARED, "Ready", "True")
            operated.wait_ready(f"bank/{STEADY}")
            operated.operator.wait_idle()
            steady.wait(BETWEEN)
        with operated.without_operator():
            mesh.delete(build_egress_gateway(other))
            wait_until(
                lambda: (
                    not find_ours(operated.client, "bank", "Gateway")
                    or all(
                        item["metadata"]["ownerReferences"][0]["kind"] == POLICY[1]
                        for item in find_ours(operated.client, "bank", "Gateway")
                    )
                ),
                COLLECTED_S,
                "what the EgressGateway owns stays",
            )
            forbidden.wait(BETWEEN)
            mesh.settle()
            forbidden.wait(BETWEEN)
        operated.operator.wait_idle()
        mesh.settle()
        forbidden.wait(BETWEEN)


def test_a_tenant_on_hold_does_not_keep_a_gateway_open(
    scenery: Scenery, mesh: Mesh, gateway: Gateway
) -> None:
    """From None to Managed, beside paused policies of a namespace that may not use it."""
    operated = scenery.operated
    mesh.apply(build_egress_gateway(gateway, authorization="None"))
    wait_until(
        lambda: not find_ours(operated.client, gateway.namespace, "AuthorizationPolicy"),
        GONE_S,
        "it still has AuthorizationPolicies",
    )
    scenery.withdraw()
    with scenery.steady_load():
        mesh.apply(build_egress_gateway(gateway))
        wait_until(
            lambda: find_denials(operated.client, gateway.namespace), GONE_S, "nothing denies"
        )
        scenery.wait_withdrawn()
        scenery.expect_closed([*scenery.list_calls(), *scenery.list_strangers()])
        with scenery.forbidden_load():
            pass
