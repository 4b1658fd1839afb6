"""A burst of random, repeatable operations on policies, with other people's objects beside them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import HOST_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL
from testbed.client import ApiError, Client, Object

from .evidence import API_VERSIONS, is_labelled
from .history import ENTRY, POLICY, ROUTE, Key, read_key

NAMESPACES = ("shop", "pay", "web")
NAMES = tuple(f"p{number}" for number in range(9))
"""Names of policies in each namespace: 27 policies at most."""
HOSTS = tuple(f"{letter}.example.com" for letter in "abcdefgh")
"""Few, so that policies meet on them."""
SQUATTED = ("entry.squat.example", "route.squat.example", "owned.squat.example")
DATABASE = "db.example.com"
PORTS = (
    {"number": 80, "protocol": "HTTP"},
    {"number": 8080, "protocol": "HTTP"},
    {"number": 8081, "protocol": "HTTP2"},
    {"number": 9000, "protocol": "GRPC"},
)
"""Out of order in more than one sense: ServiceEntry and VirtualService list them by number."""
NOT_FOUND, CONFLICT, INVALID = 404, 409, 422


@dataclass
class Burst:
    """Does one operation at a time. Repeatable: the same seed gives the same operations."""

    client: Client
    rng: random.Random
    policies: dict[tuple[str, str], list[Object]] = field(default_factory=dict)
    """By (namespace, name): the destinations as last written."""
    count: int = 0
    drifts: int = 0
    refused: int = 0
    deleted_while_away: int = 0

    def step(self, *, away: bool = False) -> None:
        """Do one operation. More deletions while the operator is `away`."""
        weights = {self.create: 5, self.edit: 9, self.delete: 2, self.recreate: 2, self.drift: 1}
        if away:
            weights |= {self.delete: 7, self.recreate: 5, self.drift: 2}
        self.do(self.rng.choices([*weights], [*weights.values()])[0], away=away)

    def do(self, operation: Callable[[], None], *, away: bool = False) -> None:
        """Do this operation, and count it."""
        before = len(self.policies)
        operation()
        self.count += 1
        self.deleted_while_away += away and len(self.policies) < before

    def create(self) -> None:
        """Make a policy whose name is free, or change one when none is."""
        free = [
            (namespace, name)
            for namespace in NAMESPACES
            for name in NAMES
            if (namespace, name) not in self.policies
        ]
        if not free:
            self.edit()
            return
        key = self.rng.choice(free)
        self._write(key, [self._build_destination() for _ in range(self.rng.randint(1, 3))])

    def edit(self) -> None:
        """Change one thing about a policy: a host, ports, settings, or a whole destination."""
        if not self.policies:
            self.create()
            return
        key = self._choose()
        destinations = [dict(item) for item in self.policies[key]]
        change = self.rng.choice(
            [self._change_ports, self._change_ports, self._change_http, self._change_hosts]
        )
        kind = self.rng.random()
        if kind < 0.15 and len(destinations) < 4:
            destinations.append(self._build_destination())
        elif kind < 0.3 and len(destinations) > 1:
            destinations.pop(self.rng.randrange(len(destinations)))
        else:
            change(self.rng.choice(destinations), key[0])
        self._write(key, destinations)

    def delete(self) -> None:
        if not self.policies:
            return
        key = self._choose()
        self.client.delete(API_VERSIONS[POLICY], POLICY, key[1], key[0], missing_ok=True)
        del self.policies[key]

    def recreate(self) -> None:
        """Delete a policy and make another of the same name, hosts in common or not."""
        if not self.policies:
            return
        key = self._choose()
        destinations = self.policies[key]
        self.client.delete(API_VERSIONS[POLICY], POLICY, key[1], key[0], missing_ok=True)
        if self.rng.random() < 0.6:
            destinations = [self._build_destination()]
        self._write(key, destinations)

    def drift(self) -> None:
        """Change a field of an object of the operator by hand. No port and no route."""
        # What is there depends on the time: that must not change the operations that follow.
        rng = random.Random(self.rng.random())  # noqa: S311 - repeatable
        namespace = rng.choice(NAMESPACES)
        entries = [
            item
            for item in self.client.list_objects(API_VERSIONS[ENTRY], ENTRY, namespace)
            if is_labelled(item) and "owned-squat" not in item["metadata"]["name"]
        ]
        if not entries:
            return
        patch: Object = rng.choice([{"spec": {"exportTo": ["*"]}}, {"spec": {"location": None}}])
        try:
            self.client.merge_patch(rng.choice(entries), patch)
        except ApiError as error:
            if error.code not in {CONFLICT, NOT_FOUND}:
                raise
        self.drifts += 1

    def _choose(self) -> tuple[str, str]:
        return self.rng.choice(sorted(self.policies))

    def _write(self, key: tuple[str, str], destinations: list[Object]) -> None:
        policy = {
            "apiVersion": API_VERSIONS[POLICY],
            "kind": POLICY,
            "metadata": {"name": key[1], "namespace": key[0]},
            "spec": {"destinations": destinations},
        }
        try:
            self.client.apply(policy)
        except ApiError as error:
            # Two destinations of one policy must not name the same port of a host.
            if error.code != INVALID:
                raise
            self.refused += 1
        else:
            self.policies[key] = destinations

    def _build_destination(self) -> Object:
        chance = self.rng.random()
        if chance < 0.08:
            # Single addresses are claimed across hosts.
            address = f"93.184.216.{self.rng.randint(1, 3)}"
            ports = [{"number": 5432, "protocol": "TCP"}]
            return {"hosts": [DATABASE], "addresses": [address], "ports": ports}
        if chance < 0.16:
            return {"hosts": [self.rng.choice(SQUATTED)], **self._build_http()}
        hosts = self.rng.sample(HOSTS, self.rng.randint(1, 3))
        return {"hosts": hosts} if chance < 0.35 else {"hosts": hosts, **self._build_http()}

    def _build_http(self) -> Object:
        found: dict[str, Any] = {"ports": self._choose_ports()}
        if self.rng.random() < 0.75:
            found["http"] = self._choose_http()
        return found

    def _choose_ports(self) -> list[Object]:
        return [dict(port) for port in self.rng.sample(PORTS, self.rng.randint(1, 3))]

    def _choose_http(self) -> Object:
        timeout = {"timeout": self.rng.choice(["3s", "3s", "3s", "9s"])}
        return timeout if self.rng.random() < 0.8 else {**timeout, "retries": {"attempts": 2}}

    def _change_ports(self, destination: Object, _: str) -> None:
        if destination.get("addresses"):
            return
        destination["ports"] = self._choose_ports()

    def _change_http(self, destination: Object, _: str) -> None:
        """Give another timeout, or take the VirtualService's reason away."""
        if destination.get("addresses"):
            return
        destination.setdefault("ports", self._choose_ports())
        if destination.pop("http", None) is None or self.rng.random() < 0.5:
            destination["http"] = self._choose_http()

    def _change_hosts(self, destination: Object, namespace: str) -> None:
        """Rename, add or remove one; now and then one that is refused."""
        if destination.get("addresses"):
            return
        hosts = list(destination["hosts"])
        kind = self.rng.random()
        if kind < 0.1:
            # A Service inside the cluster needs no policy: refused.
            hosts = [*hosts, f"db.{namespace}.svc"]
        elif kind < 0.4 and len(hosts) > 1:
            hosts.pop()
        elif kind < 0.7:
            hosts[0] = self.rng.choice(HOSTS)
        else:
            hosts.append(self.rng.choice(HOSTS))
        destination["hosts"] = list(dict.fromkeys(hosts))[:4]


def place_squatters(client: Client) -> dict[Key, Object]:
    """Place objects of somebody else in each namespace: as they are stored."""
    placed: dict[Key, Object] = {}
    for namespace in NAMESPACES:
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        owner = client.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "owner", "namespace": namespace},
            }
        )
        for item in _build_squatters(namespace, owner):
            stored = client.create(item)
            placed[read_key(stored)] = stored
    return placed


def _build_squatters(namespace: str, owner: Object) -> list[Object]:
    entry, route, owned = SQUATTED
    with_label = _build_entry(namespace, build_host_name(owned), owned)
    with_label["metadata"] |= {
        "labels": {MANAGED_BY_LABEL: MANAGED_BY},
        "annotations": {HOST_ANNOTATION: owned},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
            }
        ],
    }
    return [
        _build_entry(namespace, build_host_name(entry), entry),
        {
            "apiVersion": API_VERSIONS[ROUTE],
            "kind": ROUTE,
            "metadata": {"name": build_host_name(route), "namespace": namespace},
            "spec": {"hosts": [route], "http": [{"route": [{"destination": {"host": route}}]}]},
        },
        with_label,
        # Not under our name: it shadows a host.
        _build_entry(namespace, "by-hand", HOSTS[0]),
    ]


def _build_entry(namespace: str, name: str, host: str) -> Object:
    return {
        "apiVersion": API_VERSIONS[ENTRY],
        "kind": ENTRY,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [host],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "NONE",
        },
    }
