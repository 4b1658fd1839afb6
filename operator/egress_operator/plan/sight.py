"""What Sidecars, and the mesh, hide of each policy: as before unless something changed."""

from collections.abc import Mapping
from dataclasses import replace

from egress_operator.istio.sidecar import Service
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.cache import CachedHost, CachedNamespace, CachedPolicy
from egress_operator.plan.piece import Pieces
from egress_operator.plan.sidecar import (
    NO_SCREEN,
    Opening,
    Ports,
    Screen,
    Sight,
    build_screen,
    find_sight,
)
from egress_operator.plan.source import NamespaceInput
from egress_operator.plan.visibility import Visibility, explain_cap


def look_around(inputs: NamespaceInput, part: CachedNamespace) -> Screen:
    """Return what decides what pods see, after all hosts are compiled.

    What is as in the last plan is the identical value.
    """
    screen = NO_SCREEN
    if inputs.sidecars:
        screen = build_screen(inputs.sidecars, _find_wildcards(part.hosts))
    if screen != part.screen:
        part.screen = screen
    return part.screen


def _find_wildcards(hosts: Mapping[str, CachedHost]) -> dict[str, Ports]:
    return {
        key: {claim.port.number: claim.port.is_http for claim in host.results.won}
        for key, host in hosts.items()
        if is_wildcard(key) and host.compiled.object_set is not None
    }


def find_policy_sight(
    policy: CachedPolicy, screen: Screen, inputs: NamespaceInput, part: CachedNamespace
) -> Pieces[Sight]:
    """Tell what is hidden of the hosts of which a policy has objects.

    The Sidecars are compared with it only when they, or what it opens, have changed.
    """
    own = [part.hosts[key] for key in policy.live_keys] if screen.sidecars else []
    found = part.around.results.get(policy.gateway)
    gateway = None if found is None else found.gateway
    service = None
    if gateway is not None:
        service = Service(gateway.namespace, gateway.host, gateway.intent.port)
    mode = inputs.settings.outbound_mode
    made_from = (screen, policy.live_claims, own, service, mode)
    if policy.sight_made_from != made_from:
        labels = () if policy.intent is None else policy.intent.source.workloads
        opened = _find_opened(policy, part.hosts) if screen.sidecars else {}
        private = {key: names for key in opened if (names := part.hosts[key].compiled.private)}
        opening = Opening(inputs.namespace, labels, opened, service, private)
        policy.sight = yield from find_sight(screen, opening, mode)
        policy.sight_made_from = made_from
    visibility = inputs.settings.entry_visibility.find(inputs.labels or {})
    if visibility is Visibility.PUBLIC or not policy.live_claims:
        return policy.sight
    is_elsewhere = gateway is not None and gateway.namespace != inputs.namespace
    sentence = explain_cap(visibility, through_gateway=is_elsewhere)
    return replace(policy.sight, capped=(sentence,)) if sentence else policy.sight


def _find_opened(
    policy: CachedPolicy, hosts: Mapping[str, CachedHost]
) -> dict[str, dict[int, bool]]:
    opened: dict[str, dict[int, bool]] = {}
    for claim in policy.live_claims:
        if hosts[claim.key].compiled.object_set is not None:
            opened.setdefault(claim.key, {})[claim.port.number] = claim.port.is_http
    return opened
