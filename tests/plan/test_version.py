"""What a policy needs of Istio, where the setting `istio-version` names an older one."""

import pytest

from api.cure import count_ways_out
from egress_operator.diagnostic import Diagnostic, find_rule
from egress_operator.plan.cache import PlanCache
from egress_operator.plan.option import check_version
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, Settings
from egress_operator.plan.version import ISTIO_TOO_OLD, parse_version
from rollout.fake_cluster import build_policy

OLD, NEW = "1.29", "1.30"
WILDCARD, NAME = ["*.example.com"], ["api.example.com"]
NAMES = [
    {"name": "a", "endpoints": [{"address": "a.example.com"}]},
    {"name": "b", "endpoints": [{"address": "203.0.113.1"}]},
]
ADDRESSES = [NAMES[1], {"name": "c", "endpoints": [{"address": "203.0.113.2"}]}]
HTTP = [{"number": 80, "protocol": "HTTP"}]


def lint(destination: dict[str, object], version: str) -> tuple[Diagnostic, ...]:
    """Return what is said of a policy with one destination."""
    inputs = NamespaceInput(
        "shop", (build_policy("web", destination),), settings=Settings(istio_version=version)
    )
    return plan_namespace(inputs).results["web"].diagnostics


@pytest.mark.parametrize(
    ("destination", "cures"),
    [
        (
            {"hosts": WILDCARD, "ports": HTTP},
            [{"hosts": NAME, "ports": HTTP}, {"hosts": WILDCARD}],
        ),
        (
            {"hosts": WILDCARD, "originateTLS": {}},
            [{"hosts": NAME, "originateTLS": {}}, {"hosts": WILDCARD}],
        ),
        (
            {"hosts": NAME, "failover": True, "backends": NAMES},
            [
                {"hosts": NAME, "failover": True, "backends": ADDRESSES},
                {"hosts": NAME, "backends": [{**item, "weight": 1} for item in NAMES]},
            ],
        ),
    ],
)
def test_what_an_older_istio_cannot_do_is_refused_with_a_fix(
    destination: dict[str, object], cures: list[dict[str, object]]
) -> None:
    (found,) = lint(destination, OLD)
    assert found.code == ISTIO_TOO_OLD
    assert lint(destination, NEW) == ()
    for cure in cures:
        assert lint(cure, OLD) == ()


def test_the_last_way_out_is_the_setting() -> None:
    fix = find_rule(ISTIO_TOO_OLD).fix
    assert count_ways_out(fix) == 3
    assert fix.endswith("(where it is, call egressctl with --istio-version)")


@pytest.mark.parametrize("text", ["1.30", "1.9", "1.131"])
def test_a_minor_version_is_read(text: str) -> None:
    assert check_version(text) is None
    assert ".".join(map(str, parse_version(text))) == text


@pytest.mark.parametrize("text", ["", "1", "1.", "1.30.1", "v1.30", "2.0", "1.030", "latest"])
def test_another_text_is_refused(text: str) -> None:
    assert check_version(text) == "is not a minor version of Istio; write it as 1.31"


def test_versions_are_compared_by_their_numbers() -> None:
    assert parse_version("1.9") < parse_version(NEW) < parse_version("1.100")


def test_another_version_compiles_again_what_is_unchanged() -> None:
    memo = PlanCache()
    found = []
    for version in (OLD, NEW, OLD):
        inputs = NamespaceInput(
            "shop",
            (build_policy("web", {"hosts": WILDCARD}),),
            settings=Settings(istio_version=version),
        )
        (own,) = plan_namespace(inputs, memo).sets.values()
        found += [item.spec["resolution"] for item in own.objects]
    assert found == ["NONE", "DYNAMIC_DNS", "NONE"]
