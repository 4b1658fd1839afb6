"""Two operators at once, of which one is behind."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

from .replay import list_standing, replay
from .served import serve
from .standing import AUTHORIZATION, read_callers
from .violation import require

SETTLE = {"EGRESS_SETTLE": "0.3"}
BACK_S = 2.0
"""How long what was withdrawn may be back, when an operator that is behind writes it."""
STATUS_S = 6.0
STATUS_WRITES = 20
"""Of two operators that come to agree about one tenant and its gateway, in this time."""


@pytest.fixture(scope="module")
def pair(control_plane: ControlPlane) -> Iterator[tuple[Operator, Operator]]:
    """Start two operators."""
    with (
        start_operator(control_plane, OperatorOption(settings=SETTLE)) as first,
        start_operator(control_plane, OperatorOption(settings=SETTLE, account="second")) as second,
    ):
        yield first, second


def test_what_was_withdrawn_does_not_come_back_when_another_operator_is_behind(
    control_plane: ControlPlane, namespace: str, pair: tuple[Operator, Operator]
) -> None:
    client = control_plane.admin
    first, second = pair
    for served in serve(control_plane, namespace):
        second.pause()
        try:
            served.withdraw()
            served.wait_withdrawn()
            versions, items = list_standing(client, [AUTHORIZATION])
            mark = control_plane.audit.position()
        finally:
            second.resume()
        time.sleep(BACK_S)
        permitted = served.has_permissions()
        time.sleep(STATUS_S)
        back = [
            step.change
            for step in replay(client, versions, items)
            if any(namespace in read_callers(item) for item in step.standing.values())
        ]
        require(not (permitted or served.has_permissions()), f"a permission is back: {back}")
        statuses = [
            record
            for operator in (first, second)
            for record in control_plane.audit.records(since=mark, user=operator.user, writes=True)
            if record.subresource == "status"
            and (record.namespace == namespace or record.name == served.gateway.name)
        ]
        written = Counter(
            (record.user, record.resource, record.name, record.code) for record in statuses
        )
        require(len(statuses) <= STATUS_WRITES, f"{len(statuses)} statuses were written: {written}")
