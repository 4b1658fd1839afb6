"""What a destination with a wildcard host can have.

The proxy asks DNS for the name that each request or connection brings along, so there is no place
to configure, and the client must choose nothing but the name.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from egress_operator.api.host import is_wildcard
from egress_operator.api.port import (
    HTTP_LIKE,
    HTTP_LIKE_CEL,
    HTTP_PORT,
    TLS_LIKE,
    TLS_LIKE_CEL,
    TLS_PORT,
    Port,
)
from egress_operator.api.rule import Check, Finding
from egress_operator.api.scalar import Protocol

if TYPE_CHECKING:
    from egress_operator.api.destination import Destination
    from egress_operator.api.policy import EgressPolicySpec

ANY_CEL = "(has(self.hosts) && self.hosts.exists(h, h.startsWith('*')))"
_NOT_HTTP_CEL = (
    f"(has(self.ports) ? !self.ports.all(p, p.protocol in {HTTP_LIKE_CEL})"
    " : !has(self.originateTLS))"
)
_POOL_CEL = (
    "has(self.traffic.connectionPool) && (has(self.traffic.connectionPool.idleTimeout)"
    " || has(self.traffic.connectionPool.maxConnectionDuration)"
    " || has(self.traffic.connectionPool.maxRequestsPerConnection))"
)


_NOT_IN_PLAIN_TEXT = {
    "idle_timeout": "idleTimeout",
    "max_connection_duration": "maxConnectionDuration",
    "max_requests_per_connection": "maxRequestsPerConnection",
}
"""Of the pool: Envoy refuses these as it refuses HTTP/2 without TLS."""


def _find_wildcard(destination: "Destination") -> str:
    """Return the first wildcard of a destination, empty when it has none."""
    return next(filter(is_wildcard, destination.hosts), "")


def find_tls_wildcard(destination: "Destination") -> str:
    """Return the first wildcard of a destination with a TLS port, empty without one. Pure."""
    has_tls = any(port.protocol in TLS_LIKE for port in destination.resolve_ports())
    return _find_wildcard(destination) if has_tls else ""


def _is_known(port: Port, *, originates: bool) -> bool:
    """Whether the port is the one that a proxy dials for a name without a port."""
    if port.protocol in TLS_LIKE:
        return port.number == TLS_PORT and port.target_port in {None, TLS_PORT}
    # Without TLS, Envoy refuses a dynamic forward proxy with settings of HTTP/2, lest it speak to a
    # server whose name nobody checks (cluster_builder.go, setUpstreamProtocol).
    if port.protocol not in (HTTP_LIKE if originates else {Protocol.HTTP}):
        return False
    target = TLS_PORT if originates else HTTP_PORT
    return port.number == HTTP_PORT and port.target_port in {None, target}


def _find_other_port(destination: "Destination") -> Iterator[Finding]:
    host = _find_wildcard(destination)
    originates = destination.originate_tls is not None
    for index, port in enumerate(destination.ports if host else ()):
        if _is_known(port, originates=originates):
            continue
        to = "" if port.target_port is None else f" and targetPort {port.target_port}"
        what = f"port {port.number} with protocol {port.protocol}{to}"
        if not originates and _lacks_tls(port):
            yield Finding(
                f"{host} is a wildcard, which can have {what} with originateTLS alone",
                ("ports", index),
                _fix_plain_text(destination),
            )
        else:
            yield Finding(
                f"{host} is a wildcard, which cannot have {what}: of a wildcard the client says "
                "which server is meant, and must not choose the port as well",
                ("ports", index),
                "leave ports out, which means port 80 with HTTP, to port 443; or name each host"
                if originates
                else "write {number: 443, protocol: TLS} or {number: 80, protocol: HTTP}, or name "
                "each host",
            )


def _lacks_tls(port: Port) -> bool:
    """Whether the port would be one of a wildcard with originateTLS and targetPort 443."""
    return (
        port.number == HTTP_PORT
        and port.protocol in HTTP_LIKE
        and port.target_port in {None, HTTP_PORT, TLS_PORT}
    )


def _fix_plain_text(destination: "Destination") -> str:
    fix = (
        "write {number: 80, protocol: HTTP}; or add originateTLS: {}, with targetPort: 443; or "
        "name each host"
    )
    if find_tls_wildcard(destination):
        fix += "; with originateTLS, ports with TLS go into another destination with the same host"
    return fix


def _find_place(destination: "Destination") -> Iterator[Finding]:
    host = _find_wildcard(destination)
    given = {"addresses": destination.addresses, "backends": destination.backends}
    for field, value in given.items():
        if host and value:
            yield Finding(f"{host} is a wildcard, which can have no {field}", (field,))


def _find_one_name(destination: "Destination") -> Iterator[Finding]:
    host, tls, http = _find_wildcard(destination), destination.originate_tls, destination.http
    rewrite = None if http is None else http.rewrite
    given = {
        ("originateTLS", "serverName"): tls and tls.server_name,
        ("originateTLS", "subjectAltNames"): tls and tls.subject_alt_names,
        ("http", "rewrite", "host"): rewrite and rewrite.host,
    }
    for loc, value in given.items():
        if host and value:
            yield Finding(f"{host} is a wildcard, and {loc[-1]} would be the same for all", loc)


def _find_traffic(destination: "Destination") -> Iterator[Finding]:
    host, traffic = _find_wildcard(destination), destination.traffic
    if not host or traffic is None:
        return
    if any(port.protocol not in HTTP_LIKE for port in destination.resolve_ports()):
        yield Finding(
            f"{host} is a wildcard with a port that is not HTTP, where it can have no traffic",
            ("traffic",),
            "remove traffic, or name each host",
        )
        return
    pool = traffic.connection_pool
    kept = set() if pool is None else pool.model_fields_set
    if destination.originate_tls is None:
        kept = kept - _NOT_IN_PLAIN_TEXT.keys()
    for field, given in {
        "loadBalancer": traffic.load_balancer,
        "outlierDetection": traffic.outlier_detection,
    }.items():
        if given is not None:
            fix = f"remove {field if pool and kept else 'traffic'}, or name each host"
            yield Finding(
                f"{host} is a wildcard, which can have no {field}", ("traffic", field), fix
            )
    if pool is None or destination.originate_tls is not None:
        return
    for name, field in _NOT_IN_PLAIN_TEXT.items():
        if name in pool.model_fields_set:
            yield Finding(
                f"{host} is a wildcard, which can have {field} with originateTLS alone",
                ("traffic", "connectionPool", field),
                f"remove {field if kept else 'traffic'}; or leave ports out and add originateTLS: "
                "{}",
            )


def _find_workloads(spec: "EgressPolicySpec") -> Iterator[Finding]:
    if spec.from_ is None or spec.from_.workloads is None:
        return
    for index, destination in enumerate(spec.destinations):
        if host := find_tls_wildcard(destination):
            loc = ("destinations", index, "hosts", destination.hosts.index(host))
            yield Finding(
                f"{host} is a wildcard with TLS on port {TLS_PORT}, for which from.workloads "
                "cannot hold",
                loc,
            )


DESTINATION_CHECKS = (
    Check(
        "EG237",
        f"!{ANY_CEL} || !has(self.ports) || self.ports.all(p, p.protocol in {TLS_LIKE_CEL}"
        f" ? p.number == {TLS_PORT} && (!has(p.targetPort) || p.targetPort == {TLS_PORT})"
        f" : p.protocol in (has(self.originateTLS) ? {HTTP_LIKE_CEL} : ['HTTP'])"
        f" && p.number == {HTTP_PORT} && (!has(p.targetPort)"
        f" || p.targetPort == (has(self.originateTLS) ? {TLS_PORT} : {HTTP_PORT})))",
        _find_other_port,
        "ports",
    ),
    Check(
        "EG238",
        f"!{ANY_CEL} || (!has(self.addresses) && !has(self.backends))",
        _find_place,
        "hosts",
    ),
    Check(
        "EG239",
        f"!{ANY_CEL} || ((!has(self.originateTLS) || (!has(self.originateTLS.serverName)"
        " && (!has(self.originateTLS.subjectAltNames)"
        " || self.originateTLS.subjectAltNames.size() == 0)))"
        " && (!has(self.http) || !has(self.http.rewrite) || !has(self.http.rewrite.host)))",
        _find_one_name,
        "hosts",
    ),
    Check(
        "EG240",
        f"!{ANY_CEL} || !has(self.traffic) || !(has(self.traffic.loadBalancer)"
        f" || has(self.traffic.outlierDetection) || {_NOT_HTTP_CEL}"
        f" || (!has(self.originateTLS) && {_POOL_CEL}))",
        _find_traffic,
        "traffic",
    ),
)
"""Of a destination."""

_TLS_CEL = (
    f"{ANY_CEL.replace('self.', 'd.')}"
    f" && (has(d.ports) ? d.ports.exists(p, p.protocol in {TLS_LIKE_CEL}) : !has(d.originateTLS))"
)
POLICY_CHECKS = (
    Check(
        "EG242",
        f"!has(self.from) || !has(self.from.workloads) || !self.destinations.exists(d, {_TLS_CEL})",
        _find_workloads,
        "destinations",
    ),
)
"""Of a policy."""
