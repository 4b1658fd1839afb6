"""Faults for the compiler: `python -m mesh.oracle.fault` is `egressctl run` with all of them.

Each takes what the compiler made and spoils it, as a mistake in one of its modules would. It spoils
the hosts of the sets of its own number alone, so that all can be looked for at once.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from egress_operator.cli.main import main
from egress_operator.engine.transport import Transport
from egress_operator.istio.kind import Kind
from egress_operator.istio.kinds import replace_spec
from egress_operator.istio.object import Desired
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.service_entry import is_closed
from egress_operator.istio.virtual_service import MESH
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.piece import Pieces
from egress_operator.plan.plan import Plan, PlanCache, collect_set_allows, plan_in_pieces
from egress_operator.plan.source import NamespaceInput
from egress_operator.reconcile import planner
from egress_operator.runtime import operator
from egress_operator.status.gateway import Admission

if TYPE_CHECKING:
    from egress_operator.istio.set_key import SetKey

SET_HOST = re.compile(r"\.set-(\d+)\.example$")
Spec = dict[str, Any]
Fault = Callable[[Kind, Spec], bool]
"""Spoils a spec in place; False: the object is left out."""


def export_to_all(kind: Kind, spec: Spec) -> bool:
    """Give the host to every namespace."""
    if kind is Kind.SERVICE_ENTRY and spec["exportTo"] == ["."]:
        spec["exportTo"] = ["*"]
    return True


def send_wrong_sni(kind: Kind, spec: Spec) -> bool:
    """Ask for another server in TLS."""
    for tls in _find_originated(kind, spec):
        tls["sni"] = f"wrong.{tls.get('sni', 'example')}"
    return True


def omit_names(kind: Kind, spec: Spec) -> bool:
    """Take any certificate."""
    for tls in _find_originated(kind, spec):
        tls.pop("subjectAltNames", None)
    return True


def open_closed_entry(kind: Kind, spec: Spec) -> bool:
    """Let a host be reached past its routes."""
    if kind is Kind.SERVICE_ENTRY and is_closed(spec):
        # Istio refuses DNS for a wildcard.
        spec["resolution"] = "DYNAMIC_DNS" if is_wildcard(spec["hosts"][0]) else "DNS"
    return True


def widen_access(kind: Kind, spec: Spec) -> bool:
    """Let whoever has the right name into the gateway."""
    if kind is Kind.AUTHORIZATION_POLICY:
        for rule in spec.get("rules", ()):
            rule.pop("from", None)
    return True


def ignore_target(kind: Kind, spec: Spec) -> bool:
    """Ask servers on the port that was dialled."""
    if kind is Kind.SERVICE_ENTRY:
        for port in spec["ports"]:
            port.pop("targetPort", None)
    return True


def lose_timeout(kind: Kind, spec: Spec) -> bool:
    """Let requests take for ever."""
    for rule in _find_http(kind, spec):
        rule.pop("timeout", None)
    return True


def retry_twice_over(kind: Kind, spec: Spec) -> bool:
    """Try again on the gateway too."""
    if _is_of_gateway(kind, spec):
        for rule in _find_http(kind, spec):
            rule["retries"] = {"attempts": 1, "retryOn": "503"}
    return True


def keep_headers(kind: Kind, spec: Spec) -> bool:
    """Tell the outside who called."""
    if _is_of_gateway(kind, spec):
        for rule in _find_http(kind, spec):
            rule.pop("headers", None)
    return True


def lose_authority(kind: Kind, spec: Spec) -> bool:
    """Ask the outside for a synthetic name."""
    if _is_of_gateway(kind, spec):
        for rule in _find_http(kind, spec):
            rule.pop("rewrite", None)
    return True


def ignore_source(kind: Kind, spec: Spec) -> bool:
    """Let every workload of the namespace call."""
    if kind is Kind.VIRTUAL_SERVICE:
        for name in ("http", "tls", "tcp"):
            for rule in spec.get(name, ()):
                for match in rule.get("match", ()):
                    match.pop("sourceLabels", None)
    return True


def lose_addresses(kind: Kind, spec: Spec) -> bool:
    """Let a TCP host take its port from all others."""
    if kind is Kind.SERVICE_ENTRY and spec["resolution"] != "NONE":
        spec.pop("addresses", None)
    return True


def ignore_backends(kind: Kind, spec: Spec) -> bool:
    """Seek a host by its own name although the policy says where it is."""
    if kind is Kind.SERVICE_ENTRY and spec.get("endpoints") and "addresses" not in spec:
        spec.pop("endpoints")
        spec["resolution"] = "DNS"
    return True


def follow_copies(kind: Kind, spec: Spec) -> bool:
    """Ask the backend that is to get nothing but copies."""
    for rule in _find_http(kind, spec):
        for copies in rule.pop("mirrors", ()):
            rule["route"] = [{"destination": copies["destination"]}]
    return True


def turn_order(kind: Kind, spec: Spec) -> bool:
    """Ask the backend first that is to be asked last."""
    endpoints = spec.get("endpoints", ()) if kind is Kind.SERVICE_ENTRY else ()
    labels: Spec = next((item["labels"] for item in endpoints if "labels" in item), {})
    for endpoint in endpoints if labels else ():
        if endpoint.pop("labels", None) is None:
            endpoint["labels"] = labels
    return True


def leave_private_name_open(kind: Kind, spec: Spec) -> bool:
    """Let the private name of a host be a way round `from`."""
    hosts = spec.get("hosts", ("",))
    return kind is not Kind.VIRTUAL_SERVICE or not hosts[0].endswith(".direct.internal")


def borrow_certificates(kind: Kind, spec: Spec) -> bool:
    """Let one tenant be known by the other's certificate."""
    for tls in _find_tls(kind, spec):
        if name := tls.get("credentialName"):
            tls["credentialName"] = f"pay.{name.partition('.')[2]}"
    return True


def trust_system(kind: Kind, spec: Spec) -> bool:
    """Ask the system's authorities instead of the one that the policy names."""
    for tls in _find_tls(kind, spec):
        tls.pop("caCertificates", None)
    return True


def speak_http1(kind: Kind, spec: Spec) -> bool:
    """Take every HTTP for that of version 1."""
    if kind is Kind.SERVICE_ENTRY:
        for port in spec["ports"]:
            if port["protocol"] in {"HTTP2", "GRPC"}:
                port["protocol"] = "HTTP"
    return True


def forget_account(kind: Kind, spec: Spec) -> bool:
    """Take every machine inside the mesh for the right one."""
    if kind is Kind.SERVICE_ENTRY:
        for endpoint in spec.get("endpoints", ()):
            endpoint.pop("serviceAccount", None)
    return True


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        export_to_all,
        send_wrong_sni,
        omit_names,
        open_closed_entry,
        widen_access,
        ignore_target,
        lose_timeout,
        retry_twice_over,
        keep_headers,
        lose_authority,
        ignore_source,
        lose_addresses,
        ignore_backends,
        leave_private_name_open,
        borrow_certificates,
        trust_system,
        speak_http1,
        forget_account,
        follow_copies,
        turn_order,
    )
}
FAR_REACHING = ("lose_addresses",)
"""Those that spoil what other sets do: a TCP host without addresses takes the port of all."""


def _find_tls(kind: Kind, spec: Spec) -> list[Spec]:
    """Find the settings of TLS of a DestinationRule and of its ports."""
    if kind is not Kind.DESTINATION_RULE:
        return []
    policy = spec.get("trafficPolicy", {})
    parts = (policy, *policy.get("portLevelSettings", ()))
    return [part["tls"] for part in parts if "tls" in part]


def _find_originated(kind: Kind, spec: Spec) -> list[Spec]:
    """Find the settings of TLS that goes to an outside server."""
    return [tls for tls in _find_tls(kind, spec) if tls.get("mode") in {"SIMPLE", "MUTUAL"}]


def _find_http(kind: Kind, spec: Spec) -> list[Spec]:
    return spec.get("http", []) if kind is Kind.VIRTUAL_SERVICE else []


def _is_of_gateway(kind: Kind, spec: Spec) -> bool:
    return kind is Kind.VIRTUAL_SERVICE and MESH not in spec["gateways"]


def find_planted(host: str) -> Fault | None:
    """Find the fault for a host: that of the number of its set. Pure."""
    found = SET_HOST.search(host)
    number = int(found[1]) if found else len(FAULTS)
    return dict(enumerate(FAULTS.values())).get(number)


def spoil(fault: Fault, group: ObjectSet) -> ObjectSet:
    """Let a fault spoil the objects of a host. Pure."""
    allows = {item.key: item for item in _spoil_objects(fault, group.allows)}
    return replace(
        group,
        objects=tuple(_spoil_objects(fault, group.objects)),
        allows=tuple(allows.values()),
        # Clients wait for what stands: those of the gateway itself are not spoiled.
        permits=tuple(allows.get(item.key, item) for item in group.permits),
    )


def _spoil_objects(fault: Fault, objects: tuple[Desired, ...]) -> Iterator[Desired]:
    for desired in objects:
        spec = deepcopy(dict(desired.spec))
        if fault(desired.key.kind, spec):
            yield replace_spec(desired, spec)


class _Spoiler:
    """Spoils every plan; what is unchanged stays the identical value, as the planner asks."""

    def __init__(self) -> None:
        self._groups: dict[SetKey, tuple[ObjectSet, ObjectSet]] = {}

    def plan(self, inputs: NamespaceInput, memo: PlanCache) -> Pieces[Plan]:
        """Stand in for `plan_in_pieces`."""
        plan = yield from plan_in_pieces(inputs, memo)
        groups = {key: self._spoil_group(group) for key, group in plan.sets.items()}
        return replace(plan, sets=groups, allows=collect_set_allows(groups.values()))

    def _spoil_group(self, group: ObjectSet) -> ObjectSet:
        fault = find_planted(str(group.key))
        if fault is None:
            return group
        before, after = self._groups.get(group.key, (None, None))
        if before is not group or after is None:
            after = spoil(fault, group)
            self._groups[group.key] = (group, after)
        return after


async def _find_strict(transport: Transport) -> Admission:
    """Stand in for `read_admission`: in force, the policies would refuse what faults write."""
    del transport
    return Admission("")


if __name__ == "__main__":
    operator.read_admission = _find_strict  # type: ignore[attr-defined]
    planner.plan_in_pieces = _Spoiler().plan  # type: ignore[attr-defined]
    sys.argv.append("run")
    main()
