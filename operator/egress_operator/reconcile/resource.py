"""Where the API server serves what the operator watches and writes."""

from collections.abc import Mapping

from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.sidecar import API_VERSION, PLURAL

POLICIES = Resource("egress-operator.io", "v1alpha1", "egresspolicies")
GATEWAYS = Resource("egress-operator.io", "v1alpha1", "egressgateways")
NAMESPACES = Resource("", "v1", "namespaces")
SERVICES = Resource("", "v1", "services")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")

SIDECARS = Resource(API_VERSION.partition("/")[0], API_VERSION.partition("/")[2], PLURAL)

RESOURCES: Mapping[Kind, Resource] = {
    kind: Resource(row.group, row.api_version.partition("/")[2], row.plural)
    for kind, row in KINDS.items()
}
"""The kinds of Istio that we write."""
