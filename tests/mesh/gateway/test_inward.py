"""Outside names that lead inside: to the gateway itself, to a Service, to the cloud's metadata."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mesh.gateway.tenant import build_gateway_policy
from mesh.traffic.world import APP, CHECKOUT, World, build_destination
from testbed.client import ApiError, Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.network import HOST_ADDRESS, Netns, write_rules
from testbed.process import start_process
from testbed.request import REACHED, UNAVAILABLE_503, VIA_GATEWAY, Outcome, call
from testbed.sweep import PREFIX

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
    world: World, mesh: Mesh, shared: Object
) -> None:
    """The admin interface listens on ports that no policy may name."""
    assert shared
    mesh.names.set("inward.example", "127.0.0.1")
    world.apply(build_gateway_policy("shop/web", build_destination("inward.example")))
    outcome = mesh.request(CHECKOUT, call("GET http://inward.example/", address="198.51.100.77"))
    assert outcome.verdict not in REACHED


def test_a_name_is_followed_to_the_metadata_service_and_its_address_is_refused(
    world: World, mesh: Mesh, shared: Object
) -> None:
    """The operator judges what is written, not what name servers answer: the network must."""
    assert shared
    route = ["ip", "-n", f"{PREFIX}ext", "route", "replace", "local", METADATA, "dev", "lo"]
    subprocess.run(route, check=True, timeout=10)
    mesh.outside.add("metadata.example", address=METADATA)
    world.apply(build_gateway_policy("pay/web", build_destination("metadata.example")))
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
        write_rules(pod.netns, nat=[build_service_rule(app.address)])
        yield pod.netns
        write_rules(pod.netns)


def build_service_rule(endpoint: str) -> str:
    service = f"-d {CLUSTER_IP} -p tcp --dport 80"
    return f"-A OUTPUT {service} -j DNAT --to-destination {endpoint}:{POD_PORT}"


def read_forbidden_ranges() -> list[str]:
    """Read from the NetworkPolicy of the docs what the gateway's pods may not reach."""
    (ranges,) = EXCEPT.findall(DOCS.read_text())
    return [str(item) for item in yaml.safe_load(ranges)]


def test_a_name_is_followed_to_a_service_unless_the_network_forbids_it(
    world: World, mesh: Mesh, shared: Object, inside: Netns
) -> None:
    """Servers that ask for no mutual TLS are open to the gateway, as to every pod."""
    assert shared
    mesh.names.set("inward.example", CLUSTER_IP)
    world.apply(build_gateway_policy("shop/web", build_destination("inward.example")))

    def ask() -> Outcome:
        return mesh.request(CHECKOUT, call("GET http://inward.example/", address="198.51.100.77"))

    wait_until(lambda: ask().body == INSIDE, REACHED_S, "the Service is not reached")
    endpoint = build_service_rule(mesh.members[APP].address)
    forbidden = [f"-A OUTPUT -d {item} -j REJECT" for item in read_forbidden_ranges()]
    allowed = [
        "-A OUTPUT -o lo -j ACCEPT",
        "-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        f"-A OUTPUT -d {HOST_ADDRESS} -j ACCEPT",
    ]
    write_rules(inside, nat=[endpoint], filters=[*allowed, *forbidden])
    wait_until(lambda: ask().verdict is UNAVAILABLE_503, REACHED_S, "the network lets it through")
    world.apply(build_gateway_policy("shop/web", build_destination(HOST)))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
