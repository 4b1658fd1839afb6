"""Which calls are judged beside Sidecars, and which are drawn."""

import pytest

from egress_operator.explain.world import Call, Caller, Payload, World, read_world
from mesh.oracle.certainty import is_certain, is_certain_name
from mesh.oracle.draw import Site, draw_policies, draw_probes, list_named
from mesh.traffic.policy import HTTP, TLS, build_destination, build_policy
from plan.scene import build_listener, build_sidecar
from testbed.rig import ALLOW_ANY, REGISTRY_ONLY
from testbed.seed import SEED

SITES = tuple(Site(f"h{number}.set-0.example", f"203.0.113.{number}") for number in range(2))
CHECKOUT = Caller("shop", {"app": "checkout"})
POLICY = build_policy("wild", build_destination(SITES[0].wildcard, ports=(HTTP, TLS)))
MOST = 18


def build_world(*entries: str, mode: str = "", open_by_default: bool = False) -> World:
    """Read a policy for a wildcard and a Sidecar with these entries."""
    sidecar = build_sidecar("one", *entries)
    if mode:
        sidecar["spec"]["outboundTrafficPolicy"] = {"mode": mode}
    return read_world([POLICY, sidecar], open_by_default=open_by_default)


@pytest.mark.parametrize(
    ("entries", "is_told"),
    [
        (("./*",), True),
        (("./*.set-0.example",), True),
        (("./*.svc.cluster.local",), True),
        (("./*", "~./h0.set-0.example"), True),
        (("./h0.set-0.example",), False),
        (("pay/*", "*/h0.set-0.example"), False),
    ],
)
def test_an_entry_below_a_wildcard_leaves_its_http_open(
    entries: tuple[str, ...], *, is_told: bool
) -> None:
    world = build_world(*entries)
    for site in SITES:
        assert is_certain(world, Call(CHECKOUT, Payload.HTTP, site.host, 80)) is is_told
        assert is_certain(world, Call(CHECKOUT, Payload.TLS, site.host, 443))
    assert is_certain(world, Call(Caller("pay"), Payload.HTTP, SITES[0].host, 80))


@pytest.mark.parametrize(
    ("port", "entry", "is_told"),
    [
        (443, "./*.svc.cluster.local", False),
        (443, "./*", True),
        (80, "./*.svc.cluster.local", True),
    ],
)
def test_tls_beside_a_listener_of_its_port(port: int, entry: str, *, is_told: bool) -> None:
    listener = build_listener(port, "TLS", entry)
    world = read_world([POLICY, build_sidecar("one", "./*", listeners=(listener,))])
    assert is_certain(world, Call(CHECKOUT, Payload.TLS, SITES[0].host, 443)) is is_told


@pytest.mark.parametrize(
    ("mode", "is_open", "is_told"),
    [("", False, True), ("", True, False), (REGISTRY_ONLY, True, True), (ALLOW_ANY, False, False)],
)
def test_names_of_the_operator_where_everything_is_let_out(
    mode: str, *, is_open: bool, is_told: bool
) -> None:
    world = build_world("./*", mode=mode, open_by_default=is_open)
    assert is_certain_name(world, CHECKOUT, Payload.HTTP) is is_told
    assert is_certain_name(world, Caller("pay"), Payload.HTTP)
    assert is_certain_name(world, Caller("pay"), Payload.TLS) is not is_open


def test_most_calls_go_where_a_policy_of_the_caller_leads() -> None:
    own = count = 0
    for number in range(100):
        seed = f"{SEED}-{number}"
        policies = draw_policies(seed, "set", SITES)
        named = set(list_named(policies))
        probes = draw_probes(seed, SITES, policies, MOST)
        assert len(probes) <= MOST
        count += len(probes)
        for probe in probes:
            namespace = probe.workload.partition("/")[0]
            subjects = (probe.site.host, probe.site.wildcard, probe.site.address)
            own += any((namespace, subject, probe.port) in named for subject in subjects)
    assert own > count / 2, f"seed {SEED}: {own} of {count}"
