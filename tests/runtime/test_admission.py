"""Whether the admission policies are in force, by what stands on the API server."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.runtime.admission import read_admission
from egress_operator.runtime.permission import STRICT_POLICIES
from testbed.chart import render_chart

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
RESERVED = "reserved-names.egress-operator.io"
SELECTORS = "gateway-selectors.egress-operator.io"
LEVELS = ("Strict", "Compatible")


class Server:
    """Stands for an API server with these objects."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.error: ApiError | None = None

    async def get(self, resource: Resource, _: str, name: str) -> Object:
        """Answer with an object, as the API server completes it."""
        if self.error is not None:
            raise self.error
        found = self.objects.get((resource.plural, name))
        if found is None:
            raise ApiError(404, "NotFound")
        return complete(found)

    async def read(self) -> tuple[str, bool] | None:
        """Return the problem, and whether the level is Strict."""
        transport: Any = self
        found = await read_admission(transport)
        return None if found is None else (found.problem, found.is_strict)


def complete(item: Object) -> Object:
    """Return an object with the defaults of the API server."""
    item = copy.deepcopy(item)
    constraints = item["spec"].get("matchConstraints")
    if constraints is not None:
        constraints |= {"namespaceSelector": {}, "objectSelector": {}}
        for rule in constraints["resourceRules"]:
            rule["scope"] = "*"
    return item


def render(level: str, **more: object) -> Objects:
    plurals = {"ValidatingAdmissionPolicy": POLICIES, "ValidatingAdmissionPolicyBinding": BINDINGS}
    return {
        (plurals[item["kind"]], item["metadata"]["name"]): item
        for item in render_chart({"admission": {"level": level, **more}})
        if item["kind"] in plurals
    }


@pytest.mark.parametrize("level", LEVELS)
async def test_the_policies_of_the_chart_are_in_force(level: str) -> None:
    assert await Server(render(level)).read() == ("", level == "Strict")
    exempt = render(level, exemptUsers=["system:serviceaccount:backup:velero"])
    assert await Server(exempt).read() == ("", level == "Strict")


@pytest.mark.parametrize("level", LEVELS)
async def test_each_that_is_missing_is_named(level: str) -> None:
    whole = render(level)
    assert len(whole) == (12 if level == "Strict" else 8)
    for plural, name in whole:
        rest = {key: item for key, item in whole.items() if key != (plural, name)}
        found = await Server(rest).read()
        assert found is not None
        problem, is_strict = found
        assert problem.startswith(f"{plural} {name} is missing: ")
        assert is_strict == (level == "Strict")


async def test_without_any_they_are_missing() -> None:
    found = await Server({}).read()
    assert found is not None
    assert found[0].startswith(f"{POLICIES} {RESERVED} is missing: set admission.enabled")


async def test_what_is_left_of_a_higher_level_is_in_force() -> None:
    """`kubectl apply` deletes nothing."""
    left = {key: item for key, item in render("Strict").items() if key[1] in STRICT_POLICIES}
    assert await Server({**left, **render("Compatible")}).read() == ("", True)


async def test_strict_that_only_warns_is_compatible() -> None:
    for actions in (["Warn", "Audit"], ["Audit"]):
        assert await Server(render("Strict", strictActions=actions)).read() == ("", False)
    assert await Server(render("Strict", strictActions=["Deny", "Audit"])).read() == ("", True)


async def test_strict_that_somebody_made_warn_is_not_in_force() -> None:
    changed = render("Strict")
    changed[BINDINGS, SELECTORS]["spec"]["validationActions"] = ["Warn", "Audit"]
    found = await Server(changed).read()
    assert found is not None
    assert found[0].startswith(f"{BINDINGS} {SELECTORS} does not deny (validationActions)")


def change(path: str, value: object) -> Callable[[Object], None]:
    """Set a field of the spec; `a.b.0` is a path."""

    def act(item: Object) -> None:
        *parents, last = path.split(".")
        found: Any = item["spec"]
        for parent in parents:
            found = found[int(parent) if parent.isdigit() else parent]
        found[int(last) if last.isdigit() else last] = value

    return act


@pytest.mark.parametrize(
    ("key", "act", "words"),
    [
        ((BINDINGS, RESERVED), change("validationActions", ["Warn", "Audit"]), "does not deny"),
        ((BINDINGS, RESERVED), change("policyName", "other"), "is not as it was installed"),
        (
            (BINDINGS, RESERVED),
            change("matchResources", {"namespaceSelector": {"matchLabels": {"a": "b"}}}),
            "is not as it was installed",
        ),
        (
            (BINDINGS, SELECTORS),
            change("paramRef", {"name": "x", "parameterNotFoundAction": "Allow"}),
            "is not as it was installed",
        ),
        ((POLICIES, RESERVED), change("failurePolicy", "Ignore"), "is not as it was installed"),
        (
            (POLICIES, RESERVED),
            change("validations.0.expression", "true"),
            "is not as it was installed",
        ),
        (
            (POLICIES, RESERVED),
            change("matchConditions", [{"name": "never", "expression": "false"}]),
            "is not as it was installed",
        ),
        (
            (POLICIES, RESERVED),
            change("matchConstraints.excludeResourceRules", [{"apiGroups": ["*"]}]),
            "is not as it was installed",
        ),
        (
            (POLICIES, RESERVED),
            change("matchConstraints.resourceRules.0.operations", ["CREATE"]),
            "is not as it was installed",
        ),
    ],
)
async def test_each_change_of_what_a_policy_says_is_noticed(
    key: tuple[str, str], act: Callable[[Object], None], words: str
) -> None:
    objects = render("Strict")
    act(objects[key])
    found = await Server(objects).read()
    assert found is not None
    assert found[0].startswith(f"{key[0]} {key[1]} {words}")


async def test_a_selector_that_takes_objects_out_is_no_default() -> None:
    for name in ("namespaceSelector", "objectSelector"):
        objects = {key: complete(item) for key, item in render("Strict").items()}
        selector = {"matchLabels": {"team": "shop"}}
        objects[POLICIES, RESERVED]["spec"]["matchConstraints"][name] = selector
        found = await Completed(objects).read()
        assert found is not None
        assert found[0].startswith(f"{POLICIES} {RESERVED} is not as it was installed"), name


class Completed(Server):
    """Answers with the objects as they are."""

    async def get(self, resource: Resource, _: str, name: str) -> Object:
        """Answer with an object."""
        return self.objects[resource.plural, name]


async def test_another_version_and_somebody_else_s_policy_are_told_apart() -> None:
    objects = render("Strict")
    annotations = objects[POLICIES, RESERVED]["metadata"]["annotations"]
    annotations["egress-operator.io/version-of-rules"] = "1"
    found = await Server(objects).read()
    assert found is not None
    assert "has version 1 of the rules, this operator needs 3" in found[0]
    annotations.clear()
    found = await Server(objects).read()
    assert found is not None
    assert found[0].startswith(f"{POLICIES} {RESERVED} is not the operator's")


async def test_a_right_that_is_missing_is_named() -> None:
    server = Server(render("Strict"))
    server.error = ApiError(403, "Forbidden")
    found = await server.read()
    assert found is not None
    assert "may not be read: grant the operator `get` on it" in found[0]


@pytest.mark.parametrize("status", [0, 429, 500, 503])
async def test_nothing_is_concluded_without_an_answer(status: int) -> None:
    server = Server(render("Strict"))
    server.error = ApiError(status, "Unavailable")
    assert await server.read() is None
