"""The health checks for Argo CD speak of kinds and conditions that there are."""

import re
from pathlib import Path

import yaml

from egress_operator.istio.object import GATEWAY_KIND, POLICY_API_VERSION, POLICY_KIND
from egress_operator.status.condition import Type

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "install.md"
SECTION = re.compile(r"^## Argo CD\n(.*?)^## ", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GROUP = POLICY_API_VERSION.partition("/")[0]
PREFIX = "resource.customizations.health."


def _read_checks() -> dict[str, str]:
    section = SECTION.search(PAGE.read_text())
    assert section is not None
    (text,) = FENCE.findall(section[1])
    data: dict[str, str] = yaml.safe_load(text)["data"]
    return data


def test_there_is_one_for_each_kind() -> None:
    assert list(_read_checks()) == [
        f"{PREFIX}{GROUP}_{kind}" for kind in (POLICY_KIND, GATEWAY_KIND)
    ]


def test_they_name_conditions_of_the_operator() -> None:
    for script in _read_checks().values():
        names = set(re.findall(r"\bis\.([A-Z]\w+)", script))
        assert "Ready" in names
        assert names <= set(Type)


def test_they_return_what_argo_cd_knows() -> None:
    for script in _read_checks().values():
        found = set(re.findall(r'status = "(\w+)"', script))
        assert {"Healthy", "Progressing", "Degraded"} <= found
        assert found <= {"Healthy", "Progressing", "Degraded", "Suspended"}
