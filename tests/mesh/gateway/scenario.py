"""Changes of policies and gateways that are in use: what each is, stage by stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.traffic.policy import BATCH, CHECKOUT, HTTP, TCP, TLS, build_destination, build_policy
from testbed.client import Object
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, VIA_GATEWAY, Verdict
from testbed.workload import PATIENT

OTHER = "other"
OTHER_EGRESS = replace(EGRESS, namespace="other-egress", proxy_config=PATIENT)
"""The pods of the EgressGateway `other`."""

GATEWAY_STAGES = (
    ("None", 443),
    ("Managed", 443),
    ("Managed", 80),
    ("Managed", 443),
    ("DryRun", 443),
    ("DryRun", 80),
    ("DryRun", 443),
    ("Managed", 443),
    ("None", 443),
)
"""The authorization, and the port of the Service, of each stage: one of them changes at a time."""


@dataclass(frozen=True)
class Hosts:
    """Outside hosts of one scenario: one for each payload, and another one that has no load."""

    plain: str
    encrypted: str
    database: str
    more: str
    address: str
    """Of the database."""

    @property
    def calls(self) -> tuple[str, ...]:
        """The requests that must not be lost."""
        return (
            f"GET http://{self.plain}/",
            f"GET https://{self.encrypted}/",
            f"TCP {self.database}:5432",
        )

    @property
    def destinations(self) -> tuple[Object, Object, Object]:
        """What a policy says of the hosts that have load."""
        return (
            build_destination(self.plain, ports=(HTTP,)),
            build_destination(self.encrypted, ports=(TLS,)),
            build_destination(self.database, ports=(TCP,), addresses=[self.address]),
        )


@dataclass(frozen=True)
class Stage:
    """What is applied, and what `shop/checkout` sees then."""

    objects: tuple[Object, ...]
    expected: tuple[tuple[str, Verdict], ...]
    """Requests with their verdicts."""
    gateway: str = ""
    """The gateway whose pods the servers see; empty: not asked."""


@dataclass(frozen=True)
class Scenario:
    """A way through stages, the first one included; nothing of the load may be lost on it."""

    name: str
    hosts: Hosts
    stages: tuple[Stage, ...]
    callers: tuple[str, ...] = (CHECKOUT, BATCH)

    @property
    def is_repeatable(self) -> bool:
        """Whether it ends where it began."""
        return self.stages[0] == self.stages[-1]


def add_hosts(mesh: Mesh, scenario: str) -> Hosts:
    """Give a scenario hosts of its own."""
    names = {
        part: f"{part}.{scenario}.example" for part in ("plain", "encrypted", "database", "more")
    }
    addresses = {part: mesh.outside.add(name) for part, name in names.items()}
    return Hosts(**names, address=addresses["database"])


def build_way(mesh: Mesh) -> Scenario:
    """Go direct, through the gateway, direct."""
    return _build_way(mesh, "way")


def build_ruled(mesh: Mesh) -> Scenario:
    """Go the same way with a rule for requests, so there is a VirtualService in each stage."""
    return _build_way(mesh, "ruled", http={"timeout": "10s"})


def _build_way(mesh: Mesh, name: str, **fields: Object) -> Scenario:
    hosts = add_hosts(mesh, name)
    plain, *others = hosts.destinations
    destinations = ({**plain, **fields}, *others)
    direct = build_policy(f"shop/{name}", *destinations)
    through = build_gateway_policy(f"shop/{name}", *destinations)
    stages = (
        Stage((direct,), _expect(hosts.calls, DIRECT)),
        Stage((through,), _expect(hosts.calls, VIA_GATEWAY)),
        Stage((direct,), _expect(hosts.calls, DIRECT)),
    )
    return Scenario(name, hosts, stages)


def build_place(mesh: Mesh) -> Scenario:
    """Take one gateway, another one, the first one."""
    hosts = add_hosts(mesh, "place")
    stages = tuple(
        Stage(
            (build_gateway_policy("shop/place", *hosts.destinations, gateway=gateway),),
            _expect(hosts.calls, VIA_GATEWAY),
            gateway,
        )
        for gateway in (SHARED, OTHER, SHARED)
    )
    return Scenario("place", hosts, stages)


def build_source(mesh: Mesh) -> Scenario:
    """Let a `from` come, change its kind and go, for a workload that is always allowed."""
    hosts = add_hosts(mesh, "source")
    sources: Sequence[Object | None] = (
        None,
        {"workloads": {"matchLabels": {"app": "checkout"}}},
        {"serviceAccounts": ["checkout"]},
        None,
    )
    stages = tuple(
        Stage(
            (build_gateway_policy("shop/source", *hosts.destinations, source=source),),
            _expect(hosts.calls, VIA_GATEWAY),
        )
        for source in sources
    )
    return Scenario("source", hosts, stages, callers=(CHECKOUT,))


def build_company(mesh: Mesh) -> Scenario:
    """Let a second policy join every host and leave it."""
    hosts = add_hosts(mesh, "company")
    first = build_gateway_policy("shop/company", *hosts.destinations)
    second = build_gateway_policy("shop/company-2", *hosts.destinations)
    expected = _expect(hosts.calls, VIA_GATEWAY)
    stages = (
        Stage((first,), expected),
        Stage((first, second), expected),
        Stage((first,), expected),
    )
    return Scenario("company", hosts, stages)


def build_edit(mesh: Mesh) -> Scenario:
    """Let other ports and hosts come and go, in the very destinations that have load."""
    hosts = add_hosts(mesh, "edit")
    plain, encrypted, database = hosts.destinations
    second = {"number": 8080, "protocol": "HTTP"}
    third = {"number": 8443, "protocol": "TLS"}
    more_ports = {**plain, "ports": [*plain["ports"], second, third]}
    only_second = {**plain, "ports": [*plain["ports"], second]}
    more_hosts = {**encrypted, "hosts": [*encrypted["hosts"], hosts.plain, hosts.more]}
    others = (
        f"GET http://{hosts.plain}:8080/",
        f"GET https://{hosts.plain}:8443/",
        f"GET https://{hosts.more}/",
    )

    def build(first: Object, other: Object, *verdicts: Verdict) -> Stage:
        policy = build_gateway_policy("shop/edit", first, other, database)
        expected = tuple(zip(others, verdicts, strict=True))
        return Stage((policy,), (*_expect(hosts.calls, VIA_GATEWAY), *expected))

    stages = (
        build(plain, encrypted, BLOCKED, BLOCKED, BLOCKED),
        build(more_ports, encrypted, VIA_GATEWAY, VIA_GATEWAY, BLOCKED),
        build(more_ports, more_hosts, VIA_GATEWAY, VIA_GATEWAY, VIA_GATEWAY),
        build(only_second, more_hosts, VIA_GATEWAY, BLOCKED, VIA_GATEWAY),
        build(plain, encrypted, BLOCKED, BLOCKED, BLOCKED),
    )
    return Scenario("edit", hosts, stages)


def build_backends(mesh: Mesh, *, gateway: bool) -> Scenario:
    """Let backends take shares, other ones, change their names, stand in an order, and go.

    All by address: a change between the host's own DNS name and addresses may lose requests.
    """
    name = "backends-behind" if gateway else "backends"
    hosts = add_hosts(mesh, name)
    two = {"address": mesh.outside.address_of(hosts.more)}
    own = [{"address": mesh.outside.address_of(item["hosts"][0])} for item in hosts.destinations]
    places = [_list_places(one, two) for one in own]
    build = build_gateway_policy if gateway else build_policy
    expected = _expect(hosts.calls, VIA_GATEWAY if gateway else DIRECT)
    stages = tuple(
        Stage(
            (
                build(
                    f"shop/{name}",
                    *(
                        {**item, **place}
                        for item, place in zip(hosts.destinations, now, strict=True)
                    ),
                ),
            ),
            expected,
        )
        for now in zip(*places, strict=True)
    )
    return Scenario(name, hosts, stages)


def _list_places(one: Object, two: Object) -> Sequence[Object]:
    """List where a host is, one after the other."""
    alone: Object = {"backends": [{"name": "v1", "endpoints": [one]}]}
    return (
        alone,
        {"backends": _share(v1=(75, one), v2=(25, two))},
        {"backends": _share(v1=(25, one), v2=(75, two))},
        {"backends": _share(v3=(0, one), v2=(1, two))},
        {
            "backends": [{"name": "v1", "endpoints": [one]}, {"name": "v2", "endpoints": [two]}],
            "failover": True,
        },
        alone,
    )


def _share(**shares: tuple[int, Object]) -> list[Object]:
    return [
        {"name": name, "weight": weight, "endpoints": [endpoint]}
        for name, (weight, endpoint) in shares.items()
    ]


def build_first(mesh: Mesh) -> Scenario:
    """Bring the first policy, for hosts that are open to everybody and have traffic already."""
    hosts = add_hosts(mesh, "first")
    through = build_gateway_policy("shop/first", *hosts.destinations)
    stages = (
        Stage((), _expect(hosts.calls, DIRECT)),
        Stage((through,), _expect(hosts.calls, VIA_GATEWAY)),
    )
    return Scenario("first", hosts, stages)


def build_gateway_scenario(
    mesh: Mesh, gateway: Gateway, stages: Sequence[tuple[str, int]] = GATEWAY_STAGES
) -> Scenario:
    """Change the EgressGateway `shared`, under a policy that stays."""
    hosts = add_hosts(mesh, "gateway")
    policy = build_gateway_policy("shop/gateway", *hosts.destinations)
    service = gateway.template.name
    return Scenario(
        "gateway",
        hosts,
        tuple(
            Stage(
                (
                    build_egress_gateway(
                        gateway,
                        authorization=authorization,
                        service={"name": service, "port": port},
                    ),
                    policy,
                ),
                _expect(hosts.calls, VIA_GATEWAY),
            )
            for authorization, port in stages
        ),
    )


def build_rest(mesh: Mesh) -> Scenario:
    """Stay on the way through the gateway, for tests that change something else."""
    hosts = add_hosts(mesh, "rest")
    policy = build_gateway_policy("shop/rest", *hosts.destinations)
    return Scenario("rest", hosts, (Stage((policy,), _expect(hosts.calls, VIA_GATEWAY)),))


POLICY_SCENARIOS: Mapping[str, Callable[[Mesh], Scenario]] = {
    "way": build_way,
    "ruled": build_ruled,
    "place": build_place,
    "source": build_source,
    "company": build_company,
    "edit": build_edit,
    "backends": partial(build_backends, gateway=False),
    "backends-behind": partial(build_backends, gateway=True),
}


def _expect(calls: Sequence[str], verdict: Verdict) -> tuple[tuple[str, Verdict], ...]:
    return tuple((text, verdict) for text in calls)
