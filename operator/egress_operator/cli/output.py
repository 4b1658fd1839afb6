"""Data on standard output, everything else on standard error; colour only where it is wanted."""

import errno
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import IO, Any

import click

from egress_operator.cli.exit import CommandError, ExitCode
from egress_operator.cli.finding import Finding, one_line
from egress_operator.diagnostic import Level


class Colour(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def decide_colour(choice: Colour, environment: Mapping[str, str], *, terminal: bool) -> bool:
    """Decide whether to colour a stream; `terminal`: it is one. Pure.

    The flag beats the environment, NO_COLOR beats FORCE_COLOR, both count when they are not empty.
    """
    if choice is not Colour.AUTO:
        return choice is Colour.ALWAYS
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return terminal and environment.get("TERM") != "dumb"


def write_data(text: str, *, colour: bool = False) -> None:
    """Write `text` to standard output, whole.

    Raises CommandError when that is not possible: silently when the reader went away (`| head`).
    """
    try:
        click.echo(text, nl=False, color=colour)
    except OSError as error:
        discard_output()
        if error.errno == errno.EPIPE:
            raise CommandError("", ExitCode.OK) from None
        raise CommandError(f"cannot write the output: {error.strerror}") from None


def discard_output() -> None:
    """Send what is still buffered for standard output nowhere, so that the exit stays quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def write_note(text: str) -> None:
    """Write one line to standard error. A closed standard error is no reason to fail."""
    try:
        click.echo(one_line(text), err=True, color=False)
    except OSError:
        return


def write_findings(findings: Iterable[Finding], stream: IO[str], *, colour: bool) -> None:
    """Write one line for each finding: place, level, rule, field, message."""
    for finding in findings:
        level = finding.level.value
        if colour:
            level = click.style(level, fg="red" if finding.level is Level.ERROR else "yellow")
        subject = " ".join(filter(None, (finding.object, finding.path)))
        subject = f"{one_line(subject)}: " if subject else ""
        line = f"{finding.where}: {level} {finding.rule} {subject}{one_line(finding.message)}"
        click.echo(line, file=stream, color=colour)


def build_finding_record(finding: Finding) -> dict[str, Any]:
    """Return the finding as `lint -o json` prints it; a place that is not known is null."""
    return {
        "rule": finding.rule,
        "level": finding.level.value,
        "file": finding.file,
        "line": finding.line or None,
        "column": finding.column or None,
        "object": finding.object,
        "path": finding.path,
        "message": finding.message,
        "fix": finding.fix,
    }
