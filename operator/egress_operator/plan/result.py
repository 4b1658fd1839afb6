"""What the plan says of a policy and of each thing that it asked for."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from egress_operator.diagnostic import Diagnostic, Level, find_rule
from egress_operator.istio.set_key import HostSet, SetKey, sort_key
from egress_operator.plan.claim import Claim
from egress_operator.plan.life import EXPIRED
from egress_operator.plan.sidecar import NO_SIDECARS, Sight
from egress_operator.plan.source import PolicySource

SHADOWED = "EG105"
OVERRIDDEN = "EG107"
HIDDEN = "EG120"
PARTLY_HIDDEN = "EG121"
CAPPED = "EG122"

DIRECT = "Direct"
"""The route of a destination that the sidecar reaches itself."""
THROUGH_GATEWAY = "Gateway"
"""The route of one that is reached through the policy's gateway."""


class ClaimState(StrEnum):
    """What became of one (host, port) that a policy asked for."""

    CLAIMED = "Claimed"
    CONFLICTED = "Conflicted"
    """An older policy claims it with other settings."""
    WAITING = "Waiting"
    """There is no room for it until something else is gone."""
    REFUSED = "Refused"
    """The policy is not accepted."""
    PAUSED = "Paused"
    EXPIRED = "Expired"
    """The time of the policy is over: nothing is claimed, and nothing stays."""
    CLOSED = "Closed"
    """Claimed, and nothing gets out: its gateway is not open to the namespace, or lets no wildcards
    through."""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One row of `status.destinations`. `message` is empty for a plain claim."""

    destination: str
    """The destination's name, empty when it has none."""
    host: str
    """The host, or the address of a destination without hosts."""
    port: int
    route: str
    """`Direct` or `Gateway`."""
    state: ClaimState
    message: str = ""
    """For a conflict: the winner and the first field that differs. Why it waits."""
    code: str = ""
    """The rule that a conflict breaks."""
    path: str = ""
    """The field of the host or address."""
    set_key: SetKey | None = None
    """The set that carries the claim; None when it is not claimed."""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What the plan says of one policy, before anything is written."""

    policy: str
    uid: str
    generation: int
    accepted: bool
    paused: bool
    diagnostics: tuple[Diagnostic, ...]
    """Errors first (then `accepted` is False), then warnings; sorted."""
    claims: tuple[ClaimResult, ...]
    """Sorted by (host, port)."""
    set_keys: tuple[SetKey, ...]
    """The sets whose objects this policy needs, sorted."""
    kept: tuple[SetKey, ...]
    """The sets of hosts of which it owns something while it is on hold, sorted: that stays as it
    is."""
    requested: str = ""
    """The token of the last request to look at the policy again."""
    reference: Diagnostic | None = None
    """What is wrong with the gateway that the policy names."""
    expiry: Diagnostic | None = None
    """That it has expired, or does so soon."""
    shadowed: tuple[str, ...] = ()
    """Sentences that name hand-written objects for the same host, sorted."""
    overridden: tuple[str, ...] = ()
    """Sentences that name DestinationRules that count in place of ours, sorted."""
    lifted: tuple[Diagnostic, ...] = ()
    """Findings that name policies of which one restricts a host and the other one lifts that,
    sorted."""
    sight: Sight = NO_SIDECARS
    """What Sidecars do to it."""
    ending: tuple[SetKey, ...] = ()
    """The sets of hosts that it asks for while it is on hold, and that a policy that has expired
    asks for as well: of what both own it keeps nothing. Sorted."""

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.expiry is not None and self.expiry.code == EXPIRED

    @property
    def is_on_pause(self) -> bool:
        """Whether a pause keeps it as it is."""
        return self.paused and not self.is_expired


class Notes(NamedTuple):
    """What is said of a policy beside its own text: by the time, and by what others write."""

    expiry: Diagnostic | None = None
    shadowed: Iterable[str] = ()
    overridden: Iterable[str] = ()
    lifted: Iterable[Diagnostic] = ()
    sight: Sight = NO_SIDECARS
    ending: Iterable[SetKey] = ()


def build_policy_result(
    source: PolicySource,
    diagnostics: tuple[Diagnostic, ...],
    rows: Iterable[ClaimResult],
    *,
    reference: Diagnostic | None,
    kept: Iterable[SetKey],
    tenants: Iterable[SetKey],
    notes: Notes,
) -> PolicyResult:
    """Put together what the plan says of a policy. Pure.

    `tenants`: the sets at gateways that its hosts need.
    """
    claims = tuple(sorted(rows, key=_row_order))
    return PolicyResult(
        policy=source.name,
        uid=source.uid,
        generation=source.generation,
        accepted=not has_error(diagnostics),
        paused=source.paused,
        diagnostics=tuple(sorted(diagnostics, key=_severity)),
        claims=claims,
        set_keys=tuple(
            sorted({*(row.set_key for row in claims if row.set_key), *tenants}, key=sort_key)
        ),
        kept=tuple(sorted(kept, key=sort_key)),
        requested=source.requested,
        reference=reference,
        expiry=notes.expiry,
        shadowed=tuple(sorted(set(notes.shadowed))),
        overridden=tuple(sorted(set(notes.overridden))),
        lifted=tuple(sorted(set(notes.lifted))),
        sight=notes.sight,
        ending=tuple(sorted(notes.ending, key=sort_key)),
    )


def build_claim_row(
    claim: Claim,
    state: ClaimState,
    *,
    message: str = "",
    code: str = "",
    set_key: SetKey | None = None,
) -> ClaimResult:
    """Return the row of one claim."""
    return ClaimResult(
        destination=claim.destination,
        host=claim.host,
        port=claim.port.number,
        route=THROUGH_GATEWAY if claim.gateway else DIRECT,
        state=state,
        message=message,
        code=code,
        path=claim.path,
        set_key=set_key,
    )


def build_idle_rows(source: PolicySource, claims: Iterable[Claim]) -> tuple[ClaimResult, ...]:
    """Return the rows of a policy that may not go on: nothing is claimed."""
    state = ClaimState.PAUSED if source.paused else ClaimState.REFUSED
    return tuple(build_claim_row(claim, state) for claim in claims)


def build_expired_rows(
    namespace: str, claims: Iterable[Claim], hosts: Container[str]
) -> tuple[ClaimResult, ...]:
    """Return the rows of a policy whose time is over.

    `hosts`: those that other policies claim. Of the rest the whole set goes, and carries the row
    until it is gone.
    """
    return tuple(
        build_claim_row(
            claim,
            ClaimState.EXPIRED,
            set_key=None if claim.key in hosts else HostSet(namespace, claim.key),
        )
        for claim in claims
    )


def build_findings(result: PolicyResult) -> tuple[Diagnostic, ...]:
    """Return all findings about a policy, conflicts with others too, as a linter shows them."""
    conflicts = [Diagnostic(row.code, row.path, row.message) for row in result.claims if row.code]
    shadows = [Diagnostic(SHADOWED, "", sentence) for sentence in result.shadowed]
    overridden = [Diagnostic(OVERRIDDEN, "", sentence) for sentence in result.overridden]
    hidden = [Diagnostic(HIDDEN, "", sentence) for sentence in result.sight.hidden]
    partly = [Diagnostic(PARTLY_HIDDEN, "", sentence) for sentence in result.sight.partly_hidden]
    capped = [Diagnostic(CAPPED, "", sentence) for sentence in result.sight.capped]
    references = [item for item in (result.reference, result.expiry) if item]
    company = (*capped, *shadows, *overridden, *result.lifted, *hidden, *partly)
    found = {*result.diagnostics, *references, *conflicts, *company}
    return tuple(sorted(found, key=_severity))


def has_error(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether one of them keeps the policy from being accepted."""
    return any(find_rule(diagnostic.code).level is Level.ERROR for diagnostic in diagnostics)


def _severity(diagnostic: Diagnostic) -> tuple[bool, Diagnostic]:
    return find_rule(diagnostic.code).level is not Level.ERROR, diagnostic


def _row_order(row: ClaimResult) -> tuple[str, int, str]:
    return row.host, row.port, row.path
