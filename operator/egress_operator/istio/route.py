"""The way of each port of a host: the values that routes, and what they lead to, are built of."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.istio.traffic import FromIntent, PortIntent
from egress_operator.istio.traffic_policy import PoolIntent
from egress_operator.istio.upstream import Upstream

PRIVATE_PORT = 443
"""Where a raw port is served under its private name, as TLS: under its own number every proxy of
the namespace would wait for the first bytes of what other hosts speak there."""
PLAIN_HTTP = "HTTP"
_SOCKET = "unix://@"
"""Begins the address of a socket without a file, which only one network namespace knows: a pod."""


@dataclass(frozen=True, slots=True)
class GatewayHop:
    """The way to a gateway, as the routes of one namespace see it."""

    label: str
    """Of the gateway; the subset of its Service that all HTTP of the namespace uses."""
    host: str
    """The full name of its Service."""
    port: int
    """Of its Service."""
    export: str
    """The entry of `exportTo` that shows an object of the namespace to the gateway alone."""
    connection_pool: PoolIntent | None = None
    """Limits of the connections to the gateway."""


@dataclass(frozen=True, slots=True)
class Route:
    """One port of a host that is reached under a synthetic name."""

    namespace: str
    """Of the policy."""
    port: PortIntent
    hop: GatewayHop | None
    """The gateway in between; None: directly, by the client's own sidecar."""
    sources: tuple[FromIntent, ...]
    """Who may use it; none: everyone in the namespace."""
    name: str
    """Of what leads there, unique in the mesh: the first label of `host`."""
    host: str
    """The synthetic name."""
    policy: str
    """The oldest one that asks for it."""
    upstreams: tuple[Upstream, ...]
    """Where it leads, each with its share; a single one has the name of the route."""
    mirror: Upstream | None = None
    """What gets copies of the requests; it may be one of `upstreams`."""
    is_any: bool = False
    """Whether it is for all names below a domain."""

    @property
    def behind(self) -> tuple[Upstream, ...]:
        """All that gets requests."""
        return tuple(dict.fromkeys((*self.upstreams, *((self.mirror,) if self.mirror else ()))))

    @property
    def accounts(self) -> tuple[str, ...]:
        """The service accounts that may use it; none: all."""
        return next((source.accounts for source in self.sources if source.accounts), ())

    @property
    def socket(self) -> str:
        """The socket of the gateway's inner server, empty without one.

        A server's hosts are the server names that it takes as well as those of the requests, and
        what comes for a wildcard keeps its own. So what comes under one name, known to the
        tenant alone, is handed on to a second server as it is.
        """
        return f"{_SOCKET}{self.name}" if self.hop is not None and self.is_any else ""

    @property
    def resolves_names(self) -> bool:
        """Whether the gateway's inner server has to ask DNS for the server name of TLS.

        Istio's gateways do that with the Host of requests alone.
        """
        return bool(self.socket) and not self.port.is_http

    @property
    def is_opaque(self) -> bool:
        """Whether what leads into it carries bytes, and sees no requests."""
        return not self.port.is_http or bool(self.socket)

    @property
    def has_server(self) -> bool:
        """Whether the gateway has a server for this name alone."""
        return self.hop is not None and (self.is_opaque or bool(self.accounts))

    @property
    def export(self) -> str:
        """The entry of `exportTo` that shows what is behind to those who dial, and to no other."""
        return "." if self.hop is None else self.hop.export

    @property
    def number(self) -> int:
        """The port under the synthetic name."""
        if self.hop is None and not self.port.is_http and self.port.protocol != "TLS":
            return PRIVATE_PORT
        return self.port.number

    @property
    def protocol(self) -> str:
        """The protocol under the synthetic name.

        For what is no HTTP it is TLS, because then no proxy opens a port for it; all that matters
        to those who dial is where it leads.
        """
        if not self.port.is_http:
            return "TLS"
        return PLAIN_HTTP if self.is_upgraded else self.port.protocol

    @property
    def is_upgraded(self) -> bool:
        """Whether the DestinationRule, which opens TLS, is also what makes it HTTP/2.

        Envoy refuses HTTP/2 to the names below a wildcard without TLS, and objects come and go one
        by one.
        """
        return self.is_any and self.port.is_http and self.port.protocol != PLAIN_HTTP


@dataclass(frozen=True, slots=True)
class HostRoutes:
    """All ports of a host."""

    ports: tuple[PortIntent, ...]
    """By number."""
    routes: tuple[Route, ...]
    """By number; a port without one goes as `is_open` says: openly, or not at all."""
    is_open: bool
    """Every port goes directly and for everyone; of a wildcard: every one without a route, and
    there are some."""
    policies: Mapping[int, str]
    """The oldest one that asks for a port, by number."""
    is_covered: bool = False
    """Whether a wildcard over the host has a route, which would count for it too."""
