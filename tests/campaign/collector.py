"""What tests have to know about the garbage collector of the control plane."""

import uuid
from typing import Any

from reconcile.tenant import COLLECTED_S, ENTRY, ROUTE, TenantNamespace
from testbed.deadline import wait_until

from .evidence import API_VERSIONS
from .history import POLICY


def wait_for_collector(tenant: TenantNamespace) -> None:
    """Wait until the garbage collector knows all objects that there are.

    What it has not seen it does not take from its owner, and deletes later. It sees the objects of
    a kind one after the other, so these come last; their owner is nobody, so it deletes them.
    """
    owner = {
        "apiVersion": API_VERSIONS[POLICY],
        "kind": POLICY,
        "name": "nobody",
        "uid": str(uuid.uuid4()),
    }
    host = "last.example.com"
    specs: dict[tuple[str, str], dict[str, Any]] = {
        ENTRY: {"hosts": [host], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]},
        ROUTE: {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    }
    for (api_version, kind), spec in specs.items():
        metadata = {"name": "last", "namespace": tenant.namespace, "ownerReferences": [owner]}
        item = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
        tenant.client.create(item)
    wait_until(
        lambda: all(item["metadata"]["name"] != "last" for item in tenant.objects()),
        COLLECTED_S,
        "nothing is collected",
    )
