"""Small changes of policies and gateways, most for the worse. Deterministic by `Random`."""

import copy
from random import Random
from typing import Any

from api.corpus import Document, load_pairs, load_samples
from api.spelling import list_spellings
from egress_operator.api.gateway import Authorization
from egress_operator.api.scalar import Protocol, RetryCondition
from egress_operator.api.selector import SelectorOperator
from tools.crd import GATEWAY, POLICY

POOL: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    80,
    443,
    503,
    8443,
    15000,
    15099,
    65535,
    65536,
    2**63,
    1.5,
    "",
    "x",
    "a.example.com",
    "b.example.com",
    "A.example.com",
    "*.example.com",
    "203.0.113.10",
    "203.0.113.20",
    "203.0.113.0/24",
    "203.0.0.0/15",
    "2001:db8::1",
    "2001:db8::/48",
    "1s",
    "3s",
    "0s",
    "1h",
    "1.5s",
    "External",
    "Internal",
    "eu/west",
    "shared",
    "shop.client-cacert",
    "/etc/certs/ca.crt",
    "/etc/../ca.crt",
    "500ms",
    "x" * 300,
    [],
    {},
    ["a.example.com"],
    [503, 503],
    [{"number": 80, "protocol": "HTTP"}],
    [{"name": "v1", "endpoints": [{"address": "203.0.113.10", "serviceAccount": "x"}]}],
    {"timeout": "3s", "retries": {"attempts": 1, "perTryTimeout": "4s"}},
    {"name": "shared"},
    {"app": "checkout"},
    {"app": 1, "-": "-"},
    {"matchLabels": {"app": "checkout"}},
    {"serviceAccounts": ["checkout"]},
    {"files": {"ca": "/etc/certs/ca.crt"}},
    {"clientCertificateRef": {"name": "client"}, "caCertificateRef": {"name": "ca"}},
    *Protocol,
    *Authorization,
    *SelectorOperator,
    *RetryCondition,
    *list_spellings()[::20],
]
"""No whole number with a point: JSON's 503.0 reaches the server as such only from other clients
than kubectl, and it takes it where no CEL rule looks at the number."""

SAMPLES = list(load_samples().values())
FOREIGN = 0.1
"""How often a value or a field comes from anywhere, rather than from the same field elsewhere."""


def _collect(node: object, known: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """All values of each field; the items of a list stand under its field and `[]`."""
    if isinstance(node, dict):
        for key, value in node.items():
            known.setdefault(key, []).append(value)
            if isinstance(value, list):
                known.setdefault(f"{key}[]", []).extend(value)
            _collect(value, known)
    elif isinstance(node, list):
        for item in node:
            _collect(item, known)
    return known


KNOWN = _collect([pair.invalid["spec"] for pair in load_pairs()], _collect(SAMPLES, {}))
SIBLINGS = {
    "destinations[]": (
        "name",
        "hosts",
        "ports",
        "addresses",
        "location",
        "backends",
        "failover",
        "originateTLS",
        "http",
        "traffic",
    ),
    "ports[]": ("targetPort",),
    "backends[]": ("weight",),
    "endpoints[]": ("locality", "serviceAccount"),
    "http": ("timeout", "retries", "allow", "headers", "rewrite", "fault", "mirror"),
    "mirror": ("percentage",),
    "allow[]": ("methods", "paths", "headers"),
    "headers": ("request", "response"),
    "request": ("set", "add", "remove"),
    "response": ("set", "add", "remove"),
    "rewrite": ("host", "pathPrefix"),
    "fault": ("delay", "abort"),
    "delay": ("percentage",),
    "abort": ("percentage",),
    "retries": ("perTryTimeout", "conditions", "codes"),
    "originateTLS": (
        "serverName",
        "subjectAltNames",
        "caCertificateRef",
        "clientCertificateRef",
        "files",
    ),
    "files": ("ca", "certificate", "key"),
    "from": ("workloads", "serviceAccounts"),
    "matchLabels": ("app", "egress"),
    POLICY.kind: ("gatewayRef", "from", "justification"),
    "selector": ("app", "egress"),
    "namespaces": ("matchLabels", "matchExpressions"),
    "matchExpressions[]": ("values",),
    "traffic": ("loadBalancer", "connectionPool", "outlierDetection"),
    "loadBalancer": ("policy", "consistentHash"),
    "consistentHash": ("header", "cookie", "sourceIP"),
    "cookie": ("ttl",),
    "connectionPool": (
        "maxConnections",
        "connectTimeout",
        "maxPendingRequests",
        "maxRequestsPerConnection",
        "tcpKeepalive",
    ),
    "tcpKeepalive": ("time", "interval", "probes"),
    "outlierDetection": ("consecutive5xxErrors", "interval", "maxEjectionPercent"),
    "limits": ("hosts", "servers"),
    GATEWAY.kind: ("namespaces", "traffic", "limits"),
}
"""Optional fields of each kind of object."""


def mutate(random: Random) -> Document:
    """One of the valid samples with one to three changes below `spec`."""
    document = copy.deepcopy(random.choice(SAMPLES))
    for _ in range(random.randint(1, 3)):
        field, place = random.choice(_list_places(document["kind"], document["spec"]))
        _change(field, place, random)
    return document


def _list_places(field: str, node: object) -> list[tuple[str, Any]]:
    """Every object and list that can be changed, with the field that holds it."""
    if isinstance(node, dict):
        inner = [place for key, item in node.items() for place in _list_places(key, item)]
    elif isinstance(node, list):
        inner = [place for item in node for place in _list_places(f"{field}[]", item)]
    else:
        return []
    return [(field, node), *inner]


def _change(field: str, place: Any, random: Random) -> None:  # noqa: ANN401 - object or list
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    kind = random.choice(("replace", "remove", "add", "repeat"))
    if kind == "replace" and keys:
        key = random.choice(keys)
        place[key] = _choose(key if isinstance(key, str) else f"{field}[]", random)
    elif kind == "remove" and keys:
        del place[random.choice(keys)]
    elif isinstance(place, dict):
        foreign = random.random() < FOREIGN
        name = random.choice((*KNOWN, "unknown") if foreign else SIBLINGS.get(field, ("name",)))
        place[name] = _choose(name, random)
    elif kind == "repeat" and place:
        place.append(copy.deepcopy(random.choice(place)))
    else:
        place.append(_choose(f"{field}[]", random))


def _choose(field: str, random: Random) -> object:
    values = POOL if random.random() < FOREIGN else KNOWN.get(field) or POOL
    return copy.deepcopy(random.choice(values))
