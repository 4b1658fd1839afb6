"""Names of the objects that we write: deterministic and frozen with the first release.

A changed name would delete and re-create objects, and age has a meaning in Istio.
"""

import hashlib
import re

DIRECT_DOMAIN = "direct.internal"
"""Ends the synthetic hosts of addresses without a name, after the namespace."""

_SLUG_LENGTH = 40
_HASH_LENGTH = 7
_OURS = re.compile(rf"[a-z0-9]([a-z0-9-]*[a-z0-9])?-h[0-9a-f]{{{_HASH_LENGTH}}}")
_OTHER = re.compile(r"[^a-z0-9]+")


def build_name(text: str) -> str:
    """Return the name made of a host or an address: `slug-hxxxxxxx`, a DNS label of 49 at most.

    The hash is always there: `a.b` and `a-b` have the same slug. The letter in front of it is there
    because YAML reads some bare hexadecimal words as numbers.
    """
    slug = _OTHER.sub("-", text.lower().replace("*", "any")).strip("-")[:_SLUG_LENGTH].rstrip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{slug}-h{digest}"


def build_synthetic_host(address: str, namespace: str) -> str:
    """Return the host name under which an address without a name stands in a ServiceEntry."""
    return f"{build_name(address)}.{namespace}.{DIRECT_DOMAIN}"


def build_group_name(key: str) -> str:
    """Return the name that all objects of a group have, by the group's key (its host)."""
    if key.endswith(f".{DIRECT_DOMAIN}"):
        return key.partition(".")[0]
    return build_name(key)


def is_our_name(name: str) -> bool:
    """Whether a name has the form of the names that we give."""
    return _OURS.fullmatch(name) is not None
