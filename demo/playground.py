"""Where the demo plays: a mesh with the operator in it, or an API server with the operator."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from demo.act import EVIL_HOST, NAMESPACE, REFUNDS_HOST, SPARE_HOSTS, load_gateway
from demo.describe import describe_conditions, find_condition, find_own, find_shared
from demo.tally import Tally
from demo.traffic import Traffic
from egress_operator.istio.object import MANAGED_BY, MANAGED_BY_LABEL
from testbed.client import Client, Object
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.deadline import wait_until
from testbed.gateway import EGRESS
from testbed.ledger import CHILDREN, POLICIES, list_kinds, load_objects
from testbed.mesh import Mesh, start_mesh
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.rig import APP, BATCH, CHECKOUT, MeshOption
from testbed.sample import ALLOWED_CIDRS, FIXED_ADDRESSES, HOSTS, SAMPLES
from testbed.workload import build_namespace

POLICY, GATEWAY = POLICIES
ADMISSION_FILE = Path(__file__).parents[1] / "deploy" / "base" / "admission.yaml"
WORKLOADS = (replace(CHECKOUT, dns_capture=True), BATCH, APP)
TIMEOUT_S = 20.0
SETTINGS = {"EGRESS_ALLOWED_CIDRS": ALLOWED_CIDRS, "EGRESS_DNS_CAPTURE": "on"}


@dataclass
class Playground:
    """A running API server with the operator; `mesh` is None where there is no traffic."""

    plane: ControlPlane
    mesh: Mesh | None
    operator: Operator
    tally: Tally = field(default_factory=Tally)
    awaited: tuple[str, str, str, str | None] | None = None
    """Kind, name and namespace of the object that was waited for last."""
    logs: list[Path] = field(default_factory=list)
    """Of all operators, the last one runs."""

    @property
    def traffic(self) -> Traffic | None:
        """The requests of workloads, where there is a mesh."""
        return Traffic(self.mesh, self.tally) if self.mesh else None

    @property
    def client(self) -> Client:
        """A client with all rights."""
        return self.plane.admin

    def apply(self, policy: Object) -> tuple[Object, float]:
        """Apply a policy and wait until it is Ready; Programmed, if its gateway has no pods.

        Returns it with its status, and the seconds that both took. Raises DeadlineError.
        """
        start = time.monotonic()
        has_pods = self.mesh is not None or "gatewayRef" not in policy["spec"]
        found = self.wait_condition(
            self.client.apply(policy), "Ready" if has_pods else "Programmed"
        )
        return found, time.monotonic() - start

    def wait(self, item: Object, what: str, test: Callable[[Object], bool]) -> Object:
        """Wait until a policy or gateway passes `test`, and return it.

        `what` tells what did not come, after its name. Raises DeadlineError.
        """
        metadata = item["metadata"]
        key = (item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))
        self.awaited = key

        def look() -> Object | None:
            current = self.client.get(*key)
            return current if test(current) else None

        found: Object = wait_until(look, TIMEOUT_S, f"{item['kind']} {metadata['name']} {what}")
        return found

    def wait_condition(self, item: Object, *types: str) -> Object:
        """Wait until conditions are True at this generation."""

        def test(current: Object) -> bool:
            return all(find_condition(current, type_).get("status") == "True" for type_ in types)

        return self.wait(item, f"is not {' and '.join(types)}", test)

    def describe_awaited(self) -> list[str]:
        """Write the conditions of the object that was waited for last, as they are now."""
        if self.awaited is None:
            return []
        return describe_conditions(self.client.get(*self.awaited))

    def find_objects(self, policy: Object) -> tuple[list[Object], list[Object]]:
        """Return the Istio objects of a policy, and those that its namespace shares.

        The latter only when the policy goes through a gateway.
        """
        items = self.list_children()
        own = find_own(items, policy)
        return own, find_shared(items, NAMESPACE) if "gatewayRef" in policy["spec"] else []

    def list_children(self) -> list[Object]:
        """Return all Istio objects, sorted by name and kind."""
        found = [item for item in list_kinds(self.client, CHILDREN) if _is_ours(item)]
        return sorted(found, key=lambda item: (item["metadata"]["name"], item["kind"]))

    def list_versions(self) -> dict[str, str]:
        """Return the resourceVersion of all policies, gateways and Istio objects, by uid."""
        policies = list_kinds(self.client, POLICIES)
        return {
            item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
            for item in (*policies, *self.list_children())
        }

    def open_gateway(self) -> Object:
        """Start a gateway's pods, where there is a mesh, and do what the platform team does."""
        if self.mesh is None:
            self.client.apply(build_namespace(EGRESS.namespace))
        else:
            self.mesh.start_gateway()
        labels = {"egress": "shared"}
        self.client.merge_patch(build_namespace(NAMESPACE), {"metadata": {"labels": labels}})
        for policy in load_objects(ADMISSION_FILE):
            self.client.apply(policy)
        return self.client.apply(load_gateway())

    def start_operator(self) -> None:
        """Start another operator in the place of the stopped one."""
        self.operator = start_operator(self.plane, OperatorOption(settings=SETTINGS))
        self.logs.append(self.operator.log)

    def stop(self) -> None:
        """Stop the operator that runs now."""
        self.operator.stop()


def _is_ours(item: Object) -> bool:
    return bool(item["metadata"].get("labels", {}).get(MANAGED_BY_LABEL) == MANAGED_BY)


@contextmanager
def open_playground(*, with_mesh: bool) -> Iterator[Playground]:
    """Start everything; end all of it, also after Ctrl-C."""
    # The garbage collector knows the kinds from its start: it looks for new ones every 30 s only.
    option = ControlPlaneOption(definitions=load_all_crds())
    with ExitStack() as stack:
        mesh = stack.enter_context(_start_mesh(option)) if with_mesh else None
        plane = mesh.control_plane if mesh else stack.enter_context(start_control_plane(option))
        plane.admin.apply(build_namespace(NAMESPACE))
        operator = start_operator(plane, OperatorOption(settings=SETTINGS))
        playground = Playground(plane, mesh, operator, logs=[operator.log])
        stack.callback(playground.stop)
        yield playground


def _start_mesh(option: ControlPlaneOption) -> Mesh:
    hosts = (*HOSTS, REFUNDS_HOST, *SPARE_HOSTS, EVIL_HOST)
    mesh = start_mesh(MeshOption(workloads=WORKLOADS, hosts=hosts, control_plane=option))
    for host, address in FIXED_ADDRESSES.items():
        mesh.outside.add(host, address=address)
    for name, address in (record for sample in SAMPLES for record in sample.records):
        mesh.names.set(name, address)
    return mesh
