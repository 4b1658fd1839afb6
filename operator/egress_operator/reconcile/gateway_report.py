"""The status of one EgressGateway, written when it changed."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from egress_operator.engine.failure import ApiError
from egress_operator.engine.transport import PatchType, Transport
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import GatewaySet
from egress_operator.plan.gateway import GatewayResult
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.policy import CLUSTER
from egress_operator.reconcile.resource import GATEWAYS
from egress_operator.reconcile.sync import UNDER_WAY, SetWorker
from egress_operator.rollout.write import Delete
from egress_operator.status.condition import read_conditions
from egress_operator.status.gateway import GatewayFacts, StuckPermission, compute_gateway_status
from egress_operator.status.patch import build_status_patch
from egress_operator.status.progress import SetProgress, SetState

logger = logging.getLogger(__name__)


class GatewayReporter:
    """Writes the statuses of EgressGateways: the report queue's keys without a namespace."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        planner: Planner,
        worker: SetWorker,
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
        result = self._cluster.judge_gateways().get(name)
        if record is None or result is None or record.deleting:
            return
        previous = record.status
        progress = self._find_progress(name, record.source.generation)
        if previous and progress is None:
            return
        status = compute_gateway_status(
            result,
            self._gather(result, progress),
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

    def _gather(self, result: GatewayResult, progress: SetProgress | None) -> GatewayFacts:
        name = result.source.name
        namespaces, hosts = self._cluster.count_standing(name)
        object_set = self._find_set(name)
        access = None if object_set is None else object_set.access
        return GatewayFacts(
            progress=progress or SetProgress(SetState.PENDING),
            unready=self._cluster.unready.get(name, ""),
            admission=self._cluster.admission,
            namespaces=namespaces,
            hosts=hosts,
            denied=() if access is None else access.denied,
            stuck=tuple(self._list_stuck(name)),
        )

    def _list_stuck(self, name: str) -> Iterator[StuckPermission]:
        """Give what stands at a gateway as it should not: the API server refuses to change it.

        A permission that cannot be made is left to the status of the policies that wait for it.
        """
        outcome, _ = self._worker.get_outcome(GatewaySet(name))
        for refusal in outcome.refused:
            item = self._cluster.objects.get(refusal.write.key)
            if item is not None and item.tenant:
                deletes = isinstance(refusal.write, Delete)
                yield StuckPermission(str(item.key), item.tenant, refusal.words, deletes=deletes)

    def _find_set(self, name: str) -> ObjectSet | None:
        plan = self._planner.get(None)
        return None if plan is None else plan.sets.get(GatewaySet(name))

    def _find_progress(self, name: str, generation: int) -> SetProgress | None:
        """Return how far the gateway's own objects are; None before a look at this generation."""
        object_set = self._find_set(name)
        if (
            object_set is None
            or object_set.access is None
            or object_set.access.generation != generation
        ):
            return None
        outcome, _ = self._worker.get_outcome(GatewaySet(name))
        if outcome == UNDER_WAY and name not in self._judged:
            return None
        self._judged.add(name)
        baseline = object_set.access.baseline
        for refusal in outcome.refused:
            if baseline is not None and refusal.write.key == baseline.key:
                message = f"{baseline.key} is refused: {refusal.words}"
                return SetProgress(SetState.PENDING, message=message)
        if outcome.settled:
            return SetProgress(SetState.APPLIED, squatted=outcome.squatted)
        return SetProgress(SetState.PENDING, message=outcome.problem)
