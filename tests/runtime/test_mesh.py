"""What is read of the mesh's ConfigMap."""

import pytest

from egress_operator.plan.source import OutboundMode
from egress_operator.plan.visibility import UNCAPPED, Visibility
from egress_operator.runtime.mesh import Mesh, build_compiler_settings, parse_mesh
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
    "text", ["a: [", "- a list", "text", "[" * 5000, "!!python/object:os.x {}"]
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
        ("{applyToSidecars: true, policies: 7, defaultVisibility: [x]}", Visibility.PUBLIC),
    ],
)
def test_a_visibility_that_is_not_written_out(text: str, expected: Visibility) -> None:
    assert parse_mesh(f"serviceEntryVisibility: {text}").entry_visibility.find({}) is expected


def test_who_sees_services_by_default_is_read() -> None:
    mesh = parse_mesh("defaultServiceExportTo: ['.']")
    settings = build_compiler_settings(Settings(), mesh)
    assert (mesh.service_export, settings.service_export) == ((".",), (".",))
    assert parse_mesh("defaultServiceExportTo: no").service_export == ()
