"""`egressctl lint`: what is wrong with the policies, and where."""

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from egress_operator.cli.exit import CommandError, ExitCode
from egress_operator.cli.finding import Finding
from egress_operator.cli.option import (
    COMPILE_OPTIONS,
    add_colour,
    add_input,
    add_output,
    add_settings,
)
from egress_operator.cli.output import (
    Colour,
    build_finding_record,
    decide_colour,
    write_data,
    write_findings,
    write_note,
)
from egress_operator.diagnostic import Level

if TYPE_CHECKING:
    from egress_operator.cli.outcome import Outcome

_AGAIN = (
    "note: some checks run only on policies without errors: fix what was found, then run lint again"
)


@click.command()
@add_input
@add_output(
    ("text", "json"),
    "text: one line for each finding; json: one object with findings and counts.",
)
@click.option(
    "--fail-on",
    type=click.Choice([level.value for level in Level]),
    default=Level.ERROR.value,
    show_default=True,
    help="The least severe level that makes the exit code 1.",
)
@add_settings(COMPILE_OPTIONS, offline=True)
@add_colour
def command(
    paths: tuple[str, ...],
    filenames: tuple[str, ...],
    namespace: str,
    form: str,
    fail_on: str,
    colour: str,
    **flags: Any,  # noqa: ANN401  one for each row of the runtime's table
) -> None:
    """Check policies without a cluster.

    Checks the text (duplicate keys, bare values that readers take differently, bounds), the fields
    as the API server does, the rules that depend on the operator's settings, and conflicts among
    all the files given. Each finding has its rule, file:line:column, field, and how to fix it.
    The rules that depend on settings, and conflicts, are checked only for policies whose fields are
    right: fix those first, then run it again.

    Input without any EgressPolicy or EgressGateway is an error (EG909).

    Namespaces in the input give their labels, which decide whether a gateway is open to their
    policies (EG114); one that selects namespaces counts as open to a namespace that is not among
    the files. Hand-written
    ServiceEntries, VirtualServices, DestinationRules and Sidecars are compared with the policies.
    A Sidecar of the namespace that --istio-namespace names counts as the mesh's default. Other
    kinds are left out.

    A policy without a creationTimestamp is younger than one that has it; among policies without
    one, the first by name comes first.
    """
    from egress_operator.cli.offline import compute_exit, run_offline  # noqa: PLC0415  lazy: pydantic

    outcome = run_offline((*filenames, *paths), namespace, flags)
    if form == "json":
        write_data(_format_json(outcome))
    else:
        terminal = sys.stdout is not None and sys.stdout.isatty()
        coloured = decide_colour(Colour(colour), os.environ, terminal=terminal)
        write_data(_format_text(outcome.findings, colour=coloured), colour=coloured)
        write_note(", ".join(f"{name}: {count}" for name, count in _count(outcome).items()))
        if outcome.is_partial:
            write_note(_AGAIN)
    code = compute_exit(outcome.findings, warnings=fail_on == Level.WARNING.value)
    if code is not ExitCode.OK:
        raise CommandError("", code)


def _format_text(findings: Sequence[Finding], *, colour: bool) -> str:
    text = io.StringIO()
    write_findings(findings, text, colour=colour)
    return text.getvalue()


def _count(outcome: "Outcome") -> dict[str, int]:
    errors = sum(finding.level is Level.ERROR for finding in outcome.findings)
    return {
        "policies": outcome.policies,
        "gateways": outcome.gateways,
        "errors": errors,
        "warnings": len(outcome.findings) - errors,
    }


def _format_json(outcome: "Outcome") -> str:
    from egress_operator.cli.text import format_json  # noqa: PLC0415  lazy: yaml

    findings = [build_finding_record(finding) for finding in outcome.findings]
    return format_json({"findings": findings, "summary": _count(outcome)})
