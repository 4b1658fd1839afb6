"""Outside names that lead inside: to the gateway itself, to a Service, to the cloud's metadata."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mesh.gateway.tenant import build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, CHECKOUT, build_destination
from testbed.client import ApiError, Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.netns import Netns, run_inside
from testbed.network import route_outside
from testbed.nftables import write_chains
from testbed.process import start_process
from testbed.request import REACHED, UNAVAILABLE_503, VIA_GATEWAY, Outcome, call
from testbed.rule import Chain, DestinationNat, Rule, Verdict

pytestmark = pytest.mark.mesh

HOST = "api.example"
METADATA = "169.254.169.254"
"""Where clouds tell machines of their rights."""
CLUSTER_IP, POD_PORT = "10.96.0.77", 8099
INSIDE = "for the inside alone"
REACHED_S = 20.0
DOCS = Path(__file__).parents[3] / "docs/operate/gateways.md"
EXCEPT = re.compile(r"cidr: 0\.0\.0\.0/0\n +except: (.+)")


def test_a_host_that_leads_to_the_gateway_itself_reaches_nothing(
    operated: OperatedMesh, mesh: Mesh, shared: Object
) -> None:
    """The admin interface listens on ports that no policy may name."""
    assert shared
    mesh.names.set("inward.example", "127.0.0.1")
    operated.apply(build_gateway_policy("shop/web", build_destination("inward.example")))
    outcome = mesh.request(CHECKOUT, call("GET http://inward.example/", address="198.51.100.77"))
    assert outcome.verdict not in REACHED


def test_a_name_is_followed_to_the_metadata_service_and_its_address_is_refused(
    operated: OperatedMesh, mesh: Mesh, shared: Object
) -> None:
    """The operator judges what is written, not what name servers answer: the network must."""
    assert shared
    route_outside(mesh.outside.netns, METADATA)
    mesh.outside.add("metadata.example", address=METADATA)
    operated.apply(build_gateway_policy("pay/web", build_destination("metadata.example")))
    mesh.expect(APP, "GET http://metadata.example/", VIA_GATEWAY)
    for more in (
        {"addresses": [METADATA]},
        {"backends": [{"name": "x", "endpoints": [{"address": METADATA}]}]},
    ):
        with pytest.raises(ApiError, match="metadata"):
            mesh.apply(build_gateway_policy("pay/web", build_destination(HOST, **more)))


@pytest.fixture
def inside(mesh: Mesh, gateway: Gateway, tmp_path: Path) -> Iterator[Netns]:
    """Give a Service of the cluster without mutual TLS, and the namespace of a gateway's pod.

    Its cluster IP leads the pod to an endpoint by the rule that kube-proxy would write.
    """
    app = mesh.members[APP]
    (tmp_path / "index.html").write_text(INSIDE)
    server = ("-m", "http.server", str(POD_PORT), "--bind", app.address, "--directory", tmp_path)
    argv = app.netns.command(sys.executable, *server)
    (pod,) = gateway.members
    with start_process("inside server", argv, log=tmp_path / "log"):
        replace_chains(pod.netns, build_service_chain(app.address))
        yield pod.netns
        replace_chains(pod.netns)


def build_service_chain(endpoint: str) -> Chain:
    target = DestinationNat(endpoint, POD_PORT)
    rule = Rule(target, protocol="tcp", destination=CLUSTER_IP, destination_port=80)
    return Chain("service", "output", "nat", -100, (rule,))


def build_forbidding_chain(allowed: str) -> Chain:
    """Forbid what the docs forbid, but for connections that are open and the address `allowed`."""
    rules = (
        Rule(Verdict.ACCEPT, link="lo"),
        Rule(Verdict.ACCEPT, established=True),
        Rule(Verdict.ACCEPT, destination=allowed),
        *(Rule(Verdict.REJECT, destination=item) for item in read_forbidden_ranges()),
    )
    return Chain("policy", "output", "filter", 0, rules)


def replace_chains(netns: Netns, *chains: Chain) -> None:
    """Replace the rules of a namespace that captures nothing."""
    run_inside(netns.name, lambda: write_chains(chains))


def read_forbidden_ranges() -> list[str]:
    """Read from the NetworkPolicy of the docs what the gateway's pods may not reach."""
    (ranges,) = EXCEPT.findall(DOCS.read_text())
    return [str(item) for item in yaml.safe_load(ranges)]


def test_a_name_is_followed_to_a_service_unless_the_network_forbids_it(
    operated: OperatedMesh, mesh: Mesh, shared: Object, inside: Netns
) -> None:
    """Servers that ask for no mutual TLS are open to the gateway, as to every pod."""
    assert shared
    mesh.names.set("inward.example", CLUSTER_IP)
    operated.apply(build_gateway_policy("shop/web", build_destination("inward.example")))

    def ask() -> Outcome:
        return mesh.request(CHECKOUT, call("GET http://inward.example/", address="198.51.100.77"))

    wait_until(lambda: ask().body == INSIDE, REACHED_S, "the Service is not reached")
    service = build_service_chain(mesh.members[APP].address)
    replace_chains(inside, service, build_forbidding_chain(mesh.addresses.host))
    wait_until(lambda: ask().verdict is UNAVAILABLE_503, REACHED_S, "the network lets it through")
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST)))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
