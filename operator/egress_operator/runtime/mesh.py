"""What is read of the mesh: its ConfigMap, where that is allowed.

Two facts decide what is compiled and said: whether undeclared hosts are blocked, and whether
proxies resolve names through Istio. Everything here is optional: without the right, or without
Istio, the settings' defaults hold.
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import yaml

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport
from egress_operator.plan.source import OutboundMode, build_settings
from egress_operator.plan.source import Settings as CompilerSettings
from egress_operator.runtime.settings import Settings

logger = logging.getLogger(__name__)

INTERVAL_S = 120.0
CONFIG_MAPS = Resource("", "v1", "configmaps")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TRUE = frozenset({"1", "t", "true"})
"""What Go's strconv.ParseBool takes for true, in lower case: Istio's pkg/env reads it so."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What the mesh's configuration says; UNKNOWN and None where it could not be read."""

    outbound_mode: OutboundMode = OutboundMode.UNKNOWN
    dns_capture: bool | None = None
    root_namespace: str = ""


def parse_mesh(text: str) -> Mesh:
    """Read `data.mesh` of Istio's ConfigMap. Pure. Raises ValueError when it is not such a text.

    Istio's defaults hold for what is absent: ALLOW_ANY (mesh/v1alpha1 MeshConfig, pkg/config/mesh),
    no capture of names. An `outboundTrafficPolicy` without mode is REGISTRY_ONLY, its zero value.
    """
    try:
        document = yaml.load(text, _LOADER)  # noqa: S506 - one of the two safe loaders
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML: {type(error).__name__}") from error
    if document is None:
        document = {}
    policy = _get_map(document, "outboundTrafficPolicy")
    mode = OutboundMode.ALLOW_ANY
    if policy is not None:
        name = str(policy.get("mode", OutboundMode.REGISTRY_ONLY))
        # ALLOW_ANY_DYNAMIC_DNS (Istio 1.31) blocks nothing either.
        mode = (
            OutboundMode.REGISTRY_ONLY
            if name == OutboundMode.REGISTRY_ONLY
            else OutboundMode.ALLOW_ANY
        )
    metadata = _get_map(_get_map(document, "defaultConfig") or {}, "proxyMetadata") or {}
    capture = str(metadata.get("ISTIO_META_DNS_CAPTURE", "")).lower() in _TRUE
    return Mesh(mode, capture, str(document.get("rootNamespace") or ""))


def _get_map(document: object, name: str) -> dict[str, Any] | None:
    if not isinstance(document, dict):
        raise ValueError("not a map")  # noqa: TRY004 - one class of errors for the caller
    value = document.get(name)
    return value if isinstance(value, dict) else None


async def read_mesh(transport: Transport, settings: Settings) -> Mesh | None:
    """Read the mesh's configuration; None: the API server did not answer, keep what is known."""
    where = f"{settings.istio_namespace}/{settings.mesh_config_map}"
    try:
        body = await transport.get(CONFIG_MAPS, settings.istio_namespace, settings.mesh_config_map)
        return parse_mesh((body.get("data") or {}).get("mesh", ""))
    except ApiError as error:
        if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
            logger.debug("ConfigMap %s is not read: %s", where, error)
            return Mesh()
        return None
    except ValueError as error:
        logger.warning("ConfigMap %s: data.mesh is %s; it is left out", where, error)
        return Mesh()


def build_compiler_settings(settings: Settings, mesh: Mesh) -> CompilerSettings:
    """Join the operator's settings with what the mesh says. Pure."""
    capture = {"on": True, "off": False}.get(settings.dns_capture, bool(mesh.dns_capture))
    return build_settings(
        settings,
        dns_capture=capture,
        root_namespace=mesh.root_namespace or settings.istio_namespace,
        outbound_mode=mesh.outbound_mode,
    )
