"""The API server judges the corpus as Python does, and names the same rule."""

import re
from collections.abc import Callable

import pytest

from api.corpus import Document, Pair, check, load_pairs, load_samples
from api.server import Verdict, ask
from egress_operator.api.crd import LOWEST_KUBERNETES
from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import install_crds, load_our_crds

PAIRS = load_pairs()
SAMPLES = load_samples()

SPOKEN_BY_SERVER = {f"EG00{digit}" for digit in range(1, 9)}
"""Rules that the schema or the server itself refuses, in its own words: the field is asserted.
All others are CEL and name themselves."""

WORDLESS = {"EG007"}
"""The server cannot read a foreign kind or version at all, so it names no field of ours."""


def assert_named(pair: Pair, verdict: Verdict) -> None:
    assert not verdict.accepted
    if pair.code not in SPOKEN_BY_SERVER:
        assert set(re.findall(r"EG\d{3}(?=: )", verdict.message)) == {pair.code}, verdict.message
    elif pair.code not in WORDLESS:
        _, diagnostics = check(pair.invalid, pair.resource)
        assert diagnostics[0].path in verdict.message, verdict.message


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_the_server_tells_a_pair_apart(pair: Pair, control_plane: ControlPlane) -> None:
    assert ask(control_plane.admin, pair.valid) == Verdict(accepted=True)
    assert_named(pair, ask(control_plane.admin, pair.invalid, pair.resource))


@pytest.mark.parametrize("document", SAMPLES.values(), ids=SAMPLES)
def test_the_server_accepts_a_valid_object(document: Document, control_plane: ControlPlane) -> None:
    assert ask(control_plane.admin, document) == Verdict(accepted=True)


def test_the_lowest_kubernetes_gives_the_same_verdicts(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> None:
    plane = fresh_control_plane(
        ControlPlaneOption(
            controller_manager=False,
            apiserver_flags=[f"--emulated-version={LOWEST_KUBERNETES}"],
        )
    )
    version = plane.admin.request("GET", "/version")
    assert f"{version['emulationMajor']}.{version['emulationMinor']}" == LOWEST_KUBERNETES
    install_crds(plane.admin, load_our_crds())
    for document in [pair.valid for pair in PAIRS] + list(SAMPLES.values()):
        assert ask(plane.admin, document) == Verdict(accepted=True)
    for pair in PAIRS:
        assert_named(pair, ask(plane.admin, pair.invalid, pair.resource))
