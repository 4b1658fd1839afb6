"""Objects of others that may take the calls of tenants, as they stand: each is judged once."""

from collections.abc import Iterable

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Observed
from egress_operator.plan.foreign import Surroundings, explain_foreign

_Judged = dict[ObjectKey, tuple[Observed, str]]


class ForeignObjects:
    """Remembers, for each gateway, what was found about each object."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Surroundings, _Judged]] = {}

    def find(self, name: str, around: Surroundings, items: Iterable[Observed]) -> tuple[str, ...]:
        """Return a line for each that may take calls at an EgressGateway, by their keys.

        What has not changed since the last call is not judged again.
        """
        before = self._known.get(name)
        known = before[1] if before is not None and before[0] == around else {}
        judged: _Judged = {}
        for item in items:
            last = known.get(item.key)
            if last is None or last[0] is not item:
                last = item, explain_foreign(around, item)
            judged[item.key] = last
        self._known[name] = around, judged
        found = {key: words for key, (_, words) in judged.items() if words}
        return tuple(found[key] for key in sorted(found))

    def clear(self) -> None:
        """Forget all gateways."""
        self._known.clear()
