"""Istio objects as a plan wants them and as the API server has them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from egress_operator.istio.facts import Facts, Spec
from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.set_key import SetKey

POLICY_GROUP = "egress-operator.io"
POLICY_API_VERSION = f"{POLICY_GROUP}/v1alpha1"
POLICY_KIND = "EgressPolicy"
GATEWAY_KIND = "EgressGateway"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "egress-operator"
HOST_ANNOTATION = f"{POLICY_GROUP}/host"
POLICIES_ANNOTATION = f"{POLICY_GROUP}/policies"
GATEWAY_ANNOTATION = f"{POLICY_GROUP}/gateway"
"""The label of the gateway, on objects that serve all hosts of a tenant, or the gateway itself; and
on all that stand in the namespace of a gateway."""
EGRESS_GATEWAY_ANNOTATION = f"{POLICY_GROUP}/egress-gateway"
"""The name of the EgressGateway, on its AuthorizationPolicies and EnvoyFilters: Kubernetes must not
delete them with it, so it does not own them."""
NAMESPACE_ANNOTATION = f"{POLICY_GROUP}/namespace"
"""The tenant, on objects that stand in the namespace of its gateway."""
DRY_RUN_ANNOTATION = "istio.io/dry-run"
"""Istio's own, on AuthorizationPolicies: `true` only counts what would be denied."""
ALLOCATE_LABEL = "networking.istio.io/enable-autoallocate-ip"
"""Istio's own, on ServiceEntries: whether istiod allocates an address that the host's name resolves
to where proxies resolve names."""
ISTIO_DOMAIN = "istio.io"
"""Ends the prefixes of Istio's own labels and annotations. They change what the mesh does with an
object: an istiod of another revision than `istio.io/rev` ignores it. But for the two above they are
never written, and always removed."""

MAPS = frozenset({"annotations", "labels"})
"""Members of the metadata of which we own some keys."""
Stray = tuple[str, str]
"""(a member of `MAPS`, a name of Istio's in it that we do not write)."""

_DIGEST_SIZE = 16


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """An EgressPolicy that claims the object, or the EgressGateway that it serves."""

    name: str
    uid: str
    kind: str = POLICY_KIND


@dataclass(frozen=True, slots=True)
class Desired:
    """An object that should be there.

    `owners` are the policies that claim it; owners on hold are known only when it is written, so
    `build_manifest(desired, owners)` makes the manifest.
    """

    key: ObjectKey
    set_key: SetKey
    owners: tuple[Owner, ...]
    """Sorted; written as ownerReferences and, by name, as the policies annotation."""
    spec_text: bytes = field(compare=False, hash=False)
    """`spec` as JSON: a fifth of what it takes as objects, and there is one for each object."""
    spec_digest: bytes
    """`digest_spec(spec)`: comparable with `Observed.spec_digest`."""
    facts: Facts
    """`read_facts(key, spec)`."""
    allocate: bool | None = None
    """Whether istiod must allocate an address to a ServiceEntry; None for other kinds. One that
    may have an address already keeps it."""
    dry_run: bool | None = None
    """Whether an AuthorizationPolicy only counts; None for other kinds."""
    place: str = ""
    """The label of the gateway in whose namespace it stands. Empty for what stands in the namespace
    of its set."""
    tenant: str = ""
    """Of an AuthorizationPolicy: the namespace that it lets in; of an EnvoyFilter: whose it is."""
    host: str = ""
    """Of an AuthorizationPolicy or EnvoyFilter: the host that it is for alone; for people who read
    it."""
    after: frozenset[ObjectKey] = frozenset()
    """Objects of other sets that must be there, and have settled, first."""
    before_text: bytes = field(default=b"", compare=False, hash=False)
    """`before` as JSON; empty for none."""

    @property
    def spec(self) -> Spec:
        """Read the spec anew."""
        return dict(orjson.loads(self.spec_text))

    @property
    def before(self) -> Spec | None:
        """The spec that is safe while the way to `spec` is not clear yet, read anew.

        Of a ServiceEntry without endpoints: the one with endpoints.
        """
        return dict(orjson.loads(self.before_text)) if self.before_text else None


@dataclass(frozen=True, slots=True)
class Observed:
    """What the cache keeps of an object of the API server: facts and a hash, not the object."""

    key: ObjectKey
    uid: str
    created: str
    set_key: SetKey | None
    """The set that it is of: that which its annotations name, if it has our label, no owners but
    ours, and stands where that set has it; None when it is not ours. An AuthorizationPolicy needs
    neither label nor owners, and the names that it lets in tell as much as annotations."""
    policies: str
    """The policies annotation."""
    owners: frozenset[Owner]
    """Those of our kinds."""
    spec_digest: bytes
    """`digest_spec` of the spec."""
    facts: Facts
    allocate: bool | None = None
    """As a ServiceEntry's label says; None when it says neither, and for other kinds."""
    dry_run: bool | None = None
    """As an AuthorizationPolicy's annotation says; None when it says neither."""
    place: str = ""
    """As of `Desired`, when it is ours; as the annotation says."""
    tenant: str = ""
    """As of `Desired`, when it is ours."""
    label: str = ""
    """Of a Gateway: the label of the gateway whose names it serves."""
    reserved: str = ""
    """A name of the operator's own that an object of others uses before other namespaces."""
    has_lost_address: bool = False
    """Of a ServiceEntry: istiod has taken its allocated address back. It can give it no other one:
    its patch of the status expects `null` where it has left an empty list
    (pilot/pkg/controllers/ipallocate/ipallocate.go, statusPatchForAddresses)."""
    is_damaged: bool = False
    """Ours, but not as we write it: it has our label, or owners of our kinds (beside other owners,
    only the latter), or it was ours, or it is an AuthorizationPolicy under one of our names. Under
    a name that we want it is restored."""
    maps: frozenset[str] = frozenset()
    """Which of labels and annotations are patched name by name. The others are written whole: it
    has none, or too many to remove."""
    strays: frozenset[Stray] = frozenset()
    """Labels and annotations of Istio's that it has to lose; not all, of those written whole. The
    cache keeps them only of what may have to be repaired."""

    @property
    def ours(self) -> bool:
        """Whether it is of a set of ours."""
        return self.set_key is not None

    @property
    def role(self) -> tuple[SetKey | None, str]:
        """What makes it count: its set, and the label of the gateway whose names it serves."""
        return self.set_key, self.label

    def disown(self) -> "Observed":
        """Return the same object as somebody else's."""
        return replace(self, set_key=None, is_damaged=False, owners=frozenset())


def pack_spec(spec: Mapping[str, Any]) -> bytes:
    """Return a spec as JSON, its keys in their order. Pure."""
    # A copy, because orjson keeps a buffer of 4 KiB behind each of its results.
    return bytes(memoryview(orjson.dumps(spec)))


def digest_spec(spec: Mapping[str, Any]) -> bytes:
    """16 bytes that are equal for equal specs, whatever the order of their keys."""
    text = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=_DIGEST_SIZE).digest()
