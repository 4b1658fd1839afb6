"""Wildcards of a namespace over its other hosts: what is judged together, and what cannot be both.

A name is asked for at its own host first, then at the narrowest wildcard over it that has the port.
Istio does the same but in one case, which `TlsIndex` finds.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from egress_operator.istio.traffic import EVERYONE
from egress_operator.istio.virtual_service import HTTP, HTTP_PORT, HTTPS_PORT, TLS
from egress_operator.istio.wildcard import find_narrowest, is_wildcard, list_covering
from egress_operator.plan.standing import HostStanding

if TYPE_CHECKING:
    from egress_operator.plan.claim import Claim

Item = str | tuple[str, int]
"""A host, or a host and port: what may have to wait."""


def list_overlaps(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """List the hosts below a wildcard, each with the narrowest one over it. Pure.

    Linear in the hosts and their labels.
    """
    found = list(dict.fromkeys(keys))
    wildcards = {key for key in found if is_wildcard(key)}
    for key in found if wildcards else ():
        over = find_narrowest(key, wildcards)
        if over is not None:
            yield key, over


def find_routed(standing: Iterable[HostStanding]) -> frozenset[str]:
    """Find the wildcards whose route is there: until it is gone it counts for what is below. Pure.

    Linear.
    """
    return frozenset(host.host for host in standing if host.routes and is_wildcard(host.host))


def find_unsettled(
    asked: Collection[str], through: Collection[str], standing: Collection[HostStanding]
) -> dict[str, dict[Item, str]]:
    """Find the wildcards that have to wait: each with what waits, and why in one line. Pure.

    `asked`: the hosts that are asked for; `through`: the wildcards among them whose TLS is to go
    through a gateway. What stands and is not among them, as that of a policy on hold, is not
    changed, so it may lack the route that keeps it from going by the wildcard's. Of a wildcard that
    is new all waits; else its requests and its TLS, each until its route is there.
    """
    there = {host.host: host for host in standing}
    new = {
        key: _list_new(key, there.get(key), is_through=key in through)
        for key in asked
        if is_wildcard(key)
    }
    found: dict[str, dict[Item, str]] = {}
    for host in sorted(there.keys() - set(asked)) if any(new.values()) else ():
        reason = (
            f"pending until {host}, which stands below it, is gone, or asked for again by a policy "
            "that is accepted and not paused"
        )
        for over in list_covering(host):
            for item in new.get(over, ()):
                if item != (over, HTTPS_PORT) or _has_port(there[host], HTTPS_PORT):
                    found.setdefault(over, {}).setdefault(item, reason)
    return found


def _list_new(key: str, standing: HostStanding | None, *, is_through: bool) -> tuple[Item, ...]:
    """List what of a wildcard may get a route and has none yet."""
    if standing is None:
        return (key,)
    requests = [] if HTTP in standing.routes else [(key, HTTP_PORT)]
    return (*requests, *([(key, HTTPS_PORT)] if is_through and TLS not in standing.routes else []))


def _has_port(standing: HostStanding, number: int) -> bool:
    return any(port == number for _, port, _ in standing.pairs)


class TlsIndex:
    """TLS ports of wildcards and of names, where one of two has a route.

    A route of a name for a TLS port counts for the wildcards over it as well, and then takes their
    server names away (pilot/pkg/networking/core/tls.go, getConfigsForHost and hasTLSMatch; Name's
    Matches in pkg/config/host/name.go). A name has one for each of its TLS ports as soon as any of
    its ports goes through a gateway, to several backends, or is not for everyone. A wildcard has
    one through a gateway alone, and in the same way it counts for all names, and wildcards, below.
    """

    def __init__(self) -> None:
        self._ports: dict[str, dict[int, Claim]] = {}
        """TLS ports of each host."""
        self._routed: dict[str, Claim] = {}
        """Names that have routes, each with the first claim that makes it so."""
        self._below: dict[tuple[str, int], Claim] = {}
        """The first name or wildcard with routes below a wildcard, by that and the port, whether or
        not there is the wildcard."""
        self._any_below: dict[tuple[str, int], Claim] = {}
        """The same, with routes or without."""

    def find(self, claim: "Claim") -> "Claim | None":
        """Return a claim that is admitted, and cannot stand beside this one."""
        key, number = claim.key, claim.port.number
        if _is_tls(claim) and (other := self._find_routed_wildcard(claim)):
            return other
        if is_wildcard(key):
            below = self._any_below if claim.gateway else self._below
            return None if claim.port.is_http else below.get((key, number))
        if key not in self._routed and not _is_routed(claim):
            return None
        ports = self._ports.get(key, {})
        asked = number if _is_tls(claim) else None
        return next(
            (
                found[port]
                for over in list_covering(key)
                # Those of a wildcard are few, those of a name may be many.
                for found in (self._ports.get(over, {}),)
                for port in sorted(found)
                if port in ports or port == asked
            ),
            None,
        )

    def _find_routed_wildcard(self, claim: "Claim") -> "Claim | None":
        """Return a wildcard over a TLS port of a claim, if one of the two has a route.

        Of names only the wildcard's is looked at.
        """
        is_routed = is_wildcard(claim.key) and bool(claim.gateway)
        above = (
            self._ports.get(over, {}).get(claim.port.number) for over in list_covering(claim.key)
        )
        return next((other for other in above if other and (is_routed or other.gateway)), None)

    def add(self, claim: "Claim") -> None:
        """Know that a claim is admitted."""
        key, number = claim.key, claim.port.number
        if _is_tls(claim) and number not in self._ports.setdefault(key, {}):
            self._ports[key][number] = claim
            for over in list_covering(key):
                self._any_below.setdefault((over, number), claim)
                if is_wildcard(key) and claim.gateway:
                    self._below.setdefault((over, number), claim)
        if is_wildcard(key):
            return
        new: Iterable[int] = (number,) if _is_tls(claim) else ()
        if key not in self._routed:
            if not _is_routed(claim):
                return
            self._routed[key] = claim
            new = self._ports.get(key, ())
        first = self._routed[key]
        for over in list_covering(key) if new else ():
            for port in new:
                self._below.setdefault((over, port), first)


def _is_tls(claim: "Claim") -> bool:
    return claim.port.protocol == "TLS" and not claim.as_dialled


def _is_routed(claim: "Claim") -> bool:
    return claim.is_routed or claim.source != EVERYONE
