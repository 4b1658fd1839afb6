"""One port with plain HTTP to one host and TLS to another: each gets through, and nothing else.

What EG209 and EG210 refuse on 443 and 80 hurts no other host: only those who speak otherwise.
"""

import time

import pytest

from mesh.traffic.policy import CHECKOUT, build_entry
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT

pytestmark = [pytest.mark.mesh, pytest.mark.long("contract")]

PLAIN, SEALED, UNKNOWN = "api.example", "db.example", "other.example"
AGE_S = 1.1
"""Ages count in seconds."""


def build_entries(number: int) -> tuple[Object, Object]:
    plain = {"number": number, "protocol": "HTTP", "targetPort": 80}
    sealed = {"number": number, "protocol": "TLS", "targetPort": 443}
    return (
        build_entry("plain", PLAIN, ports=(plain,)),
        build_entry("sealed", SEALED, ports=(sealed,)),
    )


@pytest.mark.parametrize("older", ["plain", "sealed"])
@pytest.mark.parametrize("number", [80, 443, 9200])
def test_both_get_through_and_nothing_else(mesh: Mesh, number: int, older: str) -> None:
    entries = build_entries(number)
    for entry in entries if older == "plain" else reversed(entries):
        mesh.apply(entry)
        time.sleep(AGE_S)
    mesh.settle()

    mesh.expect(CHECKOUT, f"GET http://{PLAIN}:{number}/", DIRECT)
    mesh.expect(CHECKOUT, f"GET https://{SEALED}:{number}/", DIRECT)
    for scheme in ("http", "https"):
        mesh.expect(CHECKOUT, f"GET {scheme}://{UNKNOWN}:{number}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{SEALED}:{number}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET https://{PLAIN}:{number}/", BLOCKED)
