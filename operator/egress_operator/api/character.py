"""Characters that come with pasted text and cannot be told by looking at it."""

import re
import stringprep
import unicodedata

_CATEGORIES = frozenset("LMN")
"""Letters, marks and digits: the first letter of Unicode's general category."""
_LOOK_ALIKE = re.compile("(CYRILLIC|GREEK|ARMENIAN|CHEROKEE) ")
"""How Unicode's names begin in scripts with letters that look like Latin ones."""
_PUNCTUATION = frozenset("·・。．｡")  # noqa: RUF001  meant as they stand
"""What names hold besides, outside ASCII: the dots of East Asian scripts too."""


def find_strange(text: str) -> list[str]:
    """Return the characters outside ASCII that belong in no name, each once. Pure.

    They are invisible, quotation marks or dashes; letters of any script are none.
    """
    return [character for character in dict.fromkeys(text) if _is_strange(character)]


def describe_characters(characters: list[str]) -> str:
    """Return `U+200B ZERO WIDTH SPACE`, joined by `and`. Pure."""
    return " and ".join(
        f"U+{ord(character):04X} {_name(character)}".rstrip() for character in characters
    )


def find_look_alikes(name: str) -> list[str]:
    """Return the letters that look like Latin ones, in labels with ASCII letters, each once. Pure.

    Latin letters with accents are none: they can be seen.
    """
    mixed = "".join(label for label in name.split(".") if re.search("[A-Za-z]", label))
    return [letter for letter in dict.fromkeys(mixed) if _LOOK_ALIKE.match(_name(letter))]


def unify_width(text: str) -> str:
    """Return the text with ASCII in place of full-width letters, digits and dots. Pure."""
    return unicodedata.normalize("NFKC", text).replace("\u3002", ".")


def is_dash(character: str) -> bool:
    """Whether it stands where `-` is meant."""
    return unicodedata.category(character) == "Pd"


def remove_strange(text: str) -> str:
    """Return the text without strange characters, and with `-` for dashes. Pure."""
    return "".join(
        ("-" if is_dash(character) else "") if _is_strange(character) else character
        for character in text
    )


def _is_strange(character: str) -> bool:
    if character.isascii() or character in _PUNCTUATION:
        return False
    return stringprep.in_table_b1(character) or (
        unicodedata.category(character)[0] not in _CATEGORIES
    )


def _name(character: str) -> str:
    return unicodedata.name(character, "")
