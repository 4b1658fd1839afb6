"""Domains below which everybody can have names: the public suffix list.

Its first part holds the domains of registries, such as `co.uk`; its second one those of hosting,
such as `s3.amazonaws.com`, where every customer has names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from publicsuffixlist import PSLFILE, PublicSuffixList

_BUCKETS = frozenset(
    {
        "backblazeb2.com",
        "dfs.core.windows.net",
        "firebaseio.com",
        "queue.core.windows.net",
        "r2.cloudflarestorage.com",
        "s3.wasabisys.com",
        "storage.googleapis.com",
        "table.core.windows.net",
        "wasabisys.com",
    }
)
"""Shared hosting that the list does not have."""
_ANYWHERE = frozenset(
    {
        "1u.ms",
        "internal",
        "lacolhost.com",
        "local-ip.co",
        "localhost.direct",
        "localtest.me",
        "lvh.me",
        "nip.io",
        "rbndr.us",
        "sslip.io",
        "traefik.me",
        "vcap.me",
        "xip.io",
    }
)
"""Domains of which the names below say, or may have, any address: also inside the cluster."""


@dataclass(frozen=True, slots=True)
class SharedDomain:
    """A domain below which others have names too, or names that may have any address."""

    name: str
    has_any_address: bool = False
    """Whether the names below it may have any address."""


def find_public_suffix(domain: str) -> str:
    """Return the domain if a registry gives names below it, empty if not. Pure."""
    return domain if _read_list(only_icann=True).is_public(domain) else ""


def find_shared_domain(domain: str) -> SharedDomain | None:
    """Return a shared domain that all names below `domain` are under, or one of them is.

    None when there is none. Pure.
    """
    labels = domain.split(".")
    parents = (".".join(labels[start:]) for start in range(len(labels)))
    if anywhere := next((name for name in parents if name in _ANYWHERE), ""):
        return SharedDomain(anywhere, has_any_address=True)
    if domain in _BUCKETS or _read_list(only_icann=False).is_public(domain):
        return SharedDomain(domain)
    below = _read_below().get(domain, "")
    return SharedDomain(below, has_any_address=below in _ANYWHERE) if below else None


@cache
def _read_list(*, only_icann: bool) -> PublicSuffixList:
    """Read one list, at the first wildcard."""
    return PublicSuffixList(only_icann=only_icann)


@cache
def _read_below() -> Mapping[str, str]:
    """Return the domains that have shared ones below them, each with the first of these."""
    found: dict[str, str] = {}
    for name in (*_read_names(), *sorted(_BUCKETS | _ANYWHERE)):
        parent = name.partition(".")[2]
        while "." in parent:
            found.setdefault(parent, name)
            parent = parent.partition(".")[2]
    return found


def _read_names() -> Iterator[str]:
    """Give the domains of the whole list, without what marks wildcards and exceptions."""
    with Path(PSLFILE).open(encoding="utf-8") as lines:
        for line in lines:
            name = line.partition(" ")[0].strip().lstrip("!*.").lower()
            if name and not name.startswith("//"):
                yield name if name.isascii() else name.encode("idna").decode("ascii")
