"""What is read of the mesh: its ConfigMap, where that is allowed.

A few facts decide what is compiled and said: whether undeclared hosts are blocked, whether proxies
resolve names through Istio and normalize paths, and who sees ServiceEntries and Services.
Everything here is optional: without the right, or without Istio, the settings' defaults hold. What
has been read once holds until something else is read: a text that somebody has broken, or a
ConfigMap that is gone, must not make another namespace the root of the mesh.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport
from egress_operator.plan.selector import Requirement, Selector
from egress_operator.plan.source import OutboundMode, build_settings
from egress_operator.plan.source import Settings as CompilerSettings
from egress_operator.plan.visibility import UNCAPPED, EntryVisibility, Visibility, VisibilityRule
from egress_operator.runtime.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

INTERVAL_S = 120.0
CONFIG_MAPS = Resource("", "v1", "configmaps")
_MOST_LEVELS = 64
"""Of maps and lists in each other: the loader crashes the process at some ten thousand."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TRUE = frozenset({"1", "t", "true"})
"""What Go's strconv.ParseBool takes for true, in lower case: Istio's pkg/env reads it so."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What the mesh's configuration says; UNKNOWN and None where it could not be read."""

    outbound_mode: OutboundMode = OutboundMode.UNKNOWN
    dns_capture: bool | None = None
    root_namespace: str = ""
    normalizes_paths: bool = True
    entry_visibility: EntryVisibility = UNCAPPED
    service_export: tuple[str, ...] = ()


def parse_mesh(text: str) -> Mesh:
    """Read `data.mesh` of Istio's ConfigMap. Pure. Raises ValueError when it is not such a text.

    A value of another type is such an error: Istio refuses the whole text for it, and what is left
    out may mean the opposite.
    Istio's defaults hold for what is absent: ALLOW_ANY (mesh/v1alpha1 MeshConfig, pkg/config/mesh),
    no capture of names. An `outboundTrafficPolicy` without mode is REGISTRY_ONLY, its zero value.
    """
    loaded = _load(text)
    document = {} if loaded is None else _check(loaded, "the text", dict)
    policy = _get_map(document, "outboundTrafficPolicy")
    mode = OutboundMode.ALLOW_ANY
    if policy is not None:
        name = _get_text(policy, "mode") or OutboundMode.REGISTRY_ONLY
        # ALLOW_ANY_DYNAMIC_DNS (Istio 1.31) blocks nothing either.
        mode = (
            OutboundMode.REGISTRY_ONLY
            if name == OutboundMode.REGISTRY_ONLY
            else OutboundMode.ALLOW_ANY
        )
    metadata = _get_map(_get_map(document, "defaultConfig") or {}, "proxyMetadata") or {}
    capture = _get_text(metadata, "ISTIO_META_DNS_CAPTURE").lower() in _TRUE
    normalization = _get_map(document, "pathNormalization") or {}
    return Mesh(
        mode,
        capture,
        _get_text(document, "rootNamespace"),
        # DEFAULT is BASE (pilot/pkg/networking/util/util.go), and the others do more.
        normalizes_paths=_get_text(normalization, "normalization") != "NONE",
        entry_visibility=_read_visibility(_get_map(document, "serviceEntryVisibility") or {}),
        service_export=_get_texts(document, "defaultServiceExportTo"),
    )


def _load(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """Read a text as YAML. Raises ValueError."""
    try:
        fault = _find_excess(text)
        document = None if fault else yaml.load(text, _LOADER)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, ValueError) as error:
        # A value that does not fit its tag has an error of Python's own, such as KeyError.
        raise ValueError(f"not YAML: {type(error).__name__}") from error
    if fault:
        raise ValueError(f"not readable: {fault}")
    return document


def _find_excess(text: str) -> str:
    """Name what a loader may need too much stack or memory for; empty where there is nothing.

    The parser uses no stack of its own. With aliases few lines may stand for more values than
    memory holds.
    """
    level = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        elif isinstance(event, yaml.AliasEvent):
            return "an alias is not supported: write out what it stands for"
        if level > _MOST_LEVELS:
            return f"it has more than {_MOST_LEVELS} levels"
    return ""


def _read_visibility(document: dict[str, Any]) -> EntryVisibility:
    """Read what sidecars and gateways heed; where they do not, all is as ServiceEntries say."""
    if not _get(document, "applyToSidecars", bool):
        return UNCAPPED
    rules = tuple(
        VisibilityRule(
            _read_level(_get_text(policy, "visibility")),
            tuple(map(_read_selector, _get_maps(policy, "matchingRules"))),
        )
        for policy in _get_maps(document, "policies")
    )
    return EntryVisibility(_read_level(_get_text(document, "defaultVisibility")), rules)


def _read_level(text: str) -> Visibility:
    return next((item for item in Visibility if item == text), Visibility.PUBLIC)


def _read_selector(rule: dict[str, Any]) -> Selector | None:
    selector = _get_map(rule, "namespaceSelector")
    if selector is None:
        return None
    labels = _get_map(selector, "matchLabels") or {}
    wanted = [Requirement(str(key), "In", (_get_text(labels, key),)) for key in labels]
    wanted += [
        Requirement(
            _get_text(entry, "key"), _get_text(entry, "operator"), _get_texts(entry, "values")
        )
        for entry in _get_maps(selector, "matchExpressions")
    ]
    return Selector(tuple(wanted))


def _get_text(document: dict[str, Any], name: str) -> str:
    return _get(document, name, str) or ""


def _get_texts(document: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(_check(value, name, str) for value in _get(document, name, list) or ())


def _get_maps(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [_check(value, name, dict) for value in _get(document, name, list) or ()]


def _get_map(document: dict[str, Any], name: str) -> dict[str, Any] | None:
    return _get(document, name, dict)


def _get(document: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Return a field, None where there is nothing. Raises ValueError for another type.

    Its name may also be written as in Istio's protocol buffers, as Istio takes both.
    """
    snake = re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)
    value = document.get(name, document.get(snake))
    return None if value is None else _check(value, name, kind)


def _check(value: object, name: str, kind: type[T]) -> T:
    if not isinstance(value, kind):
        expected = {str: "text", list: "a list", dict: "a map", bool: "true or false"}[kind]
        # One class of errors for the caller.
        raise ValueError(f"not readable: {name} is not {expected}")  # noqa: TRY004
    return value


async def read_mesh(transport: Transport, settings: Settings) -> Mesh | None:
    """Read the mesh's configuration; None: it cannot be read now, keep what is known."""
    where = f"{settings.istio_namespace}/{settings.mesh_config_map}"
    try:
        body = await transport.get(CONFIG_MAPS, settings.istio_namespace, settings.mesh_config_map)
        data = body.get("data") or {}
        if "mesh" not in data:
            raise ValueError("missing")  # noqa: TRY301 - one log line for all
        return parse_mesh(data["mesh"])
    except ApiError as error:
        logger.debug("ConfigMap %s is not read: %s", where, error)
    except ValueError as error:
        logger.warning("ConfigMap %s: data.mesh is %s; what was read before holds", where, error)
    return None


def build_compiler_settings(settings: Settings, mesh: Mesh) -> CompilerSettings:
    """Join the operator's settings with what the mesh says. Pure."""
    capture = {"on": True, "off": False}.get(settings.dns_capture, bool(mesh.dns_capture))
    return build_settings(
        settings,
        dns_capture=capture,
        istio_namespace=settings.istio_namespace,
        root_namespace=mesh.root_namespace,
        outbound_mode=mesh.outbound_mode,
        normalizes_paths=mesh.normalizes_paths,
        entry_visibility=mesh.entry_visibility,
        service_export=mesh.service_export,
    )
