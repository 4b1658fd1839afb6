"""How far the mesh lets ServiceEntries be seen: `serviceEntryVisibility` of its configuration.

As in CompileServiceEntryVisibility (pilot/pkg/model/serviceentry_visibility.go) and serviceExportTo
(push_context.go) of Istio 1.31; a test with a mesh compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from egress_operator.plan.selector import Selector


class Visibility(StrEnum):
    """To whom the ServiceEntries of a namespace are shown, at most."""

    PUBLIC = "PUBLIC"
    NAMESPACE = "NAMESPACE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class VisibilityRule:
    """One of `policies`: the first one that holds for a namespace decides."""

    visibility: Visibility
    selectors: tuple[Selector | None, ...]
    """All must hold; None, a rule that is not known, never does."""


@dataclass(frozen=True, slots=True)
class EntryVisibility:
    """What sidecars and gateways heed of it."""

    default: Visibility = Visibility.PUBLIC
    rules: tuple[VisibilityRule, ...] = ()

    def find(self, labels: Mapping[str, str]) -> Visibility:
        """Return the visibility of the ServiceEntries of a namespace with these labels. Pure."""
        for rule in self.rules:
            if all(item is not None and item.matches(labels) for item in rule.selectors):
                return rule.visibility
        return self.default


UNCAPPED = EntryVisibility()


def explain_cap(visibility: Visibility, *, through_gateway: bool) -> str:
    """Say what a visibility takes away from a policy of the namespace; empty: nothing. Pure.

    `through_gateway`: whether a gateway of another namespace must see what the policy makes.
    """
    fix = "ask the platform team to give this namespace PUBLIC there"
    if visibility is Visibility.NONE:
        return (
            "the mesh's serviceEntryVisibility shows the ServiceEntries of this namespace to "
            f"nobody, so sidecars do not know the hosts; {fix}, or NAMESPACE"
        )
    if visibility is Visibility.NAMESPACE and through_gateway:
        return (
            "the mesh's serviceEntryVisibility shows the ServiceEntries of this namespace to "
            f"itself alone, so the gateway does not know the hosts and calls get 503; {fix}"
        )
    return ""
