"""The text that the objects of a host would hold: what makes it too much is not opened."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from egress_operator.explain.want import Allowed, Want

MOST = 768 * 1024
SOURCE, AROUND, ENTRY = 64, 128, 16
"""Characters around the labels of callers; around those and a request; around a label, a header, a
name or an endpoint."""
PORT, UPSTREAM, ACCOUNT, POLICY = 1024, 256, 96, 160
"""Characters of all other settings of a port; for each place where requests go; around a service
account; and around the name of a policy, which is written twice."""
PATTERN = 32
"""Characters around a wildcard."""
HOSTS, HOSTS_OF_ALLOWED = 3, 7
"""How often the routes of requests name the host, without and with `allow`."""


class Texts:
    """The text of each host, as policies come."""

    def __init__(self) -> None:
        self._hosts: dict[str, int] = {}
        self._policies: dict[str, set[str]] = {}
        self._callers: dict[tuple[str, int], set[frozenset[tuple[str, str]]]] = {}
        """Whom each port knows already, by their labels."""
        self._accounts: dict[tuple[str, int], set[str]] = {}
        self._open: set[tuple[str, int]] = set()
        """What everyone may call."""

    def take(self, want: "Want") -> bool:
        """Add what a want makes; whether there is room for it."""
        port, labels, accounts = (want.subject, want.port), want.source.labels, want.source.accounts
        text = self._start(want)
        if port not in self._callers:
            text += _measure_port(want)
        if port not in self._open:
            if labels not in self._callers.get(port, ()):
                text += _measure_caller(want)
            text += sum(len(name) + ACCOUNT for name in accounts - self._accounts.get(port, set()))
        if text > MOST:
            return False
        self._note(want, text)
        self._callers.setdefault(port, set()).add(labels)
        self._accounts.setdefault(port, set()).update(accounts)
        if not labels and not accounts:
            self._open.add(port)
        return True

    def take_policy(self, want: "Want") -> None:
        """Add the policy of a want that is lost: it is an owner too, if there is room."""
        if (text := self._start(want)) <= MOST:
            self._note(want, text)

    def _start(self, want: "Want") -> int:
        """Return the text of the host with the policy of a want among its owners."""
        text, name = self._hosts.get(want.subject, 0), want.policy.name
        known = name in self._policies.get(want.subject, ())
        return text if known else text + 2 * len(name) + POLICY

    def _note(self, want: "Want", text: int) -> None:
        self._hosts[want.subject] = text
        self._policies.setdefault(want.subject, set()).add(want.policy.name)


def _measure_port(want: "Want") -> int:
    way = want.way
    text = PORT + UPSTREAM * _count_upstreams(want) + way.header_text + _measure_tls(want)
    text += len(way.host) + len(way.path_prefix)
    text += sum(
        sum(map(len, endpoint)) + ENTRY
        for share in want.place.backends
        for endpoint in share.endpoints
    )
    if way.is_http:
        text += (HOSTS_OF_ALLOWED if way.allow else HOSTS) * len(want.host)
    if way.allow:
        text += 2 * len(want.policy.name)
        text += _measure_allowed(want, 0) if way.gateway else 0
    return text


def _count_upstreams(want: "Want") -> int:
    """Count the names behind a port: one, or that of each backend with a share or copies."""
    place, mirror = want.place, want.way.mirror
    several = len(place.backends) > 1 and not place.failover
    names = {share.name for share in place.used} if several else {""}
    return len(names | ({mirror} if mirror else set()))


def _measure_tls(want: "Want") -> int:
    tls = want.way.tls
    if tls is None:
        return 0
    names = sum(len(name) + ENTRY for name in tls.names if name)
    return names + sum(map(len, (tls.server_name, tls.ca, tls.certificate, tls.key)))


def _measure_caller(want: "Want") -> int:
    labels = _measure_pairs(want.source.labels)
    text = SOURCE + labels + _measure_condition(want)
    return text if want.way.gateway else text + _measure_allowed(want, labels)


def _measure_allowed(want: "Want", labels: int) -> int:
    """Measure each condition of `allow`, and of the refusals of paths and of all else."""
    if not want.way.allow:
        return 0
    each = AROUND + labels + _measure_condition(want)
    return 2 * each + sum(_measure_entry(entry, each) for entry in want.way.allow)


def _measure_entry(entry: "Allowed", each: int) -> int:
    condition = each + _measure_pairs(entry.headers) + sum(len(name) + 1 for name in entry.methods)
    return max(1, len(entry.paths)) * condition + sum(map(len, entry.paths))


def _measure_condition(want: "Want") -> int:
    """Measure the host in a condition: TLS has it, and the requests for a wildcard."""
    if want.way.is_http:
        return len(want.host) + 2 * want.host.count(".") + PATTERN if want.is_any else 0
    return len(want.host) if want.way.protocol == "TLS" else 0


def _measure_pairs(pairs: frozenset[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) + ENTRY for name, value in pairs)
