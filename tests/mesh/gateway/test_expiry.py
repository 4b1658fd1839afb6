"""The end of a policy at the server, directly and through a gateway: with `expiresAt` and without.

`trial` has the field, `lasting` is the same without it; both name one host. What `trial` alone
names is refused after its time, and no request is lost of the rest.
"""

import time
from datetime import UTC, datetime, timedelta

import pytest

from egress_operator.plan.source import PAUSED_ANNOTATION
from mesh.gateway.way import Way
from mesh.traffic.policy import CHECKOUT, HTTP, TCP, TLS, build_destination
from mesh.traffic.stream import Load
from testbed.client import Object
from testbed.request import BLOCKED

pytestmark = pytest.mark.mesh

COMMON = "common.example"
TEXTS = {
    "web": ("GET http://web-{}.example/", HTTP),
    "secure": ("GET https://secure-{}.example/", TLS),
    "raw": ("TCP raw-{}.example:5432", TCP),
}
"""One host for each kind of port, and how it is called."""
LIFE_S = 10.0
"""Between the edit that sets the time and the end: calls are made before."""
REMOVED_S = 2.0
TAKEN_S = 3.0
"""For proxies to hear of it, on a machine with much to do."""


def list_calls(name: str) -> list[str]:
    return [text.format(name) for text, _ in TEXTS.values()]


def build_destinations(way: Way, name: str) -> list[Object]:
    """Build a destination for each kind of port, and one for what both policies name."""
    destinations = [build_destination(COMMON)]
    for kind, (_, port) in TEXTS.items():
        host = f"{kind}-{name}.example"
        address = way.mesh.outside.add(host)
        addresses = [address] if port is TCP else []
        destinations.append(build_destination(host, ports=(port,), addresses=addresses))
    return destinations


def pause(way: Way, value: str | None) -> None:
    policy = way.operated.policy("trial")
    way.operated.client.merge_patch(
        policy, {"metadata": {"annotations": {PAUSED_ANNOTATION: value}}}
    )


def write_time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


@pytest.mark.parametrize("paused", [False, True], ids=["at work", "paused"])
def test_its_calls_end_with_a_policy_and_no_others(way: Way, *, paused: bool) -> None:
    way.mesh.outside.add(COMMON)
    trial = build_destinations(way, "trial")
    way.apply("lasting", *build_destinations(way, "lasting"))
    way.apply("trial", *trial, expiresAt=write_time(datetime.now(UTC) + timedelta(hours=1)))
    for text in (*list_calls("trial"), *list_calls("lasting"), f"GET http://{COMMON}/"):
        way.mesh.expect(CHECKOUT, text, way.verdict)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LIFE_S)
    way.apply("trial", *trial, expiresAt=write_time(ends))
    if paused:
        way.operated.wait_ready("trial")
        pause(way, "true")
        way.operated.wait_condition("trial", "Paused", "True")
    others = ["GET http://web-lasting.example/", f"GET http://{COMMON}/"]
    with Load(way.mesh, {CHECKOUT: others}, fine=frozenset({way.verdict})) as load:
        load.wait(30)
        for text in list_calls("trial"):
            assert way.mesh.request(CHECKOUT, text).verdict is way.verdict
        assert datetime.now(UTC) < ends
        time.sleep((ends - datetime.now(UTC)).total_seconds() + REMOVED_S)
        for text in list_calls("trial"):
            way.mesh.expect(CHECKOUT, text, BLOCKED, within_s=TAKEN_S)
        load.wait(120)
    assert load.lost == []
    way.operated.wait_condition("trial", "Ready", "False", "Expired")
    assert way.operated.children("trial") == []
    for text in list_calls("lasting"):
        way.mesh.expect(CHECKOUT, text, way.verdict)

    pause(way, None)
    way.apply("trial", *trial, expiresAt=write_time(ends + timedelta(hours=1)))
    for text in list_calls("trial"):
        way.mesh.expect(CHECKOUT, text, way.verdict)
