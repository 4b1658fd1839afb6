"""Every link of the documentation leads to a file that is there, and to a heading in it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LISTED = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
).stdout.splitlines()
PAGES = LISTED or [f"{path.relative_to(ROOT)}" for path in ROOT.glob("*.md")]


def read_links(page: Path) -> list[str]:
    links = LINK.findall(CODE.sub("", page.read_text()))
    return [link for link in links if "://" not in link and not link.startswith("mailto:")]


def read_anchors(page: Path) -> set[str]:
    """Build the anchors that GitHub gives headings: lower case, no punctuation, `-` for a blank."""
    headings = re.findall(r"^#+ +(.+)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in read_links(ROOT / page):
        target, _, anchor = link.partition("#")
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), f"{page}: {link}"
        if anchor and file.suffix == ".md":
            assert anchor in read_anchors(file), f"{page}: {link}"


def test_the_readme_is_among_them_and_has_links() -> None:
    assert "README.md" in PAGES
    assert "docs/images/demo.svg" in read_links(ROOT / "README.md")
