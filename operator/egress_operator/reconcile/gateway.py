"""EgressGateway: what is read of it, and its status from its result and what stands there."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from egress_operator.istio.object import Desired
from egress_operator.istio.object_set import Access
from egress_operator.istio.set_key import GatewaySet, Scope
from egress_operator.plan.gateway import GatewayResult
from egress_operator.plan.intent import Authorization
from egress_operator.plan.source import GatewaySource
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.kind import Answer, KindRow, View
from egress_operator.reconcile.record import OwnKey, Record
from egress_operator.reconcile.resource import GATEWAYS
from egress_operator.reconcile.sync import UNDER_WAY, Outcome
from egress_operator.rollout.write import Delete
from egress_operator.status.event import diff_gateway_events, is_gateway_alarm
from egress_operator.status.gateway import (
    GatewayFacts,
    GatewayType,
    StuckPermission,
    compute_gateway_status,
)
from egress_operator.status.progress import SetProgress, SetState

_SEEN = "seen"
"""The note of a gateway whose own objects have been looked at since the start."""


def read_gateway(body: Mapping[str, Any]) -> GatewaySource:
    """Take what counts from an EgressGateway as the API server sent it. Pure."""
    metadata = body["metadata"]
    return GatewaySource(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp", ""),
        spec=body.get("spec"),
    )


def _find_scopes(cluster: Cluster, _: OwnKey) -> Iterator[Scope]:
    """Give the scopes that depend on gateways, once it is known which of these can serve."""
    cluster.refresh_unready()
    yield from cluster.find_gateway_scopes()


def _compute_answer(view: View, record: Record[GatewaySource], note: Hashable, now: str) -> Answer:
    """Return the status.

    A status from before a restart stays until the gateway's own objects have been looked at.
    """
    name = record.source.name
    result = view.cluster.judge_gateways().get(name)
    if result is None or record.deleting:
        return Answer(note=note)
    access = _find_access(view, name)
    progress = _find_progress(view, record.source, access, is_first=note is None)
    if progress is None and record.status:
        return Answer(note=note)
    namespaces, hosts = view.cluster.find_standing(name)
    facts = GatewayFacts(
        progress=progress or SetProgress(SetState.PENDING),
        unready=view.cluster.unready.get(name, ""),
        admission=view.cluster.admission,
        namespaces=len(namespaces),
        hosts=hosts,
        denied=() if access is None else access.denied,
        stuck=tuple(_list_stuck(view, name)),
        is_service_known=view.cluster.service_index.is_known(result.source.place),
        serves_itself=result.source.place in namespaces,
        foreign=_find_foreign(view, result),
    )
    status = compute_gateway_status(result, facts, record.status or None, now)
    return Answer(status, note=note if progress is None else _SEEN)


def _find_foreign(view: View, result: GatewayResult) -> tuple[str, ...]:
    """Name objects of others where anybody is kept apart at all."""
    gateway = result.gateway
    if gateway is None or gateway.authorization is not Authorization.MANAGED:
        return ()
    return view.cluster.find_foreign(result.source.name)


def _list_stuck(view: View, name: str) -> Iterator[StuckPermission]:
    """Give what stands at a gateway as it should not: the API server refuses to change it.

    A permission that cannot be made is left to the status of the policies that wait for it.
    """
    outcome, _ = view.worker.get_outcome(_find_set(view, name))
    for refusal in outcome.refused:
        item = view.cluster.objects.get(refusal.write.key)
        if item is not None and item.tenant:
            deletes = isinstance(refusal.write, Delete)
            yield StuckPermission(str(item.key), item.tenant, refusal.words, deletes=deletes)


def _find_set(view: View, name: str) -> GatewaySet:
    return view.cluster.judge_gateways()[name].set_key


def _find_access(view: View, name: str) -> Access | None:
    plan = view.planner.get(None)
    object_set = None if plan is None else plan.sets.get(_find_set(view, name))
    return None if object_set is None else object_set.access


def _find_progress(
    view: View, source: GatewaySource, access: Access | None, *, is_first: bool
) -> SetProgress | None:
    """Return how far the gateway's own object is; None before a look at this generation.

    That is the baseline. The permissions of tenants come and go, and their policies tell of them.
    """
    if access is None or access.generation != source.generation:
        return None
    outcome, _ = view.worker.get_outcome(_find_set(view, source.name))
    if outcome == UNDER_WAY and is_first:
        return None
    if outcome.lasting:
        return SetProgress(SetState.PENDING, message=outcome.problem)
    if access.baseline is None:
        return SetProgress(SetState.APPLIED)
    return _judge_baseline(view, access, access.baseline, outcome)


def _judge_baseline(view: View, access: Access, baseline: Desired, outcome: Outcome) -> SetProgress:
    for refusal in outcome.refused:
        if refusal.write.key == baseline.key:
            message = f"{baseline.key} is refused: {refusal.words}"
            return SetProgress(SetState.PENDING, message=message)
    item = view.cluster.objects.get(baseline.key)
    is_foreign = item is not None and item.set_key != baseline.set_key and not item.is_damaged
    if is_foreign and access.is_final:
        return SetProgress(SetState.PENDING, squatted=(baseline.key,))
    is_gone = item is None or is_foreign
    is_done = view.worker.is_applied(baseline) if access.is_final else is_gone
    if is_done:
        return SetProgress(SetState.APPLIED)
    return SetProgress(SetState.PENDING, message=outcome.problem)


GATEWAY_ROW = KindRow(
    GATEWAYS,
    read_gateway,
    _find_scopes,
    _compute_answer,
    logged=frozenset(GatewayType),
    is_alarm=is_gateway_alarm,
    diff_events=diff_gateway_events,
    purpose="The gateways that the platform team offers, for the whole cluster.",
    namespaced=False,
)
