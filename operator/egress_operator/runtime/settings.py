"""Everything that differs between clusters, read from flags and environment variables.

A field of `Settings` is the only place that names a setting. A flag wins over the environment, the
environment over the default. Light on purpose: the CLI reads it without paying for kopf.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from egress_operator.plan.option import PlanOptions, check_domain, check_label, option


class SettingsError(ValueError):
    """A setting that cannot be used. One line: which one, what is wrong, how to fix it."""


class OptionType(StrEnum):
    """How the text of an option is read."""

    TEXT = "text"
    INTEGER = "integer"
    SECONDS = "seconds"
    """A number, fractions allowed."""
    LIST = "list"
    """Comma-separated in the environment; a flag may also be repeated."""
    CHOICE = "choice"


def check_address(text: str) -> str | None:
    """Say why `text` is no address to listen on."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address; write 0.0.0.0 for all interfaces, :: for IPv6 too"
    return None


@dataclass(frozen=True, slots=True)
class Settings(PlanOptions):
    """The operator's settings, checked; `build_settings` makes it. Durations in seconds."""

    namespaces: tuple[str, ...] = option(
        (),
        "Serve only these namespaces, which must exist: Roles there are enough; empty: all.",
        check=check_label,
    )
    in_flight: int = option(
        16,
        "Requests to the API server at once; as many again may be unanswered for 1.5 s. Higher "
        "values bring little and slow down other clients.",
        minimum=1,
        maximum=512,
    )
    workers: int = option(
        32,
        "Hosts that are worked on at once; they share the requests of --in-flight.",
        minimum=1,
        maximum=1024,
    )
    resync: float = option(
        600.0,
        "Seconds between full comparisons, from memory, plus or minus 20 %.",
        minimum=1,
        maximum=86400,
    )
    dns_capture: str = option(
        "auto",
        "Whether proxies resolve names through Istio; auto reads the mesh's ConfigMap.",
        choices=("auto", "on", "off"),
    )
    istio_namespace: str = option(
        "istio-system",
        "Where istiod and the mesh's ConfigMap are.",
        check=check_label,
    )
    mesh_config_map: str = option(
        "istio",
        "The ConfigMap with the mesh's configuration (istio-REVISION with revisions).",
        check=check_domain,
    )
    bind: str = option(
        "0.0.0.0",  # noqa: S104 - probes and scrapes come from outside the pod
        "Address on which metrics and health are served; :: in clusters with IPv6 alone.",
        check=check_address,
    )
    metrics_port: int = option(9090, "Port of /metrics and /readyz.", minimum=1, maximum=65535)
    health_port: int = option(8080, "Port of /healthz.", minimum=1, maximum=65535)
    log_format: str = option(
        "auto",
        "text, json, or auto: text on a terminal, json elsewhere.",
        choices=("auto", "text", "json"),
    )
    log_level: str = option(
        "info",
        "The least severe level that is logged.",
        choices=("debug", "info", "warning", "error"),
    )
    kubeconfig: str = option(
        "",
        "Kubeconfig file; empty: the pod's service account, else KUBECONFIG or ~/.kube/config.",
    )
    context: str = option("", "Context of the kubeconfig; empty: its current one.")


@dataclass(frozen=True, slots=True)
class Option:
    """A field of `Settings` as flag and environment variable; `option` says what the rest means."""

    field: str
    default: Any
    meaning: str
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    check: Callable[[str], str | None] | None

    @property
    def name(self) -> str:
        """The flag without its two dashes."""
        return self.field.replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable."""
        return "EGRESS_" + self.field.upper()

    @property
    def type(self) -> OptionType:
        """How a text is read, by the type of the default."""
        match self.default:
            case tuple():
                return OptionType.LIST
            case int():
                return OptionType.INTEGER
            case float():
                return OptionType.SECONDS
        return OptionType.CHOICE if self.choices else OptionType.TEXT

    @property
    def default_text(self) -> str:
        """The default as a flag would give it."""
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return ",".join(self.default) if isinstance(self.default, tuple) else str(self.default)


OPTIONS = tuple(Option(row.name, row.default, **row.metadata) for row in fields(Settings))
"""In the order of the help."""

_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_|$)")


def build_settings(
    environment: Mapping[str, str], flags: Mapping[str, str | tuple[str, ...] | None] | None = None
) -> Settings:
    """Read the settings from flags and environment variables.

    `flags` maps a field's name to its text, to several texts for a list, or to None when it was not
    given. Pure. Raises SettingsError with one line for the first value that cannot be used.
    """
    given = flags or {}
    values: dict[str, Any] = {}
    for row in OPTIONS:
        flag = given.get(row.field)
        if flag is not None and flag != ():
            text = flag if isinstance(flag, str) else ",".join(flag)
            values[row.field] = _parse(row, text.strip(), f"--{row.name}")
        elif row.env in environment:
            values[row.field] = _parse(row, environment[row.env].strip(), row.env)
    settings = Settings(**values)
    if settings.metrics_port == settings.health_port:
        raise SettingsError(
            f"--health-port: {settings.health_port} is also --metrics-port; choose another one"
        )
    return settings


def find_unknown(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Name the EGRESS_ variables that are no setting: most likely misspelt, so worth a warning.

    Kubernetes itself adds some for Services whose names begin so (service links); those are left
    out.
    """
    known = {row.env for row in OPTIONS}
    return tuple(
        sorted(
            name
            for name in environment
            if name.startswith("EGRESS_") and name not in known and not _SERVICE_LINK.search(name)
        )
    )


def _parse(row: Option, text: str, source: str) -> object:
    match row.type:
        case OptionType.LIST:
            items = tuple(item for item in re.split(r"[,\s]+", text) if item)
            for item in items:
                _check_item(row, item, source)
            return tuple(dict.fromkeys(items))
        case OptionType.INTEGER | OptionType.SECONDS:
            return _parse_number(row, text, source)
    if row.choices and text not in row.choices:
        raise SettingsError(f"{source}: {text!r} is not one of {', '.join(row.choices)}")
    _check_item(row, text, source)
    return type(row.default)(text)


def _parse_number(row: Option, text: str, source: str) -> int | float:
    number: int | float
    try:
        number = int(text) if row.type is OptionType.INTEGER else float(text)
    except ValueError:
        what = "a whole number" if row.type is OptionType.INTEGER else "a number of seconds"
        raise SettingsError(f"{source}: {text!r} is not {what}") from None
    low, high = row.minimum, row.maximum
    if not ((low is None or number >= low) and (high is None or number <= high)):
        raise SettingsError(f"{source}: {text} is not between {low:g} and {high:g}")
    return number


def _check_item(row: Option, text: str, source: str) -> None:
    if row.check is not None and (wrong := row.check(text)):
        raise SettingsError(f"{source}: {text!r} {wrong}")
