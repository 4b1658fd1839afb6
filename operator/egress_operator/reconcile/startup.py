"""The start: permissions withdrawn in the meantime go before anything is written for anybody."""

import asyncio
from collections.abc import Callable

from egress_operator.engine.queue import Queue
from egress_operator.istio.set_key import Scope, SetKey
from egress_operator.plan.plan import Plan
from egress_operator.reconcile.planner import Planner

PATIENCE_S = 2.0
"""How long namespaces wait for these deletions: one may hang, behind a webhook, for 15 s."""


class Startup:
    """Holds back the namespaces until what is withdrawn is gone, or its deletion was tried.

    Needs a running loop.
    """

    def __init__(self, planner: Planner, scopes: Queue[Scope], on_open: Callable[[], None]) -> None:
        """`on_open` is called once, when namespaces begin to be planned."""
        self._planner = planner
        self._scopes = scopes
        self._on_open = on_open
        self._is_open = False
        """Whether namespaces are planned."""
        self._withdrawals: set[SetKey] = set()
        """The sets of gateways whose withdrawn permissions are still to go."""
        self._unplanned: set[Scope] = set()
        """The namespaces that use a gateway and are not planned yet."""

    def begin(self, tenants: set[str]) -> None:
        """Plan the gateways. `tenants`: the namespaces that use one."""
        self._unplanned = {*tenants}
        self.mark(None)

    @property
    def is_complete(self) -> bool:
        """Whether each namespace that uses a gateway has been planned, or cannot be."""
        return not self._unplanned

    def mark(self, scope: Scope, *, background: bool = False, hurry: bool = True) -> None:
        """Plan a scope again; a namespace that is held back is planned with all others.

        `hurry`: also one that waits, after a failure.
        """
        if self._is_open or scope is None:
            self._scopes.add(scope, background=background, hurry=hurry)

    def note_plan(self, scope: Scope) -> None:
        """Record that a scope has a new plan."""
        if scope is None and not self._is_open:
            self._withdrawals = _find_withdrawals(self._planner.get(None))
            self._open()
            if not self._is_open:
                asyncio.get_running_loop().call_later(PATIENCE_S, self._stop_waiting)
        self._note_attempt(scope)

    def note_failed_plan(self, scope: Scope) -> None:
        """Record that a scope cannot be planned now: nothing waits for it."""
        self._open()
        self._note_attempt(scope)

    def note_sync(self, key: SetKey) -> None:
        """Record that a set has been written as far as possible."""
        if key in self._withdrawals:
            self._withdrawals.discard(key)
            self._open()

    def _stop_waiting(self) -> None:
        self._withdrawals.clear()
        self._open()

    def _open(self) -> None:
        """Plan all namespaces, once no withdrawn permission is left to go."""
        if self._is_open or self._withdrawals:
            return
        self._is_open = True
        self._on_open()
        for scope in (self._planner.find_scopes() | self._unplanned) - {None}:
            self.mark(scope, background=True)

    def _note_attempt(self, scope: Scope) -> None:
        """Plan the gateways again after the last namespace: now permission is complete."""
        if scope in self._unplanned:
            self._unplanned.discard(scope)
            if not self._unplanned:
                self.mark(None)


def _find_withdrawals(plan: Plan | None) -> set[SetKey]:
    return {
        key
        for key, object_set in (plan.sets.items() if plan else ())
        if object_set.access and object_set.access.withdrawn
    }
