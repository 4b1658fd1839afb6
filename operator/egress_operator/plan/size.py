"""How much text the objects of one host may hold, when several policies have a part in them.

What one policy makes of its conditions is bounded (EG044). But each that names the host adds its
ports, with all that is written for each, and the labels of its workloads to each condition.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from egress_operator.istio.http import HeaderIntent
from egress_operator.istio.traffic import Labels

if TYPE_CHECKING:
    from egress_operator.plan.claim import Claim

_EVERYBODY: Labels = ()

MOST_TEXT = 768 * 1024
"""Characters: half of what etcd takes in one object, and more than EG044 allows one policy."""
_CONDITION, _ENTRY = 128, 16
"""Characters that are written around a condition; and around a label, a header or an endpoint."""
_PORT, _ACCOUNT = 1024, 96
"""Characters of the other settings of a port, and around a service account, at most."""


class TextCount:
    """The text of each host, as its claims come."""

    def __init__(self) -> None:
        self._hosts: dict[str, int] = {}
        self._ports: dict[tuple[str, int], set[Labels]] = {}
        """Whom the conditions of a port name already."""

    def measure(self, claim: "Claim") -> int:
        """Return how much its host would have with a claim."""
        sources = self._ports.get((claim.key, claim.port.number))
        text = self._hosts.get(claim.key, 0)
        if sources is None:
            text += sum(_measure_once(claim))
        if sources is None or sources.isdisjoint({_EVERYBODY, claim.source.workloads}):
            text += _measure_conditions(claim)
        return text + sum(len(name) + _ACCOUNT for name in claim.source.accounts)

    def add(self, claim: "Claim", text: int) -> None:
        """Take a claim, with which its host has that much."""
        self._hosts[claim.key] = text
        self._ports.setdefault((claim.key, claim.port.number), set()).add(claim.source.workloads)


def _measure_once(claim: "Claim") -> Iterator[int]:
    """Measure what is written for a port, whoever may use it."""
    yield _PORT
    if claim.port.tls is not None:
        yield from (len(name) + _ENTRY for name in claim.port.tls.names)
    for endpoint in claim.settings.endpoints:
        names = (endpoint.address, endpoint.locality, endpoint.service_account)
        yield sum(map(len, names)) + _ENTRY
    if claim.port.http is not None:
        yield from _measure_headers(claim.port.http.request)
        yield from _measure_headers(claim.port.http.response)


def _measure_headers(change: HeaderIntent) -> Iterator[int]:
    yield from map(_measure_pair, (*change.set, *change.add))
    yield from (len(name) + _ENTRY for name in change.remove)


def _measure_pair(pair: tuple[str, str]) -> int:
    name, value = pair
    return len(name) + len(value) + _ENTRY


def _measure_conditions(claim: "Claim") -> int:
    """Measure what is written for those whom the claim lets in."""
    labels = sum(map(_measure_pair, claim.source.workloads))
    allow = () if claim.port.http is None else claim.port.http.allow
    if not allow:
        return _CONDITION + labels
    return sum(
        (len(entry.paths) or 1) * (_CONDITION + labels + sum(map(_measure_pair, entry.headers)))
        + sum(map(len, entry.paths))
        for entry in allow
    )
