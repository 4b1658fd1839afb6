"""What a proxy writes into its access log of calls that are blocked, refused, or let out."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, TLS, build_destination, build_policy
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DENIED_403, DIRECT, REACHED, Verdict, call
from testbed.rig import ALLOW_ANY

pytestmark = pytest.mark.mesh

PAGE = Path(__file__).parents[3] / "docs" / "use" / "blocked.md"
KNOWN, UNKNOWN = "api.example", "other.example"
METADATA = "169.254.169.254"
TIMEOUT_S = 15.0


def wait_logged(mesh: Mesh, text: str, verdict: Verdict, is_it: Callable[[str], bool]) -> None:
    """Make a call until it ends so, and wait for a line of the log of this call."""
    mesh.expect(
        CHECKOUT, call(text, timeout_s=3), verdict, server="" if verdict in REACHED else None
    )

    def look() -> bool:
        lines = mesh.members[CHECKOUT].read_access_log()
        assert any(map(is_it, lines)), "\n".join(lines)
        return True

    wait_until(look, TIMEOUT_S, f"no such line of {text}")


@pytest.fixture
def known(operated: OperatedMesh) -> None:
    """Open a host, so that proxies listen for HTTP and TLS."""
    operated.apply(build_policy("known", build_destination(KNOWN, ports=(HTTP, TLS))))


@pytest.mark.usefixtures("known")
def test_what_is_blocked(mesh: Mesh) -> None:
    wait_logged(
        mesh,
        f"GET http://{UNKNOWN}/",
        BLOCKED,
        lambda line: " 502 " in line and line.endswith(" block_all") and f'"{UNKNOWN}"' in line,
    )
    wait_logged(
        mesh,
        f"GET https://{UNKNOWN}/",
        BLOCKED,
        lambda line: "BlackHoleCluster" in line and f" {UNKNOWN} " in line,
    )
    wait_logged(mesh, f"TCP {UNKNOWN}:9000", BLOCKED, lambda line: "BlackHoleCluster" in line)


@pytest.mark.usefixtures("known")
def test_what_is_let_out(mesh: Mesh) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        wait_logged(
            mesh,
            f"GET http://{UNKNOWN}/",
            DIRECT,
            lambda line: line.endswith(" allow_any") and f'"{UNKNOWN}"' in line,
        )
        wait_logged(
            mesh,
            f"GET https://{UNKNOWN}/",
            DIRECT,
            lambda line: "PassthroughCluster" in line and f" {UNKNOWN} " in line,
        )
        wait_logged(mesh, f"TCP {UNKNOWN}:9000", DIRECT, lambda line: "PassthroughCluster" in line)


def test_what_a_policy_refuses(operated: OperatedMesh, mesh: Mesh) -> None:
    policy = build_policy("chosen", build_destination(KNOWN, ports=(HTTP, TLS)))
    policy["spec"]["from"] = {"workloads": {"matchLabels": {"app": "batch"}}}
    operated.apply(policy)
    wait_logged(
        mesh,
        f"GET http://{KNOWN}/",
        DENIED_403,
        lambda line: " 403 " in line and line.endswith(f" {KNOWN}:80/refused"),
    )
    assert "not among those that an EgressPolicy allows" in (
        mesh.request(CHECKOUT, f"GET http://{KNOWN}/").body
    )
    wait_logged(
        mesh,
        f"GET https://{KNOWN}/",
        BLOCKED,
        lambda line: " UH " in line and f" outbound|443||{KNOWN} " in line,
    )


@pytest.mark.usefixtures("known")
def test_the_telemetry_of_the_page_logs_what_is_blocked_and_no_more(mesh: Mesh) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    mesh.apply(text)
    mesh.settle()
    mesh.expect(CHECKOUT, f"GET http://{KNOWN}/before", DIRECT)
    for host, verdict in ((KNOWN, DIRECT), (UNKNOWN, BLOCKED)):
        mesh.expect(CHECKOUT, f"GET http://{host}/logged", verdict)
        mesh.expect(CHECKOUT, f"GET https://{host}/", verdict)

    def look() -> bool:
        lines = mesh.members[CHECKOUT].read_access_log(UNKNOWN)
        assert any("/logged" in line and line.endswith(" block_all") for line in lines), lines
        assert any("BlackHoleCluster" in line for line in lines), lines
        return True

    wait_until(look, TIMEOUT_S, "it is not logged")
    assert not [line for line in mesh.members[CHECKOUT].read_access_log(KNOWN) if "/logged" in line]


@pytest.mark.usefixtures("known")
def test_the_metadata_service_is_blocked(mesh: Mesh) -> None:
    mesh.expect(CHECKOUT, call(f"GET http://{METADATA}/", address=METADATA), BLOCKED)
