"""Where the demo plays: a mesh with the operator in it, or, without root, an API server alone."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.client import Client, Object
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.deadline import wait_until
from testbed.ledger import CHILDREN, load_objects
from testbed.mesh import Mesh, find_missing, start_mesh
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.rig import MeshOption
from testbed.sample import ALLOWED_CIDRS, FIXED_ADDRESSES, GATEWAY_FILE, HOSTS
from testbed.workload import Workload

POLICY = ("egress-operator.io/v1alpha1", "EgressPolicy")
ADMISSION_FILE = Path(__file__).parents[1] / "deploy" / "base" / "admission.yaml"
GATEWAY = ("egress-operator.io/v1alpha1", "EgressGateway")
NAMESPACE = "shop"
WORKLOADS = (
    Workload(NAMESPACE, "checkout", service_account="checkout", dns_capture=True),
    Workload("pay", "app"),
)
TIMEOUT_S = 20.0
SETTINGS = {"EGRESS_ALLOWED_CIDRS": ALLOWED_CIDRS, "EGRESS_DNS_CAPTURE": "on"}


@dataclass
class Stage:
    """A running API server with the operator; `mesh` is None where none can run."""

    plane: ControlPlane
    operator: Operator
    mesh: Mesh | None
    missing: tuple[str, ...]
    """Why there is no mesh."""
    has_gateway: bool = False
    """Whether policies can go through a gateway already."""

    @property
    def client(self) -> Client:
        """A client with all rights."""
        return self.plane.admin

    def wait_ready(self, policy: Object) -> tuple[Object, float]:
        """Wait for Ready=True at this generation; return the policy and the seconds it took."""
        start = time.monotonic()
        found: Object = wait_until(
            lambda: self._find_ready(policy),
            TIMEOUT_S,
            f"{policy['metadata']['name']} is not Ready",
        )
        return found, time.monotonic() - start

    def open_gateway(self) -> Object:
        """Start a gateway's pods, where there is a mesh, and do what the platform team does."""
        self.has_gateway = True
        if self.mesh is not None:
            self.mesh.start(self.mesh.start_gateway())
        self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": NAMESPACE, "labels": {"egress": "shared"}},
            }
        )
        for policy in load_objects(ADMISSION_FILE):
            self.client.apply(policy)
        (item,) = load_objects(GATEWAY_FILE)
        return self.client.apply(item)

    def wait_gateway(self, gateway: Object, condition: str) -> Object:
        """Wait for a condition of an EgressGateway to be True."""

        def look() -> Object | None:
            current = self.client.get(*GATEWAY, gateway["metadata"]["name"])
            conditions = current.get("status", {}).get("conditions", ())
            fine = any(
                item["type"] == condition and item["status"] == "True" for item in conditions
            )
            return current if fine else None

        name = gateway["metadata"]["name"]
        return wait_until(look, TIMEOUT_S, f"EgressGateway {name} is not {condition}")

    def find_children(self, policy: str) -> list[Object]:
        """Return the Istio objects that a policy owns."""
        found = []
        for api_version, kind in CHILDREN:
            for item in self.client.list_objects(api_version, kind, NAMESPACE):
                owners = item["metadata"].get("ownerReferences", ())
                if any(owner["name"] == policy for owner in owners):
                    found.append({**item, "kind": kind, "apiVersion": api_version})
        return sorted(found, key=lambda item: (item["metadata"]["name"], item["kind"]))

    def _find_ready(self, policy: Object) -> Object | None:
        current = self.client.get(*POLICY, policy["metadata"]["name"], NAMESPACE)
        generation = current["metadata"]["generation"]
        for condition in current.get("status", {}).get("conditions", ()):
            is_current = condition.get("observedGeneration") == generation
            if condition["type"] == "Ready" and condition["status"] == "True" and is_current:
                return current
        return None


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start everything; end all of it, also after Ctrl-C."""
    missing = tuple(find_missing())
    with ExitStack() as stack:
        mesh = None
        if missing:
            complete = ControlPlaneOption(definitions=load_all_crds())
            plane = stack.enter_context(start_control_plane(complete))
            plane.admin.apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            )
        else:
            mesh = stack.enter_context(start_mesh(MeshOption(workloads=WORKLOADS, hosts=HOSTS)))
            for host, address in FIXED_ADDRESSES.items():
                mesh.outside.add(host, address=address)
            plane = mesh.control_plane
        option = OperatorOption(settings=SETTINGS)
        operator = stack.enter_context(start_operator(plane, option))
        yield Stage(plane, operator, mesh, missing)
