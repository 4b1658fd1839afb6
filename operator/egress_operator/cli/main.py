"""The entry point: runs the program, turns every error into one line and an exit code."""

import io
import os
import signal
import sys
import traceback
from pathlib import PurePath

import click

from egress_operator.cli.exit import CommandError, ExitCode
from egress_operator.cli.output import discard_output, write_note
from egress_operator.cli.program import program

PROGRAM = "egressctl"
_OWN = "egress_operator"
_PLUGIN_PREFIX = "kubectl-"
_INTERRUPTED = 130
"""What shells expect after Ctrl-C: 128 + SIGINT."""


def find_program_name(path: str) -> str:
    """Return the name for usage lines: `kubectl egress` when kubectl calls us as a plugin. Pure."""
    name = PurePath(path).name.removesuffix(".exe")
    if name.startswith(_PLUGIN_PREFIX):
        return f"kubectl {name.removeprefix(_PLUGIN_PREFIX).replace('_', '-')}"
    return PROGRAM


def main() -> None:
    """Run the program with the arguments of the process and end the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names in files may hold what the locale cannot show.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:], find_program_name(sys.argv[0]))
    # From here on there is nothing left to interrupt, and the exit must not show a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        discard_output()
    sys.exit(code)


def run(arguments: list[str], name: str = PROGRAM) -> int:
    """Run the program with `arguments` and return the exit code. Raises nothing."""
    try:
        result = program.main(
            arguments,
            prog_name=name,
            complete_var="_EGRESSCTL_COMPLETE",
            standalone_mode=False,
        )
    except SystemExit as ended:
        return _read_exit(ended)
    except BaseException as error:  # noqa: BLE001  the last line before the user
        message, code = _explain(error, name)
        if message:
            write_note(f"{name}: {message}")
        return int(code)
    return result if isinstance(result, int) else ExitCode.OK


def _explain(error: BaseException, name: str) -> tuple[str, int]:
    """Return the line for the user (empty: none) and the exit code."""
    match error:
        case CommandError():
            return str(error), error.code
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return "", ExitCode.USAGE
        case click.UsageError():
            return _explain_usage(error, name), ExitCode.USAGE
        case click.ClickException():
            return error.format_message(), ExitCode.USAGE
        case click.Abort():
            return "interrupted", _INTERRUPTED
        case OSError():
            discard_output()
    return _explain_unexpected(error), ExitCode.USAGE


def _explain_unexpected(error: BaseException) -> str:
    if program.debug or os.environ.get("EGRESSCTL_DEBUG"):
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, ModuleNotFoundError) and not (error.name or _OWN).startswith(_OWN):
        return (
            f"the Python package {error.name} is missing, so the environment is older than the "
            "program: run make env in its checkout, or install egress-operator again"
        )
    return f"unexpected error, please report it: {what}; --debug shows where"


def _explain_usage(error: click.UsageError, name: str) -> str:
    path = error.ctx.command_path if error.ctx else name
    if isinstance(error, click.NoSuchOption):
        option = error.option_name
        if any(option in parameter.opts for parameter in program.params):
            command = path.removeprefix(name).strip()
            return f"{option} stands before the command: {name} {option} {command}"
    return f"{error.format_message().rstrip('.')}; see {path} --help"


def _read_exit(ended: SystemExit) -> int:
    # click itself ends so when the reader of its help went away, and after a completion.
    if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):
        discard_output()
        return ExitCode.OK
    return ended.code if isinstance(ended.code, int) else ExitCode.OK
