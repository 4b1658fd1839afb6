"""The table of the Istio kinds that we write, and objects built by it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from egress_operator.istio import (
    authorization_policy,
    destination_rule,
    envoy_filter,
    gateway,
    service_entry,
    virtual_service,
)
from egress_operator.istio.facts import Facts, Spec
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Desired, Owner, digest_spec, pack_spec
from egress_operator.istio.set_key import SetKey


class FactReader(Protocol):
    """Reads the facts of a spec of one kind. Pure; an empty spec has none."""

    def __call__(self, key: ObjectKey, spec: Spec) -> Facts:
        """Return the facts of the object `key` with this spec."""


@dataclass(frozen=True, slots=True)
class KindRow:
    """All that differs between kinds and is not the content of a spec."""

    api_version: str
    plural: str
    read_facts: FactReader
    for_gateways: bool
    """Only gateways need it, so it is watched, and needs rights, in the whole cluster or not at
    all."""

    @property
    def group(self) -> str:
        """The API group."""
        return self.api_version.partition("/")[0]


def _build_row(module: "_KindModule", *, for_gateways: bool = False) -> KindRow:
    return KindRow(module.API_VERSION, module.PLURAL, module.read_facts, for_gateways)


class _KindModule(Protocol):
    """What a module of `istio` has that stands for a kind."""

    API_VERSION: str
    PLURAL: str
    read_facts: FactReader


KINDS: Mapping[Kind, KindRow] = {
    Kind.SERVICE_ENTRY: _build_row(service_entry),
    Kind.DESTINATION_RULE: _build_row(destination_rule),
    Kind.ENVOY_FILTER: _build_row(envoy_filter, for_gateways=True),
    Kind.GATEWAY: _build_row(gateway, for_gateways=True),
    Kind.AUTHORIZATION_POLICY: _build_row(authorization_policy, for_gateways=True),
    Kind.VIRTUAL_SERVICE: _build_row(virtual_service),
}


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return the facts of an object of one of our kinds, wanted or observed. Pure."""
    return KINDS[key.kind].read_facts(key, spec)


def build_desired(  # noqa: PLR0913 - what differs between objects
    key: ObjectKey,
    set_key: SetKey,
    owners: tuple[Owner, ...],
    spec: Spec,
    *,
    allocate: bool | None = None,
    dry_run: bool | None = None,
    place: str = "",
    tenant: str = "",
    host: str = "",
    after: frozenset[ObjectKey] = frozenset(),
    before: Spec | None = None,
) -> Desired:
    """Build an object that should be there, with the digest and the facts of its spec. Pure."""
    return Desired(
        key=key,
        set_key=set_key,
        owners=owners,
        spec_text=pack_spec(spec),
        spec_digest=digest_spec(spec),
        facts=read_facts(key, spec),
        allocate=allocate,
        dry_run=dry_run,
        place=place,
        tenant=tenant,
        host=host,
        after=after,
        before_text=b"" if before is None else pack_spec(before),
    )


def replace_spec(desired: Desired, spec: Spec) -> Desired:
    """Return the same object with another spec. Pure."""
    facts = read_facts(desired.key, spec)
    return replace(desired, spec_text=pack_spec(spec), spec_digest=digest_spec(spec), facts=facts)
