"""Options that several commands share; those of the operator come from the runtime's table."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import click

from egress_operator.cli.exit import CommandError
from egress_operator.cli.output import Colour
from egress_operator.runtime.settings import (
    OPTIONS,
    Option,
    OptionType,
    Settings,
    SettingsError,
    build_settings,
)

Decorated = Callable[..., Any]

COMPILE_OPTIONS = frozenset(
    {
        "cluster-domain",
        "synthetic-domains",
        "allowed-cidrs",
        "allowed-shared-domains",
        "cluster-cidrs",
        "dns-capture",
        "istio-namespace",
        "gateway-objects",
        "gateway-lookup-family",
        "istio-version",
        "max-hosts-per-namespace",
    }
)
"""Rows of the runtime's table that decide what is compiled."""

_OFFLINE_MEANINGS = {
    "dns-capture": "Whether proxies resolve names through Istio; auto means off: no cluster is "
    "read.",
}
"""What a row means instead where there is no cluster."""


def add_settings(
    names: Iterable[str], *, offline: bool = False
) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the rows `names` of the runtime's table, in its order.

    `offline`: for a command that reads no cluster.
    """
    meanings = _OFFLINE_MEANINGS if offline else {}
    wanted = set(names)
    rows = [option for option in OPTIONS if option.name in wanted]

    def decorate(function: Decorated) -> Decorated:
        for option in reversed(rows):
            meaning = meanings.get(option.name, option.meaning)
            function = _build_flag(option, meaning)(function)
        return function

    return decorate


def _build_flag(option: Option, meaning: str) -> Callable[[Decorated], Decorated]:
    is_list = option.type is OptionType.LIST
    default = f"default: {option.default_text}; " if option.default_text else ""
    help_text = f"{meaning} [{default}env: {option.env}]"
    if option.type is OptionType.CHOICE:
        kind = click.Choice(option.choices)
        return click.option(f"--{option.name}", option.field, type=kind, help=help_text)
    return click.option(
        f"--{option.name}",
        option.field,
        type=click.STRING,
        multiple=is_list,
        metavar=f"{option.type.upper()}{'...' if is_list else ''}",
        help=help_text,
    )


def parse_settings(flags: Mapping[str, Any], names: Iterable[str]) -> Settings:
    """Return the settings of these rows from flags and environment; all others have their default.

    Raises CommandError for a value that cannot be used.
    """
    wanted = {option.env for option in OPTIONS if option.name in set(names)}
    environment = {name: value for name, value in os.environ.items() if name in wanted}
    try:
        return build_settings(environment, flags)
    except SettingsError as error:
        raise CommandError(str(error)) from None


def add_input(function: Decorated) -> Decorated:
    """Add `-f`, positional paths and `--namespace` to a command that reads files."""
    for decorate in (
        click.option(
            "-n",
            "--namespace",
            default="default",
            show_default=True,
            metavar="NAME",
            help="Namespace of objects that name none.",
        ),
        click.option(
            "-f",
            "--filename",
            "filenames",
            multiple=True,
            metavar="FILE|DIR|-",
            type=click.Path(),
            help="What to read; may be repeated. Of a directory: all *.yaml, *.yml and *.json "
            "below it, hidden ones left out. -: standard input.",
        ),
        click.argument("paths", nargs=-1, metavar="[FILE|DIR|-]...", type=click.Path()),
    ):
        function = decorate(function)
    return function


def add_output(choices: tuple[str, ...], meaning: str) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds `-o`; the first choice is the default."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help=meaning,
    )


def add_colour(function: Decorated) -> Decorated:
    """Add `--color`."""
    decorate = click.option(
        "--color",
        "colour",
        type=click.Choice([choice.value for choice in Colour]),
        default=Colour.AUTO.value,
        show_default=True,
        help="auto: on a terminal, unless NO_COLOR is set or TERM is dumb; FORCE_COLOR colours "
        "elsewhere too, NO_COLOR beats it.",
    )
    return decorate(function)


def open_stdin() -> BinaryIO:
    """Return standard input as bytes. Raises CommandError when it is closed."""
    if sys.stdin is None:
        raise CommandError("standard input is closed: name a file instead of -")
    return sys.stdin.buffer
