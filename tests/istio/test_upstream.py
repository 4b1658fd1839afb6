"""The order of backends, as Istio reads it from labels."""

import pytest

from egress_operator.api.backend import MOST_BACKENDS
from egress_operator.istio.traffic import BackendIntent, EndpointIntent
from egress_operator.istio.upstream import TIERS, Upstream


def find_priority(labels: dict[str, str]) -> int:
    """Count as Istio does: the labels of the list from its beginning, until one is not there."""
    for place, label in enumerate(TIERS):
        if labels.get(label) != "true":
            return len(TIERS) - place
    return 0


@pytest.mark.parametrize("count", range(2, MOST_BACKENDS + 1))
def test_each_backend_comes_after_the_one_before_it(count: int) -> None:
    backends = tuple(
        BackendIntent(f"v{number}", (EndpointIntent(f"203.0.113.{number}"),))
        for number in range(count)
    )
    upstream = Upstream("name", "host", backends)
    priorities = [find_priority(upstream.find_labels(number)) for number in range(count)]
    assert priorities == sorted(set(priorities))


def test_a_single_backend_has_no_labels() -> None:
    one = Upstream("name", "host", (BackendIntent("", (EndpointIntent("203.0.113.1"),)),))
    assert one.find_labels(0) == {}
    assert Upstream("name", "host", ()).find_labels(0) == {}
