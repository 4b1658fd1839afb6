"""The rule of host names, and what is said to somebody who wrote something else."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from egress_operator.api.character import (
    describe_characters,
    find_look_alikes,
    find_strange,
    is_dash,
    remove_strange,
    unify_width,
)
from egress_operator.api.rule import Check, Finding, build_cel_list, quote

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = f"({_LABEL}\\.)+[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?"
HOST_PATTERN = f"^{_NAME}$"
"""Lower-case DNS labels, two at least, the last one starts with a letter, nothing else. The last
label keeps every spelling of an IPv4 address out (`127.1`, `0x7f.0.0.1`, `0177.0.0.1`)."""
WILDCARD_PATTERN = f"^[*][.]{_NAME}$"
"""A wildcard over such a name."""
_EITHER_PATTERN = f"^([*][.])?{_NAME}$"

HOST_LENGTH = 253
LABEL_LENGTH = 63

RESERVED_SUFFIXES = (".localhost", ".localdomain")
RESERVED_NAMES = {
    "instance-data.ec2.internal": "169.254.169.254",
    "metadata.azure.internal": "169.254.169.254",
    "metadata.goog": "169.254.169.254",
    "metadata.google.internal": "169.254.169.254",
    "metadata.tencentyun.com": "169.254.0.23",
}
"""Names of the clouds' metadata services, with their addresses."""

_DEVIATIONS = frozenset("ßẞς\u200c\u200d")
"""IDNA 2003, which Python has, maps them to others or to nothing; IDNA 2008 keeps them."""
_RESERVED_WILDCARDS = {
    f"*.{domain}": name
    for name in RESERVED_NAMES
    for domain in (name.split(".", count)[count] for count in range(1, name.count(".")))
}
"""The wildcards over them, each with one of them."""
_HOST = re.compile(HOST_PATTERN)
_EITHER = re.compile(_EITHER_PATTERN)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SRV_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)\+srv://(?:[^/@]*@)?([^/:?#]*)")
_SRV_NAME = re.compile(r"_[A-Za-z0-9-]+\._(?:tcp|tls|udp)\.([^/:?#]+)", re.IGNORECASE)
_PORT = re.compile(r"(.+):([0-9]{1,5})")


def is_host(text: str) -> bool:
    """Whether `text` is a host name by our rule; its length is a bound of its own."""
    return _HOST.fullmatch(text) is not None


def _is_name(text: str) -> bool:
    """Whether `text` is a host name, or a wildcard over one."""
    return _EITHER.fullmatch(text) is not None


def is_reserved(text: str) -> bool:
    """Whether the name leads to the machine itself or to a metadata service."""
    return text.endswith(RESERVED_SUFFIXES) or text in RESERVED_NAMES


def _find_bad_shape(host: str) -> Iterator[Finding]:
    if "*" in host or is_host(host):
        return
    yield _explain(host)


def is_wildcard(host: str) -> bool:
    """Whether a host stands for all names below another one."""
    return host.startswith("*")


def _find_bad_wildcard(host: str) -> Iterator[Finding]:
    if "*" not in host or _is_name(host):
        return
    yield _explain_foreign(host) or _explain_star(host) or _explain_spelling(host)


def _explain_star(host: str) -> Finding | None:
    """Say it for a * in the wrong place, and for one that covers too much."""
    shown = quote(host)
    before, _, domain = host.rpartition("*")
    wildcard = f"*.{domain.strip('. ').lower()}"
    is_known = _is_name(wildcard)
    if _is_name(host.strip()):
        return None
    if not host.strip("*."):
        return Finding(
            f"{shown} stands for every host, and a policy names those that are called",
            fix="name each host, or the domains that you know, such as *.example.com",
        )
    if is_known and not before.strip("*. "):
        if not before and domain.startswith("."):
            return None
        what = f"{shown} is a partial wildcard: * stands for whole labels, as many as there are"
        return Finding(what, fix=f"write {wildcard}, which covers all names below {wildcard[2:]}")
    if before or domain[:1] not in {"", "."}:
        wide = f"; {wildcard} would stand for all names below {wildcard[2:]}" if is_known else ""
        return Finding(
            f"{shown} is a partial wildcard: neither certificates nor proxies know such",
            fix=f"name each host{wide}",
        )
    return _explain_wide(shown, domain.removeprefix(".").rstrip("."))


def _explain_wide(shown: str, domain: str) -> Finding | None:
    """Say it for a wildcard over less than two labels, or over addresses."""
    if is_host(f"x.{domain}"):
        return Finding(
            f"{shown} stands for all that ends with .{domain}: two labels at least are needed",
            fix="name each host, or a domain of one owner, such as *.example.com",
        )
    if re.fullmatch(r"[0-9.]+", domain):
        return Finding(
            f"{shown} is no wildcard over names: addresses have none",
            fix="write a CIDR such as 203.0.113.0/24 into addresses of a destination without hosts",
        )
    return None


def _find_bad_name(name: str) -> Iterator[Finding]:
    if is_host(name):
        return
    if "*" in name:
        yield Finding(
            f"{quote(name)} is a wildcard, and this is one name",
            fix="write a name that it covers: a certificate for *.example.com holds for "
            "api.example.com",
        )
    elif _is_address(name):
        yield Finding(
            f"{quote(name)} is an IP address", fix="write the name in the server's certificate"
        )
    else:
        yield _explain(name)


def _explain(host: str) -> Finding:
    return _explain_service_record(host) or _explain_foreign(host) or _explain_spelling(host)


def _explain_foreign(host: str) -> Finding | None:
    """Say it for what is not meant as a name: a URL, an address, a name with a port."""
    shown = quote(host)
    parts = [part for part in re.split(r"[,;\s]+", host) if part]
    if len(parts) > 1 and all(_is_name(part.lower()) for part in parts):
        return Finding(
            f"{shown} holds {len(parts)} hosts",
            fix=f"write each as an entry of its own: {', '.join(parts).lower()}",
        )
    if scheme := _SCHEME.match(host):
        rest = re.split(r"[/:?#]", host[scheme.end() :], maxsplit=1)[0]
        return Finding(
            f"{shown} is a URL",
            fix=f"write only the host{_suggest(rest)}: the port goes into ports, "
            "paths are not part of a destination",
        )
    if _is_address(host):
        return Finding(
            f"{shown} is an IP address", fix="move it to addresses; hosts holds names only"
        )
    if port := _PORT.fullmatch(host):
        return Finding(
            f"{shown} has a port",
            fix=f"write only the host{_suggest(port[1])}, and the port as "
            f"ports: [{{number: {port[2]}, protocol: ...}}]",
        )
    if "/" in host:
        rest = host.split("/", 1)[0]
        return Finding(
            f"{shown} has a path or a prefix length",
            fix=f"write only the host{_suggest(rest)}; a CIDR goes into addresses",
        )
    return None


def _explain_service_record(host: str) -> Finding | None:
    """Say it for the name of a DNS record that lists hosts, written as a URL or as it is."""
    record = ""
    if url := _SRV_SCHEME.match(host):
        kind = "the URL of an SRV record"
        record = f"_{url[1]}._tcp.{url[2]}" if is_host(url[2].lower()) else ""
    elif name := _SRV_NAME.match(host):
        kind = "the name of an SRV record"
        record = name[0] if is_host(name[1].lower()) else ""
    else:
        return None
    command = f" (dig +short SRV {record.lower()})" if record else ""
    return Finding(
        f"{quote(host)} is {kind}, which lists hosts",
        fix=f"look up the SRV record{command} and name the hosts that it lists",
    )


def _explain_spelling(host: str) -> Finding:
    """Say it for what is nearly a name, with the right spelling where there is one."""
    lower = host.lower().rstrip(".")
    if host != host.strip():
        clean = _suggest(host.strip())
        what, fix = "has white space around it", f"write{clean}" if clean else ""
    elif strange := find_strange(host):
        what = f"holds {describe_characters(strange)}"
        fix = "remove it" if len(strange) == 1 else "remove them"
        if all(map(is_dash, strange)):
            fix = "write - in its place"
        clean = _suggest(_to_a_labels(remove_strange(host)))
        fix += f": write{clean}" if clean else ""
    elif not host.isascii():
        return _explain_letters(host)
    elif _is_name(lower):
        what = "has upper-case letters" if host.lower() != host else "has a dot at the end"
        fix = f"write {lower}"
    else:
        what, fix = _explain_labels(lower)
    return Finding(f"{quote(host)} {what}", fix=fix)


def _explain_labels(lower: str) -> tuple[str, str]:
    """Say what is wrong with the labels of a name in lower case, and how to fix it."""
    if is_host(name := lower.removeprefix(".")):
        return "begins with a dot", f"write {name}, or *.{name} for all names below it"
    if lower and "." not in lower:
        return (
            "has no dot, so it is not a full host name",
            "write the full name, such as api.example.com; Services in the cluster need no policy",
        )
    if re.fullmatch(r"[0-9]+", lower.rpartition(".")[2]):
        return (
            "ends with a number, and the last part of a host name begins with a letter",
            "write the full name, such as api.example.com; an IP address goes into addresses",
        )
    if "_" in lower:
        return "has an underscore, which Istio refuses in a host", ""
    if any(len(label) > LABEL_LENGTH for label in lower.split(".")):
        return f"has a label longer than {LABEL_LENGTH} characters", ""
    return "is not a host name", ""


def _explain_letters(host: str) -> Finding:
    """Say it for a name with letters outside ASCII, which may be meant or not."""
    narrow = unify_width(host).lower()
    if _is_name(narrow):
        return Finding(
            f"{quote(host)} has letters or dots in another form, such as full-width",
            fix=f"write {narrow}",
        )
    fix = f"write the name as A-labels{_suggest(_to_a_labels(host))}"
    if letters := find_look_alikes(host):
        return Finding(
            f"{quote(host)} holds {describe_characters(letters)}",
            fix=f"write ASCII letters if you mean those; or {fix}",
        )
    return Finding(f"{quote(host)} has letters outside ASCII", fix=fix)


def _suggest(host: str) -> str:
    return f" {host.lower()}" if _is_name(host.lower()) else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _to_a_labels(host: str) -> str:
    """Return the name as A-labels, empty where IDNA 2003 and 2008 make two names of it."""
    if _DEVIATIONS.intersection(host):
        return ""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def explain_metadata_service(cidr: str) -> str:
    """Tell how a pod reaches a metadata service, for which there is no policy. Pure.

    The annotation is Istio's: the addresses are not sent through the sidecar.
    """
    return (
        "no policy can allow it; pods that need it reach it without the sidecar, by the annotation "
        f"traffic.sidecar.istio.io/excludeOutboundIPRanges: {cidr}"
    )


def _find_reserved(host: str) -> Iterator[Finding]:
    if address := RESERVED_NAMES.get(host):
        fix = explain_metadata_service(f"{address}/32")
        yield Finding(f"{quote(host)} is the cloud's metadata service", fix=fix)
    elif name := _RESERVED_WILDCARDS.get(host):
        yield Finding(
            f"{quote(host)} covers {name}, the cloud's metadata service",
            fix="name each host",
        )
    elif is_reserved(host):
        yield Finding(f"{quote(host)} is the machine itself", fix="name a host outside")


HOST_CEL = f"self.matches(r'{HOST_PATTERN}')"
_RESERVED_CEL = " || ".join(f"self.endsWith('{suffix}')" for suffix in RESERVED_SUFFIXES)

WILDCARD = Check(
    "EG073", f"!self.contains('*') || self.matches(r'{WILDCARD_PATTERN}')", _find_bad_wildcard
)
HOST_SHAPE = Check(
    "EG010", f"self.contains('*') || {HOST_CEL}", _find_bad_shape, pattern=_EITHER_PATTERN
)
NAME_SHAPE = Check("EG010", HOST_CEL, _find_bad_name, pattern=HOST_PATTERN)
"""As `HOST_SHAPE`, for one name: one in TLS, which Istio compares exactly, or one to rewrite to."""
RESERVED = Check(
    "EG011",
    f"!({_RESERVED_CEL} || self in {build_cel_list((*RESERVED_NAMES, *_RESERVED_WILDCARDS))})",
    _find_reserved,
)
