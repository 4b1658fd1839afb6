"""What `plan_namespace` remembers between two calls: it saves work and never changes a result."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from egress_operator.diagnostic import Diagnostic
from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Owner
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.address_range import AddressRange
from egress_operator.plan.address_range import list_overlaps as list_address_overlaps
from egress_operator.plan.check import ClusterFacts, build_cluster_facts, check_intent
from egress_operator.plan.claim import Arbitration, Claim, build_claims, judge
from egress_operator.plan.coupling import couple
from egress_operator.plan.cover import Cover
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.host import CompiledHost
from egress_operator.plan.intent import Intent, parse_expiry, parse_intent
from egress_operator.plan.life import Expiry
from egress_operator.plan.limit import (
    NO_DEMAND,
    UNLIMITED,
    Applicant,
    build_demand,
    find_limited,
    withhold,
)
from egress_operator.plan.overlap import Item, find_routed, find_unsettled, list_overlaps
from egress_operator.plan.piece import Pieces
from egress_operator.plan.reference import (
    HOLDING,
    GatewayView,
    build_gateway_view,
    find_reference_problem,
)
from egress_operator.plan.result import (
    ClaimResult,
    ClaimState,
    PolicyResult,
    build_claim_row,
    build_expired_rows,
    build_idle_rows,
    has_error,
)
from egress_operator.plan.route import Tenants, find_open_tenant
from egress_operator.plan.sidecar import NO_SCREEN, NO_SIDECARS, Screen, Sight
from egress_operator.plan.source import (
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
)


class CachedPolicy:
    """One generation of a policy: read once, checked once for each state of the facts."""

    __slots__ = (
        "_around",
        "_checked",
        "_facts",
        "_is_on_hold",
        "_shape",
        "claims",
        "demand",
        "diagnostics",
        "excess",
        "expired_keys",
        "expiry",
        "finding",
        "gateway",
        "intent",
        "is_expired",
        "is_live",
        "live_claims",
        "live_keys",
        "names_wildcard",
        "owner",
        "places",
        "reference",
        "result",
        "result_made_from",
        "sight",
        "sight_made_from",
        "source",
        "tls_wildcards",
        "wildcards",
    )

    def __init__(self, source: PolicySource) -> None:
        self.source = source
        self.owner = Owner(source.name, source.uid)
        self.intent: Intent | None
        self.intent, self._shape = parse_intent(source)
        self.claims: tuple[Claim, ...] = (
            () if self.intent is None else build_claims(self.intent, source.namespace)
        )
        self.names_wildcard = any(is_wildcard(claim.key) for claim in self.claims)
        self.gateway = "" if self.intent is None else self.intent.gateway
        self.demand = build_demand(self.claims, self.gateway)
        self.reference: Diagnostic | None = None
        self._facts: ClusterFacts | None = None
        self._around: GatewayView | None = None
        self._checked: tuple[Diagnostic, ...] = ()
        self._is_on_hold = False
        self.excess: Diagnostic | None = None
        self.expiry: Expiry | None = parse_expiry(source)
        self.finding: Diagnostic | None = None
        """That it has expired, or does so soon."""
        self.is_expired = False
        self.result: PolicyResult | None = None
        self.result_made_from: object = None
        self.sight: Sight = NO_SIDECARS
        self.sight_made_from: object = None

    def check(self, facts: ClusterFacts, around: GatewayView) -> None:
        """Judge the policy by what surrounds it, if that is not what it was the last time."""
        if self._facts is facts and (self._around is around or not self.gateway):
            return
        self._facts, self._around = facts, around
        found = (
            () if self.intent is None else check_intent(self.intent, facts, self.source.namespace)
        )
        self._checked = (*self._shape, *found)
        if self.intent is not None:
            self.reference = find_reference_problem(self.intent, around)
        is_unresolved = self.reference is not None and self.reference.code in HOLDING
        self._is_on_hold = self.source.paused or is_unresolved or has_error(self._checked)
        self._decide()

    def note_time(self, now: float) -> None:
        """Know what time it is, after `check`: a policy that has expired asks for nothing."""
        if self.expiry is None:
            return
        finding = self.expiry.judge(now)
        if finding != self.finding:
            self.finding, self.is_expired = finding, self.expiry.is_over(now)
            self._decide()

    def apply(self) -> Applicant:
        """Ask for what it needs, after `note_time`."""
        if self.is_expired:
            return Applicant(self.owner, NO_DEMAND)
        return Applicant(self.owner, self.demand, self._is_on_hold)

    def limit(self, excess: Diagnostic | None) -> None:
        """Take over the limit that the policy exceeds, None for none, after `check`."""
        if self.excess != excess:
            self.excess = excess
            self._decide()

    def _decide(self) -> None:
        excess = () if self.excess is None else (self.excess,)
        self.diagnostics = (*self._checked, *excess)
        # Time ends a hold: what it keeps would be open for as long as somebody likes.
        self.is_live = self.is_expired or (not self._is_on_hold and self.excess is None)
        self.live_claims = self.claims if self.is_live and not self.is_expired else ()
        self.live_keys = tuple(sorted({claim.key for claim in self.live_claims}))
        expired = self.claims if self.is_expired else ()
        self.expired_keys = tuple(sorted({claim.key for claim in expired}))
        self.wildcards = tuple(filter(is_wildcard, self.live_keys))
        self.tls_wildcards = frozenset(
            claim.key
            for claim in (self.live_claims if self.wildcards else ())
            if is_wildcard(claim.key) and claim.gateway and not claim.port.is_http
        )
        found_ranges = {(claim.key, claim.ranges) for claim in self.live_claims if claim.ranges}
        self.places = [(place, key) for key, ranges in sorted(found_ranges) for place in ranges]
        self.result = None

    def build_rows(self, hosts: "Mapping[str, CachedHost]") -> tuple[ClaimResult, ...]:
        """Return the fate of each claim; `hosts` has those of `live_keys`."""
        if self.is_expired:
            return build_expired_rows(self.source.namespace, self.claims, hosts)
        if not self.is_live:
            return build_idle_rows(self.source, self.claims)
        return tuple(hosts[claim.key].build_row(claim) for claim in self.live_claims)


@dataclass(frozen=True, slots=True)
class CachedHost:
    """One host, and all that it was compiled from."""

    results: Arbitration
    tenants: Tenants
    compiled: CompiledHost
    is_covered: bool = False
    """Whether a wildcard over it has a route."""
    below: frozenset[ObjectKey] = frozenset()
    """Of a wildcard: the routes of the hosts below it."""

    def list_leading(self) -> list[Claim]:
        """List the claims that hold, and are not closed because a gateway is not open to them."""
        return [claim for claim in self.results.won if not self._is_closed(claim)]

    def _is_closed(self, claim: Claim) -> bool:
        return bool(claim.gateway) and find_open_tenant(claim, self.tenants) is None

    def build_row(self, claim: Claim) -> ClaimResult:
        """Return the fate of one of the claims."""
        loss = self.results.lost.get(claim)
        if loss is not None:
            state = ClaimState.CONFLICTED
            return build_claim_row(claim, state, message=loss.message, code=loss.code)
        if claim in self.results.waiting:
            message = self.results.waiting[claim]
            return build_claim_row(claim, ClaimState.WAITING, message=message)
        state = ClaimState.CLOSED if self._is_closed(claim) else ClaimState.CLAIMED
        object_set = self.compiled.object_set
        set_key = None if object_set is None else object_set.key
        return build_claim_row(claim, state, set_key=set_key)


NOBODY: Tenants = {}


@dataclass(slots=True)
class CachedNamespace:
    """What is remembered of one namespace."""

    facts: ClusterFacts
    around: GatewayView
    policies: dict[str, CachedPolicy] = field(default_factory=dict)
    hosts: dict[str, CachedHost] = field(default_factory=dict)
    """By set key."""
    screen: Screen = NO_SCREEN
    _judged: dict[str, tuple[Claim, ...]] = field(default_factory=dict)
    """Claims that were judged together, oldest first, by the name of what they meet on."""
    _results: dict[str, Arbitration] = field(default_factory=dict)
    """By set key."""
    _places: list[list[tuple[AddressRange, str]]] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    """Of all hosts, when there is a wildcard among them."""
    _links: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, Mapping[Item, str]] = field(default_factory=dict)
    """What waits for room, by the name of the policy."""
    _routed: frozenset[str] = frozenset()
    """Wildcards whose route is there, whether or not it is wanted."""
    _is_left: bool = False
    """Whether one of these is not wanted any more."""

    def judge(self, policies: Collection[CachedPolicy]) -> Pieces[dict[str, Arbitration]]:
        """Judge all claims, by set key; only claims that meet one that changed are judged again.

        Claims meet on one host, on hosts whose addresses overlap, and below a wildcard.
        """
        judged: dict[str, tuple[Claim, ...]] = {}
        results: dict[str, Arbitration] = {}
        for name, claims in self._group(policies).items():
            together = judged[name] = tuple(claims)
            if self._judged.get(name) == together:
                results |= {claim.key: self._results[claim.key] for claim in together}
            else:
                results |= yield from judge(together)
                yield
        self._judged, self._results = judged, results
        return results

    def _group(self, policies: Collection[CachedPolicy]) -> dict[str, list[Claim]]:
        """Return the claims that are judged together, by the name of what they meet on."""
        links = self._link(policies)
        claims: dict[str, list[Claim]] = {}
        for policy in policies:
            for claim in policy.live_claims:
                name = links.get(claim.key, claim.key)
                found = claims.get(name)
                if found is None:
                    claims[name] = [claim]
                else:
                    found.append(claim)
        return claims

    def _link(self, policies: Collection[CachedPolicy]) -> dict[str, str]:
        """Return the name of what is judged together, for hosts with addresses or a wildcard."""
        places = [policy.places for policy in policies if policy.places]
        keys: list[str] = []
        if any(policy.wildcards for policy in policies):
            keys = [key for policy in policies for key in policy.live_keys]
        if (places, keys) != (self._places, self._keys):
            self._places, self._keys = places, keys
            found = {place for part in places for place in part}
            self._links = couple((*list_address_overlaps(found), *list_overlaps(keys)))
        return self._links

    def _read(self, source: PolicySource, now: float) -> CachedPolicy:
        policy = self.policies.get(source.name)
        if policy is None or (policy.source is not source and policy.source != source):
            policy = CachedPolicy(source)
        policy.check(self.facts, self.around)
        policy.note_time(now)
        return policy

    def read_policies(self, inputs: NamespaceInput) -> Pieces[list[CachedPolicy]]:
        """Return the policies, oldest first; only new generations are read.

        Which of them exceed a limit is as it was in the last plan, none for a new generation.
        """
        fresh: dict[str, CachedPolicy] = {}
        for source in sorted(inputs.policies, key=_age):
            fresh[source.name] = self._read(source, inputs.now)
            yield
        self.policies = fresh
        return list(fresh.values())

    @property
    def is_limited(self) -> bool:
        """Whether a policy exceeds a limit or waits, or a wildcard that is left still counts."""
        return (
            self._is_left
            or bool(self._waiting)
            or any(policy.excess for policy in self.policies.values())
        )

    def list_expiries(self) -> tuple[Expiry, ...]:
        """Return when the policies that were read expire, those that do; sorted."""
        found = [policy.expiry for policy in self.policies.values()]
        return tuple(sorted(filter(None, found)))

    def limit_policies(self, inputs: NamespaceInput) -> None:
        """Find out which of the policies that were read exceed a limit, or wait for room."""
        limited = find_limited(
            [policy.apply() for policy in self.policies.values()],
            inputs.settings.max_hosts_per_namespace,
            self.around.limits,
            inputs.standing,
        )
        for name, policy in self.policies.items():
            policy.limit(limited.get(name, UNLIMITED).excess)
        self._waiting = {name: item.waiting for name, item in limited.items() if item.waiting}
        self._routed = find_routed(inputs.standing)
        if not (inputs.standing and any(policy.wildcards for policy in self.policies.values())):
            return
        keys = {key for policy in self.policies.values() for key in policy.live_keys}
        through = {key for policy in self.policies.values() for key in policy.tls_wildcards}
        unsettled = find_unsettled(keys, through, inputs.standing)
        for name, policy in self.policies.items():
            for key in policy.wildcards:
                if key in unsettled:
                    self._waiting[name] = {**self._waiting.get(name, {}), **unsettled[key]}

    def build_cover(self, judged: Mapping[str, Arbitration]) -> Cover:
        """Return the wildcards that have a route, or had one that is still there."""
        wildcards = {key for policy in self.policies.values() for key in policy.wildcards}
        routed = {
            key
            for key in wildcards
            if any(claim.port.is_http or claim.gateway for claim in self.withhold(judged[key]).won)
        }
        self._is_left = not self._routed <= routed
        return Cover(routed | self._routed)

    def withhold(self, results: Arbitration) -> Arbitration:
        """Take out the claims on a host that wait for room, after `limit_policies`."""
        return withhold(results, self._waiting) if self._waiting else results

    def find_tenants(self, key: str, names: tuple[str, ...]) -> Tenants:
        """Return the namespace at each of these gateways; None: the host may not go through."""
        found = {name: self.around.tenants[name] for name in names} if names else NOBODY
        if not is_wildcard(key):
            return found
        return {
            name: None if tenant is None or tenant.gateway.refuses_wildcards else tenant
            for name, tenant in found.items()
        }


class PlanCache:
    """The memory for all namespaces of one operator."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._facts: ClusterFacts | None = None
        self._parts: dict[str, CachedNamespace] = {}
        self._gateways: tuple[tuple[GatewaySource, ...], Settings] | None = None
        self._results: dict[str, GatewayResult] = {}

    def open(self, inputs: NamespaceInput) -> CachedNamespace:
        """Return the part of a namespace, with the facts of `inputs`."""
        facts = self._read_facts(inputs.settings)
        around = build_gateway_view(inputs, self._judge_gateways(inputs))
        if not inputs.policies:
            self._parts.pop(inputs.namespace, None)
            return CachedNamespace(facts, around)
        part = self._parts.setdefault(inputs.namespace, CachedNamespace(facts, around))
        if part.facts != facts:
            part.facts, part.hosts = facts, {}
        if part.around != around:
            part.around = around
        return part

    def _judge_gateways(self, inputs: NamespaceInput) -> dict[str, GatewayResult]:
        seen = (inputs.gateways, inputs.settings)
        if self._gateways != seen:
            self._gateways, self._results = seen, judge_gateways(*seen)
        return self._results

    def _read_facts(self, settings: Settings) -> ClusterFacts:
        if self._facts is None or settings != self._settings:
            self._facts, self._settings = build_cluster_facts(settings), settings
        return self._facts


def _age(source: PolicySource) -> tuple[str, str]:
    return source.created, source.name
