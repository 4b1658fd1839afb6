"""Names of the objects that we write: deterministic and frozen with the first release.

A changed name would delete and re-create objects, and age has a meaning in Istio. What each name is
made of, and why, is in docs/design/gateways.md.
"""

import hashlib
import re
import sys
from collections.abc import Iterable
from functools import lru_cache

EGRESS_DOMAIN = "egress.internal"
"""Ends the synthetic hosts that lead through a gateway."""
RESTRICTED_DOMAIN = f"restricted.{EGRESS_DOMAIN}"
"""Ends those that only some service accounts may use, after the namespace."""
DIRECT_DOMAIN = "direct.internal"
"""Ends the synthetic hosts that are reached directly, after the namespace."""

MODES = ("http", "opaque", "restricted-http", "restricted-opaque")
"""How a port is reached through a gateway, as the name of what is behind it says."""

WAY, INNER, DIALLED = "-c", "-in", "-d"
"""End names of objects beside the one that is called as what is behind a port: the way of clients
to it; of a wildcard through a gateway the gateway's inner server, and what that dials."""

_SLUG_LENGTH = 22
"""With two hashes and a port a name is then a DNS label: 22 + 18 + 6 + 17 = 63."""
_HASH_LENGTH = 16
"""Hexadecimal digits, 64 bits: nobody finds a second host, or namespace, of the same name."""
_HASH = rf"[0-9a-f]{{{_HASH_LENGTH}}}"
_LABEL = re.compile(rf"[a-z0-9]([a-z0-9-]*[a-z0-9])?-h{_HASH}")
_BEHIND = re.compile(rf"-[0-9]{{1,5}}-({_HASH})")
_BEHIND_FULL = re.compile(rf".+-h{_HASH}-[0-9]{{1,5}}-({_HASH})")
_OTHER = re.compile(r"[^a-z0-9]+")
_NAMES = 1024
"""Names that are remembered: work on a host asks for its name a dozen times in a row."""


@lru_cache(_NAMES)
def build_name(text: str) -> str:
    """Return the name of a host or an address: `slug-hxxxxxxxxxxxxxxxx`, a DNS label of 40 at most.

    The hash is always there: `a.b` and `a-b` have the same slug. The letter in front of it is there
    because YAML reads some bare hexadecimal words as numbers.
    """
    return sys.intern(f"{_build_slug(text)}-h{_build_hash(text)}")


def build_gateway_label(name: str, *place: str) -> str:
    """Return the DNS label of an EgressGateway at this place, of 40 characters at most.

    `place` is all that says where it is. A gateway that moves has another label, so what leads to
    the new place stands beside what leads to the old one.
    """
    return f"{_build_slug(name)}-h{_build_hash(' '.join((name, *place)))}"


def build_tenant_name(namespace: str, label: str) -> str:
    """Return the name of what serves a namespace in the namespace of its gateway."""
    return build_name(f"{namespace}.{label}")


def build_behind_name(host: str, port: int, *scope: str) -> str:
    """Return the name of what is behind one port of a host: a DNS label of 63 at most.

    `host` is the host's `build_host_name`, `scope` says for whom, where and how it is reached:
    namespace, gateway label (or `direct`), mode.
    """
    return f"{host}-{port}-{_build_hash(' '.join(scope))}"


def is_behind_name(name: str, host: str, *scope: str) -> bool:
    """Whether `build_behind_name` gives this name to a port of a host.

    `scope` is empty, or the namespace and the gateway label: then in one of the modes.
    """
    if not name.startswith(host):
        return False
    found = _BEHIND.fullmatch(name.removeprefix(host))
    if found is None:
        return False
    return not scope or any(found[1] == _build_hash(" ".join((*scope, mode))) for mode in MODES)


def find_behind_port(name: str) -> int:
    """Return the port in a name of `build_behind_name`."""
    return int(name.rsplit("-", 2)[1])


def is_restricted_name(name: str, namespace: str, label: str) -> bool:
    """Whether `build_behind_name` gives this name to a port that service accounts reach there."""
    modes = (mode for mode in MODES if mode.startswith("restricted-"))
    return _has_mode(name, namespace, label, modes)


def is_opaque_name(name: str, namespace: str, label: str) -> bool:
    """Whether `build_behind_name` gives this name to a port that carries bytes there."""
    modes = (mode for mode in MODES if mode.endswith("opaque"))
    return _has_mode(name, namespace, label, modes)


def _has_mode(name: str, namespace: str, label: str, modes: Iterable[str]) -> bool:
    found = _BEHIND_FULL.fullmatch(name)
    return found is not None and any(
        found[1] == _build_hash(f"{namespace} {label} {mode}") for mode in modes
    )


def build_tenant_domain(label: str, namespace: str) -> str:
    """Return the domain of a namespace behind the gateway with this label."""
    return f"{label}.{namespace}.{EGRESS_DOMAIN}"


def build_restricted_domain(label: str, namespace: str) -> str:
    """Return the domain of the hosts of a namespace that only some service accounts may use."""
    return f"{label}.{namespace}.{RESTRICTED_DOMAIN}"


def build_private_host(behind: str, namespace: str) -> str:
    """Return the name under which a host is reached directly by some workloads of a namespace."""
    return f"{behind}.{build_private_domain(namespace)}"


def build_private_domain(namespace: str) -> str:
    """Return the domain of the hosts that a namespace reaches directly under private names."""
    return f"{namespace}.{DIRECT_DOMAIN}"


def build_synthetic_host(address: str, namespace: str) -> str:
    """Return the host name under which an address without a name stands in a ServiceEntry."""
    return build_private_host(build_name(address), namespace)


def build_host_name(host: str) -> str:
    """Return the name that the objects of a host have or begin with.

    `host`: or the synthetic name of an address, whose first label it is.
    """
    if host.endswith(f".{DIRECT_DOMAIN}"):
        return host.partition(".")[0]
    return build_name(host)


def find_gateway_label(host: str) -> str:
    """Return the gateway label in a name under a tenant's domain, or the domain; else nothing."""
    below = host.removeprefix("*.")
    if is_behind_form(below.partition(".")[0]):
        # All names below that of a port; else the wildcard is in place of such a name.
        host = below
    labels = host.removesuffix(f".{EGRESS_DOMAIN}").split(".")
    if not host.endswith(f".{EGRESS_DOMAIN}") or len(labels) < len(("label", "namespace")):
        return ""
    # A namespace may be called `restricted`: the domain is told by how many labels are before it.
    return labels[0] if len(labels) == len(("label", "namespace")) else labels[1]


def find_tenant(host: str) -> str:
    """Return the namespace in a name under a tenant's domain, or the domain; else nothing."""
    label = find_gateway_label(host)
    return f".{host}".partition(f".{label}.")[2].partition(".")[0] if label else ""


def is_behind_form(name: str) -> bool:
    """Whether a name has the form of `build_behind_name`."""
    return _BEHIND_FULL.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Whether a name has the form of `build_gateway_label` and `build_name`."""
    return _LABEL.fullmatch(name) is not None


def _build_slug(text: str) -> str:
    slug = _OTHER.sub("-", text.lower().replace("*", "any"))
    return slug.strip("-")[:_SLUG_LENGTH].rstrip("-")


def _build_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
