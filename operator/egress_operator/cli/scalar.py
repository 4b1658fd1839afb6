"""Bare YAML values: what they mean, or why they must be quoted.

Readers of YAML 1.1 and 1.2 disagree on many bare words and numbers: `on` is true for kubectl,
`010` is 8, `12:30:45` is 45045 for PyYAML and text for kubectl, `1e3` the other way round. What all
of them read alike is accepted; for the rest the fix is a pair of quotes. Dates stay text, as
kubectl reads them.
"""

import re
from typing import NoReturn

_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})?\.[0-9]{1,18}")
_MAYBE_SPECIAL = frozenset("0123456789+-.~yYnNoOtTfF<")
"""First characters of everything that is not plainly text."""

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SWITCHES: dict[str, str] = {
    form: meaning
    for meaning, words in (("true", ("y", "yes", "on")), ("false", ("n", "no", "off")))
    for word in words
    for form in (word, word.capitalize(), word.upper())
}
_LARGE = r"[-+]?[0-9]{19,}(?:\.[0-9]*)?"
_AMBIGUOUS: tuple[tuple[str, str], ...] = (
    (r"[-+]?0[0-9][0-9_]*", "a leading zero makes it octal for some readers"),
    (r"[-+]?0[xX][0-9a-fA-F_]+", "it is read as a hexadecimal number"),
    (r"[-+]?0[bB][01_]+", "it is read as a binary number"),
    (r"[-+]?0o[0-7_]+", "it is read as an octal number by some readers"),
    (
        r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?",
        "some readers take it for a number in base 60",
    ),
    (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+",
        "some readers take it for a number with an exponent",
    ),
    (r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?", "underscores are dropped by readers"),
    (_LARGE, "the number is too large to be kept exactly"),
    (r"[-+]?[0-9]+\.(?:[0-9]{19,})?", "readers do not keep it as it is written"),
    (r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "JSON has no such number"),
)
"""Patterns and reasons; compiled when first needed, because a start should be quick."""


class AmbiguousScalarError(ValueError):
    """The bare value is not read alike everywhere; the message says how it is read."""


def parse_plain(text: str) -> str | int | float | bool | None:
    """Return the value of the bare (unquoted, untagged) scalar `text`. Pure.

    Raises AmbiguousScalarError when YAML readers disagree on it.
    """
    if text and text[0] not in _MAYBE_SPECIAL:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    _refuse_ambiguous(text)
    return text


def _refuse_ambiguous(text: str) -> None:
    if text in _SWITCHES:
        _refuse(text, f"readers of YAML 1.1 take it for {_SWITCHES[text]}", _SWITCHES[text])
    if text[0].isalpha():
        return
    is_octal = text[0] == "0" and text.isdigit()
    instead = f"{text.lstrip('0') or 0} for the number" if is_octal else "the plain decimal number"
    for pattern, why in _AMBIGUOUS:
        if re.fullmatch(pattern, text):
            _refuse(text, why, "a smaller number" if pattern == _LARGE else instead)


def _refuse(text: str, why: str, instead: str) -> NoReturn:
    shown = text if len(text) <= 40 else f"{text[:39]}…"  # noqa: PLR2004  longer says no more
    raise AmbiguousScalarError(
        f'{shown} is ambiguous without quotes ({why}): write "{shown}" for text, or {instead}'
    )
