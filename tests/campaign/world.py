"""What users, tenants, the platform and strangers do: random, repeatable, one thing at a time."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from egress_operator.istio.name import build_host_name
from permission.gateway import PORT, SERVICE, Gateway, apply_namespace
from permission.standing import KINDS, LABEL, NETWORKING, OURS, find_ours
from permission.tenant import ACCOUNT, POLICY, TLS, Tenant
from testbed.client import ApiError, Client, ConnectError, Object
from testbed.deadline import wait_until

from .etcd import Etcd
from .history import Key

TENANTS = ("t0", "t1", "t2", "t3")
NAMES = ("p0", "p1", "p2")
HOSTS = tuple(f"{letter}.example.com" for letter in "abcde")
"""Few, so that policies meet on them."""
GATEWAYS = ("main", "other")
HOLD = "example.com/hold"
"""Somebody's finalizer."""
HTTP = {"number": 80, "protocol": "HTTP"}
OTHER_PORT = 8443
GONE_S = 60.0
FORGED = "forged"
PREFIX = "egress-operator.io/"
MARKS = ("host", "policies", "gateway", "namespace")
OWN_KINDS = tuple(kind for kind in KINDS if kind[0] == NETWORKING)
"""What stands in the namespaces of tenants."""
UNAVAILABLE = {429, 500, 503, 504}
"""What an API server that has just started may answer."""
REFUSED = {403, 404, 409, 422, *UNAVAILABLE}
"""An operation on what is not there, is there, or may not be so: it is not done."""

Memory = tuple[dict[Key, Object], dict[str, dict[str, Any]]]


def list_places(gateway: str) -> list[tuple[str, dict[str, str]]]:
    """Return the namespaces and labels of a gateway's pods, of which none shares any."""
    return [(f"{gateway}-pods-{place}", {"istio": f"{gateway}-{place}"}) for place in "ab"]


@dataclass
class World:
    """The namespaces `t0` to `t3` and two gateways. The same seed gives the same operations."""

    client: Client
    etcd: Etcd
    rng: random.Random
    patient: bool = True
    """Whether there is time for what the operator deletes only after two looks at it."""
    log: list[str] = field(default_factory=list)
    foreign: dict[Key, Object] = field(default_factory=dict)
    """What tenants wrote that is theirs: as it is stored."""
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the name of an EgressGateway: its fields that are not the usual ones, when it is there."""

    def begin(self) -> None:
        """Write namespaces, pods and gateways, and a policy for each tenant."""
        for name in GATEWAYS:
            for namespace, selector in list_places(name):
                Gateway(self.client, name).apply_pods(namespace, selector)
                self._apply_service(namespace, selector)
            self._write_gateway(name, self._build_gateway(name))
        for tenant in TENANTS:
            self._label(tenant, *GATEWAYS)
            self._write_policy(tenant, NAMES[0], gateway=GATEWAYS[0])

    def step(self) -> None:
        """Do one operation, as one of them would."""
        # What is there depends on the time: that must not change the operations that follow.
        rng = random.Random(self.rng.random())  # noqa: S311 - repeatable
        choices = self._list_choices()
        operation = rng.choices([*choices], [*choices.values()])[0]
        self.log.append(operation.__name__)
        with suppress(ConnectError):
            try:
                operation(rng)
            except ApiError as error:
                if error.code not in REFUSED:
                    raise

    def remember(self) -> Memory:
        """Return what is known of what stands, for `recall`."""
        return dict(self.foreign), dict(self.specs)

    def recall(self, memory: Memory) -> None:
        """Know again what was known when `remember` was called."""
        self.foreign, self.specs = memory

    def _list_choices(self) -> dict[Callable[[random.Random], None], int]:
        quick: dict[Callable[[random.Random], None], int] = {
            self.apply: 10, self.pause: 3, self.resume: 3, self.spoil: 3, self.rename_gateway: 3,
            self.change_accounts: 3, self.delete: 4, self.recreate: 3, self.hold: 1,
            self.release: 1, self.forge: 2, self.squat: 1, self.tidy: 1, self.tamper: 4,
            self.relabel: 6, self.edit_gateway: 4, self.recreate_gateway: 1, self.corrupt: 1,
        }  # fmt: skip
        slow = {self.orphan: 2, self.disown: 1, self.delete_namespace: 1, self.remake_namespace: 2}
        return {**quick, **slow} if self.patient else quick

    # Users.

    def apply(self, rng: random.Random) -> None:
        """Write a policy, new or changed."""
        gateway = rng.choice(["", *GATEWAYS, *GATEWAYS])
        accounts = bool(gateway) and rng.random() < 0.25
        self._write_policy(rng.choice(TENANTS), rng.choice(NAMES), rng, gateway, accounts=accounts)

    def pause(self, rng: random.Random) -> None:
        """Put a policy on hold."""
        self._draw_tenant(rng).pause(rng.choice(NAMES))

    def resume(self, rng: random.Random) -> None:
        """Let a policy go on."""
        self._draw_tenant(rng).pause(rng.choice(NAMES), paused=False)

    def spoil(self, rng: random.Random) -> None:
        """Add a destination that the API server lets through and the operator refuses."""
        tenant, name = self._draw_tenant(rng), rng.choice(NAMES)
        destinations = _read(tenant, name)["spec"]["destinations"]
        bad = {"hosts": ["mysql.shop.svc"], "ports": [TLS]}
        tenant.patch(name, {"spec": {"destinations": [*destinations[:2], bad]}})

    def corrupt(self, rng: random.Random) -> None:
        """Write into a policy what the API server refuses, as an older definition let it pass."""
        namespace, name = rng.choice(TENANTS), rng.choice(NAMES)
        bad = rng.choice(
            [
                {"hosts": ["no_host!"], "ports": [TLS]},
                {"hosts": ["a.example.com"], "ports": [{"number": 99999, "protocol": "TLS"}]},
                {"hosts": ["a.example.com"], "ports": [{"number": 443, "protocol": "UDP"}]},
                {"hosts": []},
            ]
        )

        def change(item: Object) -> None:
            item["spec"]["destinations"].append(bad)
            item["metadata"]["generation"] += 1

        self.etcd.edit(f"{POLICY[0].partition('/')[0]}/egresspolicies/{namespace}/{name}", change)

    def rename_gateway(self, rng: random.Random) -> None:
        """Lead a policy through another gateway, one that is not there, or none."""
        name = rng.choice([*GATEWAYS, "no-such", ""])
        patch = {"gatewayRef": {"name": name}} if name else {"gatewayRef": None, "from": None}
        self._draw_tenant(rng).patch(rng.choice(NAMES), {"spec": patch})

    def change_accounts(self, rng: random.Random) -> None:
        """Restrict a policy to a service account, or take that away."""
        source = {"serviceAccounts": [ACCOUNT]} if rng.random() < 0.6 else None
        self._draw_tenant(rng).patch(rng.choice(NAMES), {"spec": {"from": source}})

    def delete(self, rng: random.Random) -> None:
        """Delete a policy."""
        self._draw_tenant(rng).delete(rng.choice(NAMES))

    def recreate(self, rng: random.Random) -> None:
        """Delete a policy and write one under its name, with other hosts or the same."""
        tenant, name = self._draw_tenant(rng), rng.choice(NAMES)
        spec = _read(tenant, name)["spec"]
        tenant.delete(name)
        if rng.random() < 0.5:
            spec = {**spec, "destinations": _draw_destinations(rng)}
        self.client.apply({**tenant.build(name), "spec": spec})

    def orphan(self, rng: random.Random) -> None:
        """Delete a policy without its objects."""
        self._draw_tenant(rng).delete(rng.choice(NAMES), "Orphan")

    def hold(self, rng: random.Random) -> None:
        """Delete a policy that somebody's finalizer holds up."""
        tenant, name = self._draw_tenant(rng), rng.choice(NAMES)
        tenant.patch(name, {"metadata": {"finalizers": [HOLD]}})
        tenant.delete(name)

    def release(self, rng: random.Random) -> None:
        """Take the finalizers off, and so let policies go."""
        del rng
        for item in self.client.list_objects(*POLICY):
            metadata = item["metadata"]
            if HOLD in (metadata.get("finalizers") or ()):
                tenant = Tenant(self.client, metadata["namespace"])
                with suppress(ApiError):
                    tenant.patch(metadata["name"], {"metadata": {"finalizers": None}})

    # Tenants.

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

    # The platform.

    def relabel(self, rng: random.Random) -> None:
        """Let a namespace use some gateways and no others."""
        self._label(rng.choice(TENANTS), *(name for name in GATEWAYS if rng.random() < 0.6))

    def delete_namespace(self, rng: random.Random) -> None:
        """Delete a namespace."""
        namespace = rng.choice(TENANTS)
        self.client.delete("v1", "Namespace", namespace)
        for key in [key for key in self.foreign if key.namespace == namespace]:
            del self.foreign[key]

    def remake_namespace(self, rng: random.Random) -> None:
        """Make namespaces again that are gone."""
        for namespace in TENANTS:
            if self.client.find("v1", "Namespace", namespace) is None:
                self._label(namespace, *(name for name in GATEWAYS if rng.random() < 0.6))

    def edit_gateway(self, rng: random.Random) -> None:
        """Change one field of an EgressGateway, or make it again."""
        name = rng.choice(GATEWAYS)
        if name not in self.specs:
            self._write_gateway(name, self._build_gateway(name))
            return
        authorization = rng.choice(["Managed", "Managed", "DryRun", "None"])
        place = rng.choice(list_places(name))
        change: Object = rng.choice(
            [
                {"authorization": authorization},
                {"authorization": "Managed"},
                {"namespace": place[0], "selector": place[1]},
                {"service": {"name": SERVICE, "port": rng.choice([PORT, OTHER_PORT])}},
                {"namespaces": rng.choice([None, {}, {"matchLabels": {name: "yes"}}])},
                {"namespaces": {"matchLabels": {name: "yes"}}},
                {"traffic": {"connectionPool": {"maxConnectionDuration": "10m"}}},
                {"limits": rng.choice([None, {"servers": 1}])},
            ]
        )
        self._write_gateway(name, {**self.specs[name], **change})

    def recreate_gateway(self, rng: random.Random) -> None:
        """Delete an EgressGateway; half of them are there again at once."""
        name = rng.choice(GATEWAYS)
        spec = self.specs.pop(name, None) or self._build_gateway(name)
        Gateway(self.client, name).delete()
        if rng.random() < 0.5:
            self._write_gateway(name, spec)

    # All of them.

    def settle(self) -> None:
        """Write all policies and gateways so that nothing is on hold or in the way."""
        for key in sorted(self.foreign):
            self._delete_foreign(key)
        self.release(self.rng)
        wait_until(lambda: not self._list_terminating(), GONE_S, "namespaces do not go")
        self.remake_namespace(self.rng)
        for name in GATEWAYS:
            spec = {**self.specs.get(name, {}), **self._build_gateway(name)}
            # Place and authorization are never changed by one edit.
            for change in ({"authorization": "Managed"}, spec):
                self._write_gateway(name, {**self.specs.get(name, spec), **change})
        for tenant in TENANTS:
            for name in NAMES:
                self._write_policy(tenant, name, self.rng, self.rng.choice(["", *GATEWAYS]))
                Tenant(self.client, tenant).pause(name, paused=False)

    def _list_terminating(self) -> list[str]:
        return [
            item["metadata"]["name"]
            for item in self.client.list_objects("v1", "Namespace")
            if "deletionTimestamp" in item["metadata"]
        ]

    def _draw_tenant(self, rng: random.Random) -> Tenant:
        return Tenant(self.client, rng.choice(TENANTS))

    def _draw_object(self, rng: random.Random) -> Object | None:
        """Choose one of our objects in a tenant's namespace."""
        kinds = [kind for _, kind in OWN_KINDS]
        found = [
            item
            for item in find_ours(self.client, rng.choice(TENANTS), *kinds)
            if not item["metadata"]["name"].startswith(FORGED)
        ]
        return rng.choice(found) if found else None

    def _write_policy(
        self,
        namespace: str,
        name: str,
        rng: random.Random | None = None,
        gateway: str = "",
        *,
        accounts: bool = False,
    ) -> None:
        destinations = _draw_destinations(rng or self.rng)
        more = {"from": {"serviceAccounts": [ACCOUNT]}} if accounts else {}
        tenant = Tenant(self.client, namespace)
        policy = tenant.build(name, *destinations, gateway=gateway, **more)
        if tenant.find(name) is None:
            self.client.apply(policy)
            return
        # Whatever others wrote into it goes.
        tenant.patch(name, {"spec": {"gatewayRef": None, "from": None, **policy["spec"]}})

    def _build_gateway(self, name: str) -> dict[str, Any]:
        namespace, selector = list_places(name)[0]
        return {
            "namespace": namespace,
            "selector": selector,
            "namespaces": {"matchLabels": {name: "yes"}},
        }

    def _write_gateway(self, name: str, spec: dict[str, Any]) -> None:
        Gateway(self.client, name).apply(**spec)
        self.specs[name] = spec

    def _apply_service(self, namespace: str, selector: Mapping[str, str]) -> None:
        """Write a gateway's Service with both ports."""
        ports = [{"name": f"tls-{port}", "port": port} for port in (PORT, OTHER_PORT)]
        metadata = {"name": SERVICE, "namespace": namespace}
        spec = {"selector": dict(selector), "ports": ports}
        self.client.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        )

    def _label(self, namespace: str, *gateways: str) -> None:
        apply_namespace(self.client, namespace, **dict.fromkeys(gateways, "yes"))

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


def _read(tenant: Tenant, name: str) -> Object:
    return tenant.client.get(*POLICY, name, tenant.namespace)


def _draw_destinations(rng: random.Random) -> list[Object]:
    """Draw one or two destinations, of hosts that differ."""
    hosts = rng.sample(HOSTS, rng.randint(1, 3))
    kinds: list[Object] = [
        {"ports": [HTTP]},
        {"ports": [HTTP], "http": {"timeout": rng.choice(["3s", "9s"])}},
        {"ports": [TLS]},
        {"ports": [HTTP, TLS]},
    ]
    return [{"hosts": [host], **rng.choice(kinds)} for host in hosts]


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
