"""Objects by hand beside ours: the index finds what comparing each name with each host finds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.plan.host import CompiledHost
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.shadow import find_shadows
from egress_operator.plan.source import HandWritten, NamespaceInput
from rollout.fake_cluster import build_policy, find_host

UNTIMED = settings(deadline=None, max_examples=300)
NOTHING = CompiledHost(None)

labels = st.text("ab-", min_size=1, max_size=2)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
stars = st.one_of(hosts.map("*.{}".format), hosts.map("*{}".format), st.just("*"))
items = st.builds(
    HandWritten,
    kind=st.sampled_from(["VirtualService", "ServiceEntry", "DestinationRule"]),
    name=st.sampled_from(["x", "y"]),
    created=st.just(""),
    hosts=st.lists(st.one_of(hosts, stars), max_size=4).map(tuple),
)


def matches(item: HandWritten, name: str, host: str) -> bool:
    """Tell by the plain rule whether a name of an object is also that of a host."""
    if not name.startswith("*"):
        return name == host
    return item.kind == "VirtualService" and host.endswith(name[1:])


@UNTIMED
@given(st.lists(items, max_size=6), st.sets(st.one_of(hosts, stars), max_size=8))
def test_the_index_finds_what_the_plain_rule_finds(
    hand_written: list[HandWritten], ours: set[str]
) -> None:
    found = find_shadows(hand_written, dict.fromkeys(ours, NOTHING))
    expected = {
        host: {
            (item.kind, item.name, name)
            for item in hand_written
            for name in item.hosts
            if matches(item, name, host)
        }
        for host in ours
    }
    assert found.keys() == {host for host, named in expected.items() if named}
    for host, sentences in found.items():
        assert list(sentences) == sorted(set(sentences))
        assert len(sentences) == len(expected[host])
        for kind, name, by in expected[host]:
            told = host if by == host else f"{host} (by {by})"
            start = f"{kind} {name}, written by hand, also names {told}: "
            assert any(sentence.startswith(start) for sentence in sentences)


def test_an_object_with_the_name_of_one_of_ours_is_no_shadow() -> None:
    policy = build_policy("p", {"hosts": ["a.example.com"]})
    plan = plan_namespace(NamespaceInput(policy.namespace, (policy,)))
    group = find_host(plan, "a.example.com")
    entry = group.objects[0].key
    squatter = HandWritten(entry.kind, entry.name, "", ("a.example.com",))
    assert find_shadows([squatter], {"a.example.com": CompiledHost(group)}) == {}
