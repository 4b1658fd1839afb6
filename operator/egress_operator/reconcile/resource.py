"""Where the API server serves what the operator watches and writes."""

from collections.abc import Mapping

from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import PLURALS, Kind, find_api_version

POLICIES = Resource("egress-operator.io", "v1alpha1", "egresspolicies")
GATEWAYS = Resource("egress-operator.io", "v1alpha1", "egressgateways")
NAMESPACES = Resource("", "v1", "namespaces")
SERVICES = Resource("", "v1", "services")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")

RESOURCES: Mapping[Kind, Resource] = {
    kind: Resource(group, version, plural)
    for kind, plural in PLURALS.items()
    for group, _, version in (find_api_version(kind).partition("/"),)
}
"""The kinds of Istio."""
