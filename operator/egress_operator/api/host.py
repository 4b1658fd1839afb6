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
HOST_PATTERN = f"^({_LABEL}\\.)+[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?$"
"""Lower-case DNS labels, two at least, the last one starts with a letter, nothing else. The last
label keeps every spelling of an IPv4 address out (`127.1`, `0x7f.0.0.1`, `0177.0.0.1`)."""

HOST_LENGTH = 253
LABEL_LENGTH = 63

RESERVED_SUFFIXES = (".localhost", ".localdomain")
RESERVED_NAMES = (
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.tencentyun.com",
)
"""Names of the machine itself and of the clouds' metadata services."""

_DEVIATIONS = frozenset("ßẞς\u200c\u200d")
"""IDNA 2003, which Python has, maps them to others or to nothing; IDNA 2008 keeps them."""
_HOST = re.compile(HOST_PATTERN)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r"(.+):([0-9]{1,5})")


def is_host(text: str) -> bool:
    """Whether `text` is a host name by our rule; its length is a bound of its own."""
    return _HOST.fullmatch(text) is not None


def is_reserved(text: str) -> bool:
    """Whether the name leads to the machine itself or to a metadata service."""
    return text.endswith(RESERVED_SUFFIXES) or text in RESERVED_NAMES


def _find_bad_shape(host: str) -> Iterator[Finding]:
    if host.startswith("*") or is_host(host):
        return
    yield _explain_foreign(host) or _explain_spelling(host)


def _find_bad_name(name: str) -> Iterator[Finding]:
    if is_host(name):
        return
    if name.startswith("*"):
        yield Finding(
            f"{quote(name)} is a wildcard, and names are compared exactly",
            fix="write a name that it covers: a certificate for *.example.com holds for "
            "api.example.com",
        )
    elif _is_address(name):
        yield Finding(
            f"{quote(name)} is an IP address", fix="write the name in the server's certificate"
        )
    else:
        yield _explain_foreign(name) or _explain_spelling(name)


def _explain_foreign(host: str) -> Finding | None:
    """Say it for what is not meant as a name: a URL, an address, a name with a port."""
    shown = quote(host)
    parts = [part for part in re.split(r"[,;\s]+", host) if part]
    if len(parts) > 1 and all(is_host(part.lower()) for part in parts):
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


def _explain_spelling(host: str) -> Finding:
    """Say it for what is nearly a name, with the right spelling where there is one."""
    lower = host.lower().rstrip(".")
    what, fix = "is not a host name", ""
    if host != host.strip():
        what, fix = "has white space around it", f"write {host.strip()}"
    elif strange := find_strange(host):
        what = f"holds {describe_characters(strange)}"
        fix = "remove it" if len(strange) == 1 else "remove them"
        if all(map(is_dash, strange)):
            fix = "write - in its place"
        clean = _suggest(_to_a_labels(remove_strange(host)))
        fix += f": write{clean}" if clean else ""
    elif not host.isascii():
        return _explain_letters(host)
    elif is_host(lower):
        what = "has upper-case letters" if host.lower() != host else "has a dot at the end"
        fix = f"write {lower}"
    elif lower and "." not in lower:
        what = "has no dot, so it is not a full host name"
        fix = (
            "write the full name, such as api.example.com; Services inside the cluster need no "
            "policy"
        )
    elif re.fullmatch(r"[0-9]+", lower.rpartition(".")[2]):
        what = "ends with a number, and the last part of a host name begins with a letter"
        fix = "write the full name, such as api.example.com; an IP address goes into addresses"
    elif "_" in lower:
        what = "has an underscore, which Istio refuses in a host"
    elif any(len(label) > LABEL_LENGTH for label in lower.split(".")):
        what = f"has a label longer than {LABEL_LENGTH} characters"
    return Finding(f"{quote(host)} {what}", fix=fix)


def _explain_letters(host: str) -> Finding:
    """Say it for a name with letters outside ASCII, which may be meant or not."""
    narrow = unify_width(host).lower()
    if is_host(narrow):
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
    return f" {host.lower()}" if is_host(host.lower()) else ""


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


def _find_reserved(host: str) -> Iterator[Finding]:
    if is_reserved(host):
        yield Finding(subject=quote(host))


def _find_wildcard(host: str) -> Iterator[Finding]:
    if host.startswith("*"):
        yield Finding(subject=quote(host))


HOST_CEL = f"self.matches(r'{HOST_PATTERN}')"
_RESERVED_CEL = " || ".join(f"self.endsWith('{suffix}')" for suffix in RESERVED_SUFFIXES)

WILDCARD = Check("EG201", "!self.startsWith('*')", _find_wildcard)
HOST_SHAPE = Check(
    "EG010", f"self.startsWith('*') || {HOST_CEL}", _find_bad_shape, pattern=HOST_PATTERN
)
NAME_SHAPE = Check("EG010", HOST_CEL, _find_bad_name, pattern=HOST_PATTERN)
"""As `HOST_SHAPE`, for names in TLS: Istio compares them exactly, so there are no wildcards."""
RESERVED = Check(
    "EG011", f"!({_RESERVED_CEL} || self in {build_cel_list(RESERVED_NAMES)})", _find_reserved
)
