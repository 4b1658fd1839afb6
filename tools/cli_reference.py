"""docs/reference/cli.md: the help of every command, exit codes and the rules about files."""

import click

from egress_operator.cli.exit import EXIT_TABLE
from egress_operator.cli.finding import FILE_RULES
from egress_operator.cli.main import PROGRAM
from egress_operator.cli.program import HELP_OPTIONS, program

_WIDTH = 100

_INTRODUCTION = """\
# egressctl

Made from the program's help by `make gen`. Do not edit.

Installed as `egressctl` and as `kubectl-egress`, which kubectl runs as `kubectl egress`.
Data goes to standard output, also the findings of `lint`. Notes, errors and the findings of
`render` go to standard error, one line each.
Nothing is cut or coloured when the output is not a terminal. An unexpected error is one line too;
`--debug` or `EGRESSCTL_DEBUG=1` shows where it happened.
"""

_COMPLETION = """\
## Completion

Put the line for your shell into its start file:

```sh
eval "$(_EGRESSCTL_COMPLETE=bash_source egressctl)"      # bash
eval "$(_EGRESSCTL_COMPLETE=zsh_source egressctl)"       # zsh
_EGRESSCTL_COMPLETE=fish_source egressctl | source       # fish
```
"""

_RULES = """\
## Rules about files

`render` and `lint` read YAML strictly: what readers of YAML take differently is an error, because
the file that was checked must be the file that the API server gets. JSON is read too. A document
may have 64 levels, and aliases that stand for 10,000 values; one call reads at most 32 MiB.
After EG901 and EG902 the rest of the file is unknown, so the exit code is 2.
The rules about policies are in [rules.md](rules.md).
"""


def build_reference() -> str:
    """Return the page as Markdown."""
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in EXIT_TABLE)
    rules = "\n".join(
        f"| {rule.value} | {title} | {fix} |" for rule, (title, fix) in FILE_RULES.items()
    )
    parts = [
        _INTRODUCTION,
        "## Exit codes\n\nThe same whatever `-o` says.\n",
        f"| code | meaning |\n|---|---|\n{codes}\n",
        *_build_sections(),
        f"{_RULES}\n| rule | what is wrong | fix |\n|---|---|---|\n{rules}\n",
        _COMPLETION,
    ]
    return "\n".join(parts)


def _build_sections() -> list[str]:
    root = _build_context(program, None, PROGRAM)
    sections = []
    for name in program.list_commands(root):
        command = program.get_command(root, name)
        if command is None:
            raise LookupError(name)
        text = command.get_help(_build_context(command, root, name))
        sections.append(f"## {PROGRAM} {name}\n\n```text\n{text}\n```\n")
    return sections


def _build_context(
    command: click.Command, parent: click.Context | None, name: str
) -> click.Context:
    # The width is fixed: the page must not depend on the terminal of whoever makes it.
    return click.Context(
        command,
        parent,
        name,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=HELP_OPTIONS,
    )
