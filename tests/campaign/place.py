"""The names of a history at the interface: namespaces, policies, hosts, gateways."""

TENANTS = ("t0", "t1", "t2", "t3")
NAMES = ("p0", "p1", "p2")
"""Of the policies of each tenant."""
HOSTS = tuple(f"{letter}.example.com" for letter in "abcde")
"""Few, so that policies meet on them."""
GATEWAYS = ("main", "other")


def list_places(gateway: str) -> list[tuple[str, dict[str, str]]]:
    """Return the namespaces and labels of a gateway's pods, of which none shares any. Pure."""
    return [(f"{gateway}-pods-{place}", {"istio": f"{gateway}-{place}"}) for place in "ab"]
