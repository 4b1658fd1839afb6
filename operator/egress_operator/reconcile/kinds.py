"""The table of our own kinds, from which caches, watches, plans and statuses derive."""

from collections.abc import Mapping, Sequence
from typing import Any

from egress_operator.reconcile.gateway import GATEWAY_ROW
from egress_operator.reconcile.kind import KindRow
from egress_operator.reconcile.policy import POLICY_ROW
from egress_operator.reconcile.record import OwnKind, RecordChangeHook, RecordStore

OWN_KINDS: Mapping[OwnKind, KindRow] = {
    OwnKind.POLICY: POLICY_ROW,
    OwnKind.GATEWAY: GATEWAY_ROW,
}


def build_stores(
    scopes: Sequence[str], on_change: RecordChangeHook
) -> dict[OwnKind, RecordStore[Any]]:
    """Make the cache of each kind, empty."""
    return {
        kind: RecordStore(
            kind, row.resource, row.read_source, scopes, on_change, namespaced=row.namespaced
        )
        for kind, row in OWN_KINDS.items()
    }
