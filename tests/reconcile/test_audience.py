"""A gateway whose Service is shown to some namespaces: what the plan of each is made from."""

import pytest

from bench.permission import Crowd
from egress_operator.plan.piece import finish
from egress_operator.reconcile.resource import SERVICES, SLICES
from testbed.client import Object


def build_service(gateway: Object, export_to: str) -> Object:
    """Build the Service that an EgressGateway names."""
    spec = gateway["spec"]
    return {
        "metadata": {
            "name": spec["service"]["name"],
            "namespace": spec["namespace"],
            "uid": "s",
            "resourceVersion": "1",
            "annotations": {"networking.istio.io/exportTo": export_to},
        },
        "spec": {
            "selector": spec["selector"],
            "clusterIP": "10.0.0.1",
            "ports": [{"port": spec["service"]["port"]}],
        },
    }


@pytest.mark.parametrize(
    ("export_to", "first", "second"),
    [
        ("*", True, True),
        ("{place},team-0000", True, False),
        ("., team-0001", False, True),
        ("team-0000,*", True, True),
    ],
)
def test_a_service_is_judged_for_the_namespace_that_calls(
    export_to: str, *, first: bool, second: bool
) -> None:
    cluster = Crowd(1, 2).cluster
    (gateway,) = (result.source for result in cluster.judge_gateways().values())
    cluster.refresh_unready()
    sinks = {
        sink.resource: sink
        for sink in cluster.service_index.build_sinks(gateway.place, lambda: None, lambda _: None)
    }
    service = build_service({"spec": gateway.spec}, export_to.format(place=gateway.place))
    slice_ = {
        "metadata": {
            "name": "a",
            "namespace": gateway.place,
            "uid": "e",
            "resourceVersion": "1",
            "labels": {"kubernetes.io/service-name": service["metadata"]["name"]},
        },
        "endpoints": [{"conditions": {"ready": True}}],
    }
    for resource, body in ((SERVICES, service), (SLICES, slice_)):
        sinks[resource].begin()
        sinks[resource].upsert(body)
        sinks[resource].finish("1")
    assert cluster.refresh_unready() is not (first and second)
    assert not cluster.refresh_unready()
    for namespace, is_shown in (("team-0000", first), ("team-0001", second)):
        unready = finish(cluster.build_input(namespace)).unready
        assert (not unready) is is_shown
        assert is_shown or f"is not shown to namespace {namespace}," in unready[gateway.name]
    assert cluster.unready == {}
