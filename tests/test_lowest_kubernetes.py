"""The lowest Kubernetes that we support judges as the newest one does, emulated by its API server.

One API server takes the whole corpus and the admission policies.
"""

from collections.abc import Iterator

import pytest

from api.corpus import load_pairs, load_samples
from api.server import Verdict, ask, assert_named
from delivery.admission import (
    COMPATIBLE,
    EXPORTED,
    EXPORTS,
    RESERVED,
    STRICT,
    TIMEOUT_S,
    build_gateway,
    find_refusal,
    find_refusals,
    install,
    is_strictly_known,
)
from delivery.attack import ISTIO, PLACES, TENANT, build_object
from delivery.crossing import list_crossings, list_harmless
from testbed.client import Client
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.deadline import wait_until
from tools.crd import LOWEST_KUBERNETES


@pytest.fixture(scope="module")
def plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    option = ControlPlaneOption(
        controller_manager=False,
        definitions=load_all_crds(),
        apiserver_flags=[f"--emulated-version={LOWEST_KUBERNETES}"],
    )
    with start_control_plane(option) as running:
        version = running.admin.request("GET", "/version")
        assert f"{version['emulationMajor']}.{version['emulationMinor']}" == LOWEST_KUBERNETES
        yield running


def test_it_gives_the_same_verdicts(plane: ControlPlane) -> None:
    pairs = load_pairs()
    for document in [pair.valid for pair in pairs] + list(load_samples().values()):
        assert ask(plane.admin, document) == Verdict(accepted=True)
    for pair in pairs:
        assert_named(pair, ask(plane.admin, pair.invalid, pair.resource))


def find_wrong(client: Client) -> list[str]:
    """Tell which of Istio's objects are not judged as the table of attacks says."""
    crossings = [item for item in list_crossings()[::3] if item.item["apiVersion"] == ISTIO]
    answers = [(item, find_refusal(client, item.item)) for item in crossings]
    found = [
        f"{item.name}: {words or 'passes'}"
        for item, words in answers
        if not any(part in words for part in item.words)
    ]
    harmless = [item for item in list_harmless().values() if item["apiVersion"] == ISTIO]
    return found + find_refusals(client, harmless)


def test_it_takes_and_obeys_the_admission_policies(plane: ControlPlane) -> None:
    install(plane, COMPATIBLE)
    for version, kind in PLACES:
        if version == ISTIO:
            place = next(iter(PLACES[version, kind].values()))
            words = find_refusal(plane.admin, build_object(version, kind, place(TENANT)))
            assert f"'{RESERVED}'" in words, kind
    gateway = plane.admin.create(build_gateway("Managed"))
    try:
        wait_until(
            lambda: find_refusal(plane.admin, EXPORTED), TIMEOUT_S, "the gateway has no effect"
        )
        assert f"'{EXPORTS}'" in find_refusal(plane.admin, EXPORTED)
        install(plane, STRICT)
        wait_until(lambda: is_strictly_known(plane.admin), TIMEOUT_S, "its pods are guarded")
        assert find_wrong(plane.admin) == []
    finally:
        # One of the corpus has its name.
        name = gateway["metadata"]["name"]
        plane.admin.delete(gateway["apiVersion"], gateway["kind"], name)
