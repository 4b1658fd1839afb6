"""The rules of the capture as data: their order, and how the kernel is told of them."""

import struct
from ipaddress import ip_address

import pytest
from pyroute2.netlink.nfnetlink.nftsocket import nft_rule_msg

from testbed.capture import PROXY_ID, build_capture_chain, build_zone_chains
from testbed.expression import Expression, build_expressions
from testbed.rule import DestinationNat, Family, Redirect, Rule, Verdict, Zone


def read_steps(expressions: list[Expression]) -> list[str]:
    """Name the steps of a rule as the kernel knows them, once encoded and decoded."""
    message = nft_rule_msg()
    message["attrs"] = [["NFTA_RULE_EXPRESSIONS", expressions]]
    message.encode()
    decoded = nft_rule_msg(bytes(message.data))
    decoded.decode()
    return [item.get_attr("NFTA_EXPR_NAME") for item in decoded.get_attr("NFTA_RULE_EXPRESSIONS")]


def read_values(expressions: list[Expression]) -> list[bytes]:
    """Read what a rule compares with and sets."""
    found = []
    for item in expressions:
        attributes = dict(dict(item["attrs"])["NFTA_EXPR_DATA"]["attrs"])
        for name in ("NFTA_CMP_DATA", "NFTA_IMMEDIATE_DATA"):
            if name in attributes:
                found += [value for _, value in attributes[name]["attrs"]]
    return found


def test_the_capture_leaves_out_the_proxy_and_loopback_before_it_takes_the_rest() -> None:
    chain = build_capture_chain(Family.IPV4)

    *left_out, last = chain.rules
    assert (chain.kind, chain.hook, chain.priority) == ("nat", "output", -100)
    assert {rule.verdict for rule in left_out} == {Verdict.ACCEPT}
    assert [rule.user or rule.group for rule in left_out].count(PROXY_ID) == 2
    assert last == Rule(Redirect(15001), protocol="tcp")


def test_with_names_captured_the_proxy_s_own_queries_are_not() -> None:
    first, *rest = build_capture_chain(Family.IPV4, dns=True).rules

    assert first.verdict == Redirect(15053)
    assert (first.protocol, first.destination_port, first.other_user) == ("udp", 53, PROXY_ID)
    assert tuple(rest) == build_capture_chain(Family.IPV4).rules


def test_zones_are_set_before_connections_are_tracked() -> None:
    for chain in build_zone_chains():
        # Tracking begins at -200.
        assert chain.priority < -200
        assert all(isinstance(rule.verdict, Zone) for rule in chain.rules)


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        (Rule(Verdict.ACCEPT, link="lo"), ["meta", "cmp", "immediate"]),
        (Rule(Verdict.REJECT, destination="10.0.0.1"), ["payload", "cmp", "reject"]),
        (Rule(Verdict.REJECT, destination="10.0.0.0/8"), ["payload", "bitwise", "cmp", "reject"]),
        (Rule(Verdict.RESET, protocol="tcp"), ["meta", "cmp", "reject"]),
        (Rule(Verdict.ACCEPT, established=True), ["ct", "bitwise", "cmp", "immediate"]),
        (Rule(Redirect(80), protocol="tcp"), ["meta", "cmp", "immediate", "redir"]),
        (Rule(DestinationNat("10.0.0.1", 80)), ["immediate", "immediate", "nat"]),
        (Rule(Zone(1), user=7), ["meta", "cmp", "immediate", "ct"]),
    ],
)
def test_each_condition_and_verdict_has_its_steps(rule: Rule, steps: list[str]) -> None:
    assert read_steps(build_expressions(rule, Family.IPV4)) == steps


def test_numbers_are_in_the_order_that_the_kernel_compares() -> None:
    rule = Rule(
        DestinationNat("10.10.1.3", 8099),
        protocol="tcp",
        source="10.0.0.0/8",
        destination_port=80,
        user=1000,
    )

    assert read_values(build_expressions(rule, Family.IPV4)) == [
        struct.pack("=I", 1000),
        ip_address("10.0.0.0").packed,
        bytes([6]),
        b"\0\x50",
        ip_address("10.10.1.3").packed,
        b"\x1f\xa3",
    ]
