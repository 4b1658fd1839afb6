"""Users, who write policies: random, repeatable, one thing at a time."""

import random
from contextlib import suppress
from dataclasses import dataclass

from permission.state import HOLD
from permission.tenant import ACCOUNT, POLICY, TLS, Tenant
from testbed.client import ApiError, Client, Object

from .etcd import Etcd
from .place import GATEWAYS, HOSTS, NAMES, TENANTS

HTTP = {"number": 80, "protocol": "HTTP"}


@dataclass(frozen=True)
class Users:
    """Users of all tenants."""

    client: Client
    etcd: Etcd

    def apply(self, rng: random.Random) -> None:
        """Write a policy, new or changed."""
        gateway = rng.choice(["", *GATEWAYS, *GATEWAYS])
        accounts = bool(gateway) and rng.random() < 0.25
        self.write_policy(rng.choice(TENANTS), rng.choice(NAMES), rng, gateway, accounts=accounts)

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

    def _draw_tenant(self, rng: random.Random) -> Tenant:
        return Tenant(self.client, rng.choice(TENANTS))

    def write_policy(
        self,
        namespace: str,
        name: str,
        rng: random.Random,
        gateway: str = "",
        *,
        accounts: bool = False,
    ) -> None:
        """Write a policy with random destinations in place of whatever is there."""
        destinations = _draw_destinations(rng)
        more = {"from": {"serviceAccounts": [ACCOUNT]}} if accounts else {}
        tenant = Tenant(self.client, namespace)
        policy = tenant.build(name, *destinations, gateway=gateway, **more)
        if tenant.find(name) is None:
            self.client.apply(policy)
            return
        # Whatever others wrote into it goes.
        tenant.patch(name, {"spec": {"gatewayRef": None, "from": None, **policy["spec"]}})


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
