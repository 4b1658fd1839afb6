"""`python -m bench.permission`: the CPU time of the plan of all gateways' permissions.

No cluster is needed. Each tenant has a server at each gateway. `grows` is the factor to the line
above. Such a plan is made after many changes, and holds the event loop of the operator: it is to
take 100 ms at most.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import count
from statistics import median
from typing import Any

from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import Desired
from egress_operator.plan.plan import Plan
from egress_operator.plan.source import Settings
from egress_operator.plan.tenant import Tenant, build_tenant_set
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.kinds import build_stores
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES

SIZES = ((1, 250), (1, 500), (1, 1000), (5, 1000), (10, 1000))
"""(gateways, tenants of each)."""
REPEAT = 5


class Crowd:
    """What the operator knows of a cluster whose tenants have a server at each gateway."""

    def __init__(self, gateways: int, tenants: int) -> None:
        self.cluster = Cluster(
            (EVERYWHERE,),
            build_stores((EVERYWHERE,), lambda *_: None),
            on_object=lambda *_: None,
            on_namespace=lambda *_: None,
            settings=Settings(),
        )
        self._versions = count(1)
        sinks = {
            sink.resource: sink
            for _, sink in self.cluster.build_sinks(lambda _: None, lambda _: None)
        }
        for number in range(gateways):
            sinks[GATEWAYS].upsert(self._number(_build_gateway(number)))
        self.tenants = [f"team-{number:04}" for number in range(tenants)]
        for name in self.tenants:
            sinks[NAMESPACES].upsert(self._number({"metadata": {"name": name}}))
        self.objects = list(self._build_objects())
        """What is wanted of the namespaces."""
        self.wanted: dict[str, list[Desired]] = {}
        for desired in self.objects:
            if desired.tenant:
                self.wanted.setdefault(desired.place, []).append(desired)
            self.put(desired)
        self._plan = self.plan(None)
        for object_set in self._plan.sets.values():
            for desired in object_set.access.desired if object_set.access else ():
                self.put(desired)

    def put(self, desired: Desired) -> None:
        """Take over that an object stands."""
        body = build_manifest(desired, desired.owners)
        self.cluster.objects.store(self._number(dict(body)))

    def drop(self, desired: Desired) -> None:
        """Take over that an object is gone, if it was there."""
        item = self.cluster.objects.get(desired.key)
        if item is not None:
            self.cluster.objects.drop(item.key, item.uid)

    def plan_again(self) -> Plan:
        """Plan the gateways as after a change."""
        return self.plan(self._plan)

    def plan(self, before: Plan | None) -> Plan:
        """Plan the gateways."""
        return self.cluster.plan_gateways(self.wanted, before=before, is_complete=True)

    def _build_objects(self) -> Iterator[Desired]:
        results = self.cluster.judge_gateways().values()
        for gateway in filter(None, (result.gateway for result in results)):
            for name in self.tenants:
                object_set = build_tenant_set(Tenant(name, gateway, (".",), is_scoped=False))
                yield from (*object_set.objects, *object_set.allows)

    def _number(self, body: dict[str, Any]) -> dict[str, Any]:
        version = str(next(self._versions))
        body["metadata"] = {**body["metadata"], "uid": version, "resourceVersion": version}
        return body


def main() -> None:
    """Measure all and print a table."""
    argparse.ArgumentParser(prog="bench.permission", description=__doc__).parse_args()
    print(f"{'gateways':>10}{'tenants':>10}{'a plan':>12}{'grows':>10}")
    before = 0.0
    for gateways, tenants in SIZES:
        crowd = Crowd(gateways, tenants)
        seconds = median(_time(crowd) for _ in range(REPEAT))
        grown = f"{seconds / before:.1f}" if before else ""
        print(f"{gateways:>10}{tenants:>10}{1000 * seconds:>9.1f} ms{grown:>10}", flush=True)
        before = seconds


def _time(crowd: Crowd) -> float:
    start = time.process_time()
    crowd.plan_again()
    return time.process_time() - start


def _build_gateway(number: int) -> dict[str, Any]:
    spec = {
        "namespace": f"egress-{number}",
        "selector": {"istio": "egressgateway"},
        "service": {"name": "istio-egressgateway", "port": 443},
        "namespaces": {"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]},
        "authorization": "Managed",
    }
    return {"metadata": {"name": f"gateway-{number}"}, "spec": spec}


if __name__ == "__main__":
    main()
