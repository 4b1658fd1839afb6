"""What is allowed of HTTP and how it is changed, directly and through a gateway, at the server."""

from collections.abc import Mapping

import pytest

from mesh.gateway.way import Way
from mesh.traffic.policy import CHECKOUT, HTTP, build_destination
from testbed.client import Object
from testbed.request import Outcome, call

pytestmark = pytest.mark.mesh

GUARDED, OPEN = "guarded.example", "open.example"
REAL = "real.example"
ALLOW = [
    {"methods": ["GET"], "paths": ["/v1/*", "/health"]},
    {"methods": ["POST"], "headers": [{"name": "x-team", "value": "shop"}]},
]
TEAM = {"x-team": "shop"}
REFUSAL = "EgressPolicy requests does not allow this "
ALLOWED: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("GET", "/v1/a", {}),
    ("GET", "/v1/a/b.c~d", {}),
    ("GET", "/v1/a?x=/../..&y=//", {}),
    ("GET", "/v1/%e0%b8%81%20.well-known/..a", {}),
    ("GET", "/health", {}),
    ("GET", "/other/../v1/a", {}),
    ("POST", "/anything", TEAM),
)
REFUSED: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("GET", "/", {}),
    ("GET", "/admin", {}),
    ("GET", "/v1", {}),
    ("GET", "/v1evil", {}),
    ("GET", "/V1/a", {}),
    ("GET", "/health/more", {}),
    ("GET", "/v1/../admin", {}),
    ("GET", "/v1/%2e%2e/admin", {}),
    ("GET", "/v1/%2E%2E/admin", {}),
    ("GET", "/v1/..%2fadmin", {}),
    ("GET", "/v1/%2e%2e%2Fadmin", {}),
    ("GET", "/v1/%252e%252e/admin", {}),
    ("GET", "/v1/..\\admin", {}),
    ("GET", "/v1/..%5cadmin", {}),
    ("GET", "/v1/a;/../../admin", {}),
    ("GET", "/v1/..;/admin", {}),
    ("GET", "/v1/..%3b/admin", {}),
    ("GET", "/v1/%c0%ae%c0%ae/admin", {}),
    ("GET", "/v1/%e0%80%ae%e0%80%ae/admin", {}),
    ("GET", "/v1/%u002e%u002e/admin", {}),
    ("GET", "/v1/.%09./admin", {}),
    ("GET", "//v1/a", {}),
    ("GET", "/v1//admin", {}),
    ("GET", "/v1/%00/admin", {}),
    ("DELETE", "/v1/a", {}),
    ("POST", "/v1/a", {}),
    ("POST", "/v1/a", {"x-team": "shopper"}),
    ("POST", "/v1/a", {"x-other": "shop"}),
)


def ask(
    way: Way, host: str, text: str = "GET /", headers: Mapping[str, str] | None = None
) -> Outcome:
    method, path = text.split(" ", 1)
    return way.mesh.request(CHECKOUT, call(f"{method} http://{host}{path}", headers=headers))


def apply_two(way: Way, http: Object, other: Object | None = None) -> None:
    """Apply a policy with a host that has settings of HTTP and one that has none."""
    for host in (GUARDED, OPEN):
        way.mesh.outside.add(host)
    way.apply(
        "requests",
        build_destination(GUARDED, http=http),
        build_destination(OPEN, http=other or {}),
    )
    way.mesh.settle()


def test_only_what_is_allowed_gets_through(way: Way) -> None:
    apply_two(way, {"allow": ALLOW})
    way.mesh.expect(CHECKOUT, f"GET http://{GUARDED}/health", way.verdict)
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    wrong = []
    for method, path, headers in ALLOWED:
        outcome = ask(way, GUARDED, f"{method} {path}", headers)
        if outcome.verdict is not way.verdict:
            wrong.append(f"{method} {path}: {outcome}")
    for method, path, headers in REFUSED:
        outcome = ask(way, GUARDED, f"{method} {path}", headers)
        # Envoy itself answers a path with a NUL with 400.
        if not (outcome.body.startswith(REFUSAL) or (outcome.status == 400 and "%00" in path)):
            wrong.append(f"{method} {path}: {outcome}")
        outcome = ask(way, OPEN, f"{method} {path}", headers)
        if outcome.verdict is not way.verdict and outcome.status != 400:
            wrong.append(f"{method} {path} where all is allowed: {outcome}")
    assert not wrong, "\n".join(wrong)


def test_no_header_names_another_method_or_path(way: Way) -> None:
    apply_two(way, {"allow": [{"methods": ["POST"], "paths": ["/v1"]}]})
    way.mesh.expect(CHECKOUT, f"POST http://{GUARDED}/v1", way.verdict)
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    headers = {
        "x-http-method-override": "DELETE",
        "x-method-override": "PUT",
        "x-original-url": "/admin",
        "x-rewrite-url": "/admin",
    }
    for host, kept in ((GUARDED, set()), (OPEN, headers.keys())):
        answer = ask(way, host, "POST /v1", headers).answer
        assert answer is not None
        assert answer.headers.keys() & headers.keys() == kept


def test_headers_are_changed(way: Way) -> None:
    changes = {
        "request": {
            "set": [{"name": "x-team", "value": "100% %REQ(x-other)%"}],
            "add": [{"name": "x-more", "value": "second"}],
            "remove": ["x-internal"],
        },
        "response": {"set": [{"name": "x-mesh", "value": "yes"}], "remove": ["content-type"]},
    }
    apply_two(way, {"headers": changes})
    sent = {"x-team": "mine", "x-more": "first", "x-internal": "secret", "x-other": "kept"}
    way.mesh.expect(CHECKOUT, f"GET http://{GUARDED}/", way.verdict)
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)

    changed, kept = (ask(way, host, headers=sent) for host in (GUARDED, OPEN))

    assert changed.answer is not None
    assert kept.answer is not None
    seen = changed.answer.headers
    assert seen["x-team"] == "100% %REQ(x-other)%"
    assert "x-internal" not in seen
    assert seen["x-other"] == "kept"
    assert "second" in seen["x-more"]
    assert sent.items() <= kept.answer.headers.items()
    assert changed.headers["x-mesh"] == "yes"
    assert "content-type" not in changed.headers
    assert "x-mesh" not in kept.headers
    assert "content-type" in kept.headers


def test_host_and_path_are_rewritten(way: Way) -> None:
    apply_two(way, {"rewrite": {"host": "real.example.com", "pathPrefix": "/api/v2"}})
    way.mesh.expect(CHECKOUT, f"GET http://{GUARDED}/", way.verdict)
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    for host, name, prefix in ((GUARDED, "real.example.com", "/api/v2"), (OPEN, OPEN, "")):
        for path in ("/", "/orders?a=/b", "/a/b/"):
            answer = ask(way, host, f"GET {path}").answer
            assert answer is not None
            assert (answer.headers["host"], answer.path) == (name, f"{prefix}{path}")


def test_what_is_allowed_is_what_the_application_asked_for(way: Way) -> None:
    apply_two(way, {"allow": [{"paths": ["/v1/*", "/v1"]}], "rewrite": {"pathPrefix": "/api"}})
    way.mesh.expect(CHECKOUT, f"GET http://{GUARDED}/v1", way.verdict)
    for path in ("/v1", "/v1/a"):
        answer = ask(way, GUARDED, f"GET {path}").answer
        assert answer is not None
        assert answer.path == f"/api{path}"
    assert ask(way, GUARDED, "GET /api/v1").status == 403


def test_tls_is_opened_to_the_rewritten_host(way: Way) -> None:
    mesh = way.mesh
    place = {"originateTLS": {}, "backends": [{"name": "real", "endpoints": [{"address": REAL}]}]}
    mesh.outside.add(REAL)
    for host in (GUARDED, OPEN):
        mesh.outside.add(host)
    http = {"retries": {"attempts": 0}}
    way.apply(
        "requests",
        {"hosts": [GUARDED], "http": {**http, "rewrite": {"host": REAL}}, **place},
        {"hosts": [OPEN], "http": http, **place},
    )
    for host, name in ((GUARDED, REAL), (OPEN, OPEN)):
        found = mesh.expect(CHECKOUT, f"GET http://{host}/", way.verdict, server=REAL).answer
        assert found is not None
        assert (found.sni, found.headers["host"]) == (name, name)


def test_faults_come_from_the_proxy(way: Way) -> None:
    faults = {"delay": {"duration": "1s"}, "abort": {"status": 418}}
    apply_two(way, {"fault": faults})
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    broken, sound = ask(way, GUARDED), ask(way, OPEN)
    assert (broken.status, broken.answer) == (418, None)
    assert sound.seconds < 0.9 < broken.seconds
    assert way.mesh.outside.count(GUARDED) == 0


def test_a_fault_comes_to_some_requests(way: Way) -> None:
    apply_two(way, {"fault": {"abort": {"status": 418, "percentage": 50}}})
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    statuses = {ask(way, GUARDED).status for _ in range(40)}
    assert statuses == {200, 418}


def test_timeout_and_retries_hold_beside_faults(way: Way) -> None:
    retries = {"attempts": 2, "codes": [503]}
    limits = {"timeout": "500ms", "retries": retries}
    apply_two(way, {"fault": {"abort": {"status": 418, "percentage": 50}}, **limits}, limits)
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    assert {ask(way, GUARDED, "GET /slow?seconds=2").status for _ in range(20)} == {418, 504}
    paths = [f"/fail?times=1&status=503&n={number}" for number in range(60)]
    # At the gateway each of two tries meets its share of faults.
    assert {ask(way, GUARDED, f"GET {path}").status for path in paths} == {418, 200}
    assert ask(way, OPEN, "GET /slow?seconds=2").status == 504


def test_a_gateway_s_fault_is_like_the_server_s(way: Way) -> None:
    """The sidecar cuts it and tries again; its own fault it does not."""
    limits = {"timeout": "500ms"}
    apply_two(way, {"fault": {"delay": {"duration": "3s"}}, **limits}, limits)
    way.mesh.expect(CHECKOUT, f"GET http://{OPEN}/", way.verdict)
    outcome = ask(way, GUARDED)
    assert outcome.status == (200 if way.gateway is None else 504)
    assert (outcome.seconds > 2) is (way.gateway is None)


def test_the_route_is_named_in_the_logs(way: Way) -> None:
    apply_two(way, {"timeout": "5s"})
    way.mesh.expect(CHECKOUT, f"GET http://{GUARDED}/named", way.verdict)
    for proxy in {way.mesh.members[CHECKOUT], way.proxy}:
        assert f"{GUARDED}:{HTTP['number']}" in proxy.ask_proxy(
            "/config_dump?resource=dynamic_route_configs"
        )
