"""The largest policies become ready on the real API server."""

import pytest

from api.corpus import Pair, load_pairs

from .tenant import TenantNamespace

LARGEST = [pair for pair in load_pairs() if pair.code in {"EG032", "EG044"}]


@pytest.mark.parametrize("pair", LARGEST, ids=lambda pair: pair.name)
def test_the_largest_policies_become_ready(tenant: TenantNamespace, pair: Pair) -> None:
    policy = {
        **pair.valid,
        "metadata": {"name": "web", "namespace": tenant.namespace},
    }
    tenant.client.apply(policy)
    tenant.wait_ready("web", timeout_s=60.0)
