"""The text that the objects of a host would hold: what makes it too much is not opened."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from egress_operator.explain.want import Want

MOST = 768 * 1024
AROUND, ENTRY, PORT, ACCOUNT = 128, 16, 1024, 96
"""Characters around a condition; around a label, a header, a name or an endpoint; of all other
settings of a port; and around a service account."""


class Texts:
    """The text of each host, as policies come."""

    def __init__(self) -> None:
        self._hosts: dict[str, int] = {}
        self._callers: dict[tuple[str, int], set[frozenset[tuple[str, str]]]] = {}
        """Whom each port knows already, by their labels."""

    def take(self, want: "Want") -> bool:
        """Add what a want makes; whether there is room for it."""
        callers = self._callers.get((want.subject, want.port), set())
        text = self._hosts.get(want.subject, 0)
        if not callers:
            text += PORT + want.way.header_text + _measure_names(want)
            text += sum(
                sum(map(len, endpoint)) + ENTRY
                for share in want.place.backends
                for endpoint in share.endpoints
            )
        if want.source.labels not in callers and frozenset[tuple[str, str]]() not in callers:
            text += _measure_conditions(want)
        text += sum(len(account) + ACCOUNT for account in want.source.accounts)
        if text > MOST:
            return False
        self._hosts[want.subject] = text
        self._callers[want.subject, want.port] = callers | {want.source.labels}
        return True


def _measure_names(want: "Want") -> int:
    names = frozenset[str]() if want.way.tls is None else want.way.tls.names
    return sum(len(name) + ENTRY for name in names)


def _measure_conditions(want: "Want") -> int:
    labels = _measure_pairs(want.source.labels)
    if not want.way.allow:
        return AROUND + labels
    return sum(
        max(1, len(entry.paths)) * (AROUND + labels + _measure_pairs(entry.headers))
        + sum(map(len, entry.paths))
        for entry in want.way.allow
    )


def _measure_pairs(pairs: frozenset[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) + ENTRY for name, value in pairs)
