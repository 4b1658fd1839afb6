"""Wildcard hosts such as `*.example.com`: all names below a domain, each found when it is called.

Istio makes a dynamic forward proxy of a ServiceEntry with such a host and resolution DYNAMIC_DNS
(1.30 and later): the proxy asks DNS for the name in the request's Host, or in the server name of
TLS, and dials what it gets. Where the client dials does not matter then; with resolution NONE, for
older proxies, the connection goes there.
"""

from collections.abc import Container, Iterator

_PREFIX = "*."
_NAME = "[-_a-z0-9.]+"


def is_wildcard(host: str) -> bool:
    """Whether a host stands for all names below a domain. Pure."""
    return host.startswith("*")


def build_wildcard(host: str) -> str:
    """Return the wildcard over all names below `host`. Pure."""
    return f"{_PREFIX}{host}"


def list_covering(host: str) -> Iterator[str]:
    """List the wildcards that cover a host, or another wildcard, the narrowest first. Pure."""
    parent = host.removeprefix(_PREFIX).partition(".")[2]
    while parent:
        yield build_wildcard(parent)
        parent = parent.partition(".")[2]


def find_narrowest(host: str, wildcards: Container[str]) -> str | None:
    """Return the narrowest of these wildcards that covers a host, None when none does. Pure."""
    return next((over for over in list_covering(host) if over in wildcards), None)


def build_authority_pattern(host: str, port: int) -> str:
    """Return the regular expression of what a client may write as Host for a wildcard. Pure.

    The proxy dials the port that stands there, whichever the client has dialled, and `port`, the
    scheme's own, when there is none (pilot/pkg/networking/core/cluster_builder.go, buildDFPCluster,
    and Envoy's dynamic forward proxy).
    """
    domain = "".join(f"[{c}]" if c == "." else c for c in host.removeprefix("*"))
    return f"(?i){_NAME}{domain}(:{port})?"
