"""Everybody at the interface: users, strangers and the platform team do one thing at a time."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from permission.tenant import Tenant
from testbed.client import ApiError, Client, ConnectError, Object
from testbed.deadline import wait_until

from .etcd import Etcd
from .history import Key
from .place import GATEWAYS, NAMES, TENANTS
from .stranger import Strangers
from .team import Platform
from .user import Users

GONE_S = 60.0
UNAVAILABLE = {429, 500, 503, 504}
"""What an API server that has just started may answer."""
REFUSED = {403, 404, 409, 422, *UNAVAILABLE}
"""An operation on what is not there, is there, or may not be so: it is not done."""

Memory = dict[Key, Object]


@dataclass
class World:
    """All of them. The same seed gives the same operations."""

    client: Client
    etcd: Etcd
    rng: random.Random
    patient: bool = True
    """Whether there is time for what the operator deletes only after two looks at it."""
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.users = Users(self.client, self.etcd)
        self.strangers = Strangers(self.client)
        self.platform = Platform(self.client)

    def begin(self) -> None:
        """Write namespaces, pods and gateways, and a policy for each tenant."""
        self.platform.begin()
        for tenant in TENANTS:
            self.users.write_policy(tenant, NAMES[0], self.rng, GATEWAYS[0])

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
        return dict(self.strangers.foreign)

    def recall(self, memory: Memory) -> None:
        """Know again what was known when `remember` was called."""
        self.strangers.foreign = memory

    def _list_choices(self) -> dict[Callable[[random.Random], None], int]:
        users, strangers, platform = self.users, self.strangers, self.platform
        quick: dict[Callable[[random.Random], None], int] = {
            users.apply: 10, users.pause: 3, users.resume: 3, users.spoil: 3, users.corrupt: 1,
            users.rename_gateway: 3, users.change_accounts: 3, users.delete: 4, users.recreate: 3,
            users.hold: 1, users.release: 1,
            strangers.forge: 2, strangers.squat: 1, strangers.tidy: 1, strangers.tamper: 4,
            platform.relabel: 6, platform.edit_gateway: 4, platform.recreate_gateway: 1,
        }  # fmt: skip
        slow = {
            users.orphan: 2, strangers.disown: 1,
            self.delete_namespace: 1, platform.remake_namespace: 2,
        }  # fmt: skip
        return {**quick, **slow} if self.patient else quick

    def delete_namespace(self, rng: random.Random) -> None:
        """Delete a namespace with all that is in it."""
        namespace = rng.choice(TENANTS)
        self.platform.delete_namespace(namespace)
        self.strangers.forget(namespace)

    def settle(self) -> None:
        """Write all policies and gateways so that nothing is on hold or in the way."""
        self.strangers.clear()
        self.users.release(self.rng)
        wait_until(lambda: not self.platform.list_terminating(), GONE_S, "namespaces do not go")
        self.platform.remake_namespace(self.rng)
        self.platform.settle()
        for tenant in TENANTS:
            for name in NAMES:
                self.users.write_policy(tenant, name, self.rng, self.rng.choice(["", *GATEWAYS]))
                Tenant(self.client, tenant).pause(name, paused=False)
