"""Everything that differs between clusters: one table of options, read from flags and environment.

The table is the only place that names an option: `egressctl run` makes its flags of it, the
chart's values and the reference are compared with it. A flag wins over the environment, the
environment over the default. Light on purpose: the CLI reads it without paying for kopf.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class SettingsError(ValueError):
    """A setting that cannot be used. One line: which one, what is wrong, how to mend it."""


class OptionType(StrEnum):
    """How the text of an option is read."""

    TEXT = "text"
    INTEGER = "integer"
    SECONDS = "seconds"
    """A number, fractions allowed."""
    LIST = "list"
    """Comma-separated in the environment; a flag may also be repeated."""
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    `name` is the flag without dashes; the field of `Settings` is the same with underscores, the
    variable is `EGRESS_` and the same in capitals.
    """

    name: str
    type: OptionType
    default: str
    """As text, in the form that flag and environment use."""
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[str], str | None] | None = None
    """Says what is wrong with one text (of a list: one item), or None."""

    @property
    def field(self) -> str:
        """The attribute of `Settings`."""
        return self.name.replace("-", "_")

    @property
    def env(self) -> str:
        """The environment variable."""
        return "EGRESS_" + self.field.upper()


_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_|$)")
_DOMAIN_LENGTH = 253
"""RFC 1035, without the dot at the end."""
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _check_label(text: str) -> str | None:
    return None if _LABEL.fullmatch(text) else "is not a namespace or object name (RFC 1123 label)"


def _check_domain(text: str) -> str | None:
    if len(text) <= _DOMAIN_LENGTH and all(_LABEL.fullmatch(label) for label in text.split(".")):
        return None
    return "is not a domain of lower-case DNS labels without a dot at either end"


def _check_cidr(text: str) -> str | None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return f"is not a CIDR: {error}; write it as 10.0.0.0/8 or fd00::/8"
    return None


def _check_address(text: str) -> str | None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address; write 0.0.0.0 for all interfaces, :: for IPv6 too"
    return None


OPTIONS: tuple[Option, ...] = (
    Option(
        "namespaces",
        OptionType.LIST,
        "",
        "Serve only these namespaces (then Roles there are enough); empty: all of them.",
        check=_check_label,
    ),
    Option(
        "settle",
        OptionType.SECONDS,
        "2",
        "Pause between dependent changes, so that every proxy has the first before the second.",
        minimum=0,
        maximum=300,
    ),
    Option(
        "in-flight",
        OptionType.INTEGER,
        "16",
        "Requests to the API server at once. More is little faster and slows the neighbours.",
        minimum=1,
        maximum=512,
    ),
    Option(
        "workers",
        OptionType.INTEGER,
        "32",
        "Hosts that are worked on at once; they share the requests of --in-flight.",
        minimum=1,
        maximum=1024,
    ),
    Option(
        "resync",
        OptionType.SECONDS,
        "600",
        "How often everything is compared again, from memory, plus or minus 20 %.",
        minimum=1,
        maximum=86400,
    ),
    Option(
        "cluster-domain",
        OptionType.TEXT,
        "cluster.local",
        "The cluster's DNS domain; names under it are refused.",
        check=_check_domain,
    ),
    Option(
        "synthetic-domains",
        OptionType.LIST,
        "egress.internal,direct.internal",
        "Domains of the operator's own internal names; policies may not use them.",
        check=_check_domain,
    ),
    Option(
        "allowed-cidrs",
        OptionType.LIST,
        "",
        "Literal addresses that policies may use beside public ones.",
        check=_check_cidr,
    ),
    Option(
        "cluster-cidrs",
        OptionType.LIST,
        "",
        "The cluster's own pod and service ranges; never a destination.",
        check=_check_cidr,
    ),
    Option(
        "dns-capture",
        OptionType.CHOICE,
        "auto",
        "Whether proxies resolve names through Istio; auto reads the mesh's ConfigMap.",
        choices=("auto", "on", "off"),
    ),
    Option(
        "istio-namespace",
        OptionType.TEXT,
        "istio-system",
        "Where istiod and the mesh's ConfigMap are.",
        check=_check_label,
    ),
    Option(
        "mesh-config-map",
        OptionType.TEXT,
        "istio",
        "The ConfigMap with the mesh's configuration (istio-REVISION with revisions).",
        check=_check_domain,
    ),
    Option(
        "gateway-objects",
        OptionType.CHOICE,
        "Tenant",
        "Where Gateways are written: GatewayNamespace for PILOT_SCOPE_GATEWAY_TO_NAMESPACE.",
        choices=("Tenant", "GatewayNamespace"),
    ),
    Option(
        "max-hosts-per-namespace",
        OptionType.INTEGER,
        "500",
        "Hosts that the policies of one namespace may name; the youngest beyond it are refused.",
        minimum=1,
        maximum=100000,
    ),
    Option(
        "bind",
        OptionType.TEXT,
        "0.0.0.0",  # noqa: S104 - probes and scrapes come from outside the pod
        "Address on which metrics and health are served.",
        check=_check_address,
    ),
    Option(
        "metrics-port",
        OptionType.INTEGER,
        "9090",
        "Port of /metrics and /readyz.",
        minimum=1,
        maximum=65535,
    ),
    Option(
        "health-port",
        OptionType.INTEGER,
        "8080",
        "Port of /healthz.",
        minimum=1,
        maximum=65535,
    ),
    Option(
        "log-format",
        OptionType.CHOICE,
        "auto",
        "text, json, or auto: text on a terminal, json elsewhere.",
        choices=("auto", "text", "json"),
    ),
    Option(
        "log-level",
        OptionType.CHOICE,
        "info",
        "The least severe level that is logged.",
        choices=("debug", "info", "warning", "error"),
    ),
    Option(
        "kubeconfig",
        OptionType.TEXT,
        "",
        "Kubeconfig file; empty: the pod's service account, else KUBECONFIG or ~/.kube/config.",
    ),
    Option(
        "context",
        OptionType.TEXT,
        "",
        "Context of the kubeconfig; empty: its current one.",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings, checked; `build_settings` makes it.

    Durations in seconds. The rows of `OPTIONS` say what each field means.
    """

    namespaces: tuple[str, ...] = ()
    settle: float = 2.0
    in_flight: int = 16
    workers: int = 32
    resync: float = 600.0
    cluster_domain: str = "cluster.local"
    synthetic_domains: tuple[str, ...] = ("egress.internal", "direct.internal")
    allowed_cidrs: tuple[str, ...] = ()
    cluster_cidrs: tuple[str, ...] = ()
    dns_capture: str = "auto"
    istio_namespace: str = "istio-system"
    mesh_config_map: str = "istio"
    gateway_objects: str = "Tenant"
    max_hosts_per_namespace: int = 500
    bind: str = "0.0.0.0"  # noqa: S104 - as in the table
    metrics_port: int = 9090
    health_port: int = 8080
    log_format: str = "auto"
    log_level: str = "info"
    kubeconfig: str = ""
    context: str = ""


def build_settings(
    environment: Mapping[str, str], flags: Mapping[str, str | tuple[str, ...] | None] | None = None
) -> Settings:
    """Read the settings from flags and environment variables.

    `flags` maps a field's name to its text, to several texts for a list, or to None when it was not
    given. Pure. Raises SettingsError with one line for the first value that cannot be used.
    """
    given = flags or {}
    values: dict[str, Any] = {}
    for option in OPTIONS:
        flag = given.get(option.field)
        if flag is not None and flag != ():
            text = flag if isinstance(flag, str) else ",".join(flag)
            values[option.field] = _parse(option, text, f"--{option.name}")
        else:
            text = environment.get(option.env, option.default)
            values[option.field] = _parse(option, text, option.env)
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
    known = {option.env for option in OPTIONS}
    return tuple(
        sorted(
            name
            for name in environment
            if name.startswith("EGRESS_") and name not in known and not _SERVICE_LINK.search(name)
        )
    )


def _parse(option: Option, text: str, source: str) -> str | int | float | tuple[str, ...]:
    text = text.strip()
    match option.type:
        case OptionType.TEXT:
            _check_item(option, text, source)
            return text
        case OptionType.CHOICE:
            if text not in option.choices:
                raise SettingsError(f"{source}: {text!r} is not one of {', '.join(option.choices)}")
            return text
        case OptionType.LIST:
            items = tuple(item for item in re.split(r"[,\s]+", text) if item)
            for item in items:
                _check_item(option, item, source)
            return tuple(dict.fromkeys(items))
        case OptionType.INTEGER | OptionType.SECONDS:
            return _parse_number(option, text, source)


def _parse_number(option: Option, text: str, source: str) -> int | float:
    number: int | float
    try:
        number = int(text) if option.type is OptionType.INTEGER else float(text)
    except ValueError:
        what = "a whole number" if option.type is OptionType.INTEGER else "a number of seconds"
        raise SettingsError(f"{source}: {text!r} is not {what}") from None
    low, high = option.minimum, option.maximum
    if not ((low is None or number >= low) and (high is None or number <= high)):
        raise SettingsError(f"{source}: {text} is not between {low:g} and {high:g}")
    return number


def _check_item(option: Option, text: str, source: str) -> None:
    if option.check is not None and (wrong := option.check(text)):
        raise SettingsError(f"{source}: {text!r} {wrong}")


if {option.field for option in OPTIONS} != {field.name for field in fields(Settings)}:
    raise AssertionError("OPTIONS and Settings name different fields")
