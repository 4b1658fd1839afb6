"""Outside servers that are down for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from testbed.mesh import Mesh
from testbed.netns import run_inside
from testbed.nftables import write_chains
from testbed.rule import Chain, Rule, Verdict


@contextmanager
def down(mesh: Mesh, *hosts: str) -> Iterator[None]:
    """Let nobody reach these servers: open connections end, and new ones are refused at once."""
    _refuse(mesh, *hosts)
    try:
        yield
    finally:
        _refuse(mesh)


def _refuse(mesh: Mesh, *hosts: str) -> None:
    """Replace the rules of the outside, which has none of its own."""
    rules = tuple(
        Rule(Verdict.RESET, protocol="tcp", destination=mesh.outside.address_of(host))
        for host in hosts
    )
    chains = [Chain("outage", "prerouting", "filter", 0, rules)] if rules else []
    run_inside(mesh.outside.netns.name, lambda: write_chains(chains))
