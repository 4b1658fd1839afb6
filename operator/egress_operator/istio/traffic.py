"""What is asked of a host and its ports: the values that the specs are built of."""

from dataclasses import dataclass, field
from math import gcd

from egress_operator.istio.difference import API, FORM
from egress_operator.istio.http import HttpIntent
from egress_operator.istio.traffic_policy import NO_TRAFFIC, TrafficIntent

EXTERNAL = "External"
HTTP_LIKE = frozenset({"HTTP", "HTTP2", "GRPC"})
OPAQUE_TLS = "TLS"


@dataclass(frozen=True, slots=True)
class TlsIntent:
    """TLS that the mesh opens. Empty texts: the system's roots, no client certificate.

    Of a wildcard without server name and names: those of each request.
    """

    server_name: str
    """Sent as SNI."""
    names: tuple[str, ...] = field(metadata={API: "subjectAltNames"})
    """The server's certificate must hold one of them. Sorted."""
    ca: str = field(default="", metadata={API: "caCertificateRef or originateTLS.files.ca"})
    """Name of the tenant's Secret, through a gateway; else a path in the proxy's container."""
    certificate: str = field(
        default="", metadata={API: "clientCertificateRef or originateTLS.files.certificate"}
    )
    """The same, of the client certificate."""
    key: str = field(default="", metadata={API: "files.key"})
    """A path; empty through a gateway, where the Secret has it."""


@dataclass(frozen=True, slots=True)
class PortIntent:
    """What a policy asks for one port of a host. `target` is the destination's own port."""

    number: int
    protocol: str
    """As Istio spells it; HTTPS is TLS."""
    target: int = field(metadata={API: "targetPort"})
    http: HttpIntent | None
    tls: TlsIntent | None = field(default=None, metadata={API: "originateTLS"})

    @property
    def is_http(self) -> bool:
        """Whether the proxy sees requests."""
        return self.protocol in HTTP_LIKE


Labels = tuple[tuple[str, str], ...]
"""Labels that a workload must have, sorted."""


@dataclass(frozen=True, slots=True, order=True)
class FromIntent:
    """Who in the namespace may call. Empty: whoever. Both must hold."""

    workloads: Labels = ()
    accounts: tuple[str, ...] = ()
    """Names of service accounts, sorted."""


EVERYONE = FromIntent()


@dataclass(frozen=True, slots=True)
class EndpointIntent:
    """Where a host really is: an IP address or a name."""

    address: str
    locality: str = ""
    service_account: str = ""
    path: str = field(default="", compare=False)
    """Its place in the destination, such as `backends[0].endpoints[1]`."""


@dataclass(frozen=True, slots=True)
class BackendIntent:
    """Endpoints that belong together. The only one of a host has no name and no weight."""

    name: str
    endpoints: tuple[EndpointIntent, ...]
    weight: int = 0
    """Its share of the requests, out of the sum of all."""


def _form_backends(backends: tuple[BackendIntent, ...]) -> object:
    """Return backends so that endpoints count in any order, and weights by their ratio."""
    whole = gcd(*(backend.weight for backend in backends)) or 1
    return tuple(
        (backend.name, frozenset(backend.endpoints), backend.weight // whole)
        for backend in backends
    )


@dataclass(frozen=True, slots=True)
class HostIntent:
    """What a policy asks for a host as a whole, for all of its ports."""

    addresses: tuple[str, ...]
    """What clients dial, sorted."""
    failover: bool
    """Whether the first healthy backend gets everything, and not each one its share."""
    backends: tuple[BackendIntent, ...] = field(metadata={FORM: _form_backends})
    """In the order of failover, else by name; empty: the host's own DNS name or its addresses."""
    location: str
    """`External` or `Internal`."""
    traffic: TrafficIntent = NO_TRAFFIC
    """How connections to the host are used, on the last hop."""

    @property
    def is_split(self) -> bool:
        """Whether several backends share the requests."""
        return len(self.backends) > 1 and not self.failover

    @property
    def endpoints(self) -> tuple[EndpointIntent, ...]:
        """Those of all backends."""
        return tuple(endpoint for backend in self.backends for endpoint in backend.endpoints)
