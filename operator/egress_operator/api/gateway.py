"""EgressGateway: a gateway that policies may go through, written by the platform team."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictInt

from egress_operator.api.label import Labels
from egress_operator.api.metadata import ObjectMeta
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, Finding, Omittable, build_not_empty_check
from egress_operator.api.scalar import Label, ObjectName, PortNumber
from egress_operator.api.selector import LabelSelector
from egress_operator.api.traffic import ConnectionPool, OutlierDetection
from egress_operator.api.word import GATEWAY_WORDS, Words

GATEWAY_KIND = "EgressGateway"
GATEWAY_PLURAL = "egressgateways"

MOST = 10000
"""Of what a namespace may have."""


class Authorization(StrEnum):
    """Who sees to it that tenants reach only what is theirs."""

    MANAGED = "Managed"
    """The operator writes AuthorizationPolicies, and what none of them allows is denied."""
    DRY_RUN = "DryRun"
    """The same, but the gateway only reports what it would deny."""
    NONE = "None"
    """Nobody, or somebody else."""


class Wildcards(StrEnum):
    """What of wildcard hosts may go through a gateway."""

    DISABLED = "Disabled"
    """Nothing."""
    HTTP = "HTTP"
    """Requests, whose name the gateway sees."""
    HTTP_AND_TLS = "HTTPAndTLS"
    """Also TLS that the application opens: the operator writes EnvoyFilters for it."""


class GatewayService(Model):
    """The Service in front of the gateway's pods."""

    absent_fields: ClassVar[Words] = {
        "namespace": "remove it: the Service is in the namespace of the gateway's pods"
    }
    name: Annotated[Label, Field(examples=["istio-egressgateway"])]
    """The name of the Service, in the namespace of the pods."""
    port: Annotated[PortNumber, Field(examples=[443])]
    """The port of the Service through which all policies go."""


class GatewayTraffic(Model):
    """Connections from the sidecars to the gateway."""

    connection_pool: Annotated[
        Omittable[ConnectionPool], Field(examples=[{"maxConnectionDuration": "10m"}])
    ] = None
    """Limits of the connections between a sidecar and the gateway."""
    outlier_detection: Annotated[
        Omittable[OutlierDetection],
        Field(examples=[{"consecutive5xxErrors": 5, "interval": "10s"}]),
    ] = None
    """When a pod of the gateway that fails is left out for a while."""

    height: ClassVar[int] = 3
    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check("connectionPool", "outlierDetection"),
    )


def _find_nothing(_: object) -> tuple[Finding, ...]:
    """Find nothing: only the API server has the object as it was before the edit."""
    return ()


SEPARATE_EDITS = Check(
    "EG070",
    # `namespace` is a reserved word of CEL.
    "self.authorization == oldSelf.authorization || (self.__namespace__ == oldSelf.__namespace__ "
    "&& self.selector == oldSelf.selector && self.service == oldSelf.service)",
    _find_nothing,
)


class GatewayLimits(Model):
    """How much each namespace may have at the gateway."""

    hosts: Annotated[
        Omittable[StrictInt],
        Field(ge=1, le=MOST, json_schema_extra={"format": "int32"}, examples=[500]),
    ] = None
    """How many hosts one namespace may have, 1 to 10000, with four times as many pairs of host and
    port, each backend counted; left out: 500."""
    servers: Annotated[
        Omittable[StrictInt],
        Field(ge=1, le=MOST, json_schema_extra={"format": "int32"}, examples=[100]),
    ] = None
    """How many servers of its own one namespace may have, 1 to 10000: one for each host and port
    that is not HTTP, is a wildcard's, or that only some ServiceAccounts may use; left out: 100."""

    checks: ClassVar[tuple[Check, ...]] = (build_not_empty_check("hosts", "servers"),)


class EgressGatewaySpec(Model):
    """Where the gateway is and who may use it."""

    words: ClassVar[Words] = GATEWAY_WORDS
    namespace: Annotated[Label, Field(examples=["istio-egress"])]
    """The namespace where the gateway's pods run."""
    selector: Annotated[Labels, Field(examples=[{"istio": "egressgateway"}])]
    """The labels of the gateway's pods, 1 to 16; a pod must have all of them."""
    service: Annotated[
        GatewayService, Field(examples=[{"name": "istio-egressgateway", "port": 443}])
    ]
    """The Service in front of the gateway's pods, and its port."""
    namespaces: Annotated[
        Omittable[LabelSelector], Field(examples=[{"matchLabels": {"egress": "shared"}}])
    ] = None
    """The namespaces whose policies may use the gateway, by their labels; left out: none; {}:
    all."""
    authorization: Annotated[Authorization, Field(examples=["Managed"])]
    """How tenants are kept apart: Managed denies on these pods whatever no policy allows, from the
    moment the gateway is accepted; DryRun only reports what Managed would deny; None writes no
    AuthorizationPolicy."""
    traffic: Annotated[
        Omittable[GatewayTraffic],
        Field(examples=[{"connectionPool": {"maxConnectionDuration": "10m"}}]),
    ] = None
    """Settings of the connections from the sidecars to the gateway."""
    limits: Annotated[
        Omittable[GatewayLimits], Field(examples=[{"hosts": 500, "servers": 100}])
    ] = None
    """How much each namespace may have at the gateway; a policy that would make it more is
    refused."""
    wildcards: Annotated[Omittable[Wildcards], Field(examples=["HTTP"])] = None
    """Whether wildcard hosts may go through the gateway, while the admission policies are in force
    at the level Strict: Disabled (meant when left out); HTTP: those whose ports are HTTP, HTTP2 or
    GRPC; HTTPAndTLS: also those with TLS that the application opens, for each of which the operator
    writes an EnvoyFilter."""

    height: ClassVar[int] = 4
    checks: ClassVar[tuple[Check, ...]] = (SEPARATE_EDITS,)


class ClusterMeta(ObjectMeta):
    """Metadata of an object of the cluster: Kubernetes drops a namespace in silence."""

    name: Annotated[ObjectName, Field(examples=["shared"])]
    """The name, unique in the cluster."""
    namespace: Any = None


class EgressGateway(Model):
    """EgressGateway is a gateway of the mesh that policies may go through."""

    api_version: Literal["egress-operator.io/v1alpha1"]
    kind: Literal["EgressGateway"]
    metadata: ClusterMeta
    spec: Annotated[
        EgressGatewaySpec,
        Field(
            examples=[
                {
                    "namespace": "istio-egress",
                    "selector": {"istio": "egressgateway"},
                    "service": {"name": "istio-egressgateway", "port": 443},
                    "authorization": "Managed",
                }
            ]
        ),
    ]
    """Where the gateway is and who may use it."""
    status: Any = None
