"""Istio objects as the compiler wants them and as the API server has them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from egress_operator.compiler.name import is_our_name
from egress_operator.compiler.source import HandWritten

API_VERSION = "networking.istio.io/v1"
POLICY_GROUP = "egress-operator.io"
POLICY_API_VERSION = f"{POLICY_GROUP}/v1alpha1"
POLICY_KIND = "EgressPolicy"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "egress-operator"
HOST_ANNOTATION = f"{POLICY_GROUP}/host"
POLICIES_ANNOTATION = f"{POLICY_GROUP}/policies"

_DIGEST_SIZE = 16


class Kind(StrEnum):
    """The Istio kinds that we write, in the order in which a new host needs them."""

    SERVICE_ENTRY = "ServiceEntry"
    VIRTUAL_SERVICE = "VirtualService"


PLURALS: Mapping[Kind, str] = {
    Kind.SERVICE_ENTRY: "serviceentries",
    Kind.VIRTUAL_SERVICE: "virtualservices",
}


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Identity of a namespaced Istio object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`ServiceEntry shop/api-example-com-h1234567`, as messages name it."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of a ServiceEntry as it stands there. `target` 0: the same number."""

    number: int
    protocol: str
    name: str
    target: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """An EgressPolicy that claims the object."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Desired:
    """An object that should be there.

    `owners` are the policies that claim it; owners on hold are known only when it is written, so
    `build_manifest(desired, owners)` makes the manifest.
    """

    key: ObjectKey
    host: str
    owners: tuple[Owner, ...]
    """Sorted; written as ownerReferences and, by name, as the policies annotation."""
    spec: Mapping[str, Any] = field(compare=False, hash=False)
    spec_digest: bytes = b""
    """`digest_spec(spec)`: comparable with `Observed.spec_digest`."""
    ports: tuple[Port, ...] = ()
    """What a ServiceEntry offers, sorted."""
    needs: frozenset[int] = frozenset()
    """The ports of its own host that a VirtualService routes to."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the cache keeps of an object of the API server: facts and a hash, not the object."""

    key: ObjectKey
    uid: str
    created: str
    ours: bool
    """A name of our form, our label, our host annotation, and ownerReferences that are
    EgressPolicies or empty."""
    host: str
    """The host annotation, empty when not ours."""
    policies: str
    """The policies annotation, empty when not ours."""
    hosts: tuple[str, ...]
    """spec.hosts, in lower case."""
    owners: frozenset[Owner]
    """Empty when not ours."""
    spec_digest: bytes
    ports: tuple[Port, ...] = ()
    needs: frozenset[int] = frozenset()


def digest_spec(spec: Mapping[str, Any]) -> bytes:
    """16 bytes that are equal for equal specs, whatever the order of their keys."""
    text = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=_DIGEST_SIZE).digest()


def build_policies_annotation(owners: Iterable[Owner]) -> str:
    """Return the names of the owners, sorted, by comma."""
    return ",".join(sorted({owner.name for owner in owners}))


def build_owner_references(owners: Iterable[Owner]) -> list[dict[str, str]]:
    """Return the ownerReferences, sorted by name.

    No `controller` (there may be several owners) and no `blockOwnerDeletion` (nothing that we write
    may hold up the deletion of a user's object).
    """
    return [
        {
            "apiVersion": POLICY_API_VERSION,
            "kind": POLICY_KIND,
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
        and observed.host == desired.host
        and observed.policies == build_policies_annotation(listed)
    )


def build_manifest(desired: Desired, owners: Iterable[Owner]) -> dict[str, Any]:
    """Return the whole object for a POST, or for showing it. No label of a policy is copied."""
    listed = tuple(owners)
    return {
        "apiVersion": API_VERSION,
        "kind": str(desired.key.kind),
        "metadata": {
            "name": desired.key.name,
            "namespace": desired.key.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            "annotations": {
                HOST_ANNOTATION: desired.host,
                POLICIES_ANNOTATION: build_policies_annotation(listed),
            },
            "ownerReferences": build_owner_references(listed),
        },
        "spec": dict(desired.spec),
    }


def build_json_patch(desired: Desired, owners: Iterable[Owner], uid: str) -> list[dict[str, Any]]:
    """Return an RFC 6902 patch that sets all that we own of the object `uid`, and nothing else.

    Why not server-side apply: what a POST wrote is owned by our manager with the operation Update,
    and a later Apply of the same manager does not take such fields away. `add` sets a member
    whether it is there or not; the annotations are there, because only our objects are replaced.
    """
    listed = tuple(owners)
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/spec", "value": dict(desired.spec)},
        {"op": "add", "path": _pointer(HOST_ANNOTATION), "value": desired.host},
        {
            "op": "add",
            "path": _pointer(POLICIES_ANNOTATION),
            "value": build_policies_annotation(listed),
        },
        {
            "op": "add",
            "path": "/metadata/ownerReferences",
            "value": build_owner_references(listed),
        },
    ]


def _pointer(annotation: str) -> str:
    return "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")


def read_observed(obj: Mapping[str, Any]) -> Observed:
    """Read the facts about an object of one of our kinds, ours or not, as the API server sent it.

    Raises `ValueError` for another kind, `KeyError` for an object without name or namespace.
    """
    metadata = obj["metadata"]
    spec = obj.get("spec") or {}
    key = ObjectKey(Kind(obj["kind"]), metadata["namespace"], metadata["name"])
    owners = _read_owners(metadata)
    annotations = metadata.get("annotations") or {}
    host = annotations.get(HOST_ANNOTATION, "")
    labelled = (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY
    ours = owners is not None and labelled and bool(host) and is_our_name(key.name)
    entry = key.kind is Kind.SERVICE_ENTRY
    return Observed(
        key=key,
        uid=metadata.get("uid", ""),
        created=metadata.get("creationTimestamp", ""),
        ours=ours,
        host=host if ours else "",
        policies=annotations.get(POLICIES_ANNOTATION, "") if ours else "",
        hosts=tuple(str(name).lower() for name in spec.get("hosts") or ()),
        owners=(owners or frozenset()) if ours else frozenset(),
        spec_digest=digest_spec(spec),
        ports=_read_ports(spec) if entry else (),
        needs=frozenset() if entry else _read_needs(spec),
    )


def build_hand_written(observed: Observed) -> HandWritten:
    """Tell what the plan reads of an object that is not ours."""
    return HandWritten(observed.key.kind, observed.key.name, observed.created, observed.hosts)


def _read_owners(metadata: Mapping[str, Any]) -> frozenset[Owner] | None:
    """Return the owning policies; None when anything else owns the object too."""
    references = metadata.get("ownerReferences") or ()
    owners = set()
    for reference in references:
        group = str(reference.get("apiVersion", "")).partition("/")[0]
        if group != POLICY_GROUP or reference.get("kind") != POLICY_KIND:
            return None
        owners.add(Owner(str(reference.get("name", "")), str(reference.get("uid", ""))))
    return frozenset(owners)


def _read_ports(spec: Mapping[str, Any]) -> tuple[Port, ...]:
    """Return the ports of a ServiceEntry, sorted."""
    return tuple(
        sorted(
            Port(
                int(port.get("number", 0)),
                str(port.get("protocol", "")),
                str(port.get("name", "")),
                int(port.get("targetPort", 0)),
            )
            for port in spec.get("ports") or ()
        )
    )


def _read_needs(spec: Mapping[str, Any]) -> frozenset[int]:
    """Return the ports of its own hosts that a VirtualService routes to."""
    hosts = set(spec.get("hosts") or ())
    destinations = (
        route.get("destination") or {}
        for rules in (spec.get("http"), spec.get("tls"), spec.get("tcp"))
        for rule in rules or ()
        for route in rule.get("route") or ()
    )
    return frozenset(
        int(destination["port"].get("number", 0))
        for destination in destinations
        if destination.get("host") in hosts and destination.get("port")
    )
