"""Settings that decide what is planned, and how a setting is declared: once, beside its field.

Flags, variables, the chart's values with their schema, and the reference are made from the fields.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from egress_operator.istio.envoy_filter import LookupFamily

T = TypeVar("T")

VERSION = re.compile(r"1\.(2[2-9]|[3-9][0-9])")
"""A minor version of Istio, from 1.22 on: older ones do not have `v1` of the kinds."""

DOMAIN_LENGTH = 253
"""RFC 1035, without the dot at the end."""
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def option(
    default: T,
    meaning: str,
    *,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    check: Callable[[str], str | None] | None = None,
) -> T:
    """Return the field of a setting: `check` says what is wrong with one text, or None.

    For the type checker it is the default. The type of the default tells how a text is read.
    """
    row: Any = field(
        default=default,
        metadata={
            "meaning": meaning,
            "choices": choices,
            "minimum": minimum,
            "maximum": maximum,
            "check": check,
        },
    )
    declared: T = row
    return declared


def check_label(text: str) -> str | None:
    """Say why `text` is no name of a namespace."""
    return None if LABEL.fullmatch(text) else "is not a namespace or object name (RFC 1123 label)"


def check_domain(text: str) -> str | None:
    """Say why `text` is no domain."""
    if len(text) <= DOMAIN_LENGTH and all(LABEL.fullmatch(label) for label in text.split(".")):
        return None
    return "is not a domain of lower-case DNS labels without a dot at either end"


def check_version(text: str) -> str | None:
    """Say why `text` is no minor version of Istio that the operator writes for."""
    if VERSION.fullmatch(text):
        return None
    return (
        "is not a minor version of Istio from 1.22 on; write it as 1.31, in YAML with quotes, "
        "because a bare 1.30 is the number 1.3"
    )


def check_cidr(text: str) -> str | None:
    """Say why `text` is no address range. An address alone is none, as in the chart's values."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return _explain_cidr(text)
    if "/" in text:
        return None
    return f"has no prefix length; for this address alone, write {network}"


def _explain_cidr(text: str) -> str:
    address, _, bits = text.partition("/")
    try:
        return f"has host bits; write {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        pass
    for parse in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        try:
            longest = parse(address).max_prefixlen
        except ValueError:
            continue
        if bits.isdecimal():
            return (
                f"has more than {longest} bits; for this address alone, write {address}/{longest}"
            )
    return "is not a CIDR; write it as 10.0.0.0/8 or fd00::/8"


class GatewayObjects(StrEnum):
    """Where the objects of kind Gateway are written."""

    TENANT = "Tenant"
    """Into the namespace of the policies."""
    GATEWAY_NAMESPACE = "GatewayNamespace"
    """Into the namespace of the gateway's pods: istiods that run with
    PILOT_SCOPE_GATEWAY_TO_NAMESPACE honour only those."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The settings that the plan takes as the user gave them."""

    settle: float = option(
        2.0,
        "Seconds between dependent changes, so that every proxy has the first before the second.",
        minimum=0,
        maximum=300,
    )
    cluster_domain: str = option(
        "cluster.local",
        "The cluster's DNS domain; names under it are refused.",
        check=check_domain,
    )
    synthetic_domains: tuple[str, ...] = option(
        (),
        "Domains that policies may not use, in addition to those of the operator's own names, "
        "egress.internal and direct.internal.",
        check=check_domain,
    )
    platform_namespaces: tuple[str, ...] = option(
        ("istio-egress", "istio-ingress"),
        "Namespaces in which only the platform team writes: what stands there is trusted, as in "
        "Istio's own.",
        check=check_label,
    )
    allowed_cidrs: tuple[str, ...] = option(
        (),
        "Literal addresses that policies may use in addition to public ones, such as 10.20.0.0/16.",
        check=check_cidr,
    )
    allowed_shared_domains: tuple[str, ...] = option(
        (),
        "Domains of shared hosting, such as s3.amazonaws.com, that wildcards may cover, "
        "though others have names there too (private part of the public suffix list).",
        check=check_domain,
    )
    cluster_cidrs: tuple[str, ...] = option(
        (),
        "The cluster's own pod and service ranges; never a destination.",
        check=check_cidr,
    )
    gateway_objects: GatewayObjects = option(  # noqa: RUF009 - a field, see `option`
        GatewayObjects.TENANT,
        "Where Gateways are written: GatewayNamespace for PILOT_SCOPE_GATEWAY_TO_NAMESPACE.",
        choices=tuple(item.value for item in GatewayObjects),
    )
    istio_version: str = option(
        "1.31",
        "The oldest version of Istio among the mesh's proxies, such as 1.29. Below 1.30, the name "
        "of a wildcard host is not resolved: with TLS the sidecar connects to the address that the "
        "client chose, which nobody checks, and everything else is refused.",
        check=check_version,
    )
    gateway_lookup_family: LookupFamily = option(  # noqa: RUF009 - a field, see `option`
        LookupFamily.V4_ONLY,
        "Which addresses gateways ask DNS for where wildcards go through them by TLS, as istiod "
        "has it: V4_ONLY, V6_ONLY for pods with IPv6 alone, ALL for both with ISTIO_DUAL_STACK. "
        "With a wrong one these wildcards are closed.",
        choices=tuple(item.value for item in LookupFamily),
    )
    max_hosts_per_namespace: int = option(
        500,
        "Hosts that one namespace may have, with four times as many pairs of host and port, each "
        "backend counted; a policy that would make it more is refused.",
        minimum=1,
        maximum=100000,
    )
