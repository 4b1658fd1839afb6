"""kopf's handlers as a bell: what they tell, and to which watch. No API server is needed."""

from collections.abc import AsyncIterator

import pytest

from egress_operator.engine.credential import Credentials, Login
from egress_operator.engine.reflector import Reflector
from egress_operator.runtime.metric import Metric
from egress_operator.runtime.operator import Operator
from egress_operator.runtime.settings import build_settings
from egress_operator.runtime.shell import Shell
from egress_operator.runtime.slim import kopf

POLICY = kopf.Resource("egress-operator.io", "v1alpha1", "egresspolicies")
GATEWAY = kopf.Resource("egress-operator.io", "v1alpha1", "egressgateways")

Poke = tuple[str, str, str]
"""(plural, namespace of the watch, version)."""


@pytest.fixture
def pokes(monkeypatch: pytest.MonkeyPatch) -> list[Poke]:
    """Collect what the watches are told."""
    told: list[Poke] = []

    def note(reflector: Reflector, version: str) -> None:
        told.append((reflector.resource.plural, reflector.namespace, version))

    monkeypatch.setattr(Reflector, "poke", note)
    return told


@pytest.fixture(params=["", "pay,shop"])
async def shell(request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    """Give a shell whose operator is made and not started: for all namespaces, then for two."""
    settings = build_settings({"EGRESS_NAMESPACES": request.param} if request.param else {})
    shell = Shell(settings)
    credentials = Credentials(lambda: Login("http://127.0.0.1:1", None))
    shell.operator = Operator(settings, Metric(), credentials)
    yield shell
    await shell.operator.stop()


async def test_the_watch_of_the_object_is_told_the_version(shell: Shell, pokes: list[Poke]) -> None:
    await shell.see(POLICY, {"namespace": "shop", "name": "payments", "resourceVersion": "7"})
    scope = "shop" if shell.settings.namespaces else ""
    assert pokes == [("egresspolicies", scope, "7")]
    pokes.clear()
    await shell.see(GATEWAY, {"name": "shared", "resourceVersion": "8"})
    assert pokes == ([] if scope else [("egressgateways", "", "8")])


async def test_an_object_of_a_namespace_that_is_not_served_concerns_nobody(
    shell: Shell, pokes: list[Poke]
) -> None:
    await shell.see(POLICY, {"namespace": "other", "name": "payments", "resourceVersion": "7"})
    assert pokes == ([] if shell.settings.namespaces else [("egresspolicies", "", "7")])
