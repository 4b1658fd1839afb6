"""Where the requests of a port go in the end: endpoints under one name."""

from dataclasses import dataclass

from egress_operator.istio.traffic import BackendIntent, EndpointIntent

MOST_TIERS = 8
"""As many as there can be backends."""
TIER_LABEL = "egress-operator.io/failover-"
"""Begins labels of endpoints. Those of a backend have one for each backend that comes after it."""
TIERS = tuple(f"{TIER_LABEL}{number}" for number in range(1, MOST_TIERS))


@dataclass(frozen=True, slots=True)
class Upstream:
    """Endpoints under one name."""

    name: str
    """Of the objects that make them known."""
    host: str
    backends: tuple[BackendIntent, ...]
    """The first healthy one gets everything. None: the host's own DNS name, or its addresses."""
    weight: int = 0
    """Its share; of no meaning for the only one."""

    @property
    def endpoints(self) -> tuple[EndpointIntent, ...]:
        """Those of all backends."""
        return tuple(endpoint for backend in self.backends for endpoint in backend.endpoints)

    @property
    def has_order(self) -> bool:
        """Whether one backend comes before another one."""
        return len(self.backends) > 1

    @property
    def has_localities(self) -> bool:
        """Whether some endpoints are nearer than others."""
        return len({endpoint.locality for endpoint in self.endpoints}) > 1

    def find_labels(self, backend: int) -> dict[str, str]:
        """Return the labels of the endpoints of a backend, by its place.

        Istio orders endpoints by how many labels of a list they have from its beginning
        (pilot/pkg/networking/core/loadbalancer/loadbalancer.go, applyFailoverPriorityPerLocality).
        The list is always the same, so that a change of the backends is a change of one object.
        """
        after = self.backends[backend + 1 :]
        return dict.fromkeys(TIERS[: len(after)], "true")
