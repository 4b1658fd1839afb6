"""The steps of a rule for packets, as the kernel runs them and pyroute2 encodes them. Pure."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any, assert_never

from pyroute2.netlink.nfnetlink.nftsocket import Cmp, Meta, Regs
from pyroute2.nftables.expressions import genex, verdict

from testbed.rule import DestinationNat, Family, Redirect, Rule, Verdict, Zone

Expression = dict[str, Any]
"""One step: it loads, changes or compares a register, or ends the rule."""

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
REGISTER, SECOND_REGISTER = Regs.NFT_REG_1, Regs.NFT_REG_2
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
SOURCE_OFFSETS = {Family.IPV4: 12, Family.IPV6: 8}
DESTINATION_OFFSETS = {Family.IPV4: 16, Family.IPV6: 24}
SOURCE_PORT_OFFSET, DESTINATION_PORT_OFFSET, PORT_LENGTH = 0, 2, 2
LINK_NAME_LENGTH = 16
ACCEPT = 1
DESTINATION_NAT = 1
ICMP_UNREACHABLE = 0
TCP_RESET = 1
PORT_UNREACHABLE = {Family.IPV4: 3, Family.IPV6: 4}
CT_STATE, CT_ZONE = 0x00, 0x11
ESTABLISHED_OR_RELATED = 0b110


def build_expressions(rule: Rule, family: Family) -> list[Expression]:
    """Build the steps of a rule: what a packet must have, then its verdict. Pure."""
    return [*_build_conditions(rule, family), *_build_verdict(rule, family)]


def _build_conditions(rule: Rule, family: Family) -> Iterator[Expression]:
    if rule.link is not None:
        name = rule.link.encode().ljust(LINK_NAME_LENGTH, b"\0")
        yield from _compare_meta(Meta.NFT_META_OIFNAME, name)
    for key, number, operator in (
        (Meta.NFT_META_SKUID, rule.user, Cmp.NFT_CMP_EQ),
        (Meta.NFT_META_SKUID, rule.other_user, Cmp.NFT_CMP_NEQ),
        (Meta.NFT_META_SKGID, rule.group, Cmp.NFT_CMP_EQ),
    ):
        if number is not None:
            yield from _compare_meta(key, struct.pack("=I", number), operator)
    for network, offset in (
        (rule.source, SOURCE_OFFSETS[family]),
        (rule.destination, DESTINATION_OFFSETS[family]),
    ):
        if network is not None:
            yield from _compare_network(network, offset)
    if rule.protocol is not None:
        yield from _compare_meta(Meta.NFT_META_L4PROTO, bytes([PROTOCOLS[rule.protocol]]))
    for port, offset in (
        (rule.source_port, SOURCE_PORT_OFFSET),
        (rule.destination_port, DESTINATION_PORT_OFFSET),
    ):
        if port is not None:
            yield _load(TRANSPORT_HEADER, offset, PORT_LENGTH)
            yield _compare(struct.pack("!H", port))
    if rule.established:
        state = struct.pack("=I", ESTABLISHED_OR_RELATED)
        yield genex("ct", {"dreg": REGISTER, "key": CT_STATE})
        yield _mask(state)
        yield _compare(bytes(len(state)), Cmp.NFT_CMP_NEQ)


def _build_verdict(rule: Rule, family: Family) -> Iterator[Expression]:
    match rule.verdict:
        case Verdict.ACCEPT:
            yield from verdict(ACCEPT)
        case Verdict.REJECT:
            code = PORT_UNREACHABLE[family]
            yield genex("reject", {"type": ICMP_UNREACHABLE, "icmp_code": code})
        case Verdict.RESET:
            yield genex("reject", {"type": TCP_RESET, "icmp_code": 0})
        case Redirect(port):
            yield _set(REGISTER, struct.pack("!H", port))
            yield genex("redir", {"reg_proto_min": REGISTER})
        case DestinationNat(address, port):
            yield _set(REGISTER, ip_address(address).packed)
            yield _set(SECOND_REGISTER, struct.pack("!H", port))
            yield genex(
                "nat",
                {
                    "type": DESTINATION_NAT,
                    "family": int(family),
                    "reg_addr_min": REGISTER,
                    "reg_proto_min": SECOND_REGISTER,
                },
            )
        case Zone(number):
            yield _set(REGISTER, struct.pack("=H", number))
            yield genex("ct", {"key": CT_ZONE, "sreg": REGISTER})
        case other:
            assert_never(other)


def _compare_network(text: str, offset: int) -> Iterator[Expression]:
    network = ip_network(text)
    address = network.network_address.packed
    yield _load(NETWORK_HEADER, offset, len(address))
    if network.prefixlen < network.max_prefixlen:
        yield _mask(network.netmask.packed)
    yield _compare(address)


def _compare_meta(key: Meta, content: bytes, operator: Cmp = Cmp.NFT_CMP_EQ) -> list[Expression]:
    return [genex("meta", {"key": key, "dreg": REGISTER}), _compare(content, operator)]


def _load(base: int, offset: int, length: int) -> Expression:
    step: Expression = genex(
        "payload", {"dreg": REGISTER, "base": base, "offset": offset, "len": length}
    )
    return step


def _mask(mask: bytes) -> Expression:
    step: Expression = genex(
        "bitwise",
        {
            "sreg": REGISTER,
            "dreg": REGISTER,
            "len": len(mask),
            "mask": _build_data(mask),
            "xor": _build_data(bytes(len(mask))),
        },
    )
    return step


def _compare(content: bytes, operator: Cmp = Cmp.NFT_CMP_EQ) -> Expression:
    step: Expression = genex(
        "cmp", {"sreg": REGISTER, "op": operator, "data": _build_data(content)}
    )
    return step


def _set(register: Regs, content: bytes) -> Expression:
    step: Expression = genex("immediate", {"dreg": register, "data": _build_data(content)})
    return step


def _build_data(content: bytes) -> Expression:
    return {"attrs": [("NFTA_DATA_VALUE", content)]}
