"""What the page about the installation quotes is what the operator says."""

from pathlib import Path

from egress_operator.istio.kind import Kind
from egress_operator.reconcile.writer import MissingKindError
from egress_operator.runtime.operator import NO_KIND

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "install.md"


def test_the_quoted_words_are_those_of_the_operator() -> None:
    section = PAGE.read_text().partition("## When the operator does not start\n")[2]
    section = section.partition("\n## ")[0]
    for words in (NO_KIND.partition(" (")[0], str(MissingKindError(Kind.SERVICE_ENTRY))):
        assert f"`{words.partition(';')[0]}`" in section
