"""The requests of the demo: each must come out as it should, and is counted."""

from dataclasses import dataclass

from demo.outcome import describe_request
from demo.tally import Tally
from demo.text import NO_BREAK
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, REACHED, VIA_GATEWAY
from testbed.rig import APP, BATCH, CHECKOUT
from testbed.sample import Sample

CLIENT = CHECKOUT.key
NEIGHBOUR = BATCH.key
"""Another pod of the same namespace, with another service account."""
STRANGER = APP.key
"""A pod of another team."""


@dataclass(frozen=True)
class Traffic:
    """Makes requests; each method returns a line. Raises AssertionError with what was seen."""

    mesh: Mesh
    tally: Tally

    def block(self, call: str) -> str:
        """Make a request of the client that must be blocked, because no policy names the host."""
        outcome = self.mesh.expect(CLIENT, call, BLOCKED, times=1)
        self.tally.blocked += 1
        return describe_request(CLIENT, call, outcome)

    def reach(self, call: str, sample: Sample | None = None, *, by_gateway: bool = False) -> str:
        """Make a request of the client that must reach its server, or one of a sample's servers."""
        verdict = VIA_GATEWAY if by_gateway else DIRECT
        server = "" if sample is not None and sample.servers else None
        outcome = self.mesh.expect(CLIENT, call, verdict, server=server)
        self.tally.reached += 1
        text = describe_request(CLIENT, call, outcome, has_peer=self._is_new(outcome.peer))
        return text.replace("from ", f"from{NO_BREAK}")

    def refuse(self, workload: str, call: str) -> str:
        """Make a request that must not reach a server."""
        outcome = self.mesh.request(workload, call)
        if outcome.verdict in REACHED:
            raise AssertionError(f"{workload}: {call} must be refused, but: {outcome}")
        self.tally.refused += 1
        return describe_request(workload, call, outcome)

    def _is_new(self, peer: str) -> bool:
        """Whether no line has shown this address yet; from now on one has."""
        is_new = peer not in self.tally.peers
        self.tally.peers.add(peer)
        return is_new
