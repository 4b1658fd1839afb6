"""The reference page is what the program says of itself."""

from cli.call import call
from egress_operator.cli.exit import EXIT_TABLE, ExitCode
from egress_operator.cli.finding import FILE_RULES, FileRule
from egress_operator.cli.program import COMMANDS
from egress_operator.diagnostic import RETIRED, read_rules
from egress_operator.runtime.settings import OPTIONS
from tools.cli_reference import build_reference


def test_page_names_everything() -> None:
    page = build_reference()
    for option in OPTIONS:
        assert f"--{option.name} " in page
        assert option.env in page
    for name in COMMANDS:
        assert f"## egressctl {name}\n" in page
    for code, meaning in EXIT_TABLE:
        assert f"| {code.value} | {meaning} |" in page


def test_commands_without_a_cluster_say_what_auto_means_there() -> None:
    for command, offline in (("lint", True), ("render", True), ("run", False)):
        text = " ".join(call(command, "--help").stdout.decode().split())
        assert ("auto means off: no cluster is read" in text) is offline
        assert ("auto reads the mesh's ConfigMap" in text) is not offline


def test_tables_are_complete() -> None:
    assert [code for code, _ in EXIT_TABLE] == list(ExitCode)
    assert set(FILE_RULES) == set(FileRule)
    assert not {rule.value for rule in FileRule} & set(read_rules())


def test_the_code_of_a_retired_rule_stays_reserved() -> None:
    assert not RETIRED & set(read_rules())


def test_help_has_the_exit_codes() -> None:
    text = call("--help").stdout.decode()
    for code, meaning in EXIT_TABLE:
        assert f"{code.value}  {meaning}" in text
