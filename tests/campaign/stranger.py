"""Strangers, who write Istio objects beside those of the operator, and change these by hand."""

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from egress_operator.istio.name import build_host_name
from egress_operator.istio.observed import read_observed
from permission.standing import KINDS, LABEL, NETWORKING, OURS, find_ours
from testbed.client import ApiError, Client, Object

from .history import Key
from .place import GATEWAYS, HOSTS, TENANTS, list_places

FORGED = "forged"
PREFIX = "egress-operator.io/"
MARKS = ("host", "policies", "gateway", "namespace")
OWN_KINDS = tuple(kind for kind in KINDS if kind[0] == NETWORKING)
"""What stands in the namespaces of tenants."""


@dataclass
class Strangers:
    """Whoever may write in the namespaces of tenants."""

    client: Client
    foreign: dict[Key, Object] = field(default_factory=dict)
    """What is theirs alone, as it is stored."""

    def forge(self, rng: random.Random) -> None:
        """Write an object with our label and annotations where we would write none."""
        version, kind = rng.choice(OWN_KINDS)
        host = rng.choice(HOSTS)
        namespace = rng.choice([*TENANTS, list_places(GATEWAYS[0])[0][0]])
        annotations = {
            f"{PREFIX}host": host,
            f"{PREFIX}namespace": rng.choice(TENANTS),
            f"{PREFIX}gateway": f"{GATEWAYS[0]}-h1234567",
        }
        self._write_foreign(
            version, kind, namespace, f"{FORGED}-{rng.randint(0, 9)}", labelled=annotations
        )

    def squat(self, rng: random.Random) -> None:
        """Write an object under a name that we would use, if it is free."""
        version, kind = rng.choice(OWN_KINDS[:2])
        name = build_host_name(rng.choice(HOSTS))
        self._write_foreign(version, kind, rng.choice(TENANTS), name)

    def tidy(self, rng: random.Random) -> None:
        """Delete some of what tenants wrote."""
        for key in [key for key in sorted(self.foreign) if rng.random() < 0.5]:
            self._delete_foreign(key)

    def tamper(self, rng: random.Random) -> None:
        """Take marks off an object of ours, change it, or delete it."""
        if (item := self._draw_object(rng)) is None:
            return
        metadata = item["metadata"]
        patches: list[Object | None] = [
            None,
            {"metadata": {"labels": {LABEL: None}}},
            {"metadata": {"annotations": {f"{PREFIX}{mark}": None for mark in MARKS}}},
            {
                "spec": {"selector": {"a": "b"}}
                if item["kind"] == "Gateway"
                else {"exportTo": ["*"]}
            },
        ]
        if (patch := rng.choice(patches)) is not None:
            self.client.merge_patch(item, patch)
            return
        self.client.delete(
            item["apiVersion"], item["kind"], metadata["name"], metadata["namespace"]
        )

    def disown(self, rng: random.Random) -> None:
        """Take the owners off an object of ours, or give it another one."""
        if (item := self._draw_object(rng)) is None:
            return
        owners = None
        if rng.random() < 0.5:
            metadata = {"name": "owner", "namespace": item["metadata"]["namespace"]}
            owner = self.client.apply(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
            )
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
            reference["uid"] = owner["metadata"]["uid"]
            owners = [*(item["metadata"].get("ownerReferences") or ()), reference]
        self.client.merge_patch(item, {"metadata": {"ownerReferences": owners}})

    def clear(self) -> None:
        """Delete all that is not the operator's, also what was and has lost a mark."""
        for key in sorted(self.foreign):
            self._delete_foreign(key)
        for version, kind in OWN_KINDS:
            for item in self.client.list_objects(version, kind):
                if not read_observed({**item, "kind": kind}).ours:
                    metadata = item["metadata"]
                    path = (version, kind, metadata["name"], metadata["namespace"])
                    self.client.delete(*path, missing_ok=True)

    def forget(self, namespace: str) -> None:
        """Forget what was in a namespace that is being deleted."""
        self.foreign = {key: it for key, it in self.foreign.items() if key.namespace != namespace}

    def _draw_object(self, rng: random.Random) -> Object | None:
        """Choose one of our objects in a tenant's namespace."""
        kinds = [kind for _, kind in OWN_KINDS]
        found = [
            item
            for item in find_ours(self.client, rng.choice(TENANTS), *kinds)
            if not item["metadata"]["name"].startswith(FORGED)
        ]
        return rng.choice(found) if found else None

    def _write_foreign(
        self,
        version: str,
        kind: str,
        namespace: str,
        name: str,
        labelled: Mapping[str, str] | None = None,
    ) -> None:
        metadata: dict[str, Any] = {"name": name, "namespace": namespace}
        if labelled is not None:
            label, _, value = OURS.partition("=")
            metadata |= {"labels": {label: value}, "annotations": dict(labelled)}
        item = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": _SPECS[kind]}
        self.foreign[Key(kind, namespace, name)] = self.client.create(item)

    def _delete_foreign(self, key: Key) -> None:
        item = self.foreign.pop(key)
        with suppress(ApiError):
            self.client.delete(item["apiVersion"], key.kind, key.name, key.namespace)


_STRANGE = "strange.example.org"
_SPECS: Mapping[str, Object] = {
    "ServiceEntry": {
        "hosts": [_STRANGE],
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
        "resolution": "DNS",
    },
    "VirtualService": {
        "hosts": [_STRANGE],
        "http": [{"route": [{"destination": {"host": _STRANGE}}]}],
    },
    "DestinationRule": {"host": _STRANGE},
    "Gateway": {
        "selector": {"a": "b"},
        "servers": [
            {
                "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                "hosts": [_STRANGE],
                "tls": {"mode": "PASSTHROUGH"},
            }
        ],
    },
}
