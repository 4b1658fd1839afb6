"""The command line as a whole: its commands, loaded when they are called."""

from importlib import import_module

import click

from egress_operator.cli.exit import EXIT_TABLE

COMMANDS: dict[str, str] = {
    "render": "Print the Istio objects that the operator would make.",
    "lint": "Check policies without a cluster.",
    "crds": "Print the CustomResourceDefinitions.",
    "run": "Run the operator.",
    "version": "Print the version.",
}
"""Name and summary; the module of the same name in `command` holds the command."""

HELP_OPTIONS = ["-h", "--help"]

_EPILOG = "\n".join(
    (
        "\b",
        "Exit codes, whatever -o says:",
        *(f"  {code.value}  {meaning}" for code, meaning in EXIT_TABLE),
        "",
        "\b",
        "Completion: put the line for your shell into its start file.",
        '  bash  eval "$(_EGRESSCTL_COMPLETE=bash_source egressctl)"',
        '  zsh   eval "$(_EGRESSCTL_COMPLETE=zsh_source egressctl)"',
        "  fish  _EGRESSCTL_COMPLETE=fish_source egressctl | source",
    )
)


class Program(click.Group):
    """A group that imports a command only to run it or to show its own help."""

    debug = False
    """Whether `--debug` was given."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"egress_operator.cli.command.{cmd_name}")
        command: click.Command = module.command
        command.name = cmd_name
        command.context_settings = program.context_settings
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that was probably meant, where there is none of this name."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches  # noqa: PLC0415 - only when there is an error

            if close := get_close_matches(args[0], COMMANDS, n=1):
                ctx.fail(f"No such command {args[0]!r} (did you mean {close[0]}?)")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's form
    del ctx, parameter
    program.debug = program.debug or value


@click.group(
    cls=Program,
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 100},
    epilog=_EPILOG,
)
@click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an unexpected error (or set EGRESSCTL_DEBUG=1).",
)
def program() -> None:
    """Say which outside hosts a namespace may call, and see what becomes of it.

    Data and the findings of lint go to standard output, notes, errors and the findings of render
    to standard error. Nothing is cut or coloured when the output is not a terminal.
    """
