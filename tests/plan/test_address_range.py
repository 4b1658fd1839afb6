"""Ranges of addresses: who holds what, as the plain rule says that compares each with all."""

from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.object import Owner
from egress_operator.istio.traffic import HostIntent, PortIntent
from egress_operator.plan.address_range import RangeIndex, list_overlaps, parse_range
from egress_operator.plan.claim import ADDRESS_CONFLICT, Claim, judge
from egress_operator.plan.coupling import couple
from egress_operator.plan.network import overlaps
from egress_operator.plan.piece import finish

UNTIMED = settings(deadline=None, max_examples=300)


def _shorten(base: str, length: int) -> str:
    return str(ip_network(f"{base}/{length}", strict=False))


ranges = st.one_of(
    st.builds(
        _shorten,
        st.integers(0, 7).map(lambda number: f"203.0.113.{number}"),
        st.integers(29, 32),
    ).map(lambda text: text.removesuffix("/32")),
    st.builds(
        _shorten,
        st.integers(0, 3).map(lambda number: f"2600::{number}"),
        st.sampled_from([48, 64, 127, 128]),
    ).map(lambda text: text.removesuffix("/128")),
)
texts = st.lists(ranges, min_size=1, max_size=3, unique=True).map(
    lambda found: tuple(sorted(found))
)


@st.composite
def claim_lists(draw: st.DrawFn) -> list[Claim]:
    """Draw claims of some hosts, each with addresses of its own, now and then with others."""
    own = {f"h{number}": draw(texts) for number in range(draw(st.integers(1, 6)))}
    claims = []
    for _ in range(draw(st.integers(1, 14))):
        key = draw(st.sampled_from(sorted(own)))
        addresses = draw(texts) if draw(st.integers(0, 5)) == 0 else own[key]
        claims.append(
            Claim(
                owner=Owner(f"p{draw(st.integers(0, 2))}", ""),
                destination="",
                path="",
                key=key,
                host=key,
                settings=HostIntent(addresses, failover=False, backends=(), location="External"),
                port=PortIntent(draw(st.sampled_from([1, 2])), "TCP", 1, None),
                as_dialled=False,
                ranges=tuple(map(parse_range, addresses)),
            )
        )
    return claims


def judge_plainly(claims: list[Claim]) -> list[tuple[Claim, str]]:
    """Return the claims that are lost and why: each address is compared with all that are held."""
    hosts: dict[str, Claim] = {}
    held: list[tuple[str, Claim]] = []
    lost = []
    for claim in claims:
        first = hosts.get(claim.key)
        if first is not None and first.settings != claim.settings:
            lost.append((claim, "host"))
            continue
        if other := _find_holder(claim, held):
            lost.append((claim, f"{other[1].owner.name} {other[0]} {other[1].host}"))
            continue
        hosts.setdefault(claim.key, claim)
        held += [(text, claim) for text in claim.settings.addresses]
    return lost


def _find_holder(claim: Claim, held: list[tuple[str, Claim]]) -> tuple[str, Claim] | None:
    others = [
        (text, other)
        for text, other in held
        if other.port.number == claim.port.number and other.key != claim.key
    ]
    for text in claim.settings.addresses:
        equal = [(found, other) for found, other in others if found == text]
        network = ip_network(text)
        wide = [item for item in others if overlaps(network, ip_network(item[0]))]
        if equal or wide:
            return (equal or wide)[0]
    return None


def _tell(claim: Claim, code: str, message: str) -> tuple[Claim, str]:
    if code != ADDRESS_CONFLICT:
        return claim, "host"
    who, _, what = message.partition(" because ")[2].partition(" claims ")
    policy = claim.owner.name if who.startswith("this policy") else who.split()[1]
    text, host = what.split(" for ")
    return claim, f"{policy} {text} {host.split('; give')[0]}"


@UNTIMED
@given(claim_lists())
def test_the_index_judges_as_the_plain_rule(claims: list[Claim]) -> None:
    losses = {
        id(loss.claim): _tell(loss.claim, loss.code, loss.message)
        for verdicts in finish(judge(claims)).values()
        for loss in verdicts.lost.values()
    }
    assert [losses[id(claim)] for claim in claims if id(claim) in losses] == judge_plainly(claims)


@UNTIMED
@given(st.lists(ranges, max_size=12), ranges)
def test_the_first_that_overlaps_is_found(texts: list[str], asked: str) -> None:
    version = ip_network(asked).version
    same = [text for text in texts if ip_network(text).version == version]
    index: RangeIndex[str] = RangeIndex()
    for number, text in enumerate(same):
        if number == len(same) // 2:
            index.find(parse_range(asked))
        index.add(parse_range(text), text)
    overlapping = [text for text in same if overlaps(ip_network(text), ip_network(asked))]
    expected = asked if asked in same else next(iter(overlapping), None)
    assert index.find(parse_range(asked)) == expected


@UNTIMED
@given(st.lists(st.tuples(ranges, st.sampled_from("abcdefg")), max_size=14))
def test_keys_are_linked_if_their_ranges_are(places: list[tuple[str, str]]) -> None:
    groups = {key: {key} for _, key in places}
    for text, key in places:
        for other, another in places:
            if overlaps(ip_network(text), ip_network(other)):
                merged = groups[key] | groups[another]
                for member in merged:
                    groups[member] = merged
    links = couple(list_overlaps((parse_range(text), key) for text, key in places))
    assert links.keys() == groups.keys()
    for key, group in groups.items():
        assert group == {other for other in links if links[other] == links[key]}
