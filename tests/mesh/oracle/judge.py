"""Whether a request came out as `explain` says."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.explain.explain import REFUSED, Explanation, Fate, explain
from egress_operator.explain.world import Call, Caller, Payload, World
from mesh.gateway.tenant import INNER_HEADERS
from mesh.oracle.draw import FAILS, SLOW_S, Ask
from testbed.mesh import Mesh
from testbed.origin import Answer
from testbed.request import (
    BLOCKED,
    DENIED_403,
    DIRECT,
    NOT_FOUND_404,
    TIMEOUT_504,
    UNAVAILABLE_503,
    VIA_GATEWAY,
    Verdict,
)
from testbed.request import call as build_call

TEXTS = {
    Payload.HTTP: "GET http://{host}:{port}{path}",
    Payload.TLS: "GET https://{host}:{port}{path}",
    Payload.BYTES: "TCP {host}:{port}",
}
TIMEOUT_S = 5.0
INSIDE = ("egress.internal", "direct.internal", "spiffe://", ".svc")
NO_ANSWER = frozenset({BLOCKED, DENIED_403, NOT_FOUND_404, UNAVAILABLE_503})


@dataclass(frozen=True)
class Expected:
    """What must come of a request."""

    verdicts: frozenset[Verdict]
    explanation: Explanation
    status: int | None = None
    count: int = 1
    """Requests that the server counts."""


def expect(world: World, ask: Ask, callers: Mapping[str, Caller]) -> Expected:
    """Tell what must come of a request. Pure."""
    call = Call(callers[ask.workload], ask.payload, ask.site.host, ask.port, ask.site.address)
    told = explain(world, call)
    if told.fate in REFUSED:
        return Expected(_find_refusals(told.fate, ask.payload), told)
    if told.tls is not None and told.tls.server_name not in told.tls.names:
        # Every server shows the certificate of the name that it is asked for, and no other name.
        return Expected(frozenset({UNAVAILABLE_503}), told)
    reached = frozenset({VIA_GATEWAY if told.fate is Fate.GATEWAY else DIRECT})
    if ask.payload is not Payload.HTTP:
        return Expected(reached, told)
    if ask.path.startswith("/slow") and (told.timeout_ms or 1e9) < SLOW_S * 1000:
        return Expected(frozenset({TIMEOUT_504}), told)
    if ask.path.startswith(FAILS):
        again = 503 in told.retry_codes and bool(told.attempts)
        return Expected(reached, told, status=200 if again else 503, count=2 if again else 1)
    return Expected(reached, told, status=200)


def _find_refusals(fate: Fate, payload: Payload) -> frozenset[Verdict]:
    if payload is not Payload.HTTP:
        return frozenset({BLOCKED})
    match fate:
        case Fate.UNDECLARED:
            return frozenset({BLOCKED})
        case Fate.NOT_CHOSEN:
            return frozenset({DENIED_403})
        case _:
            return NO_ANSWER


def find_fault(
    mesh: Mesh, expected: Expected, ask: Ask, servers: Mapping[str, str], number: int
) -> str:
    """Make the request and say what is wrong with what came of it; empty: nothing.

    `servers` are the names of the outside hosts by their addresses. `number` is another one for
    each request: servers count by path.
    """
    path = f"{ask.path}&number={number}" if "?" in ask.path else ask.path
    told = expected.explanation
    # By name, as applications do it, where the name is what counts. Proxies that answer names may
    # give a host an address of their own, on which only its declared ports are.
    by_name = ask.payload is not Payload.BYTES and bool(told.policies)
    address = "" if by_name else ask.site.address
    text = TEXTS[ask.payload].format(host=ask.site.host, port=ask.port, path=path)
    order = build_call(text, timeout_s=TIMEOUT_S, address=address)
    outcome = mesh.request(ask.workload, order)
    if outcome.verdict not in expected.verdicts:
        return str(outcome)
    if expected.status is not None and outcome.status != expected.status:
        return f"status {outcome.status}: {outcome}"
    if outcome.answer is None:
        return ""
    if "?" in path and outcome.answer.count != expected.count:
        return f"the server was asked {outcome.answer.count} times, not {expected.count}"
    return _judge_answer(outcome.answer, expected.explanation, ask, servers)


def _judge_answer(answer: Answer, told: Explanation, ask: Ask, servers: Mapping[str, str]) -> str:
    wanted = {servers.get(server, server) for server in told.servers}
    if answer.server not in wanted or answer.port != told.port:
        return f"it ended at {answer.server}:{answer.port}, not at {sorted(wanted)}:{told.port}"
    if told.tls is not None and (not answer.tls or answer.sni != told.tls.server_name):
        return f"the server was asked for {answer.sni!r}, not for {told.tls.server_name!r}"
    if ask.payload is Payload.TLS and answer.sni != ask.site.host:
        return f"the server was asked for {answer.sni!r}"
    if ask.payload is Payload.HTTP and _read_host(answer.headers) != ask.site.host:
        return f"the server saw host {answer.headers.get('host')}"
    if told.fate is not Fate.GATEWAY:
        return ""
    leaks = {
        name: value
        for name, value in answer.headers.items()
        if name in INNER_HEADERS or any(word in value for word in INSIDE)
    }
    return f"the server saw {leaks}" if leaks else ""


def _read_host(headers: Mapping[str, str]) -> str:
    return headers.get("host", "").partition(":")[0]
