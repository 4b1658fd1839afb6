"""The table of limits has the numbers of the API and of the settings."""

from pathlib import Path

from egress_operator.api.destination import MOST_OF_EACH
from egress_operator.api.policy import MOST_DESTINATIONS, MOST_HOSTS, MOST_PAIRS
from egress_operator.api.size import MOST_TEXT as POLICY_TEXT
from egress_operator.plan.limit import PAIRS_PER_HOST
from egress_operator.plan.option import PlanOptions
from egress_operator.plan.size import MOST_TEXT as HOST_TEXT

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "install.md"
FIXED = {
    "hosts, or ports, of a destination": f"{MOST_OF_EACH} | fixed (EG004)",
    "destinations in a policy": f"{MOST_DESTINATIONS} | fixed (EG004)",
    "hosts in a policy": f"{MOST_HOSTS} | fixed (EG021)",
    "pairs of host and port in a policy": f"{MOST_PAIRS} | fixed (EG032)",
    "text of the objects of a policy": f"{POLICY_TEXT // 1024} KiB | fixed (EG044)",
    "text of the objects of a host, of all policies together": (
        f"{HOST_TEXT // 1024} KiB | fixed (EG134)"
    ),
    "pairs of host and port in a namespace": f"{PAIRS_PER_HOST} times the hosts |",
    "hosts in a namespace": f"{PlanOptions().max_hosts_per_namespace} | ",
}


def test_the_numbers_are_those_of_the_api() -> None:
    page = PAGE.read_text()
    for what, limit in FIXED.items():
        assert f"| {what} | {limit}" in page
