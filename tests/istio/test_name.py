"""Names are frozen: a changed row of a table would delete and re-create objects."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.name import (
    build_behind_name,
    build_gateway_label,
    build_host_name,
    build_name,
    build_private_host,
    build_restricted_domain,
    build_synthetic_host,
    build_tenant_domain,
    find_gateway_label,
    is_behind_name,
    is_label,
)

FROZEN = dict(
    line.split(" ") for line in Path(__file__).with_name("name.txt").read_text().splitlines()
)

GATEWAY_ROWS = [
    line.split(" ")
    for line in Path(__file__).with_name("gateway_name.txt").read_text().splitlines()
]
"""What is named, what the name is made of, the name."""
BUILDERS: Mapping[str, Callable[..., str]] = {
    "label": build_gateway_label,
    "domain": build_tenant_domain,
    "restricted": build_restricted_domain,
    "access": lambda label, namespace: build_name(f"{namespace}.{label}"),
    "behind": build_behind_name,
    "private": build_private_host,
}

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
HOSTS = st.from_regex(r"([a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\.){1,6}[a-z]{2,10}", fullmatch=True)


@pytest.mark.parametrize(("text", "name"), FROZEN.items())
def test_name_is_frozen(text: str, name: str) -> None:
    assert build_name(text) == name


def test_frozen_names_are_unique() -> None:
    assert len(FROZEN) == len(set(FROZEN.values())) == 50


@pytest.mark.parametrize("row", GATEWAY_ROWS, ids=lambda row: "-".join(row[:2]))
def test_name_of_a_gateway_is_frozen(row: list[str]) -> None:
    what, *parts, name = row
    assert BUILDERS[what](*parts) == name


def test_frozen_names_of_gateways_are_unique_and_legal() -> None:
    names = [row[-1] for row in GATEWAY_ROWS]
    assert len(names) == len(set(names)) == 28
    for name in names:
        assert len(name) <= 253
        assert all(LABEL.fullmatch(label) for label in name.split("."))
    for what, *parts, name in GATEWAY_ROWS:
        assert "." in name or is_label(name) is (what != "behind")
        if what == "behind":
            host, _, *scope, _ = parts
            assert is_behind_name(name, host)
            assert is_behind_name(name, host, *scope)
            assert not is_behind_name(name, host, "other", *scope[1:])
            assert not is_behind_name(name, host.replace("-h", "-x-h"))


def test_every_builder_has_a_frozen_name() -> None:
    assert {row[0] for row in GATEWAY_ROWS} == set(BUILDERS)


@settings(deadline=None)
@given(HOSTS)
def test_name_is_a_dns_label_and_a_string_in_yaml(host: str) -> None:
    name = build_name(host)
    assert LABEL.fullmatch(name)
    assert len(name) <= 40
    assert is_label(name)
    assert yaml.safe_load(name) == name


@settings(deadline=None)
@given(HOSTS, st.sampled_from(["shop", "a" * 63]))
def test_synthetic_host_leads_back_to_the_name(host: str, namespace: str) -> None:
    synthetic = build_synthetic_host(host, namespace)
    assert build_host_name(synthetic) == build_name(host)
    assert build_host_name(host) == build_name(host)
    assert len(synthetic) <= 253
    assert all(LABEL.fullmatch(label) for label in synthetic.split("."))


@pytest.mark.parametrize(
    "name",
    [
        "api-example-com",
        "api-example-com-d0c43d3b0a3e1f26",
        "api-example-com-hd0c43d3",
        "api-example-com-hd0c43d3b0a3e1f2",
        "h0123456789abcdef",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert not is_label(name)


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("shared-h0123456789abcdef.shop.egress.internal", "shared-h0123456789abcdef"),
        ("*.shared-h0123456789abcdef.shop.egress.internal", "shared-h0123456789abcdef"),
        (
            "x-80-0123456789abcdef.shared-h0123456789abcdef.shop.egress.internal",
            "shared-h0123456789abcdef",
        ),
        (
            "x-80-0123456789abcdef.shared-h0123456789abcdef.shop.restricted.egress.internal",
            "shared-h0123456789abcdef",
        ),
        ("shared-h0123456789abcdef.restricted.egress.internal", "shared-h0123456789abcdef"),
        ("*.shared-h0123456789abcdef.restricted.egress.internal", "shared-h0123456789abcdef"),
        (
            "x-80-0123456789abcdef.shared-h0123456789abcdef.restricted.egress.internal",
            "shared-h0123456789abcdef",
        ),
        (
            "x-80-1.shared-h0123456789abcdef.restricted.restricted.egress.internal",
            "shared-h0123456789abcdef",
        ),
        ("shop.egress.internal", ""),
        ("x-80-0123456789abcdef.shop.direct.internal", ""),
        ("api.example.com", ""),
    ],
)
def test_the_gateway_is_found_in_a_synthetic_name(host: str, label: str) -> None:
    assert find_gateway_label(host) == label
