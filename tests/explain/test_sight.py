"""What Sidecars hide: the compiler and `explain` come to the same, each by its own reading."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random

import pytest

from egress_operator.explain.explain import find_holds
from egress_operator.explain.sidecar import Sidecar, find_sidecar
from egress_operator.explain.want import Want, decide
from egress_operator.explain.world import Payload, World, read_world
from egress_operator.istio.sidecar import read_sidecar
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.result import ClaimState, PolicyResult
from egress_operator.plan.sidecar import choose_sidecars
from explain.test_agreement import GATEWAYS as GATEWAYS_THERE
from explain.test_agreement import SITES, build_input, list_gateways, list_namespaces
from mesh.gateway.tenant import TENANTS
from mesh.oracle.draw import NOW, draw_policies
from mesh.oracle.surroundings import GATEWAYS, ROOT, draw_sidecars
from plan.scene import WRITTEN
from testbed.client import Object
from testbed.seed import SEED

SETS = 40
"""Of each batch."""
APP = "app"
"""The only label that Sidecars choose by."""
APPS = ("checkout", "batch", "app", "other")


def draw_written(seed: str) -> list[Object]:
    """Draw Sidecars as an API server shows them, some of one age.

    Some do not show the Services of gateways to listeners of ports. No mesh is asked about those: a
    proxy that runs keeps what a Sidecar takes away of a Service.
    """
    rng = Random(seed)  # noqa: S311 - not a secret
    sidecars = [
        {**item, "metadata": {**item["metadata"], "creationTimestamp": rng.choice(WRITTEN)}}
        for item in draw_sidecars(seed, [SITES])
    ]
    for item in sidecars:
        listeners = item["spec"].get("egress", ())
        for listener in listeners if rng.random() < 0.7 else ():
            listener["hosts"] = [entry for entry in listener["hosts"] if entry != GATEWAYS]
        if len(listeners) > 1 and rng.random() < 0.6:
            listeners.pop()
    return sidecars


@pytest.mark.parametrize("batch", range(5))
def test_both_hide_the_same(batch: int) -> None:
    hidden = partly = 0
    for number in range(SETS):
        seed = f"{SEED}-{batch}-{number}"
        policies, sidecars = draw_policies(seed, "set", SITES), draw_written(seed)
        there = (*list_gateways(GATEWAYS_THERE), *list_namespaces(), *sidecars)
        world = read_world([*policies, *there], now=NOW)
        for namespace in TENANTS:
            wants = list_wants(world, namespace)
            for result in plan_results(namespace, policies, sidecars):
                own = [want for want in wants if want.policy.name == result.policy]
                labels = next((dict(want.source.labels) for want in own), {})
                sight, seen = result.sight, f"seed {seed}: {namespace}/{result.policy}"
                general = find_sidecar(world.sidecars, namespace, labels, ROOT)
                assert bool(sight.hidden) is hides(general, own), seen
                special = [
                    found
                    for app in APPS
                    if APP not in labels
                    for found in [find_sidecar(world.sidecars, namespace, {APP: app}, ROOT)]
                    if found is not None and found.selector
                ]
                some = any(hides(sidecar, own) for sidecar in special)
                assert bool(sight.partly_hidden) is some, seen
                hidden += bool(sight.hidden)
                partly += bool(sight.partly_hidden)
    assert hidden
    assert partly


def list_wants(world: World, namespace: str) -> list[Want]:
    """List what the policies of a namespace get, through gateways that are open to it."""
    holds = find_holds(world, namespace)
    there = world.policies.get(namespace, ())
    kept, _ = decide(policy for policy in there if policy.name not in holds)
    return kept


def hides(sidecar: Sidecar | None, wants: Iterable[Want]) -> bool:
    """Whether a Sidecar hides one of the hosts or addresses that a policy opens, or its gateway."""
    return sidecar is not None and not all(is_shown(sidecar, want) for want in wants)


def is_shown(sidecar: Sidecar, want: Want) -> bool:
    """Whether a Sidecar shows all that leads to a host."""
    namespace = want.policy.namespace
    gateway: Object = {**GATEWAYS_THERE.get(want.way.gateway, {})}
    host = want.host or f"address.{namespace}.direct.internal"
    is_http = want.way.payload is Payload.HTTP
    if not sidecar.shows(host, want.port, namespace, is_http=is_http):
        return False
    if not gateway:
        return True
    place, service = gateway["namespace"], gateway["service"]
    name = f"{service['name']}.{place}.svc.cluster.local"
    return sidecar.knows(name, place, service["port"], host, namespace)


def plan_results(
    namespace: str, policies: list[Object], sidecars: list[Object]
) -> Iterator[PolicyResult]:
    """Ask the compiler about the policies of which all claims hold."""
    chosen = choose_sidecars(
        [
            read_sidecar(item)
            for item in sidecars
            if item["metadata"]["namespace"] in {namespace, ROOT}
        ],
        namespace,
        ROOT,
    )
    inputs = replace(build_input(namespace, policies, GATEWAYS_THERE), sidecars=chosen)
    for result in plan_namespace(inputs).results.values():
        if all(claim.state is ClaimState.CLAIMED for claim in result.claims):
            yield result
