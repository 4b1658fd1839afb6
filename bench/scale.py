"""`python -m bench.scale`: what many hosts through one gateway cost. Needs root, like the mesh.

Prints the table that docs/scale.md shows. Times are of this machine; compare them with each other.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.ledger import load_objects
from testbed.measure import ProxySize
from testbed.mesh import Mesh, start_mesh
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.request import VIA_GATEWAY
from testbed.sample import GATEWAY_FILE

POLICY = ("egress-operator.io/v1alpha1", "EgressPolicy")
APPLIED, NOT_ALLOWED = "Applied", "NamespaceNotAllowed"
CLIENT = "shop/checkout"
HOSTS, OF_POLICY = 300, 50
NAMESPACES, OF_NAMESPACE = 100, 3
TIMEOUT_S = 120.0
QUIET_S = 5.0
"""How long pushes are counted when there should be none."""
HTTP = {"number": 80, "protocol": "HTTP"}
TLS = {"number": 443, "protocol": "TLS"}


class Scale:
    """A mesh with a gateway and the operator."""

    def __init__(self, mesh: Mesh, gateway: Gateway) -> None:
        self.mesh = mesh
        self.client = mesh.control_plane.admin
        self.gateway = gateway
        self.address = mesh.outside.address_of("api.example")

    def admit(self, namespace: str) -> None:
        """Let a namespace use the gateway."""
        metadata = {"name": namespace, "labels": {"egress": "shared"}}
        self.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def apply(self, namespace: str, name: str, hosts: list[str], port: Object) -> None:
        """Write a policy for these hosts."""
        spec = {
            "gatewayRef": {"name": "shared"},
            "destinations": [
                {"hosts": hosts[start : start + 16], "ports": [port]}
                for start in range(0, len(hosts), 16)
            ],
        }
        self.client.apply(
            {
                "apiVersion": POLICY[0],
                "kind": POLICY[1],
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )

    def wait_all(self, reason: str) -> None:
        """Wait until the condition Ready of every policy has this reason."""

        def look() -> bool:
            policies = self.client.list_objects(*POLICY)
            waiting = [item["metadata"]["name"] for item in policies if find_reason(item) != reason]
            assert not waiting, waiting[:3]
            return True

        wait_until(look, TIMEOUT_S, f"policies are not {reason}")

    def wait_way(self, call: str, *, is_open: bool) -> None:
        """Wait until a request gets through, or is refused, by whomever."""

        def look() -> bool:
            return (self.mesh.request(CLIENT, call).verdict is VIA_GATEWAY) is is_open

        wait_until(look, TIMEOUT_S, f"{call}: open is not {is_open}")

    def sizes(self) -> tuple[ProxySize, ProxySize]:
        """Measure the gateway and the client."""
        (pod,) = self.gateway.members
        return pod.measure(), self.mesh.members[CLIENT].measure()

    @contextmanager
    def counting(self, what: str) -> Iterator[None]:
        """Print what istiod pushes in the block."""
        before = self.mesh.istiod.pushes()
        yield
        self.mesh.settle()
        after = self.mesh.istiod.pushes()
        counts = {key: after[key] - before.get(key, 0) for key in sorted(after)}
        shown = ", ".join(f"{key} {count}" for key, count in counts.items() if count)
        print(f"| pushes, {what} | {shown or 'none'} |", flush=True)


def find_reason(policy: Object) -> str:
    """Return the reason of Ready, empty while there is none for the newest generation."""
    generation = policy["metadata"]["generation"]
    for item in policy.get("status", {}).get("conditions", ()):
        if item["type"] == "Ready" and item["observedGeneration"] == generation:
            return str(item["reason"])
    return ""


def measure(scale: Scale, what: str, write: Callable[[], None], last: str) -> None:
    """Write policies and print how long they take and what they cost."""
    before = scale.sizes()
    start = time.monotonic()
    write()
    scale.wait_all(APPLIED)
    ready = time.monotonic()
    scale.wait_way(last, is_open=True)
    works = time.monotonic()
    scale.mesh.settle()
    print(f"| {what}: until all are Ready | {ready - start:.1f} s |")
    print(f"| {what}: from then until the last one works | {works - ready:.1f} s |")
    for name, old, new in zip(("gateway", "client"), before, scale.sizes(), strict=True):
        print(
            f"| {what}: {name} | {old.allocated_mib:.0f} → {new.allocated_mib:.0f} MiB, "
            f"{old.config_bytes / 1e6:.1f} → {new.config_bytes / 1e6:.1f} MB of configuration, "
            f"{old.listener_bytes / 1e6:.2f} → {new.listener_bytes / 1e6:.2f} MB of it listeners, "
            f"{new.clusters} clusters, {new.filter_chains} filter chains |",
            flush=True,
        )


def measure_one(scale: Scale) -> None:
    """Measure what a namespace with one host shows."""
    scale.mesh.names.set("one.scale.example", scale.address)
    call = "GET http://one.scale.example/"
    name = "1 HTTP host"
    measure(scale, name, lambda: scale.apply("shop", "one", ["one.scale.example"], HTTP), call)
    measure_label(scale, name, call)


def write_http(scale: Scale) -> None:
    """Write 300 HTTP hosts of one namespace, which all lead to one server."""
    for start in range(0, HOSTS, OF_POLICY):
        hosts = [f"h{number}.scale.example" for number in range(start, start + OF_POLICY)]
        for host in hosts:
            scale.mesh.names.set(host, scale.address)
        scale.apply("shop", f"http-{start}", hosts, HTTP)


def write_opaque(scale: Scale) -> None:
    """Write three TLS hosts for each of 100 namespaces, the last one with a workload."""
    for entry in range(OF_NAMESPACE):
        scale.mesh.outside.add(f"t{entry}.scale.example")
    for number in range(NAMESPACES):
        namespace = "shop" if number == NAMESPACES - 1 else f"team-{number}"
        scale.admit(namespace)
        hosts = [f"t{entry}.scale.example" for entry in range(OF_NAMESPACE)]
        scale.apply(namespace, "tls", hosts, TLS)


def run(mesh: Mesh) -> None:
    """Measure everything."""
    with mesh.start_gateway() as gateway:
        scale = Scale(mesh, gateway)
        scale.admit("shop")
        operator = start_operator(mesh.control_plane, OperatorOption())
        try:
            (item,) = load_objects(GATEWAY_FILE)
            scale.client.apply(item)
            print("| figure | measured |\n|---|---|")
            measure_one(scale)
            name = f"{HOSTS} HTTP hosts"
            last = f"GET http://h{HOSTS - 1}.scale.example/"
            measure(scale, name, lambda: write_http(scale), last)
            measure_changes(scale)
            measure_label(scale, name, last)
            name = f"{NAMESPACES} namespaces with {OF_NAMESPACE} TLS hosts"
            last = f"GET https://t{OF_NAMESPACE - 1}.scale.example/"
            measure(scale, name, lambda: write_opaque(scale), last)
            operator = measure_restart(scale, operator)
        finally:
            operator.stop()


def measure_changes(scale: Scale) -> None:
    """Count the pushes of one more policy."""
    with scale.counting("one HTTP host more"):
        scale.apply("shop", "one-more", ["more.scale.example"], HTTP)
        scale.wait_all(APPLIED)


def measure_label(scale: Scale, what: str, call: str) -> None:
    """Take the label from the client's namespace, and give it back; print how long each takes."""
    for label, is_open, reason, change in (
        (None, False, NOT_ALLOWED, "label taken away, until closed"),
        ("shared", True, APPLIED, "label back, until open"),
    ):
        start = time.monotonic()
        scale.mesh.label("shop", {"egress": label})
        scale.wait_way(call, is_open=is_open)
        shown = time.monotonic() - start
        scale.wait_all(reason)
        done = time.monotonic() - start
        print(f"| {what}: {change} | {shown:.1f} s, all objects {done:.1f} s |", flush=True)


def measure_restart(scale: Scale, operator: Operator) -> Operator:
    """Count the pushes of a restart; return the new operator."""
    with scale.counting("restart of the operator"):
        operator.stop()
        operator = start_operator(scale.mesh.control_plane, OperatorOption())
        time.sleep(QUIET_S)
    return operator


def main() -> int:
    """Measure and print a table on standard output."""
    argparse.ArgumentParser(prog="bench.scale", description=__doc__).parse_args()
    with start_mesh() as mesh:
        run(mesh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
