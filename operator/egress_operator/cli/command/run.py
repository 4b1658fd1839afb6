"""`egressctl run`: the operator."""

from typing import Any

import click

from egress_operator.cli.exit import CommandError, ExitCode
from egress_operator.cli.option import add_settings, parse_settings
from egress_operator.runtime.settings import OPTIONS

_NAMES = tuple(option.name for option in OPTIONS)


@click.command()
@add_settings(_NAMES)
def command(**flags: Any) -> None:  # noqa: ANN401  one for each row of the runtime's table
    """Run the operator until it is told to stop (SIGTERM or Ctrl-C).

    A flag wins over its environment variable, the variable over the default. A list may be given as
    one text with commas, or by repeating the flag.
    """
    settings = parse_settings(flags, _NAMES)

    from egress_operator.runtime.main import End, run  # noqa: PLC0415  lazy: kopf costs half a second

    # What it has to say when it gives up is in its log.
    match run(settings):
        case End.UNUSABLE:
            raise CommandError("", ExitCode.USAGE)
        case End.UNREACHABLE:
            raise CommandError("", ExitCode.UNREACHABLE)
        case End.FAILED:
            raise CommandError("", ExitCode.USAGE)
