"""How much text the objects of one host may hold, when several policies have a part in them.

What one policy makes of its conditions is bounded (EG044). But each that names the host adds its
ports, with all that is written for each, the labels of its workloads to each condition, and its own
name, as the owner. No object of the host is larger than what is counted, but for what stands around
endpoints: of those each object has few.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from egress_operator.istio.http import HeaderIntent
from egress_operator.istio.traffic import EVERYONE, OPAQUE_TLS, Labels
from egress_operator.istio.wildcard import is_wildcard

if TYPE_CHECKING:
    from egress_operator.istio.object import Owner
    from egress_operator.plan.claim import Claim

MOST_TEXT = 768 * 1024
"""Characters: half of what etcd takes in one object, and more than EG044 allows one policy."""
_OWNER = 160
"""Characters around the name of a policy, which stands there twice: in ownerReferences and in an
annotation or, without the name, managedFields."""
_SOURCE, _CONDITION, _ENTRY = 64, 128, 16
"""Characters that are written around the labels of a source; around those and a request; and around
a label, a header, a name or an endpoint."""
_PORT, _UPSTREAM, _ACCOUNT = 1024, 256, 96
"""Characters of the other settings of a port; for each upstream; and around a service account."""
_NAMES, _NAMES_OF_ALLOWED = 3, 4
"""How often the host stands in the routes of an HTTP port; and how often more, with `allow`."""
_ESCAPES = {"<": 5, ">": 5, "&": 5, '"': 1, "\\": 1}
"""Characters more that the API server stores for one of these (`encoding/json` of Go)."""
_PATTERN = 32
"""Characters around the domain in the pattern of a wildcard."""


@dataclass(slots=True)
class _Callers:
    """Whom the objects name already, of one port of a host."""

    labels: set[Labels] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    are_all: bool = False
    """Whether everyone may call; then nobody else is named."""


class TextCount:
    """The text of each host, as its claims come."""

    def __init__(self) -> None:
        self.hosts: dict[str, int] = {}
        """The characters, by the key of the host."""
        self.left_out: dict[str, set[Owner]] = {}
        """The policies for whose names there is no room."""
        self._owners: dict[str, set[Owner]] = {}
        self._ports: dict[tuple[str, int], _Callers] = {}

    def measure(self, claim: "Claim") -> int:
        """Return how much its host would have with a claim."""
        callers, source = self._ports.get((claim.key, claim.port.number)), claim.source
        text = self._measure_with_owner(claim)
        if callers is None:
            text += sum(_measure_port(claim))
            callers = _Callers()
        if callers.are_all:
            return text
        if source.workloads not in callers.labels:
            text += _measure_source(claim)
        return text + sum(
            len(name) + _ACCOUNT for name in source.accounts if name not in callers.accounts
        )

    def add(self, claim: "Claim", text: int) -> None:
        """Take a claim, with which its host has that much."""
        self.hosts[claim.key] = text
        self._owners.setdefault(claim.key, set()).add(claim.owner)
        callers = self._ports.setdefault((claim.key, claim.port.number), _Callers())
        callers.labels.add(claim.source.workloads)
        callers.accounts.update(claim.source.accounts)
        callers.are_all |= claim.source == EVERYONE

    def add_owner(self, claim: "Claim") -> None:
        """Take the policy of a claim that is lost: it owns the objects if there is room for it."""
        text = self._measure_with_owner(claim)
        if text > MOST_TEXT:
            self.left_out.setdefault(claim.key, set()).add(claim.owner)
            return
        self.hosts[claim.key] = text
        self._owners.setdefault(claim.key, set()).add(claim.owner)

    def _measure_with_owner(self, claim: "Claim") -> int:
        text = self.hosts.get(claim.key, 0)
        if claim.owner in self._owners.get(claim.key, ()):
            return text
        return text + 2 * len(claim.owner.name) + _OWNER


def _measure_port(claim: "Claim") -> Iterator[int]:
    """Measure what is written for a port, whoever may use it."""
    port, http = claim.port, claim.port.http
    yield _PORT + _UPSTREAM * claim.upstreams
    if port.is_http:
        yield _NAMES * _measure_name(claim)
    if port.tls is not None:
        yield from (len(name) + _ENTRY for name in port.tls.names)
        tls = (port.tls.server_name, port.tls.ca, port.tls.certificate, port.tls.key)
        yield sum(map(len, tls))
    for endpoint in claim.settings.endpoints:
        names = (endpoint.address, endpoint.locality, endpoint.service_account)
        yield sum(map(len, names)) + _ENTRY
    if http is None:
        return
    yield len(http.host) + _measure_text(http.path_prefix)
    yield from _measure_headers(http.request)
    yield from _measure_headers(http.response)
    if http.allow:
        yield _NAMES_OF_ALLOWED * _measure_name(claim) + 2 * len(claim.owner.name)
        if claim.gateway:
            # It looks at requests, and not at the labels of those who send them.
            yield _measure_requests(claim, 0)


def _measure_headers(change: HeaderIntent) -> Iterator[int]:
    yield from map(_measure_pair, (*change.set, *change.add))
    yield from (len(name) + _ENTRY for name in change.remove)


def _measure_pair(pair: tuple[str, str]) -> int:
    name, value = pair
    return len(name) + _measure_text(value) + _ENTRY


def _measure_text(text: str) -> int:
    """Measure what a user wrote, as it is stored."""
    return len(text) + sum(more * text.count(sign) for sign, more in _ESCAPES.items())


def _measure_source(claim: "Claim") -> int:
    """Measure what is written for those whom the claim lets in."""
    labels = sum(map(_measure_pair, claim.source.workloads))
    text = _SOURCE + labels + _measure_guard(claim)
    return text if claim.gateway else text + _measure_requests(claim, labels)


def _measure_requests(claim: "Claim", labels: int) -> int:
    """Measure the conditions of what is allowed, and those of the two refusals beside them."""
    allow = () if claim.port.http is None else claim.port.http.allow
    if not allow:
        return 0
    common = _CONDITION + labels + _measure_guard(claim)
    text = 2 * common
    for entry in allow:
        methods = sum(len(name) + 1 for name in entry.methods)
        headers = sum(map(_measure_pair, entry.headers))
        text += (len(entry.paths) or 1) * (common + methods + headers)
        text += sum(map(_measure_text, entry.paths))
    return text


def _measure_guard(claim: "Claim") -> int:
    """Measure what each condition says of the host."""
    if not claim.port.is_http:
        return _measure_name(claim) if claim.port.protocol == OPAQUE_TLS else 0
    if not is_wildcard(claim.host):
        return 0
    return len(claim.host) + 2 * claim.host.count(".") + _PATTERN


def _measure_name(claim: "Claim") -> int:
    """Measure the host; an address without one has no conditions."""
    return 0 if claim.as_dialled else len(claim.host)
