"""A write whose answer is lost may have been made. No API server is needed."""

import asyncio
from itertools import count
from typing import Any

import jsonpatch
import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES
from wiring import Ignorant, wire

from .test_refused_write import THROUGH
from .test_urgent import build_gateway, build_namespace

pytestmark = pytest.mark.looptime

NAMESPACE, HOST = "web", "a.example.com"
SETTLED_S = 30.0
ENTRIES, ROUTES = RESOURCES[Kind.SERVICE_ENTRY], RESOURCES[Kind.VIRTUAL_SERVICE]
RULES = RESOURCES[Kind.DESTINATION_RULE]
Ports = tuple[int, ...]


class Server(Ignorant):
    """Stands for an API server whose watches are held up until `show`, and which loses answers."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str], dict[str, Any]] = {}
        self.lost: list[tuple[str, Resource]] = []
        """(verb, kind): each for one request, which is carried out, and never answered."""
        self.policy: dict[str, Any] = {}
        self.reads: list[Resource] = []
        self.is_away = False
        """Whether no request is answered or carried out."""
        self.dangling: list[tuple[Ports, Ports]] = []
        """Whenever a route led to more than its entry had: the ports of both."""
        self.without_rule: list[str] = []
        """Whenever a route led to a subset that no rule had: the subset."""
        self._versions = count(100)

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with the object as it was sent."""
        self._refuse_if_away()
        key = (resource, body["metadata"]["name"])
        if key in self.objects:
            raise ApiError(409, "AlreadyExists")
        uid = f"uid-{next(self._versions)}"
        return self._store("create", key, {**body, "metadata": {**body["metadata"], "uid": uid}})

    async def patch(
        self, resource: Resource, _: str, name: str, patch: list[Any], **options: object
    ) -> dict[str, Any]:
        """Answer with the object as it is then; nobody reads statuses here."""
        self._refuse_if_away()
        if options.get("subresource"):
            raise ApiError(422, "Invalid", "the server rejected our request due to an error in our")
        key = (resource, name)
        return self._store("patch", key, jsonpatch.apply_patch(self._find(*key), patch))

    async def delete(self, resource: Resource, _: str, name: str, **__: object) -> None:
        """Answer that it is gone."""
        self._refuse_if_away()
        self._find(resource, name)
        del self.objects[resource, name]
        self._note_state("delete", resource)

    async def list_page(self, resource: Resource, *, name: str = "", **_: object) -> dict[str, Any]:
        """Answer with one object as it is now, or with the policy."""
        self._refuse_if_away()
        if name:
            self.reads.append(resource)
        found = self.policy if resource == POLICIES else self.objects.get((resource, name))
        version = str(next(self._versions))
        return {"items": [found] if found else [], "metadata": {"resourceVersion": version}}

    def find_ports(self, resource: Resource) -> Ports:
        """Return the ports that the entry of the host has, or that its route leads to."""
        for (kind, _), body in self.objects.items():
            if kind != resource or body["spec"]["hosts"] != [HOST]:
                continue
            if kind == ENTRIES:
                return tuple(port["number"] for port in body["spec"]["ports"])
            rules = body["spec"]["http"]
            return tuple(rule["route"][0]["destination"]["port"]["number"] for rule in rules)
        return ()

    def _refuse_if_away(self) -> None:
        if self.is_away:
            raise ApiError(0, "ConnectionFailed")

    def _find(self, resource: Resource, name: str) -> dict[str, Any]:
        if (resource, name) not in self.objects:
            raise ApiError(404, "NotFound", subject=f"{resource.label}/{name}")
        return self.objects[resource, name]

    def _store(self, verb: str, key: tuple[Resource, str], body: dict[str, Any]) -> dict[str, Any]:
        metadata = {**body["metadata"], "resourceVersion": str(next(self._versions))}
        self.objects[key] = {**body, "metadata": metadata}
        self._note_state(verb, key[0])
        return dict(self.objects[key])

    def find_subsets(self) -> tuple[set[str], set[str]]:
        """Return the subsets that routes lead to, and those that rules have."""
        rules, routes = set[str](), set[str]()
        for (kind, _), body in self.objects.items():
            if kind == RULES:
                rules |= {subset["name"] for subset in body["spec"].get("subsets", ())}
            for rule in body["spec"].get("http", ()) if kind == ROUTES else ():
                routes |= {target["destination"].get("subset", "") for target in rule["route"]}
        return routes - {""}, rules

    def _note_state(self, verb: str, resource: Resource) -> None:
        routes, rules = self.find_subsets()
        self.without_rule += sorted(routes - rules)
        entry, route = self.find_ports(ENTRIES), self.find_ports(ROUTES)
        if not {*route} <= {*entry}:
            self.dangling.append((entry, route))
        if (verb, resource) in self.lost:
            self.lost.remove((verb, resource))
            raise ApiError(0, "ConnectionFailed")


class Site:
    """One policy for one host, and a server."""

    def __init__(self) -> None:
        self.server = Server()
        wired = wire(self.server)
        self.controller, self.sinks = wired.controller, wired.sinks
        self._versions = count(1)

    def apply(self, *ports: int, through: dict[str, Any] | None = None, **more: object) -> None:
        """Ask for these ports; without any, for nothing but another host."""
        listed = [{"number": port, "protocol": "HTTP"} for port in ports]
        destination = {"hosts": [HOST], "ports": listed, **more}
        other = {"hosts": ["other.example.com"]}
        version = next(self._versions)
        metadata = {"namespace": NAMESPACE, "name": "p", "uid": "u", "generation": version}
        self.server.policy = {
            "metadata": {**metadata, "resourceVersion": str(version)},
            "spec": {"destinations": [destination] if ports else [other], **(through or {})},
        }
        self.sinks[POLICIES].upsert(self.server.policy)

    def has(self, entry: Ports, route: Ports) -> bool:
        found = self.server.find_ports(ENTRIES), self.server.find_ports(ROUTES)
        return found == (entry, route)


WITH_ROUTE = {"http": {"timeout": "3s"}}


async def start(*ports: int, **more: Any) -> Site:  # noqa: ANN401 - fields of a destination
    site = Site()
    site.apply(*ports, **more)
    site.controller.start()
    await asyncio.sleep(SETTLED_S)
    assert site.server.find_ports(ENTRIES) == ports
    return site


async def change(site: Site, verb: str, resource: Resource) -> None:
    """Wait until the answer to a write is lost."""
    site.server.lost.append((verb, resource))
    for _ in range(30_000):
        await asyncio.sleep(0.001)
        if not site.server.lost:
            return
    pytest.fail(f"no {verb} of {resource.plural}")


async def test_a_route_whose_creation_is_not_answered_keeps_its_ports() -> None:
    site = await start(80)
    site.apply(80, **WITH_ROUTE)
    await change(site, "create", ROUTES)
    site.apply(8080)
    await asyncio.sleep(SETTLED_S)
    assert site.server.dangling == []
    assert site.has((8080,), ())
    await site.controller.stop(0)


async def test_a_route_whose_change_is_not_answered_keeps_its_ports() -> None:
    site = await start(80, **WITH_ROUTE)
    site.apply(80, 8080, **WITH_ROUTE)
    await change(site, "patch", ROUTES)
    site.apply(80, **WITH_ROUTE)
    await asyncio.sleep(SETTLED_S)
    assert site.server.dangling == []
    assert site.has((80,), (80,))
    await site.controller.stop(0)


async def test_an_entry_whose_deletion_is_not_answered_is_made_before_its_route() -> None:
    site = await start(80)
    site.apply()
    await change(site, "delete", ENTRIES)
    site.apply(80, **WITH_ROUTE)
    await asyncio.sleep(SETTLED_S)
    assert site.server.dangling == []
    assert site.has((80,), (80,))
    await site.controller.stop(0)


async def test_an_entry_whose_change_was_not_made_is_changed_before_its_route() -> None:
    site = await start(80, **WITH_ROUTE)
    site.server.is_away = True
    site.apply(80, 8080, **WITH_ROUTE)
    await asyncio.sleep(5)
    site.server.is_away = False
    await asyncio.sleep(SETTLED_S)
    assert site.server.dangling == []
    assert site.has((80, 8080), (80, 8080))
    await site.controller.stop(0)


async def test_a_rule_whose_deletion_is_not_answered_is_made_before_a_route_leads_to_it() -> None:
    site = Site()
    site.sinks[GATEWAYS].upsert(build_gateway())
    site.sinks[NAMESPACES].upsert(build_namespace(NAMESPACE, 1, egress="yes"))
    site.apply(80, through=THROUGH)
    site.controller.start()
    await asyncio.sleep(2 * SETTLED_S)
    routes, rules = site.server.find_subsets()
    assert routes
    assert routes == rules
    site.apply()
    await change(site, "delete", RULES)
    site.apply(80, through=THROUGH)
    await asyncio.sleep(2 * SETTLED_S)
    assert site.server.find_subsets() == (routes, rules)
    assert site.server.without_rule == []
    await site.controller.stop(0)


async def test_nothing_is_written_until_what_is_there_can_be_read() -> None:
    site = await start(80)
    site.apply(80, **WITH_ROUTE)
    await change(site, "create", ROUTES)
    site.server.is_away = True
    site.apply(8080)
    await asyncio.sleep(SETTLED_S)
    assert site.has((80,), (80,))
    site.server.is_away = False
    await asyncio.sleep(3 * SETTLED_S)
    assert site.server.dangling == []
    assert site.has((8080,), ())
    await site.controller.stop(0)


async def test_nothing_is_read_where_every_answer_comes() -> None:
    site = await start(80)
    site.apply(80, **WITH_ROUTE)
    await asyncio.sleep(SETTLED_S)
    site.apply(8080)
    await asyncio.sleep(SETTLED_S)
    assert site.has((8080,), ())
    assert site.server.reads == []
    await site.controller.stop(0)
