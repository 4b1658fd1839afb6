"""What stands agrees with what users wrote, whatever happened on the way.

Objects: those of the plan, and beside them only what a policy on hold keeps. Permissions: none for
a namespace that may not, and a denial wherever somebody has a server at a gateway that enforces.
"""

from collections.abc import Iterator

from egress_operator.api.gateway import Authorization
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import ALLOCATE_LABEL, Desired, Observed, Owner
from egress_operator.plan.plan import Plan
from permission.gateway import GATEWAY
from permission.standing import is_denial, is_dry_run
from testbed.client import Object, read_owners

from .history import Key
from .scene import Scene
from .statement import find_wrong_statements


def find_differences(scene: Scene, foreign: dict[Key, Object]) -> Iterator[str]:
    """List what is not as it must be, one line each; `foreign`: objects that tenants wrote."""
    for plan in scene.plans.values():
        yield from _find_wrong_objects(scene, plan)
    yield from _find_wrong_permissions(scene)
    yield from _find_remains(scene)
    for key, item in foreign.items():
        there = scene.objects.get(ObjectKey(Kind(key.kind), key.namespace, key.name))
        if there is None or there["spec"] != item["spec"]:
            yield f"{key} is a tenant's own and was changed"
    yield from find_wrong_statements(scene)


def _find_remains(scene: Scene) -> Iterator[str]:
    """List what is still to go with its namespace: Kubernetes begins five seconds later.

    What a gateway counts changes with it.
    """
    terminating = {
        item["metadata"]["name"]
        for item in scene.namespaces
        if "deletionTimestamp" in item["metadata"]
    }
    for key in scene.objects:
        if key.namespace in terminating:
            yield f"{key} is there, and its namespace is being deleted"


def _find_wrong_objects(scene: Scene, plan: Plan) -> Iterator[str]:
    wanted = {item.key: item for object_set in plan.sets.values() for item in object_set.objects}
    squatted = {item.set_key for item in wanted.values() if scene.is_squatted(item)}
    for item in wanted.values():
        if item.set_key not in squatted:
            yield from _compare(scene, item)
    for key, there in scene.observed.items():
        if key.namespace != plan.scope or not there.ours or key in wanted:
            continue
        if key.kind is not Kind.AUTHORIZATION_POLICY and not _is_kept(scene, there):
            yield f"{key} is there, and nobody wants it: {_describe_set(scene, there)}"


def _is_kept(scene: Scene, there: Observed) -> bool:
    """Whether a policy on hold keeps an object: its own, or what its own need."""
    if any(owner.kind == GATEWAY[1] for owner in there.owners):
        return any(
            _is_keepers_own(scene, item)
            for item in scene.observed.values()
            if item.ours and item.key.namespace == there.key.namespace
        )
    # What a kept route leads to stays too.
    return _is_keepers_own(scene, there) or any(
        _is_keepers_own(scene, item)
        for item in scene.observed.values()
        if item.key.kind is Kind.VIRTUAL_SERVICE and item.set_key == there.set_key
    )


def _is_keepers_own(scene: Scene, item: Observed) -> bool:
    return not scene.keepers.isdisjoint(owner.uid for owner in item.owners)


def _compare(scene: Scene, wanted: Desired) -> Iterator[str]:
    """Compare all that is ours of one object; what a hold keeps may have more."""
    there = scene.objects.get(wanted.key)
    if there is None:
        yield f"{wanted.key} is missing"
        return
    kept = {
        Owner(item["name"], item["uid"], item["kind"])
        for item in there["metadata"].get("ownerReferences") or ()
        if item["uid"] in scene.keepers
    }
    right = build_manifest(wanted, {*wanted.owners, *kept})
    if read_owners(there) != read_owners(right):
        yield f"{wanted.key}: owners are {read_owners(there)}, not {read_owners(right)}"
    if there["spec"] != right["spec"] and not _is_shared_with_keeper(scene, wanted):
        yield f"{wanted.key}: spec is {there['spec']}, not {right['spec']}"
    for part in ("labels", "annotations"):
        found = there["metadata"].get(part) or {}
        for name, value in right["metadata"][part].items():
            if name != ALLOCATE_LABEL and found.get(name) != value:
                yield f"{wanted.key}: {name} is {found.get(name)}, not {value}"


def _describe_set(scene: Scene, there: Observed) -> str:
    """Tell who owns the objects of a set, and what policies its namespace has."""
    namespace = there.key.namespace
    owned = {
        str(item.key): [owner.uid for owner in item.owners]
        for item in scene.observed.values()
        if item.set_key == there.set_key
    }
    policies = {
        item["metadata"]["name"]: item["metadata"]["uid"]
        for item in scene.policies
        if item["metadata"]["namespace"] == namespace
    }
    return f"{owned} of {policies}, on hold are {sorted(scene.keepers)}"


def _is_shared_with_keeper(scene: Scene, wanted: Desired) -> bool:
    """Whether a policy on hold owns something of a set: it keeps its ports."""
    return any(
        item.set_key == wanted.set_key and not scene.keepers.isdisjoint(o.uid for o in item.owners)
        for item in scene.observed.values()
    )


def _find_wrong_permissions(scene: Scene) -> Iterator[str]:
    wanted = {
        item.key: item for object_set in scene.access.sets.values() for item in object_set.objects
    }
    for item in wanted.values():
        yield from _compare(scene, item)
    for key in sorted(scene.list_withdrawn()):
        yield f"{key} lets a namespace in that may not"
    standing = [
        item
        for item in scene.observed.values()
        if item.key.kind is Kind.GATEWAY and item.key.namespace in scene.plans
    ]
    for key, there in scene.observed.items():
        if not there.ours or key.kind is not Kind.AUTHORIZATION_POLICY or key in wanted:
            continue
        # Whoever owns it by now: what is denied has to be denied to all.
        served = [server for server in standing if server.label == there.place]
        if not any(there.tenant in {"", server.key.namespace} for server in served):
            yield f"{key} is there, and guards nothing: {scene.objects[key]['metadata']}"
    for server in standing:
        # Without its annotations it is nobody's when it is not wanted, and serves all the same.
        if server.ours or server.is_damaged:
            yield from _find_open_server(scene, server)


def _find_open_server(scene: Scene, server: Observed) -> Iterator[str]:
    """Tell of a server of ours on the pods of a gateway that enforces, where nothing denies."""
    pods = scene.objects[server.key]["spec"]["selector"]
    for result in scene.results.values():
        gateway = result.gateway
        if gateway is None or gateway.authorization is not Authorization.MANAGED:
            continue
        if dict(gateway.intent.selector) == pods and not any(
            denies(item, pods)
            for key, item in scene.objects.items()
            if key.namespace == gateway.namespace
        ):
            yield f"{server.key} is there, and nothing denies at EgressGateway {gateway.name}"


def denies(item: Object, pods: dict[str, str]) -> bool:
    """Whether an object denies all that none allows, in force on these pods. Pure."""
    if item["kind"] != str(Kind.AUTHORIZATION_POLICY) or not is_denial(item) or is_dry_run(item):
        return False
    selected: dict[str, str] = item["spec"]["selector"]["matchLabels"]
    return selected.items() <= pods.items()
