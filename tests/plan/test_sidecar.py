"""Sidecars: the plan and `explain` say of each scene what a mesh shows of it."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from egress_operator.diagnostic import MOST_NAMED
from egress_operator.explain.explain import Fate, explain
from egress_operator.explain.world import Call, Caller, Payload, read_world
from egress_operator.istio.sidecar import (
    MOST_ENTRIES,
    MOST_EXCLUSIONS,
    EgressListener,
    Entries,
    Service,
    read_sidecar,
)
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.result import PolicyResult
from egress_operator.plan.sidecar import (
    MOST_READ,
    Opening,
    Screen,
    choose_sidecars,
    find_sight,
)
from egress_operator.plan.source import NamespaceInput, OutboundMode, Settings
from plan.scene import (
    API,
    BYTES,
    DATABASE,
    HTTP,
    ROOT,
    SCENES,
    SERVICES,
    SHOP,
    TLS,
    Scene,
    build_listener,
    build_sidecar,
)
from rollout.fake_cluster import build_policy
from testbed.client import Object

ADDRESS = "203.0.113.20"
WEB = {
    "hosts": [API],
    "ports": [{"number": 80, "protocol": "HTTP"}, {"number": 443, "protocol": "TLS"}],
}
DATA = {
    "hosts": [DATABASE],
    "addresses": [ADDRESS],
    "ports": [{"number": 5432, "protocol": "TCP"}],
}
CALLERS = {app: Caller(SHOP, {"app": app}) for app in ("checkout", "batch")}


def judge(
    *sidecars: Object, source: Object | None = None, mode: OutboundMode = OutboundMode.REGISTRY_ONLY
) -> PolicyResult:
    policy = build_policy("web", WEB, DATA)
    if source is not None:
        policy = replace(policy, spec={**policy.spec, "from": source})
    chosen = choose_sidecars(map(read_sidecar, sidecars), SHOP, ROOT)
    inputs = NamespaceInput(SHOP, (policy,), Settings(outbound_mode=mode), sidecars=chosen)
    return plan_namespace(inputs).results["web"]


def build_call(text: str, app: str) -> Call:
    payload, host, port, address = {
        HTTP: (Payload.HTTP, API, 80, ""),
        TLS: (Payload.TLS, API, 443, ""),
        BYTES: (Payload.BYTES, DATABASE, 5432, ADDRESS),
    }[text]
    return Call(CALLERS[app], payload, host, port, address)


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_a_scene_is_judged_as_the_mesh_shows_it(scene: Scene) -> None:
    sight = judge(*scene.build()).sight
    assert bool(sight.hidden) is scene.hidden
    assert bool(sight.partly_hidden) is scene.partly_hidden
    world = read_world(
        [
            {
                "kind": "EgressPolicy",
                "metadata": {"name": "web", "namespace": SHOP},
                "spec": {"destinations": [WEB, DATA]},
            },
            *scene.build(),
        ]
    )
    for app, reached in (("checkout", scene.checkout), ("batch", scene.batch)):
        for text in (HTTP, TLS, BYTES):
            told = explain(world, build_call(text, app))
            assert (told.fate is Fate.DIRECT) is (text in reached), f"{app}: {text}: {told}"
            assert told.fate in {Fate.DIRECT, Fate.HIDDEN}


@pytest.mark.parametrize(
    ("labels", "hidden", "partly"),
    [
        ({"app": "batch"}, True, False),
        ({"app": "batch", "tier": "back"}, True, False),
        ({"tier": "back"}, False, True),
        ({"app": "checkout"}, False, False),
    ],
    ids=["the-same", "more", "others", "another-app"],
)
def test_only_sidecars_of_the_policy_s_workloads_count(
    labels: dict[str, str], *, hidden: bool, partly: bool
) -> None:
    chosen = build_sidecar("batch", SERVICES, app="batch")
    sight = judge(chosen, source={"workloads": {"matchLabels": labels}}).sight
    assert (bool(sight.hidden), bool(sight.partly_hidden)) == (hidden, partly)


def test_the_sentence_names_the_sidecar_the_hosts_and_what_to_add() -> None:
    (sentence,) = judge(build_sidecar("narrow", SERVICES)).sight.hidden
    assert sentence == (
        "Sidecar narrow does not import api.example (80, 443), db.example (5432), so sidecars "
        'block what this policy allows; add "./*" to the egress hosts'
    )
    (sentence,) = judge(build_sidecar("one", f"./{DATABASE}", namespace=ROOT)).sight.hidden
    assert sentence == (
        "Sidecar istio-system/one, the mesh's default, does not import api.example (80, 443), so "
        'sidecars block what this policy allows; add "./*" to the egress hosts'
    )


def test_every_host_of_a_policy_may_be_hidden_and_some_are_named() -> None:
    policy = build_policy("web", *({"hosts": [f"h{number}.example"]} for number in range(9)))
    chosen = (read_sidecar(build_sidecar("narrow", SERVICES)),)
    inputs = NamespaceInput(SHOP, (policy,), sidecars=chosen)
    (sentence,) = plan_namespace(inputs).results["web"].sight.hidden
    assert "h4.example (443) and 4 more, so" in sentence


@pytest.mark.parametrize("mode", [OutboundMode.REGISTRY_ONLY, OutboundMode.ALLOW_ANY])
@pytest.mark.parametrize("own", ["", "REGISTRY_ONLY", "ALLOW_ANY"])
def test_what_is_not_blocked_is_told_by_the_sidecar_before_the_mesh(
    mode: OutboundMode, own: str
) -> None:
    sidecar = build_sidecar("own", "*/*")
    if own:
        sidecar["spec"]["outboundTrafficPolicy"] = {"mode": own}
    said = judge(sidecar, mode=mode).sight.unblocked
    assert bool(said) is ((own or mode) == "ALLOW_ANY")
    assert said.startswith("Sidecar own" if own else "the mesh") or not said


def test_an_unset_mode_blocks() -> None:
    sidecar = build_sidecar("own", "*/*", outboundTrafficPolicy={})
    assert judge(sidecar, mode=OutboundMode.ALLOW_ANY).sight.unblocked == ""


def read_listener(sidecar: Object) -> EgressListener:
    listener = read_sidecar(sidecar).find_listener(443, is_http=False)
    assert listener is not None
    return listener


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("./api.example", True),
        ("./*.example", True),
        ("./*example", True),
        ("./*", True),
        ("*/*i.example", True),
        ("shop/api.example", True),
        ("./api", False),
        ("./*.api.example", False),
        ("./API.example", False),
        ("pay/*", False),
        ("~/*", False),
        ("api.example", False),
    ],
)
def test_an_entry_stands_for_the_hosts_that_istio_says(entry: str, *, shown: bool) -> None:
    assert read_listener(build_sidecar("one", entry)).shows(API, SHOP) is shown


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("~./api.example", "~./api.example"),
        ("~*/*.example", "~*/*.example"),
        ("~/*.example", "~/*.example"),
        ("~pay/*", ""),
    ],
)
def test_an_exclusion_is_named(entry: str, found: str) -> None:
    listener = read_listener(build_sidecar("most", "*/*", entry))
    assert listener.find_exclusion(API, SHOP) == found
    assert listener.shows(API, SHOP) is not bool(found)


def test_of_many_sidecars_that_hide_a_host_a_few_are_named_and_the_rest_is_counted() -> None:
    chosen = [build_sidecar(f"s{n:02}", SERVICES, app=f"a{n}") for n in range(8)]
    sight = judge(*chosen).sight
    *named, rest = sight.partly_hidden
    assert [sentence.split()[1] for sentence in named] == ["s00,", "s01,", "s02,", "s03,", "s04,"]
    assert rest == "3 more Sidecars with a workloadSelector are not looked at"
    assert sight.unread == ""


def test_only_the_oldest_sidecars_with_a_selector_are_looked_at() -> None:
    shown = [build_sidecar(f"s{n:02}", "./*", app=f"a{n}") for n in range(MOST_READ)]
    last = build_sidecar("z", SERVICES, app="z")
    said = f"of the Sidecars with a workloadSelector only the oldest {MOST_READ} are looked at"
    for sidecars in (shown, [*shown, build_sidecar("general", "./*")]):
        assert judge(*sidecars).sight.unread == ""
        assert judge(*sidecars, last).sight == replace(judge(*sidecars).sight, unread=said)
    # The one without a selector counts, however many there are with one.
    sight = judge(*shown, last, build_sidecar("general", SERVICES)).sight
    assert sight.hidden
    assert judge(*shown[1:], last, build_sidecar("b", SERVICES, app="b")).sight.partly_hidden[
        1:
    ] == (said,)


def test_the_sentences_on_one_sidecar_are_few() -> None:
    hosts = [f"h{n}.example" for n in range(9)]
    policy = build_policy("web", *({"hosts": [host]} for host in hosts))
    chosen = (read_sidecar(build_sidecar("most", "*/*", *(f"~./{host}" for host in hosts))),)
    inputs = NamespaceInput(SHOP, (policy,), sidecars=chosen)
    *named, rest = plan_namespace(inputs).results["web"].sight.hidden
    assert len(named) == MOST_NAMED
    assert rest == ("Sidecar most hides more hosts of this policy; 4 more changes to it are needed")


def test_of_many_labels_a_few_are_named() -> None:
    chosen = build_sidecar("batch", SERVICES, app="batch")
    chosen["spec"]["workloadSelector"]["labels"] = {f"l{n}": "x" for n in range(8)}
    (sentence,) = judge(chosen).sight.partly_hidden
    assert "for pods with l0=x, l1=x, l2=x, l3=x, l4=x and 3 more, does not" in sentence


def judge_below(*entries: str, wildcard_port: int = 443, other: bool = True) -> tuple[str, ...]:
    below = {"hosts": ["api.example.com"], "ports": [{"number": 443, "protocol": "TLS"}]}
    above = {"hosts": ["*.example.com"], "ports": [{"number": wildcard_port, "protocol": "TLS"}]}
    policies = [build_policy("below", below), build_policy("above", above)][: 1 + other]
    inputs = NamespaceInput(
        SHOP,
        tuple(policies),
        Settings(outbound_mode=OutboundMode.REGISTRY_ONLY),
        sidecars=(read_sidecar(build_sidecar("most", *entries)),),
    )
    return plan_namespace(inputs).results["below"].sight.hidden


BLOCKED = "so sidecars block what this policy allows"


@pytest.mark.parametrize("entry", ["./*.example.com", "./*", "*/*"])
def test_a_host_that_is_hidden_below_a_wildcard_goes_by_that(entry: str) -> None:
    (sentence,) = judge_below(entry, "~./api.example.com")
    assert sentence == (
        "Sidecar most does not import api.example.com (443), so these calls go by *.example.com "
        'instead, as the policies say for that; take "~./api.example.com" out of the egress hosts'
    )


def test_a_wildcard_takes_calls_of_its_ports_if_it_is_shown() -> None:
    entries = ("./*.example.com", "~./api.example.com")
    assert BLOCKED in judge_below(*entries, wildcard_port=8443)[0]
    assert BLOCKED in judge_below(*entries, other=False)[0]
    assert BLOCKED in judge_below("./other.example.com")[0]
    assert BLOCKED in judge_below("./*", "~./*.example.com")[0]


WORKLOADS = {"workloads": {"matchLabels": {"app": "checkout"}}}
FOR_DATA = build_listener(5432, "TCP", "./*")


@pytest.mark.parametrize(
    ("listeners", "rest", "hidden"),
    [
        ((FOR_DATA,), (), True),
        ((FOR_DATA,), (SERVICES,), True),
        ((FOR_DATA,), (f"./{API}",), True),
        ((FOR_DATA,), (f"./{DATABASE}",), False),
        ((FOR_DATA,), ("./*.shop.direct.internal",), False),
        ((FOR_DATA, build_listener(443, "TLS", "./*")), (), False),
        ((FOR_DATA, build_listener(443, "TLS", f"./{API}")), (), True),
    ],
)
def test_a_listener_of_a_port_hides_where_raw_bytes_of_some_workloads_go_on(
    listeners: tuple[Object, ...], rest: tuple[str, ...], *, hidden: bool
) -> None:
    """They have a private name on another port, which Istio does not give to the listener."""
    sidecar = build_sidecar("database", *rest, listeners=listeners)
    policy = build_policy("data", DATA)
    for source in (WORKLOADS, None):
        spec = {**policy.spec, **({"from": source} if source else {})}
        inputs = NamespaceInput(
            SHOP,
            (replace(policy, spec=spec),),
            Settings(outbound_mode=OutboundMode.REGISTRY_ONLY),
            sidecars=choose_sidecars([read_sidecar(sidecar)], SHOP, ROOT),
        )
        sight = plan_namespace(inputs).results["data"].sight
        assert bool(sight.hidden) is (hidden and source is not None)
        if sight.hidden:
            assert sight.hidden[0] == (
                "Sidecar database imports db.example (5432) for that port alone, and the way "
                "there has a name of its own on port 443, so it cannot be reached; add "
                '"./db.example" to an egress listener without port or for port 443'
            )


GATEWAY = Service("egress", "gateway.egress.svc.cluster.local", 443)
OWN = {"bind": "10.0.0.1"}


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        ((("./*q",), ("egress/*",)), True),
        ((("./*q",), (f"./{API}",)), True),
        ((("./*q",), ("pay/*",)), False),
        ((("egress/*", "~egress/*"), ("./*q",)), False),
        ((("egress/*", "~egress/*"), ("egress/*",)), True),
        ((("./*q", "~egress/*"), ("egress/*", "~egress/*.cluster.local")), False),
        ((("./*q", "~egress/*"), ("egress/*", "~pay/*")), True),
    ],
)
def test_a_service_is_known_if_one_of_the_listeners_of_its_port_shows_it(
    hosts: tuple[tuple[str, ...], ...], *, known: bool
) -> None:
    listeners = tuple(build_listener(443, "TLS", *entries, **OWN) for entries in hosts)
    sidecar = read_sidecar(build_sidecar("ports", listeners=listeners))
    assert sidecar.knows(GATEWAY, API, SHOP) is known


def test_many_listeners_of_a_port_are_looked_up_as_one() -> None:
    listeners = tuple(build_listener(443, "TLS", "./*q", f"./h{n}", **OWN) for n in range(500))
    (found,) = (read_sidecar(build_sidecar("ports", listeners=listeners)).ports or {}).values()
    (together,) = found.together
    assert len(together.shown.texts) == 501


def test_each_port_is_compared_with_a_sidecar_in_a_piece_of_its_own() -> None:
    hosts = {f"h{n}.example": {443: False, 444: True} for n in range(100)}
    screen = Screen((read_sidecar(build_sidecar("narrow", SERVICES)),))
    pieces = find_sight(screen, Opening(SHOP, (), hosts), OutboundMode.UNKNOWN)
    assert sum(1 for _ in pieces) >= 2 * len(hosts)


@pytest.mark.parametrize("entry", ["./*", "./q.example"])
def test_a_host_with_many_ports_is_looked_up_once_in_each_listener(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    find = Entries.find

    def count(entries: Entries, host: str, places: Iterable[str]) -> str:
        looked.append(host)
        return find(entries, host, places)

    listeners = tuple(
        build_listener(0, "", "./p.example", f"~pay/h{n}", **OWN)
        for n in range(MOST_EXCLUSIONS - 1)
    )
    listeners += (build_listener(0, "", entry),)
    ports = dict.fromkeys(range(1000, 1128), False)
    private = {API: {port: (Service(SHOP, f"p{port}.internal", 443),) for port in ports}}
    opening = Opening(SHOP, (), {API: ports}, private=private)
    screen = Screen((read_sidecar(build_sidecar("large", listeners=listeners)),))
    monkeypatch.setattr(Entries, "find", count)
    for _ in find_sight(screen, opening, OutboundMode.UNKNOWN):
        pass
    assert 0 < len(looked) < len(ports)


def build_crowd(listeners: int, hosts: int) -> Object:
    return build_sidecar(
        "large",
        listeners=tuple(
            build_listener(443, "TLS", *(f"./h{n}" for n in range(hosts))) for _ in range(listeners)
        ),
    )


def build_exclusions(count: int) -> Object:
    listeners = (build_listener(443, "TLS", "./*", f"~pay/h{n}") for n in range(count))
    return build_sidecar("large", listeners=tuple(listeners))


def test_a_sidecar_that_is_too_large_is_not_looked_at() -> None:
    for fine in (build_crowd(2, MOST_ENTRIES // 2 - 1), build_exclusions(MOST_EXCLUSIONS)):
        sight = judge(fine).sight
        assert sight.hidden
        assert sight.unread == ""
    for large in (build_crowd(2, MOST_ENTRIES // 2), build_exclusions(MOST_EXCLUSIONS + 1)):
        sight = judge(large).sight
        assert (sight.hidden, sight.partly_hidden) == ((), ())
        assert sight.unread == (
            "Sidecar large is not looked at because it has more than 2000 listeners and hosts in "
            "egress, or listeners of one port with more than 16 different sets of exclusions"
        )
    one, other = (
        {**large, "spec": {**large["spec"], "workloadSelector": {"labels": {"app": app}}}}
        for app in ("a", "b")
    )
    assert "large, for pods with app=a, is not looked at, like 1 more, because" in (
        judge(one, other).sight.unread
    )
