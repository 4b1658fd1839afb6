"""Domains below which everybody can have names, by the list that the operator was built with."""

import pytest

from egress_operator.plan.suffix import SharedDomain, find_public_suffix, find_shared_domain


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
    assert find_shared_domain(domain) == SharedDomain(domain)


@pytest.mark.parametrize(
    "domain", ["amazonaws.com", "core.windows.net", "cloudflarestorage.com", "windows.net"]
)
def test_a_domain_over_shared_hosting_is_found(domain: str) -> None:
    found = find_shared_domain(domain)
    assert found is not None
    assert found.name.endswith(f".{domain}")
    assert not found.has_any_address


@pytest.mark.parametrize(
    ("domain", "name"),
    [("nip.io", "nip.io"), ("10.0.0.1.nip.io", "nip.io"), ("corp.internal", "internal")],
)
def test_a_domain_whose_names_have_any_address_is_found(domain: str, name: str) -> None:
    assert find_shared_domain(domain) == SharedDomain(name, has_any_address=True)


@pytest.mark.parametrize("domain", ["bucket.s3.amazonaws.com", "example.com", "mongodb.net"])
def test_a_domain_of_one_owner_is_not(domain: str) -> None:
    assert find_shared_domain(domain) is None
