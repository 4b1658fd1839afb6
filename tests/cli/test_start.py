"""What does not run the operator starts without its libraries."""

import json
import subprocess
import sys

import pytest

from cli.call import POLICY, TIME_LIMIT_S, build_environment

OPERATOR = {"kopf", "kubernetes", "aiohttp", "prometheus_client", "pythonjsonlogger", "asyncio"}
LIGHT = OPERATOR | {"pydantic", "yaml", "egress_operator.plan.plan"}
CODE = """
import json, sys
from egress_operator.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (("--help",), LIGHT),
        (("version",), LIGHT),
        (("crds",), LIGHT),
        (("run", "--help"), LIGHT),
        (("render", "--help"), LIGHT),
        (("lint", "--help"), LIGHT),
        (("lint", "-f", "-", "-o", "json"), OPERATOR),
        (("render", "-f", "-"), OPERATOR),
    ],
)
def test_modules(arguments: tuple[str, ...], forbidden: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        input=POLICY.encode(),
        capture_output=True,
        env=build_environment(),
        timeout=TIME_LIMIT_S,
        check=True,
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    assert forbidden.isdisjoint(modules), forbidden.intersection(modules)


def test_an_environment_without_a_package_says_how_to_renew_it() -> None:
    code = f"import sys; sys.modules['publicsuffixlist'] = None\n{CODE}"
    done = subprocess.run(
        [sys.executable, "-c", code, "lint", "-f", "-"],
        input=POLICY.encode(),
        capture_output=True,
        env=build_environment(),
        timeout=TIME_LIMIT_S,
        check=True,
    )
    line, _, rest = done.stderr.decode().partition("\n")
    assert line == (
        "egressctl: the Python package publicsuffixlist is missing, so the environment is older "
        "than the program: run make env in its checkout, or install egress-operator again"
    )
    assert json.loads(rest)[0] == 2
