"""What is read of the mesh's ConfigMap."""

from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.plan.source import OutboundMode
from egress_operator.plan.visibility import UNCAPPED, Visibility
from egress_operator.runtime.mesh import Mesh, build_compiler_settings, parse_mesh, read_mesh
from egress_operator.runtime.settings import Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Mesh(OutboundMode.ALLOW_ANY, dns_capture=False)),
        (
            "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
            Mesh(OutboundMode.REGISTRY_ONLY, dns_capture=False),
        ),
        ("outboundTrafficPolicy: {}", Mesh(OutboundMode.REGISTRY_ONLY, dns_capture=False)),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY}",
            Mesh(OutboundMode.ALLOW_ANY, dns_capture=False),
        ),
        (
            'defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}',
            Mesh(OutboundMode.ALLOW_ANY, dns_capture=True),
        ),
        (
            'defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "false"}}',
            Mesh(OutboundMode.ALLOW_ANY, dns_capture=False),
        ),
        (
            "pathNormalization: {normalization: NONE}",
            Mesh(OutboundMode.ALLOW_ANY, dns_capture=False, normalizes_paths=False),
        ),
        (
            "pathNormalization: {normalization: MERGE_SLASHES}",
            Mesh(OutboundMode.ALLOW_ANY, dns_capture=False),
        ),
        ("pathNormalization: {}", Mesh(OutboundMode.ALLOW_ANY, dns_capture=False)),
        ("defaultConfig: null", Mesh(OutboundMode.ALLOW_ANY, dns_capture=False)),
    ],
)
def test_modes_and_capture_are_read(text: str, expected: Mesh) -> None:
    assert parse_mesh(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "- a list",
        "[]",
        "false",
        "text",
        "[" * 5000,
        "[" * 100_000,
        f"{'[' * 50_000}{']' * 50_000}",
        f"{'{a: ' * 50_000}1{'}' * 50_000}",
        "\n".join(" " * level + "a:" for level in range(100)),
        "!!python/object:os.x {}",
        "x: !!bool x",
        "x: !!timestamp x",
        "x: !!int x",
        "x: !!float 1e",
        "x: !!binary é",
        "? [a]\n: b",
        "a: &a [*b]",
    ],
)
def test_what_is_no_mesh_configuration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_mesh(text)


@pytest.mark.parametrize(
    ("setting", "seen", "expected"),
    [
        ("auto", None, False),
        ("auto", True, True),
        ("auto", False, False),
        ("on", False, True),
        ("off", True, False),
    ],
)
def test_the_setting_wins_over_what_is_seen(
    setting: str,
    seen: bool | None,  # noqa: FBT001
    expected: bool,  # noqa: FBT001
) -> None:
    settings = build_compiler_settings(Settings(dns_capture=setting), Mesh(dns_capture=seen))
    assert settings.dns_capture is expected


VISIBILITY = """
serviceEntryVisibility:
  applyToSidecars: true
  defaultVisibility: NAMESPACE
  policies:
  - visibility: PUBLIC
    matchingRules:
    - namespaceSelector:
        matchLabels: {egress: shared}
        matchExpressions: [{key: tier, operator: NotIn, values: [test]}]
  - visibility: NONE
    matchingRules: [{}]
"""


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, Visibility.NAMESPACE),
        ({"egress": "shared"}, Visibility.PUBLIC),
        ({"egress": "shared", "tier": "test"}, Visibility.NAMESPACE),
    ],
)
def test_the_visibility_of_service_entries_is_read(
    labels: dict[str, str], expected: Visibility
) -> None:
    assert parse_mesh(VISIBILITY).entry_visibility.find(labels) is expected
    heeded_by_ambient_alone = VISIBILITY.replace("applyToSidecars: true", "applyToSidecars: false")
    assert parse_mesh(heeded_by_ambient_alone).entry_visibility == UNCAPPED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{applyToSidecars: true}", Visibility.PUBLIC),
        ("{applyToSidecars: true, defaultVisibility: VISIBILITY_UNSPECIFIED}", Visibility.PUBLIC),
        ("{applyToSidecars: true, defaultVisibility: NONE}", Visibility.NONE),
        ("{applyToSidecars: true, policies: [{visibility: NONE}]}", Visibility.NONE),
    ],
)
def test_a_visibility_that_is_not_written_out(text: str, expected: Visibility) -> None:
    assert parse_mesh(f"serviceEntryVisibility: {text}").entry_visibility.find({}) is expected


def test_who_sees_services_by_default_is_read() -> None:
    mesh = parse_mesh("defaultServiceExportTo: ['.']")
    settings = build_compiler_settings(Settings(), mesh)
    assert (mesh.service_export, settings.service_export) == ((".",), (".",))
    assert parse_mesh("defaultServiceExportTo: null").service_export == ()


@pytest.mark.parametrize("end", ["rootNamespace: *a", "serviceEntryVisibility: {<<: *a}"])
def test_aliases_are_not_read(end: str) -> None:
    """A few of them may stand for more than memory holds, in lists, maps, selectors, merge keys."""
    with pytest.raises(ValueError, match="an alias is not supported"):
        parse_mesh(f"a: &a [b]\n{end}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "root_namespace: platform",
            Mesh(OutboundMode.ALLOW_ANY, dns_capture=False, root_namespace="platform"),
        ),
        (
            "outbound_traffic_policy: {mode: REGISTRY_ONLY}",
            Mesh(OutboundMode.REGISTRY_ONLY, dns_capture=False),
        ),
        (
            "outboundTrafficPolicy: {mode: null}",
            Mesh(OutboundMode.REGISTRY_ONLY, dns_capture=False),
        ),
    ],
)
def test_names_as_in_protocol_buffers_and_nulls_are_read(text: str, expected: Mesh) -> None:
    assert parse_mesh(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "rootNamespace: [platform]",
        "rootNamespace: {a: b}",
        "rootNamespace: no",
        "rootNamespace: 5",
        "outboundTrafficPolicy: {mode: 0}",
        'serviceEntryVisibility: {applyToSidecars: "true"}',
        "serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: 3}",
        "defaultServiceExportTo: [{}]",
        "defaultServiceExportTo: no",
        "defaultConfig: [a]",
        "pathNormalization: NONE",
        "serviceEntryVisibility: {applyToSidecars: true, policies: 7}",
        "serviceEntryVisibility: {applyToSidecars: true, policies: [7]}",
        "{VISIBILITY: {matchLabels: {a: [1]}}}",
        "{VISIBILITY: {matchLabels: {a: {}}}}",
        "{VISIBILITY: {matchExpressions: [{key: a, operator: NotIn, values: [1]}]}}",
    ],
)
def test_a_value_of_another_type_is_not_left_out(text: str) -> None:
    """Else the root namespace would be another one, and a selector would hold for all."""
    before, _, selector = text.partition("VISIBILITY: ")
    if selector:
        rule = f"{{namespaceSelector: {selector[:-1]}}}"
        policies = f"[{{visibility: NONE, matchingRules: [{rule}]}}]"
        text = f"serviceEntryVisibility: {{applyToSidecars: true, policies: {policies}}}"
    else:
        text = before
    with pytest.raises(ValueError, match="not readable"):
        parse_mesh(text)


class ConfigMap:
    """Stands for the transport: answers with a text, or without one, or fails."""

    def __init__(self, answer: str | ApiError | None) -> None:
        self._answer = answer

    async def get(self, *_: object) -> dict[str, Any]:
        """Answer."""
        if isinstance(self._answer, ApiError):
            raise self._answer
        return {"data": {} if self._answer is None else {"mesh": self._answer}}


@pytest.mark.parametrize(
    "answer",
    [
        "x: [",
        "x: !!bool x",
        "rootNamespace: [platform]",
        None,
        ApiError(404, "NotFound"),
        ApiError(403, "Forbidden"),
        ApiError(503, "ServiceUnavailable"),
    ],
)
async def test_what_cannot_be_read_changes_nothing(answer: str | ApiError | None) -> None:
    """Else another namespace would be the root, in which the operator writes nothing."""
    transport: Any = ConfigMap(answer)
    assert await read_mesh(transport, Settings()) is None
