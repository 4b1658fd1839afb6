"""Istio objects as we send them: manifests and patches of what is desired."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from egress_operator.istio.kinds import KINDS
from egress_operator.istio.object import (
    ALLOCATE_LABEL,
    DRY_RUN_ANNOTATION,
    EGRESS_GATEWAY_ANNOTATION,
    GATEWAY_ANNOTATION,
    HOST_ANNOTATION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MAPS,
    NAMESPACE_ANNOTATION,
    POLICIES_ANNOTATION,
    POLICY_API_VERSION,
    POLICY_KIND,
    Desired,
    Observed,
    Owner,
    Stray,
)
from egress_operator.istio.set_key import GatewaySet, HostSet, TenantSet

MOST_POLICIES = 50
"""Names in the policies annotation, of 253 characters at most: the API server takes 256 KiB of
annotations, and any number of policies may name one host."""


def build_policies_annotation(owners: Iterable[Owner]) -> str:
    """Return the names of the policies among the owners, sorted, by comma; of many the first.

    It is for people: who owns an object, the ownerReferences say.
    """
    names = sorted({owner.name for owner in owners if owner.kind == POLICY_KIND})
    rest = len(names) - MOST_POLICIES
    return ",".join(names[:MOST_POLICIES]) + (f",and {rest} more" if rest > 0 else "")


def build_owner_references(owners: Iterable[Owner]) -> list[dict[str, str]]:
    """Return the ownerReferences, sorted by name.

    No `controller` (there may be several owners) and no `blockOwnerDeletion` (nothing that we write
    may hold up the deletion of a user's object).
    """
    return [
        {
            "apiVersion": POLICY_API_VERSION,
            "kind": owner.kind,
            "name": owner.name,
            "uid": owner.uid,
        }
        for owner in sorted(owners)
    ]


def is_as_desired(observed: Observed, desired: Desired, owners: Iterable[Owner]) -> bool:
    """Whether all that we own of an object of ours is as it should be with these owners. Pure."""
    listed = frozenset(owners)
    return (
        observed.spec_digest == desired.spec_digest
        and observed.owners == listed
        and observed.set_key == desired.set_key
        and not observed.is_damaged
        and not observed.strays
        and observed.policies == _build_policies(desired, listed)
        and observed.allocate == desired.allocate
        and observed.dry_run == desired.dry_run
        and observed.place == desired.place
        and observed.tenant == desired.tenant
    )


def build_manifest(desired: Desired, owners: Iterable[Owner]) -> dict[str, Any]:
    """Return the whole object for a POST, or for showing it. No label of a policy is copied."""
    listed = tuple(owners)
    return {
        "apiVersion": KINDS[desired.key.kind].api_version,
        "kind": str(desired.key.kind),
        "metadata": {
            "name": desired.key.name,
            "namespace": desired.key.namespace,
            "labels": _build_labels(desired),
            "annotations": _build_annotations(desired, listed),
            **({"ownerReferences": build_owner_references(listed)} if listed else {}),
        },
        "spec": dict(desired.spec),
    }


def build_json_patch(
    desired: Desired,
    owners: Iterable[Owner],
    uid: str,
    maps: Collection[str] = MAPS,
    strays: Iterable[Stray] = (),
) -> list[dict[str, Any]]:
    """Return an RFC 6902 patch that sets all that we own of the object `uid`, and nothing else.

    `maps`, `strays`: as of `Observed`. Of labels and annotations, those in `maps` are patched name
    by name, and lose their strays; the others are written whole.

    Why not server-side apply: what a POST wrote is owned by our manager with the operation Update,
    and a later Apply of the same manager does not take such fields away. `add` sets a member
    whether it is there or not, if its parent is there.
    """
    listed = tuple(owners)
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/spec", "value": dict(desired.spec)},
        *_build_map_patch("labels", _build_labels(desired), maps),
        *_build_map_patch("annotations", _build_annotations(desired, listed), maps),
        *(
            operation
            for member, name in sorted(strays)
            if member in maps
            for operation in _build_removal(_build_path(member, name))
        ),
        {
            "op": "add",
            "path": "/metadata/ownerReferences",
            "value": build_owner_references(listed),
        },
    ]


def _build_annotations(desired: Desired, owners: Iterable[Owner]) -> dict[str, str]:
    annotations = {}
    match desired.set_key:
        case HostSet(namespace, host):
            annotations[HOST_ANNOTATION] = host
            annotations[POLICIES_ANNOTATION] = _build_policies(desired, owners)
            if desired.place:
                annotations[GATEWAY_ANNOTATION] = desired.place
                annotations[NAMESPACE_ANNOTATION] = namespace
        case TenantSet(namespace, label):
            annotations[GATEWAY_ANNOTATION] = label
            if desired.place:
                annotations[NAMESPACE_ANNOTATION] = namespace
        case GatewaySet(gateway=name):
            annotations[EGRESS_GATEWAY_ANNOTATION] = name
            annotations[GATEWAY_ANNOTATION] = desired.place
            if desired.tenant:
                annotations[NAMESPACE_ANNOTATION] = desired.tenant
            if desired.host:
                annotations[HOST_ANNOTATION] = desired.host
    if desired.dry_run is not None:
        annotations[DRY_RUN_ANNOTATION] = str(desired.dry_run).lower()
    return annotations


def _build_policies(desired: Desired, owners: Iterable[Owner]) -> str:
    return build_policies_annotation(owners) if isinstance(desired.set_key, HostSet) else ""


def _build_labels(desired: Desired) -> dict[str, str]:
    return {MANAGED_BY_LABEL: MANAGED_BY, **_build_allocate_label(desired)}


def _build_allocate_label(desired: Desired) -> dict[str, str]:
    if desired.allocate is None:
        return {}
    return {ALLOCATE_LABEL: str(desired.allocate).lower()}


def _build_map_patch(
    member: str, values: Mapping[str, str], maps: Collection[str]
) -> list[dict[str, Any]]:
    if member not in maps:
        return [{"op": "add", "path": f"/metadata/{member}", "value": dict(values)}]
    return [
        {"op": "add", "path": _build_path(member, key), "value": value}
        for key, value in values.items()
    ]


def _build_removal(path: str) -> list[dict[str, Any]]:
    """Remove a member whether it is there or not: `remove` alone fails where it is not."""
    return [{"op": "add", "path": path, "value": ""}, {"op": "remove", "path": path}]


def _build_path(member: str, key: str) -> str:
    return f"/metadata/{member}/" + key.replace("~", "~0").replace("/", "~1")
