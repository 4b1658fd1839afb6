"""Literal addresses: the one spelling that is allowed, and those that are refused always.

Python's `ipaddress` and CEL's `ip()` and `cidr()` (Go's netip) must agree. Both refuse leading
zeros and fewer than four parts; `ipaddress` also takes zones, netmasks and IPv4-mapped IPv6, which
the demand for the usual spelling takes out.
"""

import re
from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from egress_operator.api.host import HOST_CEL, explain_metadata_service, is_host
from egress_operator.api.rule import Check, Finding, build_cel_list, quote

ADDRESS_LENGTH = 43
"""Eight groups of four, seven colons and `/128`."""

REFUSED: dict[str, str] = {
    "0.0.0.0/8": "unspecified",
    "100.100.100.200/32": "a metadata service",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a metadata service",
    "169.254.0.0/16": "link-local, where metadata services are",
    "192.0.0.0/24": "reserved, where metadata services are",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/8": "unspecified, loopback, or an IPv4 address inside IPv6",
    "2001::/32": "an IPv4 address inside IPv6 (Teredo)",
    "2002::/16": "an IPv4 address inside IPv6 (6to4)",
    "fd00:ec2::/32": "a metadata service",
    "fd20:ce::254/128": "a metadata service",
    "fe80::/10": "link-local",
    "ff00::/8": "multicast",
}
"""Never a destination, whatever the settings say. `::/8` holds `::`, `::1`, the IPv4-compatible,
mapped and translated addresses and NAT64's prefix; 240.240.0.0/16 is Istio's own to hand out."""

WIDEST_V4 = 16
WIDEST_V6 = 48

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PORT = re.compile(r"(?:\[(?P<six>[0-9a-f:]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")
_RANGE = re.compile("[0-9.]+ ?- ?[0-9.]+")
_REFUSED_NETWORKS = {ip_network(cidr): why for cidr, why in REFUSED.items()}


def parse_address(text: str) -> Address | None:
    """Parse the single address that `text` spells in the usual way, else None."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id):
        return None
    return address if str(address) == text else None


def parse_cidr(text: str) -> Network | None:
    """Parse the range that `text` spells in the usual way, without host bits, else None."""
    if "/" not in text:
        return None
    try:
        network = ip_network(text)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        return None
    return network if str(network) == text else None


def find_refused(text: str) -> str:
    """Why the address or range is refused always; empty when it is not, or is no address."""
    network = _to_network(text)
    if network is None:
        return ""
    return next((why for other, why in _REFUSED_NETWORKS.items() if overlaps(network, other)), "")


def overlaps(one: Network, other: Network) -> bool:
    """Whether the two ranges share an address; never for ranges of two IP versions."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def _to_network(text: str) -> Network | None:
    address = parse_address(text)
    return parse_cidr(text) if address is None else ip_network(address)


def _find_bad_spelling(text: str) -> Iterator[Finding]:
    if _to_network(text) is not None:
        return
    shown = quote(text)
    if several := _explain_several(text):
        yield several
        return
    if is_host(text):
        yield Finding(f"{shown} is a name", fix="move it to hosts; addresses holds IPs and CIDRs")
        return
    if port := _PORT.fullmatch(text):
        address = port["six"] or port["four"]
        if parse_address(address) is not None:
            yield Finding(
                f"{shown} has a port",
                fix=f"write only the address {address}, and the port as "
                f"ports: [{{number: {port['port']}, protocol: ...}}]",
            )
            return
    try:
        usual = ip_network(text.partition("%")[0], strict=False)
    except ValueError:
        yield Finding(subject=shown)
        return
    if isinstance(usual, IPv6Network) and (mapped := usual.network_address.ipv4_mapped):
        yield Finding(f"{shown} is an IPv4 address inside IPv6", fix=f"write {mapped}")
        return
    spelled = str(usual) if "/" in text else str(usual.network_address)
    yield Finding(f"{shown} is not in its usual spelling", fix=f"write {spelled}")


def _explain_several(text: str) -> Finding | None:
    """Say it for several addresses in one text, or for a range by its ends."""
    parts = [part for part in re.split(r"[,;\s]+", text) if part]
    if len(parts) > 1 and all(_to_network(part) is not None for part in parts):
        return Finding(
            f"{quote(text)} holds {len(parts)} addresses",
            fix=f"write each as an entry of its own: {', '.join(parts)}",
        )
    if _RANGE.fullmatch(text):
        return Finding(
            f"{quote(text)} is a range",
            fix="write it as one CIDR or several, such as 203.0.113.0/24",
        )
    return None


def _find_dangerous(text: str) -> Iterator[Finding]:
    if why := find_refused(text):
        network = ip_network(text)
        single = network.num_addresses == 1
        fix = "use the address of a host outside; no policy can allow these"
        if "metadata" in why or "link-local" in why:
            fix = explain_metadata_service(str(network)) if single else ""
        yield Finding(f"{quote(text)} is {why}", fix=fix)


def _find_wide(text: str) -> Iterator[Finding]:
    network = parse_cidr(text)
    if network is None:
        return
    widest = WIDEST_V4 if isinstance(network, IPv4Network) else WIDEST_V6
    if network.prefixlen == 0:
        yield Finding(
            f"{quote(text)} is every address, and a policy names those that are called",
            fix=f"write the ranges that you know, each /{widest} or narrower",
        )
    elif network.prefixlen < widest:
        yield Finding(
            fix=f"use /{widest} or narrower; several narrow ones are allowed",
            subject=quote(text),
        )


def _find_bad_endpoint(text: str) -> Iterator[Finding]:
    if parse_address(text) is None and not is_host(text):
        yield Finding(subject=quote(text))


_LIST = build_cel_list(tuple(REFUSED))
_IP_REFUSED = f"[ip(self)].exists(a, {_LIST}.exists(c, cidr(c).containsIP(a)))"
"""The text is read once: the API server counts what each rule may cost for all endpoints."""
_CIDR_REFUSED = (
    f"{_LIST}.exists(c, cidr(c).containsIP(cidr(self).ip()) || cidr(self).containsIP(cidr(c).ip()))"
)

ADDRESS_SPELLING = Check(
    "EG012",
    "isIP(self) ? ip.isCanonical(self) : isCIDR(self) && string(cidr(self).masked()) == self",
    _find_bad_spelling,
)
ADDRESS_DANGER = Check(
    "EG013",
    f"isIP(self) ? !{_IP_REFUSED} : !isCIDR(self) || !{_CIDR_REFUSED}",
    _find_dangerous,
)
CIDR_WIDTH = Check(
    "EG014",
    "!isCIDR(self) || cidr(self).prefixLength()"
    f" >= (cidr(self).ip().family() == 4 ? {WIDEST_V4} : {WIDEST_V6})",
    _find_wide,
)
ENDPOINT_SHAPE = Check(
    "EG015", f"isIP(self) ? ip.isCanonical(self) : {HOST_CEL}", _find_bad_endpoint
)
ENDPOINT_DANGER = Check("EG013", f"!isIP(self) || !{_IP_REFUSED}", _find_dangerous)
