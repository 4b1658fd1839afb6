"""Writes the status of an object of ours if it has changed, and tells of it in log and events."""

import logging
from collections.abc import Callable
from typing import Any

from egress_operator.engine.failure import ApiError
from egress_operator.engine.slots import Slots
from egress_operator.engine.transport import PatchType
from egress_operator.reconcile.budget import Budget
from egress_operator.reconcile.dependencies import Dependencies
from egress_operator.reconcile.kind import KindRow, Status, View
from egress_operator.reconcile.kinds import OWN_KINDS
from egress_operator.reconcile.record import OwnKey, Record
from egress_operator.reconcile.resource import NAMESPACES
from egress_operator.status.condition import Conditions, read_conditions
from egress_operator.status.event import WARNING
from egress_operator.status.patch import build_status_patch

logger = logging.getLogger(__name__)

STATUS_BURST = 5.0
"""Statuses of one object that may be written at once when someone else writes them too."""


class Reporter:
    """Writes the statuses of all our kinds."""

    def __init__(
        self, view: View, outside: Dependencies, slots: Slots, on_written: Callable[[], None]
    ) -> None:
        """`on_written` is called when a status has been written."""
        self._on_written = on_written
        self._view = view
        self._outside = outside
        self._slots = slots
        self._notes: dict[OwnKey, Any] = {}
        self._written: dict[OwnKey, bytes] = {}
        """The statuses that were written last, as the answers have them."""
        self._budgets: dict[OwnKey, Budget] = {}
        """Of the objects whose status someone else has changed since then."""

    def forget(self, key: OwnKey) -> None:
        """Forget an object that is gone."""
        for known in (self._notes, self._written, self._budgets):
            known.pop(key, None)

    async def report(self, key: OwnKey) -> float | None:
        """Write the status of an object if it changed. Seconds: come back then. Raises ApiError."""
        store = self._view.cluster.stores[key.kind]
        try:
            record = store.get(key)
            return None if record is None else await self._report(key, record)
        finally:
            if store.get(key) is None:
                # It may have gone while its status was written.
                self.forget(key)

    async def _report(self, key: OwnKey, record: Record[Any]) -> float | None:
        now = self._outside.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = OWN_KINDS[key.kind].compute_answer(self._view, record, self._notes.get(key), now)
        if answer.status is not None:
            wait = await self._write(key, record, answer.status)
            if wait > 0:
                return wait
        # Not before: what could not be written is tried again.
        if answer.note is not None:
            self._notes[key] = answer.note
        else:
            self._notes.pop(key, None)
        return answer.wait

    def _take_budget(self, key: OwnKey, record: Record[Any]) -> float:
        """Return the seconds until a status may be written; 0: now.

        Once someone else has changed a status, what we write over our own counts too: who fights
        for it may fight for the objects that it tells of.
        """
        if self._written.get(key, record.packed_status) != record.packed_status:
            self._budgets.setdefault(key, Budget(STATUS_BURST))
        budget = self._budgets.get(key)
        return 0.0 if budget is None else budget.take(self._outside.clock())

    async def _write(self, key: OwnKey, record: Record[Any], status: Status) -> float:
        """Write a status if it differs; the seconds until that may be done, 0 when it is done."""
        previous, row = record.status, OWN_KINDS[key.kind]
        patch = build_status_patch(record.source.uid, previous, status)
        if patch is None:
            return 0.0
        wait = self._take_budget(key, record)
        if wait > 0:
            return wait
        try:
            async with self._slots.take(key.namespace):
                answer = await self._outside.transport.patch(
                    row.resource,
                    key.namespace,
                    key.name,
                    patch,
                    patch_type=PatchType.JSON,
                    subresource="status",
                )
        except ApiError as error:
            # Deleted, or made anew under the same name: its own event brings what is to be done. A
            # policy may outlive its namespace, and has no status then.
            is_gone = error.denies(row.resource, key.name) or error.is_failed_test
            if is_gone or error.denies(NAMESPACES, key.namespace):
                return 0.0
            raise
        self._on_written()
        stored = self._view.cluster.stores[key.kind].store_status(answer)
        self._written[key] = stored.packed_status
        before, after = read_conditions(previous), read_conditions(status)
        _log(key, before, after, row)
        for event in row.diff_events(previous, status):
            # A new object that is applied at once shows that in its status: no event for it.
            if before or event[0] == WARNING:
                self._outside.events.announce(key, record.source.uid, event)
        return 0.0


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
