"""The range of addresses that a mesh takes."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.address import (
    CANDIDATES,
    OUTSIDE_NETWORK,
    WIDE,
    AddressRange,
    build_ipv6,
    find_free_range,
)

SERVICES = "10.96.0.0/16"
NETWORKS = st.builds(
    lambda number, length: IPv4Network((number >> 32 - length << 32 - length, length)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([], "10.10.0.0/16"),
        (["0.0.0.0/0", "192.168.0.0/16", "10.96.0.0/16"], "10.10.0.0/16"),
        (["0.0.0.0/1", "128.0.0.0/1"], "10.10.0.0/16"),
        (["10.10.255.255/32"], "10.11.0.0/16"),
        (["10.10.0.0/15"], "10.12.0.0/16"),
        (["10.0.0.0/8"], "172.20.0.0/16"),
        (["10.0.0.0/8", "172.16.0.0/12"], "198.18.0.0/16"),
    ],
)
def test_the_first_range_without_a_route_is_taken(routes: list[str], expected: str) -> None:
    found = find_free_range(map(IPv4Network, routes))

    assert found == AddressRange(IPv4Network(expected))


def test_there_may_be_none() -> None:
    assert find_free_range(CANDIDATES) is None


@given(st.lists(NETWORKS))
def test_no_route_leads_into_the_range(routes: list[IPv4Network]) -> None:
    found = find_free_range(routes)

    narrow = [route for route in routes if route.prefixlen >= WIDE]
    if found is None:
        assert all(any(item.overlaps(route) for route in narrow) for item in CANDIDATES)
    else:
        assert not any(found.network.overlaps(route) for route in narrow)


@pytest.mark.parametrize("other", [SERVICES, OUTSIDE_NETWORK])
def test_no_range_holds_what_the_mesh_needs_elsewhere(other: str) -> None:
    assert not any(candidate.overlaps(IPv4Network(other)) for candidate in CANDIDATES)


def test_addresses_belong_to_the_range() -> None:
    addresses = AddressRange(IPv4Network("172.20.0.0/16"))

    assert addresses.host == "172.20.0.1"
    assert addresses.outside == "172.20.0.2"
    assert [addresses.workload(number) for number in (1, 255, 256)] == [
        *("172.20.1.1", "172.20.1.255", "172.20.2.0"),
    ]
    assert build_ipv6(addresses.workload(1)) == "fd10::ac14:101"
