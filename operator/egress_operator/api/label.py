"""Labels, as Kubernetes has them."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, StrictStr

from egress_operator.api.rule import NULL, NULLABLE_KEY, Check, Finding, quote

MOST_LABELS = 16
PREFIX_LENGTH = 253
VALUE_LENGTH = 63
KEY_LENGTH = PREFIX_LENGTH + 1 + VALUE_LENGTH

_NAME = "[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
KEY_PATTERN = f"^({_SUBDOMAIN}/)?{_NAME}$"
VALUE_PATTERN = f"^({_NAME})?$"

_KEY = re.compile(KEY_PATTERN)
_VALUE = re.compile(VALUE_PATTERN)


def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None and text.find("/") <= PREFIX_LENGTH


def _find_bad_key(key: str) -> Iterator[Finding]:
    if not _is_key(key):
        yield Finding(subject=quote(key))


def _find_bad_keys(labels: Mapping[str, str]) -> Iterator[Finding]:
    for key in labels:
        yield from _find_bad_key(key)


def _find_bad_value(value: str) -> Iterator[Finding]:
    if _VALUE.fullmatch(value) is None:
        yield Finding(subject=quote(value))


def _build_key_cel(key: str) -> str:
    return f"{key}.matches(r'{KEY_PATTERN}') && {key}.indexOf('/') <= {PREFIX_LENGTH}"


def _find_null(_: object) -> tuple[Finding, ...]:
    """Find nothing: the type of the values has refused null already."""
    return ()


LabelKey = Annotated[
    StrictStr,
    Field(max_length=KEY_LENGTH),
    Check("EG026", _build_key_cel("self"), _find_bad_key, pattern=KEY_PATTERN),
]
LabelValue = Annotated[
    StrictStr,
    Field(max_length=VALUE_LENGTH),
    Check("EG027", f"self.matches(r'{VALUE_PATTERN}')", _find_bad_value, pattern=VALUE_PATTERN),
]
Labels = Annotated[
    dict[StrictStr, Annotated[LabelValue, Field(json_schema_extra={NULLABLE_KEY: True})]],
    Field(min_length=1, max_length=MOST_LABELS),
    Check("EG026", f"self.all(k, {_build_key_cel('k')})", _find_bad_keys),
    Check(NULL, "self.all(k, type(self[k]) != null_type)", _find_null),
]
"""1 to 16 labels."""
