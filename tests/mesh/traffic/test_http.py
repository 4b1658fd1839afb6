"""HTTP: what the proxy does with requests, counted at the server."""

import re

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, build_destination, build_policy
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import DIRECT, TIMEOUT_504, UNAVAILABLE_503, Outcome

pytestmark = pytest.mark.mesh

READY = "GET http://api.example/"


def apply_http(operated: OperatedMesh, **http: object) -> None:
    """Allow api.example with these settings of HTTP, and wait until every proxy has them."""
    operated.apply(build_policy("api", build_destination("api.example", http=http)))
    operated.mesh.expect(CHECKOUT, READY, DIRECT)
    operated.mesh.settle()


def ask(operated: OperatedMesh, path: str) -> tuple[Outcome, int]:
    """Ask once; return what came of it, and how many requests the server has had."""
    outcome = operated.mesh.request(CHECKOUT, f"GET http://api.example{path}")
    return outcome, operated.mesh.outside.count("api.example", path)


def test_a_slow_answer_ends_with_504(operated: OperatedMesh, mesh: Mesh) -> None:
    apply_http(operated, timeout="500ms")

    outcome, _ = ask(operated, "/slow?seconds=4")

    assert outcome.verdict is TIMEOUT_504
    assert outcome.seconds < 4
    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=0", DIRECT)


def test_without_a_timeout_the_proxy_waits(operated: OperatedMesh) -> None:
    apply_http(operated)

    outcome, _ = ask(operated, "/slow?seconds=2")

    assert (outcome.verdict, outcome.status) == (DIRECT, 200)


def test_a_timeout_on_one_port_leaves_the_other_alone(operated: OperatedMesh, mesh: Mesh) -> None:
    other = {"number": 8080, "protocol": "HTTP"}
    operated.apply(
        build_policy(
            "api",
            build_destination("api.example", http={"timeout": "500ms"}),
            build_destination("api.example", ports=(other,)),
        )
    )

    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=3", TIMEOUT_504)
    mesh.expect(CHECKOUT, "GET http://api.example:8080/slow?seconds=1", DIRECT)


RETRIES: tuple[tuple[Object, str, int, int], ...] = (
    ({"attempts": 2, "codes": [503]}, "/fail?times=2&status=503", 200, 3),
    ({"attempts": 1, "codes": [503]}, "/fail?times=2&status=503", 503, 2),
    ({"attempts": 2, "codes": [418]}, "/fail?times=1&status=503", 503, 1),
    ({"attempts": 3, "codes": [429, 500]}, "/fail?times=1&status=429", 200, 2),
    ({"attempts": 2, "conditions": ["5xx"]}, "/fail?times=2&status=500", 200, 3),
    ({"attempts": 2, "conditions": ["gateway-error"]}, "/fail?times=1&status=500", 500, 1),
    ({"attempts": 2, "conditions": ["gateway-error"]}, "/fail?times=1&status=502", 200, 2),
    ({"attempts": 2, "conditions": ["retriable-4xx"]}, "/fail?times=1&status=409", 200, 2),
    ({"attempts": 2, "conditions": ["reset"]}, "/fail?times=2&status=0", 200, 3),
    ({"attempts": 2, "conditions": ["connect-failure"]}, "/fail?times=1&status=0", 503, 1),
    (
        {"attempts": 2, "conditions": ["connect-failure", "reset"], "codes": [503]},
        "/fail?times=1&status=503",
        200,
        2,
    ),
    ({"attempts": 0}, "/fail?times=1&status=503", 503, 1),
    ({"attempts": 0}, "/fail?times=1&status=0", 503, 1),
)
"""The setting, a path that fails, the status in the end, and how often the server is asked."""


def test_the_server_is_asked_again(operated: OperatedMesh, mesh: Mesh) -> None:
    hosts = [f"retried-{number}.example" for number in range(len(RETRIES))]
    for host in hosts:
        mesh.outside.add(host)
    operated.apply(
        build_policy(
            "api",
            *(
                build_destination(host, http={"retries": retries})
                for host, (retries, *_) in zip(hosts, RETRIES, strict=True)
            ),
        )
    )
    for host in hosts:
        mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
    mesh.settle()

    seen = []
    for host, (retries, path, _, _) in zip(hosts, RETRIES, strict=True):
        status = mesh.request(CHECKOUT, f"GET http://{host}{path}").status
        seen.append((retries, path, status, mesh.outside.count(host, path)))

    assert seen == list(RETRIES)


def test_each_try_has_a_time_of_its_own(operated: OperatedMesh) -> None:
    retries = {"attempts": 2, "perTryTimeout": "300ms", "conditions": ["gateway-error"]}
    apply_http(operated, timeout="4s", retries=retries)

    outcome, count = ask(operated, "/slow?seconds=3")

    assert outcome.verdict is TIMEOUT_504
    assert count == 3


@pytest.mark.parametrize(
    ("http", "retried"),
    [({}, 2), ({"timeout": "5s"}, 2), ({"retries": {"attempts": 0}}, 0)],
    ids=["none", "timeout", "attempts-0"],
)
def test_istio_retries_twice_unless_told_otherwise(
    operated: OperatedMesh, mesh: Mesh, http: dict[str, object], retried: int
) -> None:
    nobody = {**HTTP, "targetPort": 81}
    operated.apply(
        build_policy("api", build_destination("api.example", ports=(nobody,), http=http))
    )
    mesh.expect(CHECKOUT, READY, UNAVAILABLE_503)
    mesh.settle()
    before = count_retries(mesh)

    assert mesh.request(CHECKOUT, READY).verdict is UNAVAILABLE_503

    assert count_retries(mesh) - before == retried


def count_retries(mesh: Mesh) -> int:
    """Read the proxy's own count: a refused connection leaves no trace at the server."""
    stats = mesh.members[CHECKOUT].ask_proxy("/stats?filter=upstream_rq_retry$")
    found = re.search(r"^cluster\.outbound\|80\|\|api\.example;?\.\S+: (\d+)$", stats, re.MULTILINE)
    assert found is not None, stats
    return int(found[1])


def test_an_address_is_called_by_itself_under_a_name_that_is_in_no_dns(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    address = mesh.outside.address_of("api.example")

    operated.apply(
        build_policy(
            "box",
            build_destination("box.example", addresses=[address], http={"timeout": "500ms"}),
        )
    )

    mesh.expect(CHECKOUT, f"GET http://{address}/", DIRECT, server="api.example")
    mesh.expect(CHECKOUT, f"GET http://{address}/slow?seconds=4", TIMEOUT_504)
