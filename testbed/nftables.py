"""Rules for packets, written to the kernel by netlink: neither nft nor iptables takes part."""

import os
import socket
import struct
from collections.abc import Iterator, Sequence

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NLMSG_ERROR
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELTABLE,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWTABLE,
    nft_chain_msg,
    nft_rule_msg,
    nft_table_msg,
)

from testbed.expression import build_expressions
from testbed.rule import Chain, Family, Rule

TABLE = "egress-testbed"
TIMEOUT_S = 10.0
HOOKS = {"prerouting": 0, "output": 3}
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NETFILTER = 12
"""The netlink protocol of the packet filter."""
HEADER = struct.Struct("=IHHII")
"""`struct nlmsghdr`: length, type, flags, number, sender."""
ERROR = struct.Struct("=i")


def write_chains(chains: Sequence[Chain], family: Family = Family.IPV4) -> None:
    """Replace our table of this thread's network namespace, for one IP version, at one stroke.

    Raises OSError with the kernel's words.
    """
    commands = [
        # Only what exists can be deleted.
        _build_message(nft_table_msg, NFT_MSG_NEWTABLE, name=TABLE),
        _build_message(nft_table_msg, NFT_MSG_DELTABLE, name=TABLE),
        _build_message(nft_table_msg, NFT_MSG_NEWTABLE, name=TABLE),
    ]
    for chain in chains:
        commands.append(_build_chain(chain))
        commands += [_build_rule(chain, rule, family) for rule in chain.rules]
    _send(commands, family)


def _build_chain(chain: Chain) -> nfgen_msg:
    hook = [("NFTA_HOOK_HOOKNUM", HOOKS[chain.hook]), ("NFTA_HOOK_PRIORITY", chain.priority)]
    return _build_message(
        nft_chain_msg,
        NFT_MSG_NEWCHAIN,
        table=TABLE,
        name=chain.name,
        hook={"attrs": hook},
        type=chain.kind,
    )


def _build_rule(chain: Chain, rule: Rule, family: Family) -> nfgen_msg:
    return _build_message(
        nft_rule_msg,
        NFT_MSG_NEWRULE,
        table=TABLE,
        chain=chain.name,
        expressions=build_expressions(rule, family),
    )


def _build_message(kind: type[nfgen_msg], number: int, **attributes: object) -> nfgen_msg:
    message = kind()
    message["attrs"] = [[kind.name2nla(name), value] for name, value in attributes.items()]
    message["header"]["type"] = NFNL_SUBSYS_NFTABLES << 8 | number
    message["header"]["flags"] = NLM_F_CREATE | NLM_F_APPEND
    return message


def _send(commands: Sequence[nfgen_msg], family: Family) -> None:
    """Send one transaction and wait for its end.

    pyroute2's own socket would wait for ever where the whole of it is refused: the answer then
    bears the number of the first message, which asks for none.
    """
    batch = [_build_boundary(BATCH_BEGIN), *commands, _build_boundary(BATCH_END)]
    last = len(commands)
    for number, message in enumerate(batch):
        message["header"]["flags"] |= NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
        message["header"]["sequence_number"] = number
        message["nfgen_family"] = int(family)
        message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as channel:
        channel.settimeout(TIMEOUT_S)
        channel.send(b"".join(bytes(message.data) for message in batch))
        while last not in _read_numbers(channel.recv(1 << 16)):
            pass


def _build_boundary(kind: int) -> nfgen_msg:
    message = nfgen_msg()
    message["header"]["type"] = kind
    message["header"]["flags"] = 0
    message["res_id"] = NFNL_SUBSYS_NFTABLES
    return message


def _read_numbers(data: bytes) -> Iterator[int]:
    """Numbers of the messages that are acknowledged. Raises OSError for one that is refused."""
    while data:
        length, kind, _, number, _ = HEADER.unpack_from(data)
        if kind == NLMSG_ERROR:
            (error,) = ERROR.unpack_from(data, HEADER.size)
            if error:
                raise OSError(-error, os.strerror(-error), TABLE)
            yield number
        data = data[(length + 3) & ~3 :]
