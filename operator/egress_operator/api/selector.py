"""Selectors of objects by their labels, as Kubernetes has them."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from egress_operator.api.label import MOST_LABELS, LabelKey, Labels, LabelValue
from egress_operator.api.model import Model
from egress_operator.api.rule import Check, Finding, ListType, build_cel_list

MOST_VALUES = 64


class SelectorOperator(StrEnum):
    """How a label is compared with values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_WITH_VALUES = frozenset({SelectorOperator.IN, SelectorOperator.NOT_IN})
_WITH_VALUES_CEL = build_cel_list(tuple(sorted(_WITH_VALUES)))


def _find_wrong_values(expression: "LabelExpression") -> Iterator[Finding]:
    operator = expression.operator
    if operator in _WITH_VALUES and not expression.values:
        yield Finding(f"operator {operator} needs values", ("operator",))
    if operator not in _WITH_VALUES and expression.values:
        yield Finding(f"operator {operator} looks at no values", ("operator",))


class LabelExpression(Model):
    """A condition on one label."""

    key: Annotated[LabelKey, Field(examples=["egress"])]
    """The key of the label."""
    operator: Annotated[SelectorOperator, Field(examples=["In"])]
    """How the label is compared: In or NotIn with values, Exists or DoesNotExist without."""
    values: Annotated[
        tuple[LabelValue, ...],
        Field(max_length=MOST_VALUES, examples=[["shared", "payments"]]),
        ListType("atomic"),
    ] = ()
    """The values of In and NotIn, at most 64."""

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "EG028",
            f"(self.operator in {_WITH_VALUES_CEL})"
            " == (has(self.values) && self.values.size() > 0)",
            _find_wrong_values,
            "operator",
        ),
    )


class LabelSelector(Model):
    """Which objects are meant, by their labels; without conditions all of them."""

    absent_fields: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("names", "matchNames", "name"),
        "a namespace has its name as a label: write matchLabels: {kubernetes.io/metadata.name: "
        "NAME}, or for several matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, "
        "values: [NAME, NAME]}]",
    )

    match_labels: Annotated[Labels, Field(default_factory=dict, examples=[{"egress": "shared"}])]
    """Labels that must be there with these values, 1 to 16."""
    match_expressions: Annotated[
        tuple[LabelExpression, ...],
        Field(
            min_length=1,
            max_length=MOST_LABELS,
            examples=[[{"key": "egress", "operator": "In", "values": ["shared"]}]],
        ),
        ListType("atomic"),
    ] = ()
    """Conditions on labels, 1 to 16; all must hold."""
