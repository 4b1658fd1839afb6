"""Writes the status of an object of ours if it has changed, and tells of it in log and events."""

import logging
from typing import Any

from egress_operator.engine.failure import ApiError
from egress_operator.engine.transport import PatchType
from egress_operator.reconcile.dependencies import Dependencies
from egress_operator.reconcile.kind import KindRow, Status, View
from egress_operator.reconcile.kinds import OWN_KINDS
from egress_operator.reconcile.record import OwnKey, Record
from egress_operator.status.condition import Conditions, read_conditions
from egress_operator.status.event import WARNING
from egress_operator.status.patch import build_status_patch

logger = logging.getLogger(__name__)


class Reporter:
    """Writes the statuses of all our kinds."""

    def __init__(self, view: View, outside: Dependencies) -> None:
        self._view = view
        self._outside = outside
        self._notes: dict[OwnKey, Any] = {}

    def forget(self, key: OwnKey) -> None:
        """Forget an object that is gone."""
        self._notes.pop(key, None)

    async def report(self, key: OwnKey) -> float | None:
        """Write the status of an object if it changed. Seconds: come back then. Raises ApiError."""
        record = self._view.cluster.stores[key.kind].get(key)
        if record is None:
            return None
        now = self._outside.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = OWN_KINDS[key.kind].compute_answer(self._view, record, self._notes.get(key), now)
        if answer.status is not None:
            await self._write(key, record, answer.status)
        # Not before: what could not be written is tried again.
        if answer.note is not None:
            self._notes[key] = answer.note
        else:
            self._notes.pop(key, None)
        return answer.wait

    async def _write(self, key: OwnKey, record: Record[Any], status: Status) -> None:
        previous, row = record.status, OWN_KINDS[key.kind]
        patch = build_status_patch(record.source.uid, previous, status)
        if patch is None:
            return
        try:
            answer = await self._outside.transport.patch(
                row.resource,
                key.namespace,
                key.name,
                patch,
                patch_type=PatchType.JSON,
                subresource="status",
            )
        except ApiError as error:
            # Deleted, or made anew under the same name: its own event brings what is to be done.
            if error.denies(row.resource, key.name) or error.is_failed_test:
                return
            raise
        self._view.cluster.stores[key.kind].store_status(answer)
        before, after = read_conditions(previous), read_conditions(status)
        _log(key, before, after, row)
        for event in row.diff_events(previous, status):
            # A new object that is applied at once shows that in its status: no event for it.
            if before or event[0] == WARNING:
                self._outside.events.announce(key, record.source.uid, event)


def _log(key: OwnKey, before: Conditions, after: Conditions, row: KindRow) -> None:
    """Log each condition that is news, in one line."""
    for type_, condition in after.items():
        last = before.get(type_, {})
        fields = ("status", "reason", "observedGeneration")
        if type_ not in row.logged or all(last.get(name) == condition[name] for name in fields):
            continue
        extra = {
            **key.log_fields,
            "generation": condition["observedGeneration"],
            "reason": condition["reason"],
            "result": f"{type_}={condition['status']}",
        }
        level = logging.WARNING if row.is_alarm(before, after, type_) else logging.INFO
        logger.log(level, "%s", condition["message"], extra=extra)
