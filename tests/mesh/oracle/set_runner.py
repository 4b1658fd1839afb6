"""Many sets of policies at once on one mesh, each about hosts of its own."""

import itertools
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from egress_operator.explain.world import Caller, Payload, World, read_world
from mesh.gateway.tenant import SHARED, TENANTS, WORKLOADS, build_egress_gateway
from mesh.oracle.certainty import is_certain, is_certain_name
from mesh.oracle.disagreement import Disagreement
from mesh.oracle.draw import (
    CLIENT,
    CLOSED,
    DOWN,
    PORTS,
    RIGHT_CA,
    WRONG_CA,
    Probe,
    Site,
    Synthetic,
    draw_policies,
    draw_probes,
    draw_synthetic_probes,
)
from mesh.oracle.judge import (
    CLIENT_WITH_FILES,
    Expected,
    build_call,
    expect,
    find_fault,
    name_client,
)
from mesh.oracle.surroundings import ROOT, SIDECAR, draw_gateway_settings, draw_sidecars
from mesh.traffic.operated_mesh import COLLECTED_S
from mesh.traffic.policy import ENTRY, OWNED, POLICY, join_name
from testbed.client import Object, read_owners
from testbed.deadline import wait_until
from testbed.gateway import EGRESS, QUIET, Gateway, build_secret
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY
from testbed.seed import SEED

PAYLOADS = {
    "HTTP": Payload.HTTP,
    "HTTP2": Payload.HTTP,
    "GRPC": Payload.HTTP,
    "TLS": Payload.TLS,
}
ALL = "HTTPAndTLS"
"""What of wildcards goes through gateways."""
SITES = 2
"""Hosts of a set."""
WIDTH = 25
"""Sets at once."""
WRITERS = 8
"""Policies that are written at a time."""
PROBERS = 8
"""Sets that are asked about at a time."""
PROBES = 18
"""Of each set."""
SYNTHETIC_PROBES = 2
"""Of each set, for names of the operator's own."""
ENOUGH = 3
"""Disagreements at which to stop."""
APPLIED_S = 180.0
AGREE_S = 8.0
"""How long an answer may be wrong: proxies take a change each at its own time."""


class SetRunner:
    """A mesh with the EgressGateways, Secrets and files that the sets speak of."""

    def __init__(self, mesh: Mesh, gateway: Gateway) -> None:
        self._mesh = mesh
        self._client = mesh.control_plane.admin
        self._callers = _find_callers(mesh)
        self._sites = [_add_sites(mesh, index) for index in range(WIDTH)]
        self._servers = {site.address: site.host for sites in self._sites for site in sites}
        self._numbers = itertools.count()
        self._files = _write_files(mesh)
        for namespace in TENANTS:
            mesh.label(namespace, {"egress": SHARED})
        self.gateways = tuple(_build_gateways(gateway))
        self._sidecars: list[Object] = []
        mesh.apply(*self.gateways, *_build_secrets(mesh, gateway.namespace))

    def draw(self, number: int, seed: str) -> list[Object]:
        """Draw the policies of a set, for the hosts that are kept for sets of this number."""
        return draw_policies(seed, f"set-{number}", self._sites[number], self._files)

    def play(
        self,
        sets: Mapping[int, str],
        *,
        enough: int = ENOUGH,
        most: int = PROBES,
        sidecars: str = "",
        settings: str = "",
    ) -> list[Disagreement]:
        """Apply sets, by their numbers below WIDTH, and ask `most` questions of each.

        `sidecars` and `settings` are the seeds of the Sidecars around them, and of the settings of
        the gateways; empty for none.

        Return disagreements: one of a set at most, and about `enough` of all. What is there from
        the sets before is changed in place, or deleted.
        """
        drawn = {number: self.draw(number, seed) for number, seed in sets.items()}
        self._surround(sidecars, settings)
        self._replace([policy for policies in drawn.values() for policy in policies])
        world, names = self._read_world(), self._list_synthetic()
        found: list[Disagreement] = []

        def probe_all(number: int) -> None:
            seed, sites = sets[number], self._sites[number]
            synthetic = draw_synthetic_probes(seed, sites, names, SYNTHETIC_PROBES)
            asked = draw_probes(seed, sites, drawn[number], most)
            probes = [
                *(probe for probe in asked if is_certain(world, build_call(probe, self._callers))),
                *(
                    probe
                    for probe in synthetic
                    if is_certain_name(world, self._callers[probe.workload], probe.payload)
                ),
            ]
            for probe in probes:
                if len(found) >= enough:
                    return
                if disagreement := self._check(world, seed, probe):
                    found.append(disagreement)
                    return

        with ThreadPoolExecutor(PROBERS) as pool:
            list(pool.map(probe_all, sets))
        return found

    def _check(self, world: World, seed: str, probe: Probe) -> Disagreement | None:
        expected = expect(world, probe, self._callers, self._servers)
        seen = self._ask(expected, probe)
        if not seen:
            return None
        return Disagreement(
            seed, probe, expected, seen, self._list_policies(probe), self._list_sidecars(probe)
        )

    def _ask(self, expected: Expected, probe: Probe) -> str:
        seen = ""

        def agrees() -> bool:
            nonlocal seen
            number = next(self._numbers)
            seen = find_fault(self._mesh, expected, probe, self._servers, number)
            return not seen

        try:
            wait_until(agrees, AGREE_S, "they do not agree")
        except AssertionError:
            return seen
        return ""

    def _surround(self, sidecars: str, settings: str) -> None:
        """Put what is drawn in the place of the Sidecars and the settings of gateways before."""
        # Not changed in place by server-side apply, here and for the gateways: it makes null of an
        # object that loses all its fields.
        self._mesh.delete(*self._sidecars)
        self._sidecars = draw_sidecars(sidecars, self._sites) if sidecars else []
        self._mesh.apply(*self._sidecars)
        drawn = draw_gateway_settings(settings) if settings else {}
        for item in self.gateways:
            spec = _change_gateway(item["spec"], drawn.get(item["metadata"]["name"], {}))
            self._client.json_patch(item, [{"op": "replace", "path": "/spec", "value": spec}])
        wait_until(self._is_surrounded, APPLIED_S, "the operator does not see the gateways")

    def _is_surrounded(self) -> bool:
        for item in self._client.list_objects(POLICY[0], "EgressGateway"):
            seen = item.get("status", {}).get("observedGeneration")
            assert seen == item["metadata"]["generation"], item
        return True

    def _replace(self, policies: list[Object]) -> None:
        wanted = {join_name(item) for item in policies}
        there = {join_name(item): item for item in self._client.list_objects(*POLICY)}
        gone = set()
        for name in there.keys() - wanted:
            metadata = there[name]["metadata"]
            self._client.delete(*POLICY, metadata["name"], metadata["namespace"])
            gone.add(metadata["uid"])

        def write(item: Object) -> None:
            if join_name(item) in there:
                # Not server-side apply: it would leave what another set wrote.
                whole = {"op": "replace", "path": "/spec", "value": item["spec"]}
                self._client.json_patch(item, [whole])
            else:
                self._client.create(item)

        # All at once, as a GitOps tool does it.
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, policies))
        wait_until(self._is_applied, APPLIED_S, "the operator is not done")
        wait_until(lambda: not gone & self._find_owners(), COLLECTED_S, "not all is collected")
        self._mesh.settle()

    def _is_applied(self) -> bool:
        for item in self._client.list_objects(*POLICY):
            status = item.get("status", {})
            assert status.get("observedGeneration") == item["metadata"]["generation"], item
            conditions = {entry["type"]: entry["status"] for entry in status["conditions"]}
            assert conditions.get("Reconciling") != "True", item
        return True

    def _find_owners(self) -> set[str]:
        """Find the uids of all that own Istio objects."""
        items = (item for kind in OWNED for item in self._client.list_objects(*kind))
        return {uid for item in items for uid in read_owners(item)}

    def _read_world(self) -> World:
        items = [
            {**item, "kind": kind}
            for api_version, kind in (
                POLICY,
                (POLICY[0], "EgressGateway"),
                ("v1", "Namespace"),
                SIDECAR,
            )
            for item in self._client.list_objects(api_version, kind)
        ]
        return read_world(items, open_by_default=self._is_open(), now=time.time())

    def _is_open(self) -> bool:
        return self._mesh.istiod.option.outbound_mode == ALLOW_ANY

    def _list_synthetic(self) -> list[Synthetic]:
        """List the operator's own names, as anybody can who may read Istio's objects."""
        return [
            Synthetic(
                item["spec"]["hosts"][0].replace("*", "x"),
                port["number"],
                PAYLOADS[port["protocol"]],
            )
            for item in self._client.list_objects(*ENTRY)
            if item["spec"]["hosts"][0].endswith(".internal")
            for port in item["spec"]["ports"]
            # What serves TCP is TLS by name; its port speaks to whoever may dial the address.
            if port["protocol"] in PAYLOADS
            and PORTS.get(port["number"]) is PAYLOADS[port["protocol"]]
        ]

    def _list_policies(self, probe: Probe) -> tuple[Object, ...]:
        """List the policies of the caller's namespace that have to do with a host."""
        namespace = self._callers[probe.workload].namespace
        wanted = {probe.site.host, probe.site.wildcard, probe.site.address}
        return tuple(
            item
            for item in self._client.list_objects(*POLICY, namespace)
            if any(
                wanted & {*destination.get("hosts", ()), *destination.get("addresses", ())}
                for destination in item["spec"]["destinations"]
            )
        )

    def _list_sidecars(self, probe: Probe) -> tuple[Object, ...]:
        """List the Sidecars that may hold for a caller."""
        namespaces = {self._callers[probe.workload].namespace, ROOT}
        return tuple(
            item
            for item in self._client.list_objects(*SIDECAR)
            if item["metadata"]["namespace"] in namespaces
        )


def _find_callers(mesh: Mesh) -> Mapping[str, Caller]:
    return {
        name: Caller(workload.namespace, workload.all_labels, workload.service_account)
        for names in WORKLOADS.values()
        for name in names
        for workload in [mesh.members[name].workload]
    }


def _add_sites(mesh: Mesh, index: int) -> tuple[Site, ...]:
    hosts = [f"h{number}.set-{index}.example" for number in range(SITES)]
    sites = tuple(Site(host, mesh.outside.add(host)) for host in hosts)
    for host in hosts:
        mesh.outside.serve_grpc(host)
    return sites


def _build_gateways(gateway: Gateway) -> Iterator[Object]:
    yield build_egress_gateway(gateway, wildcards=ALL)
    yield build_egress_gateway(gateway, CLOSED, selector={"istio": CLOSED}, wildcards=ALL)
    yield build_egress_gateway(
        gateway,
        DOWN,
        authorization="DryRun",
        selector={"istio": DOWN},
        service={"name": DOWN, "port": 443},
        namespaces={},
    )


def _change_gateway(spec: Object, settings: Object) -> Object:
    return {name: item for name, item in {**spec, **settings}.items() if item is not None}


def _build_secrets(mesh: Mesh, namespace: str) -> Iterator[Object]:
    """Build what each tenant's policies may refer to, for the namespace of the gateway."""
    right, wrong = mesh.outside.ca_file.read_bytes(), mesh.outside.private_ca
    for tenant in TENANTS:
        pair = mesh.outside.issue_client(name_client(tenant))
        yield build_secret(namespace, f"{tenant}.{RIGHT_CA}", ca=right)
        yield build_secret(namespace, f"{tenant}.{WRONG_CA}", ca=wrong)
        yield build_secret(namespace, f"{tenant}.{CLIENT}", pair, right)
        yield build_secret(namespace, f"{tenant}.{CLIENT}-cacert", ca=right)


def _write_files(mesh: Mesh) -> str:
    """Write what sidecars read, where it stays as long as they run; return the directory."""
    directory = mesh.outside.ca_file.with_name("oracle")
    directory.mkdir(exist_ok=True)
    (directory / RIGHT_CA).write_bytes(mesh.outside.ca_file.read_bytes())
    (directory / WRONG_CA).write_bytes(mesh.outside.private_ca)
    for file in mesh.outside.issue_client(CLIENT_WITH_FILES).write(directory, CLIENT):
        file.chmod(0o644)
    return str(directory)


def list_sets(first: int, count: int) -> list[dict[int, str]]:
    """Name the seeds of sets, WIDTH of them at once, by the numbers of their hosts. Pure."""
    names = [f"{SEED}-{number}" for number in range(first, first + count)]
    return [dict(enumerate(names[start : start + WIDTH])) for start in range(0, count, WIDTH)]


def name_batch(sets: Mapping[int, str]) -> str:
    """Name the seed of what is around sets that are played at once. Pure."""
    return next(iter(sets.values()))


def assert_agreed(found: list[Disagreement]) -> None:
    """Fail with every disagreement."""
    assert not found, "\n\n".join(str(item) for item in found)


@contextmanager
def open_set_runner(mesh: Mesh) -> Iterator[SetRunner]:
    """Start a gateway and give the runner on it; `Mesh.clean` takes the policies away."""
    with mesh.start_gateway(replace(EGRESS, proxy_config=QUIET)) as gateway:
        yield SetRunner(mesh, gateway)
