"""Python and the API server agree on policies and gateways that nobody thought of."""

from random import Random

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from api.corpus import check
from api.mutation import mutate
from api.server import ask
from testbed.controlplane import ControlPlane


@settings(
    max_examples=300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(random=st.randoms(use_true_random=False))
def test_both_give_the_same_verdict(random: Random, control_plane: ControlPlane) -> None:
    document = mutate(random)
    found, diagnostics = check(document)
    verdict = ask(control_plane.admin, document)
    event("accepted" if verdict.accepted else "refused")
    assert (found is not None) is verdict.accepted, (diagnostics, verdict.message)
    assert (found is None) is bool(diagnostics)


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_every_finding_is_one_line_with_a_rule_and_a_field(random: Random) -> None:
    for diagnostic in check(mutate(random))[1]:
        assert diagnostic.path.startswith("spec")
        assert "\n" not in diagnostic.message
        assert "something else" not in diagnostic.message
        assert "nput should" not in diagnostic.message
