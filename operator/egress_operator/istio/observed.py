"""Istio objects as the API server has them: what the cache keeps of each."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from egress_operator.istio import authorization_policy, envoy_filter
from egress_operator.istio.kind import UNOWNED, Kind, ObjectKey
from egress_operator.istio.kinds import read_facts
from egress_operator.istio.name import find_gateway_label
from egress_operator.istio.object import (
    ALLOCATE_LABEL,
    DRY_RUN_ANNOTATION,
    EGRESS_GATEWAY_ANNOTATION,
    GATEWAY_ANNOTATION,
    GATEWAY_KIND,
    HOST_ANNOTATION,
    ISTIO_DOMAIN,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MAPS,
    NAMESPACE_ANNOTATION,
    POLICIES_ANNOTATION,
    POLICY_GROUP,
    POLICY_KIND,
    Observed,
    Owner,
    Stray,
    digest_spec,
)
from egress_operator.istio.set_key import (
    GatewaySet,
    HostSet,
    SetKey,
    TenantSet,
    is_expected,
)

MOST_STRAYS = 100
"""Of labels, or of annotations, that are removed one by one. Where there are more, all are written
anew, other people's too: kube-apiserver refuses a JSON patch of more than 10,000 operations
(maxJSONPatchOperations in staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go)."""

_FLAGS = {"true": True, "false": False}
_READERS = {
    Kind.AUTHORIZATION_POLICY: authorization_policy.read_names,
    Kind.ENVOY_FILTER: envoy_filter.read_names,
}
_WRITTEN = {("labels", ALLOCATE_LABEL), ("annotations", DRY_RUN_ANNOTATION)}
"""What we write of Istio's labels and annotations; on other kinds they say nothing."""


def read_observed(obj: Mapping[str, Any]) -> Observed:
    """Read the facts about an object of one of our kinds, ours or not, as the API server sent it.

    Raises `ValueError` for another kind, `KeyError` for an object without name or namespace.
    """
    metadata = obj["metadata"]
    spec = obj.get("spec") or {}
    key = ObjectKey(Kind(obj["kind"]), metadata["namespace"], metadata["name"])
    owners, alien = _read_owners(metadata)
    annotations = metadata.get("annotations") or {}
    labels = metadata.get("labels") or {}
    labelled = labels.get(MANAGED_BY_LABEL) == MANAGED_BY
    marked = labelled and not alien
    strays = frozenset(_list_strays(metadata))
    membership = _Membership()
    if marked or key.kind in UNOWNED:
        membership = _read_membership(key, annotations, spec)
    return Observed(
        key=key,
        uid=metadata.get("uid", ""),
        created=metadata.get("creationTimestamp", ""),
        set_key=membership.set_key,
        policies=annotations.get(POLICIES_ANNOTATION, ""),
        owners=owners,
        spec_digest=digest_spec(spec),
        facts=read_facts(key, spec),
        allocate=_FLAGS.get(labels.get(ALLOCATE_LABEL, ""))
        if key.kind is Kind.SERVICE_ENTRY
        else None,
        dry_run=_FLAGS.get(annotations.get(DRY_RUN_ANNOTATION, ""))
        if key.kind is Kind.AUTHORIZATION_POLICY
        else None,
        place=membership.place,
        tenant=membership.tenant if isinstance(membership.set_key, GatewaySet) else "",
        label=_read_label(spec) if key.kind is Kind.GATEWAY else "",
        has_lost_address=key.kind is Kind.SERVICE_ENTRY and _has_lost_address(obj),
        is_damaged=not (marked and membership.by_annotations)
        if membership.set_key
        else marked or bool(owners),
        maps=frozenset(_list_maps(metadata, strays)),
        strays=strays,
    )


@dataclass(frozen=True, slots=True)
class _Membership:
    """The set that an object is of, None when there is none; `place` and `tenant` as of it."""

    set_key: SetKey | None = None
    place: str = ""
    tenant: str = ""
    by_annotations: bool = True


def _read_membership(
    key: ObjectKey, annotations: Mapping[str, str], spec: Mapping[str, Any]
) -> _Membership:
    """Return the first that fits of the sets that the object may mean.

    It fits if the set would write the object there. Annotations beside those that count do no harm.
    """
    for found in _list_candidates(key, annotations, spec):
        if found.set_key and is_expected(found.set_key, key, found.place, found.tenant):
            return found
    return _Membership()


def _list_maps(metadata: Mapping[str, Any], strays: Collection[Stray]) -> Iterator[str]:
    counts = Counter(member for member, _ in strays)
    return (member for member in MAPS if metadata.get(member) and counts[member] <= MOST_STRAYS)


def _list_strays(metadata: Mapping[str, Any]) -> Iterator[Stray]:
    """Give at most one more of each member than is removed one by one."""
    for member in MAPS:
        strays = (name for name in metadata.get(member) or () if _is_stray(member, name))
        for name in islice(strays, MOST_STRAYS + 1):
            yield member, name


def _is_stray(member: str, name: str) -> bool:
    domain = name.partition("/")[0]
    return f".{domain}".endswith(f".{ISTIO_DOMAIN}") and (member, name) not in _WRITTEN


def _list_candidates(
    key: ObjectKey, annotations: Mapping[str, str], spec: Mapping[str, Any]
) -> Iterator[_Membership]:
    host = annotations.get(HOST_ANNOTATION, "")
    label = annotations.get(GATEWAY_ANNOTATION, "")
    tenant = annotations.get(NAMESPACE_ANNOTATION, "")
    if key.kind in UNOWNED:
        read = _READERS[key.kind]
        set_key = GatewaySet(annotations.get(EGRESS_GATEWAY_ANNOTATION, ""), key.namespace)
        yield _Membership(set_key, label, tenant)
        yield _Membership(set_key, *read(spec), by_annotations=False)
        return
    if tenant and tenant != key.namespace:
        yield _Membership(HostSet(tenant, host), label, tenant)
        yield _Membership(TenantSet(tenant, label), label, tenant)
    yield _Membership(HostSet(key.namespace, host), "", tenant)
    yield _Membership(TenantSet(key.namespace, label), "", tenant)


def _read_owners(metadata: Mapping[str, Any]) -> tuple[frozenset[Owner], bool]:
    """Return the owners of our kinds, and whether anything else owns the object too."""
    owners = set()
    alien = False
    for reference in metadata.get("ownerReferences") or ():
        group = str(reference.get("apiVersion", "")).partition("/")[0]
        kind = reference.get("kind")
        if group == POLICY_GROUP and kind in {POLICY_KIND, GATEWAY_KIND}:
            owners.add(Owner(str(reference.get("name", "")), str(reference.get("uid", "")), kind))
        else:
            alien = True
    return frozenset(owners), alien


def _has_lost_address(obj: Mapping[str, Any]) -> bool:
    return (obj.get("status") or {}).get("addresses") == []


def _read_label(spec: Mapping[str, Any]) -> str:
    """Return the label of the gateway whose names a Gateway of ours serves."""
    names = (host for server in spec.get("servers") or () for host in server.get("hosts") or ())
    labels = (find_gateway_label(str(name).rpartition("/")[2]) for name in names)
    return next(filter(None, labels), "")
