"""Istio objects as the API server has them: what the cache keeps of each."""

from collections.abc import Iterator, Mapping
from typing import Any

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import read_facts
from egress_operator.istio.name import find_gateway_label
from egress_operator.istio.object import (
    ALLOCATE_LABEL,
    DRY_RUN_ANNOTATION,
    EGRESS_GATEWAY_ANNOTATION,
    GATEWAY_ANNOTATION,
    GATEWAY_KIND,
    HOST_ANNOTATION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAMESPACE_ANNOTATION,
    POLICIES_ANNOTATION,
    POLICY_GROUP,
    POLICY_KIND,
    REVISION_LABEL,
    Observed,
    Owner,
    digest_spec,
)
from egress_operator.istio.set_key import (
    GatewaySet,
    HostSet,
    SetKey,
    TenantSet,
    is_expected,
)

_FLAGS = {"true": True, "false": False}


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
    set_key, place = _read_set(key, annotations) if labelled and not alien else (None, "")
    return Observed(
        key=key,
        uid=metadata.get("uid", ""),
        created=metadata.get("creationTimestamp", ""),
        set_key=set_key,
        policies=annotations.get(POLICIES_ANNOTATION, ""),
        owners=owners,
        spec_digest=b"" if REVISION_LABEL in labels else digest_spec(spec),
        facts=read_facts(key, spec),
        allocate=_FLAGS.get(labels.get(ALLOCATE_LABEL, ""))
        if key.kind is Kind.SERVICE_ENTRY
        else None,
        dry_run=_FLAGS.get(annotations.get(DRY_RUN_ANNOTATION, ""))
        if key.kind is Kind.AUTHORIZATION_POLICY
        else None,
        place=place,
        tenant=annotations.get(NAMESPACE_ANNOTATION, "") if isinstance(set_key, GatewaySet) else "",
        label=_read_label(spec) if key.kind is Kind.GATEWAY else "",
        is_damaged=set_key is None and (bool(owners) if alien else labelled or bool(owners)),
        maps=frozenset(name for name in ("annotations", "labels") if metadata.get(name)),
    )


def _read_set(key: ObjectKey, annotations: Mapping[str, str]) -> tuple[SetKey | None, str]:
    """Return the set that the object is of, and the label of the gateway where it stands.

    Of the sets that the annotations may mean, the one that would write the object there; None and
    an empty label when there is none. Annotations beside those that count do no harm.
    """
    tenant = annotations.get(NAMESPACE_ANNOTATION, "")
    for set_key, place in _list_candidates(key, annotations):
        if is_expected(set_key, key, place, tenant):
            return set_key, place
    return None, ""


def _list_candidates(
    key: ObjectKey, annotations: Mapping[str, str]
) -> Iterator[tuple[SetKey, str]]:
    host = annotations.get(HOST_ANNOTATION, "")
    label = annotations.get(GATEWAY_ANNOTATION, "")
    tenant = annotations.get(NAMESPACE_ANNOTATION, "")
    if key.kind is Kind.AUTHORIZATION_POLICY:
        name = annotations.get(EGRESS_GATEWAY_ANNOTATION, "")
        yield GatewaySet(name, key.namespace), label
        return
    if tenant and tenant != key.namespace:
        yield HostSet(tenant, host), label
        yield TenantSet(tenant, label), label
    yield HostSet(key.namespace, host), ""
    yield TenantSet(key.namespace, label), ""


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


def _read_label(spec: Mapping[str, Any]) -> str:
    """Return the label of the gateway whose names a Gateway of ours serves."""
    names = (host for server in spec.get("servers") or () for host in server.get("hosts") or ())
    labels = (find_gateway_label(str(name).rpartition("/")[2]) for name in names)
    return next(filter(None, labels), "")
