"""What is read of the mesh's ConfigMap."""

import pytest

from egress_operator.plan.source import OutboundMode
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
