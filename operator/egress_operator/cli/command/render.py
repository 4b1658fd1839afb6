"""`egressctl render`: the Istio objects that the operator would make."""

import os
import sys
from typing import Any

import click

from egress_operator.cli.exit import CommandError, ExitCode
from egress_operator.cli.finding import FileRule, Finding
from egress_operator.cli.option import (
    COMPILE_OPTIONS,
    add_colour,
    add_input,
    add_output,
    add_settings,
)
from egress_operator.cli.output import Colour, decide_colour, write_data, write_findings
from egress_operator.diagnostic import Level


@click.command()
@add_input
@add_output(("yaml", "json"), "yaml: one document for each object; json: one List.")
@add_settings(COMPILE_OPTIONS, offline=True)
@add_colour
def command(
    paths: tuple[str, ...],
    filenames: tuple[str, ...],
    namespace: str,
    form: str,
    colour: str,
    **flags: Any,  # noqa: ANN401  one for each row of the runtime's table
) -> None:
    """Print the Istio objects that the operator would make of the policies.

    Reads EgressPolicies, EgressGateways, Namespaces (their labels decide whether a gateway is open
    to their policies) and hand-written Istio objects for the same hosts; other kinds are left
    out. A gateway that selects namespaces counts as open to one that is not among the files.

    The objects are sorted by namespace, kind and name; the same input gives the same bytes, until a
    policy in it expires: nothing is printed for one that has expired, by this machine's clock. They
    carry ownerReferences only to policies that have a metadata.uid, as those read from a cluster
    do: without one there is nothing to refer to.

    A policy without a creationTimestamp is younger than one that has it; among policies without
    one, the first by name comes first.

    An AuthorizationPolicy with the action ALLOW and no rules lets nobody through: no request
    matches it, and what matches none is refused.

    Nothing is printed for a policy that is paused, and a warning says so.

    What is refused goes to standard error; the objects of the other policies are still printed.
    When a file cannot be read, nothing is. A policy for a gateway needs the gateway's file, too.
    """
    from egress_operator.cli.offline import compute_exit, run_offline  # noqa: PLC0415  lazy: pydantic
    from egress_operator.cli.text import DataFormat, format_objects  # noqa: PLC0415  lazy: yaml

    outcome = run_offline((*filenames, *paths), namespace, flags)
    findings = [_raise_level(finding) for finding in outcome.findings]
    if sys.stderr is not None:
        coloured = decide_colour(Colour(colour), os.environ, terminal=sys.stderr.isatty())
        write_findings(findings, sys.stderr, colour=coloured)
    code = compute_exit(findings)
    if code is not ExitCode.USAGE:
        write_data(format_objects(outcome.objects, DataFormat(form)))
    if code is not ExitCode.OK:
        raise CommandError("", code)


def _raise_level(finding: Finding) -> Finding:
    """Make an error of a warning that stands for a policy of which nothing is rendered."""
    return finding._replace(level=Level.ERROR) if finding.rule == FileRule.NO_GATEWAY else finding
