"""The API server judges the corpus as Python does, and names the same rule."""

import pytest

from api.corpus import Document, Pair, load_pairs, load_samples
from api.server import Verdict, ask, assert_named
from testbed.controlplane import ControlPlane

PAIRS = load_pairs()
SAMPLES = load_samples()


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_the_server_tells_a_pair_apart(pair: Pair, control_plane: ControlPlane) -> None:
    assert ask(control_plane.admin, pair.valid) == Verdict(accepted=True)
    assert_named(pair, ask(control_plane.admin, pair.invalid, pair.resource))


@pytest.mark.parametrize("document", SAMPLES.values(), ids=SAMPLES)
def test_the_server_accepts_a_valid_object(document: Document, control_plane: ControlPlane) -> None:
    assert ask(control_plane.admin, document) == Verdict(accepted=True)
