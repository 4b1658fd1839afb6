"""From the arguments of `render` and `lint` to the outcome."""

import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

from egress_operator.cli.exit import CommandError, ExitCode
from egress_operator.cli.file import STDIN, Reader
from egress_operator.cli.finding import UNREADABLE, FileRule, Finding, build_file_finding, quote
from egress_operator.cli.option import COMPILE_OPTIONS, open_stdin, parse_settings
from egress_operator.cli.outcome import Outcome, build_outcome
from egress_operator.cli.output import write_note
from egress_operator.cli.resource import Inventory, build_inventory
from egress_operator.diagnostic import Level
from egress_operator.plan.option import check_label
from egress_operator.plan.source import build_settings


def run_offline(paths: Sequence[str], namespace: str, flags: Mapping[str, Any]) -> Outcome:
    """Read, check and compile the input; notes about what was left out go to standard error.

    Raises CommandError when nothing was named or a setting cannot be used.
    """
    if not paths:
        raise CommandError("nothing to read: name files or directories with -f, or - for stdin")
    if wrong := check_label(namespace):
        raise CommandError(f"--namespace: {quote(namespace)} {wrong}")
    settings = parse_settings(flags, COMPILE_OPTIONS)
    stdin = open_stdin() if "-" in paths else io.BytesIO()
    inventory = build_inventory(Reader(stdin).read(paths), namespace)
    if not (inventory.policies or inventory.gateways or inventory.findings):
        inventory.findings += [_build_nothing(path) for path in dict.fromkeys(paths)]
    # Offline nobody can ask the mesh: the cautious answer, which refuses more.
    capture = settings.dns_capture == "on"
    plan_settings = build_settings(
        settings, dns_capture=capture, istio_namespace=settings.istio_namespace
    )
    outcome = build_outcome(inventory, plan_settings, time.time())
    _write_notes(inventory)
    return outcome


def _build_nothing(path: str) -> Finding:
    message = (
        "no EgressPolicy and no EgressGateway found: name the files or directories that hold them"
    )
    return build_file_finding(FileRule.NOTHING, STDIN if path == "-" else path, 0, 0, message)


def _write_notes(inventory: Inventory) -> None:
    if inventory.ignored:
        write_note(f"note: {_count(inventory.ignored, 'document')} of other kinds left out")
    others = sum(map(len, inventory.hand_written.values())) + len(inventory.sidecars)
    if others and not inventory.policies:
        write_note(
            f"note: {_count(others, 'object')} of Istio not checked: these are only compared with "
            "policies"
        )
    if inventory.skipped:
        write_note(f"note: {_count(inventory.skipped, 'file')} left out, neither YAML nor ours")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def compute_exit(findings: Sequence[Finding], *, warnings: bool = False) -> ExitCode:
    """Return the exit code for these findings; `warnings`: they count as errors do. Pure."""
    if any(finding.rule in UNREADABLE for finding in findings):
        return ExitCode.USAGE
    if any(warnings or finding.level is Level.ERROR for finding in findings):
        return ExitCode.FINDINGS
    return ExitCode.OK
