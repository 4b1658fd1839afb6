"""How a command ends: the exit codes, and the error that carries one."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes, the same whatever the output format."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNREACHABLE = 3


EXIT_TABLE: tuple[tuple[ExitCode, str], ...] = (
    (ExitCode.OK, "fine; warnings may have been printed"),
    (ExitCode.FINDINGS, "findings: a policy is refused or contradicts another one"),
    (ExitCode.USAGE, "wrong usage, input that cannot be read, or an internal error"),
    (ExitCode.UNREACHABLE, "the cluster cannot be reached"),
)
"""What the codes mean, for `--help` and the reference."""


class CommandError(Exception):
    """Ends the command with `code` after one line on standard error. An empty message: silently."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code
