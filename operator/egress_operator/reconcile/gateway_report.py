"""The status of one EgressGateway, written when it changed."""

import logging
from collections.abc import Callable
from datetime import datetime

from egress_operator.engine.failure import ApiError
from egress_operator.engine.transport import PatchType, Transport
from egress_operator.istio.group import Group
from egress_operator.istio.set_key import GatewaySet
from egress_operator.plan.gateway import GatewayVerdict
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.group import UNDER_WAY, GroupWorker
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
        self._judged: set[str] = set()
        """The gateways whose own objects have been looked at since the start."""

    async def report(self, name: str) -> None:
        """Write the status of a gateway if it changed. Raises ApiError.

        A status from before a restart stays until the gateway's own objects have been looked at.
        """
        record = self._cluster.gateways.get((CLUSTER, name))
        verdict = self._cluster.judge_gateways().get(name)
        if record is None or verdict is None or record.deleting:
            return
        previous = record.status
        progress = self._find_progress(name, record.source.generation)
        if previous and progress is None:
            return
        status = compute_gateway_status(
            verdict,
            self._gather(verdict, progress),
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

    def _gather(self, verdict: GatewayVerdict, progress: GroupProgress | None) -> GatewayFacts:
        name = verdict.source.name
        namespaces, hosts = self._cluster.count_standing(name)
        group = self._find_group(name)
        access = None if group is None else group.access
        return GatewayFacts(
            progress=progress or GroupProgress(GroupState.PENDING),
            unready=self._cluster.unready.get(name, ""),
            admission=self._cluster.admission,
            namespaces=namespaces,
            hosts=hosts,
            denied=() if access is None else access.denied,
        )

    def _find_group(self, name: str) -> Group | None:
        plan = self._planner.get(None)
        return None if plan is None else plan.groups.get(GatewaySet(name))

    def _find_progress(self, name: str, generation: int) -> GroupProgress | None:
        """Return how far the gateway's own objects are; None before a look at this generation."""
        group = self._find_group(name)
        if group is None or group.access is None or group.access.generation != generation:
            return None
        outcome, _ = self._worker.get_outcome(GatewaySet(name))
        if outcome == UNDER_WAY and name not in self._judged:
            return None
        self._judged.add(name)
        if outcome.settled:
            return GroupProgress(GroupState.APPLIED, squatted=outcome.squatted)
        return GroupProgress(GroupState.PENDING, message=outcome.problem)
