"""Whether a request came out as `explain` says."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.explain.explain import REFUSED, Explanation, Fate, explain
from egress_operator.explain.want import Tls
from egress_operator.explain.world import Call, Caller, Payload, World
from mesh.gateway.tenant import INNER_HEADERS
from mesh.oracle.draw import DOWN, FAILS, SLOW_S, WRONG_CA, Probe
from testbed.mesh import Mesh
from testbed.origin import Answer
from testbed.outside import MUTUAL_PORTS
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
from testbed.request import call as build_order

TEXTS = {
    Payload.HTTP: "GET http://{host}:{port}{path}",
    Payload.TLS: "GET https://{host}:{port}{path}",
    Payload.BYTES: "TCP {host}:{port}",
}
GRPC_TEXT = "GRPC {host}:{port}"
TIMEOUT_S = 5.0
INSIDE = ("egress.internal", "direct.internal", "spiffe://", ".svc")
NO_ANSWER = frozenset({BLOCKED, DENIED_403, NOT_FOUND_404, UNAVAILABLE_503})
ABORTED = {503: UNAVAILABLE_503}
"""What comes of requests that policies abort, by the status."""
CLIENT_WITH_FILES = "client with files"
"""The common name in the certificate that sidecars read."""


@dataclass(frozen=True)
class Expected:
    """What must come of a request."""

    verdicts: frozenset[Verdict]
    explanation: Explanation
    status: int | None = None
    count: int = 1
    """Requests that the server counts."""


def expect(
    world: World, probe: Probe, callers: Mapping[str, Caller], servers: Mapping[str, str]
) -> Expected:
    """Tell what must come of a request; `servers` as in `find_fault`. Pure."""
    told = explain(world, build_call(probe, callers))
    if verdicts := _find_refusals(told, probe, servers):
        return Expected(verdicts, told)
    reached = frozenset({VIA_GATEWAY if told.fate is Fate.GATEWAY else DIRECT})
    if probe.payload is not Payload.HTTP or probe.is_grpc:
        return Expected(reached, told)
    if told.abort is not None:
        return Expected(frozenset({ABORTED[told.abort]}), told)
    if told.path.startswith("/slow") and (told.timeout_ms or 1e9) < SLOW_S * 1000:
        return Expected(frozenset({TIMEOUT_504}), told)
    if told.path.startswith(FAILS):
        again = 503 in told.retry_codes and bool(told.attempts)
        return Expected(reached, told, status=200 if again else 503, count=2 if again else 1)
    return Expected(reached, told, status=200)


def build_call(probe: Probe, callers: Mapping[str, Caller]) -> Call:
    """Build the call that is explained. Pure."""
    return Call(
        callers[probe.workload],
        probe.payload,
        probe.site.host,
        probe.port,
        probe.site.address,
        path=probe.path,
    )


def _find_refusals(
    told: Explanation, probe: Probe, servers: Mapping[str, str]
) -> frozenset[Verdict]:
    """Find what may come of a call that no server answers; empty: one does."""
    # A gateway without pods answers nothing, not even the 403 of `allow`.
    if told.gateway == DOWN:
        return NO_ANSWER
    if told.fate in REFUSED:
        return _find_refusals_of(told, probe)
    # No server outside has a proxy that could prove to have an account.
    if told.account or (told.tls is not None and not _is_agreed(told, told.tls, probe, servers)):
        return frozenset({UNAVAILABLE_503 if probe.payload is Payload.HTTP else BLOCKED})
    return frozenset()


def _find_refusals_of(told: Explanation, probe: Probe) -> frozenset[Verdict]:
    if probe.payload is not Payload.HTTP:
        return frozenset({BLOCKED})
    match told.fate:
        case Fate.UNDECLARED | Fate.HIDDEN:
            # gRPC knows no 502, by which a proxy says that it does not know the host.
            return frozenset({BLOCKED, UNAVAILABLE_503} if probe.is_grpc else {BLOCKED})
        case Fate.NOT_CHOSEN if told.gateway and told.wildcard:
            # The caller's proxy answers those with other labels, and to others the gateway closes
            # the connection.
            return frozenset({DENIED_403, UNAVAILABLE_503})
        case Fate.NOT_CHOSEN | Fate.NOT_ALLOWED:
            return frozenset({DENIED_403})
        case _:
            return NO_ANSWER


def _is_agreed(told: Explanation, tls: Tls, probe: Probe, servers: Mapping[str, str]) -> bool:
    """Whether the mesh and the server come to terms.

    A server shows the certificate of the name that it is asked for, over gRPC its own, and of no
    other name.
    """
    shown = {tls.server_name}
    if probe.is_grpc:
        shown = {servers.get(server, server) for server in told.servers}
    is_known = bool(tls.certificate) or told.port not in MUTUAL_PORTS
    return is_known and shown <= tls.names and not tls.ca.endswith(WRONG_CA)


def find_fault(
    mesh: Mesh, expected: Expected, probe: Probe, servers: Mapping[str, str], number: int
) -> str:
    """Make the request and say what is wrong with what came of it; empty: nothing.

    `servers` are the names of the outside hosts by their addresses. `number` is another one for
    each request: servers count by path.
    """
    path = f"{probe.path}&number={number}" if "?" in probe.path else probe.path
    told = expected.explanation
    # By name, as applications do it, where the name is what counts. Proxies that answer names may
    # give a host an address of their own, on which only its declared ports are.
    by_name = probe.payload is not Payload.BYTES and bool(told.policies)
    address = "" if by_name else probe.site.address
    text = (GRPC_TEXT if probe.is_grpc else TEXTS[probe.payload]).format(
        host=probe.site.host, port=probe.port, path=path
    )
    order = build_order(text, timeout_s=TIMEOUT_S, address=address)
    outcome = mesh.request(probe.workload, order)
    if outcome.verdict not in expected.verdicts:
        return str(outcome)
    if expected.status is not None and outcome.status != expected.status:
        return f"status {outcome.status}: {outcome}"
    if outcome.answer is None:
        return ""
    if "?" in path and outcome.answer.count != expected.count:
        return f"the server was asked {outcome.answer.count} times, not {expected.count}"
    return _judge_answer(outcome.answer, expected.explanation, probe, servers)


def _judge_answer(
    answer: Answer, told: Explanation, probe: Probe, servers: Mapping[str, str]
) -> str:
    wanted = {servers.get(server, server) for server in told.servers}
    if answer.server not in wanted or answer.port != told.port:
        return f"it ended at {answer.server}:{answer.port}, not at {sorted(wanted)}:{told.port}"
    if fault := _judge_tls(answer, told, probe):
        return fault
    # A gRPC server is not told which host was called.
    if probe.payload is Payload.HTTP and not probe.is_grpc:
        if _read_host(answer) != told.host:
            return f"the server saw host {answer.headers.get('host')}"
        if not answer.path.startswith(told.path):
            return f"the server saw path {answer.path}"
    if told.fate is not Fate.GATEWAY:
        return ""
    leaks = {
        name: value
        for name, value in answer.headers.items()
        if name in INNER_HEADERS or any(word in value for word in INSIDE)
    }
    return f"the server saw {leaks}" if leaks else ""


def _judge_tls(answer: Answer, told: Explanation, probe: Probe) -> str:
    if answer.tls is not (told.tls is not None or probe.payload is Payload.TLS):
        return f"the server saw {'TLS' if answer.tls else 'plain text'}"
    name = told.tls.server_name if told.tls is not None else probe.site.host
    # A gRPC server is not told under which name either.
    if answer.tls and not probe.is_grpc and answer.sni != name:
        return f"the server was asked for {answer.sni!r}, not for {name!r}"
    client = ""
    if told.tls is not None and told.port in MUTUAL_PORTS:
        client = CLIENT_WITH_FILES
        if told.fate is Fate.GATEWAY:
            client = name_client(probe.workload.partition("/")[0])
    return "" if answer.client == client else f"the server saw client {answer.client!r}"


def name_client(namespace: str) -> str:
    """Give the common name in the certificate that a gateway has for a tenant. Pure."""
    return f"client of {namespace}"


def _read_host(answer: Answer) -> str:
    return answer.headers.get("host", "").partition(":")[0]
