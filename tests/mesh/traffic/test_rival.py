"""DestinationRules by hand for the host of a policy that opens TLS: what is said of them is so."""

import json
import time
from collections.abc import Iterator

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, build_destination, build_entry, build_policy
from plan.rival import POOL, RIVALS, build_rule
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import DIRECT

pytestmark = pytest.mark.mesh

HOST = "api.example"
CALL = f"GET http://{HOST}/"
AGE_S = 1.1
"""Ages count in seconds."""
TIMEOUT_S = 20.0


def read_tls(mesh: Mesh) -> dict[str, bool]:
    """Tell by host whether the proxy opens TLS to it on port 80."""
    dump = json.loads(
        mesh.members[CHECKOUT].ask_proxy("/config_dump?resource=dynamic_active_clusters")
    )
    clusters = (item["cluster"] for item in dump.get("configs", ()))
    return {
        cluster["name"].rpartition("|")[2]: "transport_socket" in cluster
        for cluster in clusters
        if cluster["name"].startswith("outbound|80|")
    }


@pytest.fixture
def rules(mesh: Mesh) -> Iterator[None]:
    """Write for each rival its host, a rule like ours, and the rival, in the order of age."""
    ours = [
        build_rule(
            f"ours-{rival.name}",
            rival.host,
            {
                "exportTo": ["."],
                "trafficPolicy": {
                    "portLevelSettings": [
                        {"port": {"number": 80}, "tls": {"mode": "SIMPLE", "sni": rival.host}}
                    ]
                },
            },
        )
        for rival in RIVALS
    ]
    theirs = [build_rule(rival.name, rival.host, rival.spec) for rival in RIVALS]
    older = [rule for rule, rival in zip(theirs, RIVALS, strict=True) if rival.is_older]
    port = {"number": 80, "protocol": "HTTP", "targetPort": 443}
    mesh.apply(*(build_entry(rival.name, rival.host, ports=(port,)) for rival in RIVALS), *older)
    time.sleep(AGE_S)
    mesh.apply(*ours)
    time.sleep(AGE_S)
    mesh.apply(*(rule for rule in theirs if rule not in older))
    yield
    mesh.delete(*theirs, *ours)


@pytest.mark.long("contract")
@pytest.mark.usefixtures("rules")
def test_istio_follows_the_rule_that_is_said_to_count(mesh: Mesh) -> None:
    expected = {rival.host: not rival.counts for rival in RIVALS}

    def look() -> bool:
        found = read_tls(mesh)
        assert {host: found.get(host) for host in expected} == expected
        return True

    wait_until(look, TIMEOUT_S, "the proxy opens TLS to other hosts")


def test_an_older_rule_takes_tls_away_and_is_told(operated: OperatedMesh, mesh: Mesh) -> None:
    rule = build_rule("by-hand", HOST, {"exportTo": ["."], **POOL})
    mesh.apply(rule)
    time.sleep(AGE_S)

    mesh.apply(
        build_policy(
            "partner", build_destination(HOST, ports=(), originateTLS={"serverName": HOST})
        )
    )

    ready = operated.wait_condition("partner", "Ready", "False", "Overridden")
    assert f"DestinationRule by-hand, written by hand, counts for {HOST}" in ready["message"]
    wait_until(lambda: read_tls(mesh).get(HOST) is False, TIMEOUT_S, "TLS is opened")

    mesh.delete(rule)
    operated.wait_ready("partner")
    answer = mesh.expect(CHECKOUT, CALL, DIRECT).answer
    assert answer is not None
    assert answer.sni == HOST
