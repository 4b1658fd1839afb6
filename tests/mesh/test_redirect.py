"""Where the rules of the testbed lead the connections of a workload, told by packets."""

import sys

import pytest
from pyroute2.nftables.main import NFTables

from testbed import linux, netns
from testbed.capture import PROXY_PORT
from testbed.nftables import write_chains
from testbed.rule import Chain, Redirect, Rule

from .redirect import CALLS
from .sandbox import run_in_sandbox

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.long("testbed"),
    pytest.mark.usefixtures("machine"),
]

EXPECTED_ENDS = {
    "an application calls outside": "captured on its way to 198.51.100.7 80",
    "an application calls outside by IPv6": "captured on its way to 2001:db8::7 80",
    "the proxy calls outside": "left",
    "the proxy calls outside by IPv6": "left",
    "the proxy's group calls outside": "left",
    "an application calls itself": "arrived",
    "an application calls itself by IPv6": "arrived",
    "an application calls its own address": "arrived",
    "the proxy calls its application": "arrived",
}


@pytest.mark.parametrize(
    ("taken", "expected"),
    [("", "10.10.0.0/16"), ("10.10.3.1/24", "10.11.0.0/16")],
    ids=["free", "taken"],
)
def test_the_proxy_gets_what_others_send(taken: str, expected: str) -> None:
    """Also where this machine has a way into the usual range: the network takes another one."""
    told = run_in_sandbox(f"{sys.executable} -P -m mesh.redirect {taken}")

    (network,), ends, remains = told
    assert network == expected
    assert dict(zip(CALLS, ends, strict=True)) == EXPECTED_ENDS
    assert remains == []


def test_a_rule_that_the_kernel_refuses_changes_nothing() -> None:
    rule = Rule(Redirect(PROXY_PORT), protocol="tcp")
    right = Chain("right", "output", "nat", -100, (rule,))
    wrong = Chain("wrong", "output", "filter", 0, (rule,))

    def write() -> list[str]:
        linux.unshare(linux.CLONE_NEWNET)
        write_chains([right])
        with pytest.raises(OSError, match="Operation not supported"):
            write_chains([wrong])
        with NFTables() as channel:
            return [chain.get_attr("NFTA_CHAIN_NAME") for chain in channel.get_chains()]

    assert netns.run_in_thread(write) == ["right"]
