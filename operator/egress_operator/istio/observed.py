"""Istio objects as the API server has them: what the cache keeps of each."""

from collections.abc import Iterator, Mapping
from typing import Any

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.name import find_gateway_label
from egress_operator.istio.object import (
    ALLOCATE_LABEL,
    DRY_RUN_ANNOTATION,
    GATEWAY_ANNOTATION,
    GATEWAY_KIND,
    HOST_ANNOTATION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MESH,
    NAMESPACE_ANNOTATION,
    POLICIES_ANNOTATION,
    POLICY_GROUP,
    POLICY_KIND,
    Observed,
    Owner,
    Port,
    build_gateway_ref,
    build_subset_ref,
    digest_spec,
    is_closed,
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
    group, place = _read_group(key, annotations) if labelled and not alien else (None, "")
    entry = key.kind is Kind.SERVICE_ENTRY
    access = key.kind is Kind.AUTHORIZATION_POLICY
    return Observed(
        key=key,
        uid=metadata.get("uid", ""),
        created=metadata.get("creationTimestamp", ""),
        group=group,
        policies=annotations.get(POLICIES_ANNOTATION, ""),
        hosts=_read_hosts(spec),
        owners=owners,
        spec_digest=digest_spec(spec),
        ports=_read_ports(key.kind, spec),
        needs=_read_needs(spec) if key.kind is Kind.VIRTUAL_SERVICE else frozenset(),
        refs=_read_refs(key, spec),
        allocate=_FLAGS.get(labels.get(ALLOCATE_LABEL, "")) if entry else None,
        dry_run=_FLAGS.get(annotations.get(DRY_RUN_ANNOTATION, "")) if access else None,
        place=place,
        is_damaged=group is None and (labelled or (bool(owners) and not alien)),
        maps=frozenset(name for name in ("annotations", "labels") if metadata.get(name)),
        export_to=tuple(spec.get("exportTo") or ()),
        selector=_read_selector(spec) if key.kind is Kind.GATEWAY else (),
        is_closed=is_closed(spec) if entry else access and not spec.get("rules"),
    )


def _read_group(key: ObjectKey, annotations: Mapping[str, str]) -> tuple[SetKey | None, str]:
    """Return the set that the object is of, and the label of the gateway where it stands.

    Of the sets that the annotations may mean, the one that would write the object there; None and
    an empty label when there is none. Annotations beside those that count do no harm.
    """
    for group, place in _list_candidates(key, annotations):
        if is_expected(group, key, place):
            return group, place
    return None, ""


def _list_candidates(
    key: ObjectKey, annotations: Mapping[str, str]
) -> Iterator[tuple[SetKey, str]]:
    host = annotations.get(HOST_ANNOTATION, "")
    label = annotations.get(GATEWAY_ANNOTATION, "")
    tenant = annotations.get(NAMESPACE_ANNOTATION, "")
    if tenant and (tenant != key.namespace or key.kind is Kind.AUTHORIZATION_POLICY):
        yield HostSet(tenant, host), label
        yield TenantSet(tenant, label), label
    yield HostSet(key.namespace, host), ""
    yield TenantSet(key.namespace, label), ""
    yield GatewaySet(label), label


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


def _read_hosts(spec: Mapping[str, Any]) -> tuple[str, ...]:
    hosts = spec.get("hosts") or ((spec["host"],) if "host" in spec else ())
    return tuple(str(name).lower() for name in hosts)


def _read_refs(key: ObjectKey, spec: Mapping[str, Any]) -> frozenset[str]:
    """Return what a VirtualService needs beside its host, or what another kind offers to it."""
    match key.kind:
        case Kind.GATEWAY:
            return frozenset({build_gateway_ref(key)})
        case Kind.DESTINATION_RULE:
            host = spec.get("host", "")
            subsets = spec.get("subsets") or ()
            return frozenset(build_subset_ref(host, entry.get("name", "")) for entry in subsets)
        case Kind.VIRTUAL_SERVICE:
            return _read_route_refs(spec)
        case Kind.SERVICE_ENTRY:
            return frozenset(filter(None, map(find_gateway_label, spec.get("hosts") or ())))
        case Kind.AUTHORIZATION_POLICY:
            return _read_access_refs(spec)


def _read_access_refs(spec: Mapping[str, Any]) -> frozenset[str]:
    """Return the labels of the gateways whose tenants an AuthorizationPolicy lets in."""
    return frozenset(
        label
        for rule in spec.get("rules") or ()
        for condition in rule.get("when") or ()
        for name in condition.get("values") or ()
        if (label := find_gateway_label(str(name)))
    )


def _read_route_refs(spec: Mapping[str, Any]) -> frozenset[str]:
    hosts = set(spec.get("hosts") or ())
    refs = {name for name in spec.get("gateways") or () if name != MESH}
    for destination in _list_destinations(spec):
        host, subset = destination.get("host", ""), destination.get("subset", "")
        if host not in hosts:
            refs.add(build_subset_ref(host, subset) if subset else host)
    for rule in spec.get("http") or ():
        name = str((rule.get("rewrite") or {}).get("authority", ""))
        if find_gateway_label(name):
            refs.add(name)
    return frozenset(refs)


def _list_destinations(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rules in (spec.get("http"), spec.get("tls"), spec.get("tcp")):
        for rule in rules or ():
            for route in rule.get("route") or ():
                yield route.get("destination") or {}


def _read_ports(kind: Kind, spec: Mapping[str, Any]) -> tuple[Port, ...]:
    """Return the ports of a ServiceEntry, or of the servers of a Gateway, sorted."""
    listed = spec.get("ports") or () if kind is Kind.SERVICE_ENTRY else ()
    if kind is Kind.GATEWAY:
        listed = [server.get("port") or {} for server in spec.get("servers") or ()]
    return tuple(
        sorted(
            Port(
                int(port.get("number", 0)),
                str(port.get("protocol", "")),
                str(port.get("name", "")),
                int(port.get("targetPort", 0)),
            )
            for port in listed
        )
    )


def _read_selector(spec: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((str(key), str(value)) for key, value in (spec.get("selector") or {}).items())
    )


def _read_needs(spec: Mapping[str, Any]) -> frozenset[int]:
    """Return the ports of its own hosts that a VirtualService routes to."""
    hosts = set(spec.get("hosts") or ())
    return frozenset(
        int(destination["port"].get("number", 0))
        for destination in _list_destinations(spec)
        if destination.get("host") in hosts and destination.get("port")
    )
