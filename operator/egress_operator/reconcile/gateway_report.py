"""The status of one EgressGateway, written when it changed."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from egress_operator.engine.failure import ApiError
from egress_operator.engine.transport import PatchType, Transport
from egress_operator.istio.set_key import GatewaySet, Scope
from egress_operator.plan.gateway import GatewayVerdict
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.group import GroupWorker
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.policy import CLUSTER
from egress_operator.reconcile.resource import GATEWAYS
from egress_operator.status.condition import read_conditions
from egress_operator.status.gateway import GatewayFacts, compute_gateway_status
from egress_operator.status.patch import build_status_patch
from egress_operator.status.progress import GroupProgress, GroupState

logger = logging.getLogger(__name__)


class GatewayReporter:
    """Writes the statuses of EgressGateways: the report queue's keys without a namespace."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        planner: Planner,
        worker: GroupWorker,
        transport: Transport,
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._planner = planner
        self._worker = worker
        self._transport = transport
        self._now = now
        self._awaited: set[Scope] = set()

    def hold(self, scopes: Iterable[Scope]) -> None:
        """Write nothing until each of these is released: at a start their hosts are not counted."""
        self._awaited = set(scopes)

    def release(self, scope: Scope) -> None:
        """Do not wait for this scope any more: it is planned, or cannot be planned."""
        self._awaited.discard(scope)

    async def report(self, name: str) -> None:
        """Write the status of a gateway if it changed. Raises ApiError.

        Does nothing while a scope of `hold` is not released; the gateway must be added again.
        """
        if self._awaited:
            return
        record = self._cluster.gateways.get((CLUSTER, name))
        verdict = self._cluster.judge_gateways().get(name)
        if record is None or verdict is None or record.deleting:
            return
        previous = record.status
        status = compute_gateway_status(
            verdict,
            self._gather(verdict),
            previous or None,
            self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        patch = build_status_patch(record.source.uid, previous, status)
        if patch is None:
            return
        try:
            answer = await self._transport.patch(
                GATEWAYS, "", name, patch, patch_type=PatchType.JSON, subresource="status"
            )
        except ApiError as error:
            # Deleted, or made anew under the same name: its own event brings what is to be done.
            if error.denies(GATEWAYS, name) or error.is_failed_test:
                return
            raise
        self._cluster.gateways.store_status(answer)
        for type_, condition in read_conditions(status).items():
            logger.info(
                "%s",
                condition["message"],
                extra={
                    "gateway": name,
                    "generation": record.source.generation,
                    "reason": condition["reason"],
                    "result": f"{type_}={condition['status']}",
                },
            )

    def _gather(self, verdict: GatewayVerdict) -> GatewayFacts:
        gateway = verdict.gateway
        if gateway is None:
            return GatewayFacts(GroupProgress(GroupState.PENDING), "", "", 0, 0)
        plans = map(self._planner.get, self._planner.scopes())
        return GatewayFacts(
            progress=self._find_progress(gateway.label),
            unready=self._cluster.unready.get(gateway.name, ""),
            admission=self._cluster.admission,
            namespaces=sum(gateway.is_open_to(facts.labels) for facts in self._cluster.namespaces),
            hosts=sum(plan.gateway_hosts.get(gateway.label, 0) for plan in plans if plan),
        )

    def _find_progress(self, label: str) -> GroupProgress:
        plan = self._planner.get(None)
        key = GatewaySet(label)
        if plan is None or key not in plan.groups:
            return GroupProgress(GroupState.APPLIED if plan is not None else GroupState.PENDING)
        outcome, _ = self._worker.get_outcome(key)
        if outcome.settled:
            return GroupProgress(GroupState.APPLIED, squatted=outcome.squatted)
        return GroupProgress(GroupState.PENDING, message=outcome.problem)
