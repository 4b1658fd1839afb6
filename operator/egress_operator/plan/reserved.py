"""Reserved names: those under the synthetic domains, which the operator alone uses."""

from collections.abc import Mapping
from typing import Any

from egress_operator.istio.name import DIRECT_DOMAIN, EGRESS_DOMAIN
from egress_operator.plan.source import Settings

_FIELDS = frozenset(
    {
        ":authority",
        "address",
        "authority",
        "host",
        "hosts",
        "sni",
        "snihosts",
        "subjectaltnames",
        "targethost",
    }
)
"""Fields of Istio's objects, and headers, that hold names of hosts; in lower case."""
_LONGEST = 300
"""A longer text is no name of a host, whatever stands before or behind it."""
_EVERY = "*"


def list_reserved_domains(settings: Settings) -> tuple[str, ...]:
    """Return the domains whose names are reserved, sorted. Pure."""
    return tuple(sorted({*settings.synthetic_domains, DIRECT_DOMAIN, EGRESS_DOMAIN}))


def find_reserved_name(spec: Mapping[str, Any], domains: tuple[str, ...]) -> str:
    """Return a name in the spec of an Istio object that is reserved, empty for none. Pure.

    Every field is looked at that the admission policy `reserved-names` looks at.
    """
    ends = tuple(f".{domain}" for domain in domains)
    found: list[tuple[str, Any]] = [("", spec)]
    while found:
        field, value = found.pop()
        if isinstance(value, Mapping):
            found += ((str(key).lower(), item) for key, item in value.items())
        elif isinstance(value, list):
            found += ((field, item) for item in value)
        elif field in _FIELDS and isinstance(value, str) and _is_reserved(value, ends):
            return value.strip()
    return ""


def _is_reserved(text: str, ends: tuple[str, ...]) -> bool:
    """Whether it is a name under one of these domains, or a wildcard over them; not `*`.

    It may have a namespace before it, and a port or a dot behind it.
    """
    if len(text) > _LONGEST:
        return False
    name = text.strip().lower().rpartition("/")[2].partition(":")[0].rstrip(".")
    if name.startswith(_EVERY) and name != _EVERY:
        return name.endswith(ends) or any(end.endswith(name[1:]) for end in ends)
    return f".{name}".endswith(ends)
