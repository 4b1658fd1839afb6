"""Label selectors of Kubernetes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of `matchExpressions`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it. As in Kubernetes, `NotIn` holds where the key is absent."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels

    def __str__(self) -> str:
        """Write it as `kubectl get --selector` takes it."""
        values = ", ".join(self.values)
        match self.operator:
            case "In":
                return (
                    f"{self.key}={values}" if len(self.values) == 1 else f"{self.key} in ({values})"
                )
            case "NotIn":
                return f"{self.key} notin ({values})"
            case "Exists":
                return self.key
            case _:
                return f"!{self.key}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; none select everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def explain_mismatch(self, labels: Mapping[str, str]) -> str:
        """Name the labels wanted, and those of these keys that are there; empty when it matches."""
        missed = [item for item in self.requirements if not item.matches(labels)]
        if not missed:
            return ""
        keys = dict.fromkeys(item.key for item in missed)
        there = [f"{key}={labels[key]}" if key in labels else f"no label {key}" for key in keys]
        return f"{', '.join(map(str, missed))} is wanted, and there is {', '.join(there)}"
