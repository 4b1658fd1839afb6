"""Istio objects and conditions in the words of the demo. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from egress_operator.istio.object import GATEWAY_ANNOTATION, HOST_ANNOTATION, NAMESPACE_ANNOTATION
from testbed.client import Object

_INTERNAL_NAME = r"[\w.*-]+\.(?:egress|direct)\.internal"
_INTERNAL_NAMES = re.compile(f"{_INTERNAL_NAME}(?:, {_INTERNAL_NAME})*")
"""Names that the operator makes up; no DNS server knows them."""
SERVICE_SUFFIX = ".svc.cluster.local"
RESOLUTIONS = {
    "DYNAMIC_DNS": "each name resolved by DNS when it is called",
    "DNS": "resolved by DNS",
    "DNS_ROUND_ROBIN": "resolved by DNS",
    "NONE": "sent on to the address that the application dials",
}


def describe_items(own: Sequence[Object], shared: Sequence[Object], *, verbose: bool) -> list[str]:
    """Tell what the operator made of a policy: a line per object, or one line through a gateway.

    `own` belong to the policy; `shared` to all hosts of its namespace at its gateway.
    """
    if verbose or not shared:
        return [_describe_line(item, verbose=verbose) for item in (*own, *shared)]
    count = _count(len(own) + len(shared), "object")
    hosts = sorted({item["metadata"]["annotations"][HOST_ANNOTATION] for item in own})
    service = next(
        shorten(item["spec"]["host"]) for item in shared if item["kind"] == "DestinationRule"
    )
    way = f"sidecar -> {service} -> {', '.join(hosts)} ({_describe_protocol(own)})"
    return [
        f"{count}: {way}",
        f"{len(shared)} of them serve all hosts that the namespace calls through this gateway",
    ]


def describe_count(own: Sequence[Object], shared: Sequence[Object]) -> str:
    """Tell in one line what the operator made of a policy."""
    if shared:
        return describe_items(own, shared, verbose=False)[0]
    kinds = Counter(item["kind"] for item in own)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _describe_protocol(items: Iterable[Object]) -> str:
    """Tell what the gateway does with the bytes."""
    entries = [item for item in items if item["kind"] == "ServiceEntry" and not is_at_gateway(item)]
    if any(mode not in {"", "ISTIO_MUTUAL"} for item in items for mode in _find_tls_modes(item)):
        return "TLS origination"
    protocols = sorted({port["protocol"] for item in entries for port in item["spec"]["ports"]})
    return "the application's TLS" if protocols == ["TLS"] else " and ".join(protocols)


def _find_tls_modes(item: Object) -> list[str]:
    if item["kind"] != "DestinationRule":
        return []
    return [tls.get("mode", "") for tls in _find_tls(item["spec"])]


def _describe_line(item: Object, *, verbose: bool) -> str:
    name = f" {item['metadata']['name']}" if verbose else ""
    return f"{item['kind']}{name}: {describe_object(item, verbose=verbose)}"


def describe_object(item: Object, *, verbose: bool = False) -> str:
    """Tell what an Istio object does, in one line without its name."""
    facts = [fact for fact in _FACTS[item["kind"]](item["spec"]) if fact]
    if item["kind"] == "VirtualService" and is_at_gateway(item):
        facts.append(f"to {item['metadata']['annotations'][HOST_ANNOTATION]}")
    text = ", ".join(facts)
    return text if verbose else _hide(text)


def shorten(host: str) -> str:
    """Name a Service of the mesh by its own name alone."""
    return host.partition(".")[0] if host.endswith(SERVICE_SUFFIX) else host


def _hide(text: str) -> str:
    """Put words in the place of made-up names."""
    return _INTERNAL_NAMES.sub("an internal name", text)


def _describe_entry(spec: Object) -> list[str]:
    ports = [f"{port['protocol']} {port['number']}" for port in spec["ports"]]
    endpoints = [str(entry["address"]).rstrip(".") for entry in spec.get("endpoints", ())]
    if endpoints and endpoints != spec["hosts"]:
        where = f"at {', '.join(endpoints)}"
    elif spec.get("resolution") == "STATIC":
        where = "without an address: only a route leads there"
    else:
        where = RESOLUTIONS[spec.get("resolution", "NONE")]
    addresses = [f"dialled at {address}" for address in spec.get("addresses", ())]
    return [*spec["hosts"], *ports, *addresses, where]


def _describe_route(spec: Object) -> list[str]:
    facts = [", ".join(spec["hosts"])]
    for rule in (*spec.get("http", ()), *spec.get("tls", ()), *spec.get("tcp", ())):
        facts += _describe_rule(rule, spec["hosts"])
    return list(dict.fromkeys(facts))


def _describe_rule(rule: Object, hosts: Sequence[str]) -> list[str]:
    if "directResponse" in rule:
        return [f"all others get {rule['directResponse']['status']}"]
    labels = {
        f"{key}={value}": None
        for match in rule.get("match", ())
        for key, value in match.get("sourceLabels", {}).items()
    }
    ways = [(shorten(route["destination"]["host"]), route) for route in rule.get("route", ())]
    total = sum(route.get("weight", 0) for _, route in ways)
    copies = [shorten(way["destination"]["host"]) for way in rule.get("mirrors", ())]
    retries = rule.get("retries", {})
    tries = retries.get("attempts", 0)
    each = f" of {retries['perTryTimeout']} each" if tries and "perTryTimeout" in retries else ""
    return [
        *(f"for {label}" for label in labels),
        *(
            f"{route['weight']} of {total} to {target}" if total else f"to {target}"
            for target, route in ways
            if target not in hosts
        ),
        *(f"copies to {target}" for target in copies),
        f"timeout {rule['timeout']}" if "timeout" in rule else "",
        f"{tries} {'retry' if tries == 1 else 'retries'}{each}" if tries else "",
    ]


def _find_tls(spec: Object) -> list[Object]:
    policies = [spec.get("trafficPolicy", {})]
    policies += [subset.get("trafficPolicy", {}) for subset in spec.get("subsets", ())]
    ports = [port for policy in policies for port in policy.get("portLevelSettings", ())]
    return [policy["tls"] for policy in (*policies, *ports) if "tls" in policy]


_SETTINGS = {
    "loadBalancer": "chooses a server",
    "connectionPool": "limits connections",
    "outlierDetection": "leaves out servers that fail",
}


def _describe_destination(spec: Object) -> list[str]:
    facts = [f"to {shorten(spec['host'])}"]
    facts += [words for key, words in _SETTINGS.items() if key in spec.get("trafficPolicy", {})]
    for tls in _find_tls(spec):
        if tls["mode"] == "ISTIO_MUTUAL":
            facts.append("the mesh's mutual TLS")
        elif tls["mode"] != "DISABLE":
            facts.append(f"TLS origination as {tls.get('sni', 'the called host')}")
    return facts


def _describe_gateway(spec: Object) -> list[str]:
    ports = dict.fromkeys(str(server["port"]["number"]) for server in spec["servers"])
    hosts = [host.partition("/")[2] for server in spec["servers"] for host in server["hosts"]]
    return [f"listens on {', '.join(ports)} for {', '.join(hosts)}"]


def _describe_access(spec: Object) -> list[str]:
    if not spec.get("rules"):
        return ["denies what no other AuthorizationPolicy allows"]
    sources = [entry["source"] for rule in spec["rules"] for entry in rule.get("from", ())]
    namespaces = [
        f"namespace {name}" for source in sources for name in source.get("namespaces", ())
    ]
    accounts = [
        f"service account {name.rpartition('/')[2]}"
        for source in sources
        for name in source.get("principals", ())
    ]
    return [f"allows {' and '.join(dict.fromkeys([*namespaces, *accounts]))}"]


def _describe_filter(spec: Object) -> list[str]:
    sockets = [patch["match"]["listener"]["name"] for patch in spec["configPatches"]]
    return [f"finds names by the server name of TLS on {', '.join(map(shorten, sockets))}"]


_FACTS: Mapping[str, Callable[[Object], list[str]]] = {
    "ServiceEntry": _describe_entry,
    "VirtualService": _describe_route,
    "DestinationRule": _describe_destination,
    "Gateway": _describe_gateway,
    "AuthorizationPolicy": _describe_access,
    "EnvoyFilter": _describe_filter,
}


def is_at_gateway(item: Object) -> bool:
    """Whether an object is for a gateway's proxies, not for sidecars."""
    return item["kind"] in {"Gateway", "AuthorizationPolicy", "EnvoyFilter"} or (
        item["spec"].get("exportTo") not in (None, ["."])
    )


def find_own(items: Iterable[Object], policy: Object) -> list[Object]:
    """Find the objects of a policy's hosts, those at the gateway included.

    The owner would not do: none can be in another namespace than the object.
    """
    hosts = {host for entry in policy["spec"]["destinations"] for host in entry["hosts"]}
    return [
        item
        for item in items
        if item["metadata"].get("annotations", {}).get(HOST_ANNOTATION) in hosts
        and _find_namespace(item) == policy["metadata"]["namespace"]
    ]


def find_shared(items: Iterable[Object], namespace: str) -> list[Object]:
    """Find the objects that serve all hosts which a namespace calls through a gateway."""
    return [
        item
        for item in items
        if GATEWAY_ANNOTATION in (annotations := item["metadata"].get("annotations", {}))
        and HOST_ANNOTATION not in annotations
        and _find_namespace(item) == namespace
    ]


def _find_namespace(item: Object) -> str:
    """Return the namespace that an object serves; those at a gateway are in another one."""
    metadata = item["metadata"]
    return str(metadata.get("annotations", {}).get(NAMESPACE_ANNOTATION, metadata["namespace"]))


def find_condition(item: Object, type_: str) -> Object:
    """Return a condition, `{}` when there is none yet or it is of an older generation."""
    generation = item["metadata"].get("generation")
    for condition in item.get("status", {}).get("conditions", ()):
        if condition["type"] == type_ and condition.get("observedGeneration") == generation:
            return dict(condition)
    return {}


def describe_condition(condition: Object) -> str:
    """Write `TYPE=STATUS`, the reason where it is not True, and the message."""
    reason = "" if condition["status"] == "True" else f" ({condition['reason']})"
    return f"{condition['type']}={condition['status']}{reason}, {condition['message']}"


def describe_conditions(item: Object) -> list[str]:
    """Write every condition of a policy or gateway in a line: type, status, reason, message."""
    label = f"{item['kind']} {item['metadata']['name']}"
    conditions = item.get("status", {}).get("conditions", ())
    if not conditions:
        return [f"{label}: no status yet; is the operator running?"]
    return [
        f"{label}: {entry['type']}={entry['status']} {entry['reason']}: {entry['message']}"
        for entry in conditions
    ]
