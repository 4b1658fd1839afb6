"""`egressctl crds`: the CustomResourceDefinitions, ready for `kubectl apply`."""

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from egress_operator.cli.exit import CommandError
from egress_operator.cli.output import write_data

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_START = re.compile(r"(#.*\n)*---")
"""A document that says itself where it begins."""


@click.command()
def command() -> None:
    """Print the CustomResourceDefinitions that belong to this version.

    Apply them with: egressctl crds | kubectl apply --server-side -f -
    """
    write_data("".join(_read_crds()))


def _read_crds() -> list[str]:
    # The wheel carries them inside the package, a checkout beside the source root.
    folder: Traversable = files("egress_operator") / "crds"
    if not folder.is_dir():
        folder = Path(__file__).parents[4] / "crds"
    found = sorted(folder.iterdir(), key=lambda item: item.name) if folder.is_dir() else []
    texts = [item.read_text("utf-8") for item in found if item.name.endswith(".yaml")]
    if not texts:
        raise CommandError("the CRDs are missing from this installation: install the package again")
    return [text if _START.match(text) else f"---\n{text}" for text in texts]
