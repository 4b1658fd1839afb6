"""Examples of fields: the inputs of the golden cases, with one field changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from egress_operator.api.check import check_gateway, check_policy
from egress_operator.api.gateway import EgressGatewaySpec
from egress_operator.api.policy import EgressPolicySpec
from field.path import Object, build_variants, find_places, list_fields
from golden.case import Case, Result, find_cases, read_case, run_case

POLICIES, GATEWAYS = "policies", "gateways"
"""The attributes of a case."""
FIELDS: Mapping[str, Mapping[str, Object]] = {
    POLICIES: list_fields(EgressPolicySpec),
    GATEWAYS: list_fields(EgressGatewaySpec),
}
FAILOVER = "spec.destinations[].failover"
_CHECKS = {POLICIES: check_policy, GATEWAYS: check_gateway}


@dataclass(frozen=True)
class Example:
    """A case, an object of it that has a field, and valid ones that differ in this field."""

    case: Case
    kind: str
    position: int
    variants: tuple[Object, ...]

    @property
    def document(self) -> Object:
        """The object that has the field."""
        documents: tuple[Object, ...] = getattr(self.case, self.kind)
        return documents[self.position]

    def run(self) -> Result:
        """Make everything of the case as it is."""
        return _run(str(self.case.directory))

    def run_with(self, changed: Object) -> Result:
        """Make everything of the case with another object in place of this one."""
        before: tuple[Object, ...] = getattr(self.case, self.kind)
        after = (*before[: self.position], changed, *before[self.position + 1 :])
        if self.kind == POLICIES:
            return run_case(replace(self.case, policies=after))
        return run_case(replace(self.case, gateways=after))

    def run_beside(self, policy: Object) -> Result:
        """Make everything of the case with another policy beside its own."""
        return run_case(replace(self.case, policies=(*self.case.policies, policy)))


def find_examples(kind: str, path: str) -> Iterator[Example]:
    """Find the objects that have a field."""
    for case in _read_cases().values():
        for position, document in enumerate(getattr(case, kind)):
            for place in find_places(document, path):
                known = [item["metadata"]["name"] for item in case.gateways]
                built = build_variants(document, place, FIELDS[kind][path], known)
                if path == FAILOVER:
                    built = map(_share, built)
                variants = tuple(item for item in built if _CHECKS[kind](item)[0] is not None)
                if variants:
                    yield Example(case, kind, position, variants)


def read_policies() -> list[Object]:
    """Read the policies of all cases."""
    return [policy for case in _read_cases().values() for policy in case.policies]


def _share(policy: Object) -> Object:
    """Give backends weights where they have no order: they need one of the two."""
    for destination in policy["spec"]["destinations"]:
        if not destination.get("failover"):
            for backend in destination.get("backends", ()):
                backend.setdefault("weight", 1)
    return policy


@cache
def _read_cases() -> dict[str, Case]:
    return {str(directory): read_case(directory) for directory in find_cases()}


@cache
def _run(directory: str) -> Result:
    return run_case(_read_cases()[directory])
