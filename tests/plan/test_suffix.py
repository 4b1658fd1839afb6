"""Domains below which everybody can have names, by the list that the operator was built with."""

import pytest

from egress_operator.plan.suffix import find_public_suffix, find_shared_domain


@pytest.mark.parametrize(
    ("domain", "is_public"),
    [
        ("co.uk", True),
        ("kawasaki.jp", True),
        ("city.kawasaki.jp", False),
        ("xn--55qx5d.cn", True),
        ("example.co.uk", False),
        ("example.com", False),
        ("s3.amazonaws.com", False),
        ("corp.internal", False),
    ],
)
def test_a_public_suffix_is_of_a_registry(domain: str, *, is_public: bool) -> None:
    assert find_public_suffix(domain) == (domain if is_public else "")


@pytest.mark.parametrize("domain", ["s3.amazonaws.com", "googleapis.com", "github.io"])
def test_a_domain_of_shared_hosting_is_found(domain: str) -> None:
    assert find_shared_domain(domain) == domain


@pytest.mark.parametrize("domain", ["amazonaws.com", "core.windows.net"])
def test_a_domain_over_shared_hosting_is_found(domain: str) -> None:
    assert find_shared_domain(domain).endswith(f".{domain}")


@pytest.mark.parametrize("domain", ["bucket.s3.amazonaws.com", "example.com", "mongodb.net"])
def test_a_domain_of_one_owner_is_not(domain: str) -> None:
    assert find_shared_domain(domain) == ""
