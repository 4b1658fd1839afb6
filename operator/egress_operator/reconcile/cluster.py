"""What the operator knows of the cluster: policies, gateways, Istio objects, namespaces.

Only this memory is read to decide. It is filled by watches and by the answers to our own writes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.istio.kind import UNOWNED, Kind, ObjectKey
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.name import is_behind_form, is_label
from egress_operator.istio.object import GATEWAY_KIND, Desired, Observed, Owner
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import GatewaySet, HostSet, Scope, SetKey, TenantSet, find_scope
from egress_operator.plan.foreign import Surroundings
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.permission import (
    Standing,
    build_standing,
    find_server_namespace,
    plan_gateways,
)
from egress_operator.plan.piece import Pieces
from egress_operator.plan.plan import Plan
from egress_operator.plan.readiness import (
    Audience,
    GatewayServices,
    find_audience,
    find_unready,
)
from egress_operator.plan.reserved import list_reserved_domains
from egress_operator.plan.source import (
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
    build_hand_written,
    find_rule_ages,
)
from egress_operator.plan.standing import HostStanding, build_host_standings
from egress_operator.reconcile.foreign import ForeignObjects
from egress_operator.reconcile.lane import Lanes
from egress_operator.reconcile.namespace import NamespaceCache, NamespaceChangeHook
from egress_operator.reconcile.objects import (
    EVERYWHERE,
    ObjectCache,
    ObjectChangeHook,
    list_kinds,
)
from egress_operator.reconcile.record import OwnKey, OwnKind, RecordStore
from egress_operator.reconcile.service_index import ServiceIndex
from egress_operator.reconcile.sidecar import SidecarCache, SidecarChangeHook
from egress_operator.status.gateway import Admission

PIECE = 16
"""Hosts of which what stands is gathered in one piece."""


class Cluster:
    """All of it, and the inputs of the plans."""

    def __init__(
        self,
        scopes: Sequence[str],
        stores: Mapping[OwnKind, RecordStore[Any]],
        *,
        on_object: ObjectChangeHook,
        on_namespace: NamespaceChangeHook,
        on_sidecar: SidecarChangeHook = lambda *_: None,
        settings: Settings,
    ) -> None:
        self._scopes = scopes
        self._everywhere = tuple(scopes) == (EVERYWHERE,)
        self.stores = stores
        """The objects of our own kinds."""
        self.policies: RecordStore[PolicySource] = stores[OwnKind.POLICY]
        self.gateways: RecordStore[GatewaySource] = stores[OwnKind.GATEWAY]
        self.namespaces = NamespaceCache(on_namespace)
        self.sidecars = SidecarCache(scopes, on_sidecar)
        domains = list_reserved_domains(settings)
        self.objects = ObjectCache(scopes, on_object, self._recognize, domains)
        self._places: dict[str, str] = {}
        """The namespaces of gateways by their labels, former ones too."""
        self.lanes = Lanes()
        self.service_index = ServiceIndex()
        self.settings = settings
        self.gone: frozenset[Owner] = frozenset()
        """Owners that objects still name, although a list has shown that they are gone."""
        self.orphans: frozenset[ObjectKey] = frozenset()
        """Our objects that have had no owner for a while: `OrphanCollector`."""
        self.unready: dict[str, str] = {}
        """Why gateways cannot carry traffic, by their names; those that can are left out."""
        self._audiences: dict[str, Audience] = {}
        """Who sees the Services of those that can, where not all do."""
        self.admission = Admission("not looked at yet")
        self._judged: tuple[tuple[GatewaySource, ...], Settings] | None = None
        self._results: dict[str, GatewayResult] = {}
        self._foreign = ForeignObjects()

    def build_sinks(
        self, on_unreadable: UnreadableHook, on_list: Callable[[str], None]
    ) -> Iterator[tuple[str, CacheSink[Any, Any]]]:
        """Make (namespace, sink) for each watch that is needed; the namespace is empty for all.

        `on_list` is called after each list of Istio's objects, with its version.
        """
        for store in self.stores.values():
            yield from store.build_sinks(on_unreadable)
        if self._everywhere:
            # Roles in single namespaces cannot grant it.
            yield EVERYWHERE, self.namespaces.build_sink(on_unreadable)
        yield from self.sidecars.build_sinks(on_unreadable)
        for kind in list_kinds(self._scopes):
            for scope in self._scopes:
                sink = self.objects.build_sink(
                    kind, scope, on_unreadable=on_unreadable, on_finish=on_list
                )
                yield scope, sink

    def build_input(self, namespace: str, before: Plan | None = None) -> Pieces[NamespaceInput]:
        """Gather everything that the plan of a namespace depends on, as it is now; in pieces.

        `before`: its present plan. What that wants may come until there is another one, so it
        counts as standing, and nobody has it yet.
        """
        sidecars = yield from self.sidecars.choose(namespace, self.settings.root_namespace)
        records = list(self.policies.select(namespace))
        policies = tuple(record.source for record in records if not record.deleting)
        objects = list(self.objects.select(namespace))
        hand_written = tuple(
            build_hand_written(observed)
            for observed in objects
            if not observed.ours and observed.facts.hosts
        )
        owners = {Owner(record.source.name, record.source.uid) for record in records}
        inputs = NamespaceInput(
            namespace=namespace,
            policies=policies,
            settings=self.settings,
            hand_written=hand_written,
            rule_ages=find_rule_ages(objects),
            gateways=self._list_gateways(),
            labels=self.namespaces.get_labels(namespace),
            unready=self._find_unready(namespace),
            guards_sockets=self.admission.guards_sockets,
            sidecars=sidecars,
        )
        hosts: defaultdict[SetKey, list[Observed]] = defaultdict(list)
        wanted = (
            chain.from_iterable(item.objects for item in before.sets.values()) if before else ()
        )
        coming = self.objects.find_coming(wanted)
        for item in objects:
            if isinstance(item.set_key, HostSet):
                hosts[item.set_key].append(item)
        for number, desired in enumerate(coming):
            if number % PIECE == 0:
                yield
            if isinstance(key := desired.set_key, HostSet) and key.namespace == namespace:
                hosts[key].append(read_observed(build_manifest(desired, ())))
        found, standing = list(hosts.values()), list[HostStanding]()
        for start in range(0, len(found), PIECE):
            yield
            part = chain.from_iterable(found[start : start + PIECE])
            standing += build_host_standings(part, owners)
        return replace(inputs, standing=tuple(standing))

    def plan_gateways(
        self, wanted: Mapping[str, Iterable[Desired]], *, before: Plan | None, is_complete: bool
    ) -> Plan:
        """Plan what the gateways have for tenants; the arguments are as of the function."""
        return plan_gateways(
            self.judge_gateways(),
            wanted,
            self._find_standing(),
            self._is_selected,
            before=before,
            is_complete=is_complete,
        )

    def _find_standing(self) -> dict[GatewaySet, Standing]:
        """Return what stands at each EgressGateway; also at one that is gone, and elsewhere."""
        results = self.judge_gateways()
        policies: dict[GatewaySet, list[Observed]] = {
            result.set_key: [] for result in results.values()
        }
        for item in self.objects.select_policies(self.find_gateway_namespaces()):
            if isinstance(item.set_key, GatewaySet):
                policies.setdefault(item.set_key, []).append(item)
        return {
            key: build_standing(found, self._select_servers(self._find_places(key, found, results)))
            for key, found in policies.items()
        }

    def _select_servers(self, places: Iterable[str]) -> Iterator[Observed]:
        for label in places:
            yield from self.objects.select_servers(label)

    def _find_places(
        self,
        key: GatewaySet,
        policies: Iterable[Observed],
        results: Mapping[str, GatewayResult],
    ) -> set[str]:
        """Return the labels of an EgressGateway: those of its policies in a namespace.

        Where it is, also its present one, and those of the servers that it owns.
        """
        places = {item.place for item in policies}
        result = results.get(key.gateway)
        if result is None or result.set_key != key:
            return places
        if result.gateway is not None:
            places.add(result.gateway.label)
        labels = self.objects.find_owned_labels(key.gateway)
        return places | {label for label in labels if self._owns(key.gateway, label)}

    def _owns(self, name: str, label: str) -> bool:
        """Whether an EgressGateway of this name owns the servers of tenants at a place."""
        return any(
            owner.kind == GATEWAY_KIND and owner.name == name
            for item in self.objects.select_servers(label)
            if isinstance(item.set_key, TenantSet)
            for owner in item.owners
        )

    def find_standing(self, name: str) -> tuple[set[str], int]:
        """Return the namespaces that have something at an EgressGateway, and how many hosts do."""
        results = self.judge_gateways()
        key = results[name].set_key
        policies = list(self.select_set(key))
        places = self._find_places(key, policies, results)
        hosts = {host for label in places for host in self.objects.find_served(label)}
        scopes = {host.namespace for host in hosts}
        scopes |= {item.tenant for item in policies if item.tenant}
        scopes |= {find_server_namespace(item) for item in self._select_servers(places)}
        return scopes, len(hosts)

    def select_set(self, key: SetKey) -> Iterator[Observed]:
        """Give the objects of a set that stand; of a host, those with other names than the host's.

        Only at an accepted EgressGateway can there be some that do not name it, so everything that
        stands there is looked at.
        """
        result = self.judge_gateways().get(key.gateway) if isinstance(key, GatewaySet) else None
        if result is None or result.gateway is None or result.set_key != key:
            return self.objects.select_set(key)
        found = chain.from_iterable(
            self.objects.select_kind(kind, key.namespace) for kind in sorted(UNOWNED)
        )
        return (item for item in found if item.set_key == key)

    def _is_selected(self, result: GatewayResult, namespace: str) -> bool:
        """Whether a namespace may use a gateway: not one that is gone, or is being deleted."""
        facts = self.namespaces.find(namespace)
        return facts is not None and not facts.terminating and result.is_open_to(facts.labels)

    def judge_gateways(self) -> Mapping[str, GatewayResult]:
        """Judge every EgressGateway, anew only when one of them or the settings changed."""
        seen = (self._list_gateways(), self.settings)
        if self._judged != seen:
            self._judged, self._results = seen, judge_gateways(*seen)
            self._foreign.clear()
            for result in self._results.values():
                self.lanes.note_place(result.set_key)
                if (gateway := result.gateway) is not None:
                    self._places[gateway.label] = gateway.namespace
        return self._results

    def refresh_unready(self) -> bool:
        """Look at what surrounds the gateways; whether what they can serve has changed."""
        services, endpoints = self.service_index.services, self.service_index.endpoints
        found: dict[str, str] = {}
        audiences: dict[str, Audience] = {}
        for name, result in self.judge_gateways().items():
            gateway = result.gateway
            if gateway is None or not self.service_index.is_known(gateway.namespace):
                continue
            servers = self.objects.select_kind(Kind.GATEWAY, gateway.namespace)
            foreign = tuple(item for item in servers if not item.ours)
            around = GatewayServices(services, endpoints, foreign, self.settings.service_export)
            if reason := find_unready(gateway, around):
                found[name] = reason
            elif audience := find_audience(gateway, around):
                audiences[name] = audience
        changed = (found, audiences) != (self.unready, self._audiences)
        self.unready, self._audiences = found, audiences
        return changed

    def _find_unready(self, namespace: str) -> dict[str, str]:
        """Return why gateways cannot carry the traffic of a namespace, by their names."""
        said = {name: item.find_unready(namespace) for name, item in self._audiences.items()}
        return self.unready | {name: reason for name, reason in said.items() if reason}

    def find_foreign(self, name: str) -> tuple[str, ...]:
        """Name the objects of others that may take the calls of tenants of an EgressGateway.

        Those of kind Gateway are judged by the labels and ports of its Service; while that is not
        known, by the labels of the EgressGateway alone, and its pods may have any port.
        """
        gateway = self.judge_gateways()[name].gateway
        if gateway is None:
            return ()
        intent = gateway.intent
        is_known = self.service_index.is_known(gateway.namespace)
        services = self.service_index.services if is_known else {}
        service = services.get((gateway.namespace, intent.service))
        selector = () if service is None else service.selector
        target = 0 if service is None else service.ports.get(intent.port, 0)
        # Any port of any Service that leads to the pods' port names the same listener.
        aliases = {
            number
            for (namespace, _), other in services.items()
            if namespace == gateway.namespace
            for number, its_target in other.ports.items()
            if its_target == target
        }
        around = Surroundings(
            gateway,
            tuple(sorted({**dict(selector), **dict(intent.selector)}.items())),
            frozenset({intent.port, target, *aliases}),
        )
        trusted = {
            *self.settings.platform_namespaces,
            self.settings.root_namespace,
            gateway.namespace,
        }
        return self._foreign.find(name, around, self.objects.list_foreign(trusted))

    def find_gateway_namespaces(self) -> frozenset[str]:
        """Return the namespaces of gateways that are accepted."""
        return frozenset(
            result.gateway.namespace
            for result in self.judge_gateways().values()
            if result.gateway is not None
        )

    def find_gateway_scopes(self) -> set[Scope]:
        """Return the scopes whose plans depend on the gateways."""
        return {None, *self.select_through_gateways()}

    def find_owner(self, owner: Owner, namespace: str) -> OwnKey:
        """Return the key of an owner of an object that stands in this namespace."""
        return self.stores[OwnKind(owner.kind)].key(namespace, owner.name)

    def is_owner(self, owner: Owner, namespace: str) -> bool:
        """Whether such an owner is there, and not being deleted."""
        key = self.find_owner(owner, namespace)
        return self.stores[key.kind].is_owner(key, owner.uid)

    def select_through_gateways(self) -> set[str]:
        """Find the namespaces with a policy that names a gateway."""
        return {record.source.namespace for record in self.policies if record.source.names_gateway}

    def goes_through_gateway(self, namespace: str) -> bool:
        """Whether a policy of a namespace names a gateway."""
        return any(record.source.names_gateway for record in self.policies.select(namespace))

    def _recognize(self, observed: Observed) -> Observed:
        """Return an object as it is to be taken, whatever it says of itself.

        What says to stand at a gateway, and does not, is somebody else's. An AuthorizationPolicy or
        EnvoyFilter at a gateway that has one of our names, and is for its pods, is ours although it
        does not tell of which EgressGateway: nobody owns it, so nothing else would tell.
        """
        if observed.key.kind in UNOWNED and not _names_gateway(observed):
            return self._recognize_unowned(observed)
        if not observed.place or self._is_believed(observed):
            return observed
        return observed.disown()

    def _is_believed(self, observed: Observed) -> bool:
        """Whether an object that says to stand in the namespace of a gateway does.

        Of a gateway that was never accepted since the start the place is not known: what says to be
        of a host there would hold up its tenant. So the tenant's own DestinationRule has to lead
        there. What nobody owns is of a set that concerns nobody else.
        """
        place = self._places.get(observed.place)
        if place is not None:
            return place == observed.key.namespace
        return observed.key.kind in UNOWNED or self._is_led_to(observed)

    def _is_led_to(self, observed: Observed) -> bool:
        """Whether the tenant of an object has a way to its namespace, under its label."""
        scope = None if observed.set_key is None else find_scope(observed.set_key)
        rule = self.objects.get(ObjectKey(Kind.DESTINATION_RULE, scope or "", observed.place))
        if rule is None or not rule.ours:
            return False
        return any(host.split(".")[1:2] == [observed.key.namespace] for host in rule.facts.hosts)

    def _recognize_unowned(self, observed: Observed) -> Observed:
        """Return what nobody owns as that of a gateway, if name and pods tell it."""
        key, selector = observed.key, observed.facts.selector
        is_policy = key.kind is Kind.AUTHORIZATION_POLICY
        if not (is_behind_form(key.name) or (is_policy and is_label(key.name))):
            return observed
        for result in self.judge_gateways().values():
            gateway = result.gateway
            if gateway is None or gateway.namespace != key.namespace:
                continue
            if gateway.intent.selector == selector:
                is_own = key.name == gateway.label
                return replace(
                    observed,
                    set_key=gateway.set_key,
                    place=gateway.label,
                    tenant="" if is_own else min(observed.facts.refs, default=""),
                    is_damaged=True,
                )
        return observed

    def _list_gateways(self) -> tuple[GatewaySource, ...]:
        return tuple(record.source for record in self.gateways if not record.deleting)


def _names_gateway(observed: Observed) -> bool:
    """Whether an object is of the set of an EgressGateway that it names."""
    return isinstance(observed.set_key, GatewaySet) and bool(observed.set_key.gateway)
