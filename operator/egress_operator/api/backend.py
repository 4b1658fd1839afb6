"""Backends: where a host really is, when its own DNS name does not say it."""

from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from egress_operator.api.model import Model
from egress_operator.api.rule import ListType, Omittable
from egress_operator.api.scalar import EndpointAddress, Label, Locality, ServiceAccountName
from egress_operator.api.word import Words

MOST_BACKENDS = 8
MOST_ENDPOINTS = 32
MOST_WEIGHT = 1000
_NAMES = ("host", "hosts", "hostname", "hostnames", "fqdn", "ip", "ips")
"""Where other APIs write the address of a server."""


class Endpoint(Model):
    """A machine or a name that answers for the host."""

    absent_fields: ClassVar[Words] = {
        **dict.fromkeys(
            ("port", "ports"), "write targetPort for the port, in ports of the destination"
        ),
        **dict.fromkeys(_NAMES, "write address, with a host name or an IP address"),
    }
    address: Annotated[EndpointAddress, Field(examples=["203.0.113.10"])]
    """An IP address or a host name, without a port."""
    locality: Annotated[Omittable[Locality], Field(examples=["eu-west/a"])] = None
    """Where the endpoint is, so that near ones are preferred: region, region/zone or
    region/zone/subzone."""
    service_account: Annotated[Omittable[ServiceAccountName], Field(examples=["mongo"])] = None
    """The ServiceAccount, in this namespace, of the proxy on a machine inside the mesh: Istio then
    speaks mutual TLS to the endpoint and expects this identity; needs location Internal, and no
    originateTLS."""


class Backend(Model):
    """A group of endpoints under a name."""

    absent_fields: ClassVar[Words] = {
        **dict.fromkeys(
            (*_NAMES, "address", "addresses"),
            "write endpoints, with the address of each server, such as endpoints: "
            "[{address: v1.example.com}]",
        ),
        **dict.fromkeys(
            ("port", "ports"), "write targetPort for the port, in ports of the destination"
        ),
    }
    name: Annotated[Label, Field(examples=["v1"])]
    """The name of the backend, a DNS label, unique in the destination."""
    weight: Annotated[Omittable[StrictInt], Field(ge=0, le=MOST_WEIGHT, examples=[75])] = None
    """Its share of the requests or connections: this number out of the sum of all weights, 0 to
    1000; 0: none. Each of several backends needs it, unless failover is true."""
    endpoints: Annotated[
        tuple[Endpoint, ...],
        Field(min_length=1, max_length=MOST_ENDPOINTS, examples=[[{"address": "203.0.113.10"}]]),
        ListType("map", "address"),
    ]
    """The machines or names behind the host, 1 to 32."""
