"""TLS that the mesh opens for clients that speak no HTTP, directly and through a gateway."""

import pytest

from mesh.gateway.way import Way
from mesh.traffic.policy import CHECKOUT, build_destination
from testbed.client import Object
from testbed.request import BLOCKED, UNREACHABLE

pytestmark = pytest.mark.mesh

REDIS: Object = {"number": 6379, "protocol": "REDIS", "targetPort": 6380}
"""The server speaks TLS at the target."""


def build_cache(way: Way, host: str, **more: object) -> Object:
    """Build a destination for a host that is dialled at its own address."""
    address = way.mesh.outside.address_of(host)
    return build_destination(host, ports=(REDIS,), addresses=[address], **more)


def test_tls_is_opened_from_the_first_byte(way: Way) -> None:
    """And the server's certificate is checked: its authority, and its name."""
    outside = way.mesh.outside
    outside.add("sealed.example")
    outside.add("unsealed.example")
    outside.add("misnamed.example", certificate_for="other.example")
    outside.add("private.example", private=True)
    hosts = ("sealed.example", "misnamed.example", "private.example")
    way.apply(
        "caches",
        *({**build_cache(way, host), "originateTLS": {}} for host in hosts),
        build_cache(way, "unsealed.example"),
    )
    answer = way.mesh.expect(CHECKOUT, "TCP sealed.example:6379", way.verdict).answer
    assert answer is not None
    assert (answer.tls, answer.sni, answer.port) == (True, "sealed.example", 6380)
    way.mesh.settle()
    for host in ("misnamed.example", "private.example"):
        way.mesh.expect(CHECKOUT, f"TCP {host}:6379", BLOCKED)
    # The server waits for TLS.
    way.mesh.expect(CHECKOUT, "TCP unsealed.example:6379", UNREACHABLE, times=1)
