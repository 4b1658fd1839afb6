"""The operator's own account on a real API server: what it makes passes, and nothing else."""

import copy
from pathlib import Path
from typing import Any

import pytest

from delivery.admission import (
    ACCOUNT,
    OPERATOR,
    OUR_NAME,
    Object,
    build_ours,
    find_refusal,
    find_refusals,
)
from delivery.attack import (
    BEHIND,
    GATEWAY_SERVICE,
    ISTIO,
    TENANT,
    build_object,
    build_service_entry,
)
from egress_operator.istio.envoy_filter import LookupFamily, build_resolver_spec
from testbed.client import ApiError, Client
from testbed.controlplane import ControlPlane
from testbed.document import load_documents

GOLDEN = Path(__file__).parents[1] / "golden"
LABELS = {"istio": "egressgateway"}
ENTRY = build_service_entry(exportTo=["."])
ACCESS: Object = {"action": "ALLOW", "selector": {"matchLabels": LABELS}, "rules": [{}]}
SERVER: Object = {
    "port": {"number": 443, "name": "https-443", "protocol": "HTTPS"},
    "hosts": [f"shop/{TENANT}"],
    "tls": {"mode": "ISTIO_MUTUAL"},
}
WAY: Object = {
    "host": GATEWAY_SERVICE,
    "subsets": [
        {
            "name": OUR_NAME,
            "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL", "sni": f"{BEHIND}.{TENANT}"}},
        }
    ],
}


WILD = "any-example-com-h47287a8f16ec75e6-80-658aeeb5924a9340"
INNER: Object = {
    "bind": f"unix://@{WILD}",
    "port": {"number": 0, "name": "http", "protocol": "HTTP"},
    "hosts": ["shop/*.example.com"],
}


RESOLVER = build_resolver_spec(
    (("istio", "egressgateway"),),
    f"unix://@{WILD}",
    f"*.{WILD}.{TENANT}",
    LookupFamily.V4_ONLY,
)


FOREIGN_EXPORTS: list[Object] = [
    {},
    {"exportTo": []},
    {"exportTo": ["*"]},
    {"exportTo": ["~"]},
    {"exportTo": [".", "*"]},
    {"exportTo": [".", "istio-egress", "shop"]},
    {"exportTo": ["istio-system"]},
    {"exportTo": [".", "kube-system"]},
]


def load_golden() -> list[Object]:
    """Load every object of the golden cases, as the operator writes it."""
    paths = sorted(GOLDEN.rglob("objects.yaml"))
    return [item for path in paths for item in load_documents(path.read_text()) if item]


@pytest.mark.usefixtures("strictly_managed")
def test_all_that_the_operator_makes_passes(strict: ControlPlane, strict_operator: Client) -> None:
    items = load_golden()
    assert len(items) > 500
    assert {item["kind"] for item in items} == {
        "ServiceEntry",
        "VirtualService",
        "DestinationRule",
        "Gateway",
        "AuthorizationPolicy",
        "EnvoyFilter",
    }
    for name in sorted({item["metadata"]["namespace"] for item in items}):
        strict.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert find_refusals(strict_operator, items) == []


@pytest.mark.usefixtures("strictly_managed")
def test_it_writes_permissions_of_every_mode(strict_operator: Client) -> None:
    some: list[Object] = [{}, {"rules": [{}]}]
    for rules in some:
        for dry_run in ("true", "false"):
            item = build_ours("AuthorizationPolicy", {**ACCESS, **rules})
            item["metadata"] |= {"namespace": "istio-egress"}
            item["metadata"]["annotations"]["istio.io/dry-run"] = dry_run
            assert find_refusal(strict_operator, item) == ""


@pytest.mark.usefixtures("strictly_managed")
def test_ways_to_a_gateway_take_after_those_by_hand(strict_operator: Client) -> None:
    for exported in ({}, {"exportTo": ["*"]}, {"exportTo": [".", "shop", "batch", "web"]}):
        assert (
            find_refusal(strict_operator, build_ours("DestinationRule", {**WAY, **exported})) == ""
        )
    others: list[Object] = [
        {"trafficPolicy": {"tls": {"mode": "DISABLE"}}},
        {"host": "api.example.com"},
        {"subsets": []},
        {"subsets": [*WAY["subsets"], {"name": "v1"}]},
    ]
    for spoilt in others:
        item = build_ours("DestinationRule", {**WAY, **spoilt})
        assert "exports to its own namespace" in find_refusal(strict_operator, item)


def _list_foreign() -> dict[str, tuple[Object, str]]:
    items = {
        "Sidecar": (build_ours("Sidecar", {}), "writes no Sidecar"),
        "WorkloadEntry": (build_ours("WorkloadEntry", {"address": "10.1.2.3"}), "writes no Work"),
        "WorkloadGroup": (build_ours("WorkloadGroup", {"template": {}}), "writes no Work"),
        "ProxyConfig": (build_ours("ProxyConfig", {}), "writes no ProxyConfig"),
        "PeerAuthentication": (build_ours("PeerAuthentication", {}), "writes no PeerAuth"),
        "RequestAuthentication": (build_ours("RequestAuthentication", {}), "writes no RequestAuth"),
    }
    items["ProxyConfig"][0]["apiVersion"] = "networking.istio.io/v1beta1"
    for name in ("PeerAuthentication", "RequestAuthentication"):
        items[name][0]["apiVersion"] = "security.istio.io/v1"
    for name in (
        "default",
        "api-example-com",
        "api-example-com-h1234567",
        f"{OUR_NAME}-c",
        f"{OUR_NAME}x",
        f"{OUR_NAME}-443",
        f"a.{OUR_NAME}",
        f"{OUR_NAME}-443-3107f64f8374da8f-x",
        f"{OUR_NAME}-443-3107f64f8374da8f-d-d",
        f"{OUR_NAME}-in",
    ):
        items[f"name {name}"] = (build_ours("ServiceEntry", ENTRY, name), f"the name {name}")
    bare = build_object(ISTIO, "ServiceEntry", ENTRY, OUR_NAME)
    items["no label"] = (bare, "only objects with the label")
    helm = copy.deepcopy(build_ours("ServiceEntry", ENTRY))
    helm["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    items["other label"] = (helm, "only objects with the label")
    return items | _list_exports() | _list_specs()


def _list_exports() -> dict[str, tuple[Object, str]]:
    words = "exports to its own namespace and that of a gateway"
    items = {}
    for kind, spec in {
        "ServiceEntry": build_service_entry(),
        "VirtualService": {"hosts": ["api.example.com"]},
        "DestinationRule": {"host": "api.example.com"},
    }.items():
        for exported in FOREIGN_EXPORTS:
            items[f"{kind} {exported}"] = (build_ours(kind, {**spec, **exported}), words)
    for namespace in ("istio-system", "kube-system", "kube-public"):
        item = build_ours("ServiceEntry", ENTRY)
        item["metadata"]["namespace"] = namespace
        items[f"in {namespace}"] = (item, f"writes nothing in the namespace {namespace}")
    return items


def _list_specs() -> dict[str, tuple[Object, str]]:
    gateways = "writes Gateways with a selector, and with bind only for the socket of a wildcard"
    sockets = "writes no endpoints that are sockets"
    access = "writes AuthorizationPolicies that allow, for chosen pods"
    items: dict[str, tuple[Object, str]] = {
        "Gateway without selector": (build_ours("Gateway", {"servers": [SERVER]}), gateways),
        "Gateway with an empty one": (
            build_ours("Gateway", {"selector": {}, "servers": [SERVER]}),
            gateways,
        ),
    }
    for bind in ("0.0.0.0", "unix:///run/a"):  # noqa: S104 - it is refused
        servers = [SERVER, {**SERVER, "bind": bind}]
        item = build_ours("Gateway", {"selector": LABELS, "servers": servers})
        items[f"bind {bind}"] = (item, gateways)
    for address in ("unix:///run/a", " UNIX:///run/a"):
        entry = build_service_entry(exportTo=["."], endpoints=[{"address": address}])
        items[f"endpoint {address}"] = (build_ours("ServiceEntry", entry), sockets)
    for name, server in _list_inner_servers().items():
        item = build_ours("Gateway", {"selector": LABELS, "servers": server}, f"{WILD}-in")
        items[f"inner server, {name}"] = (item, gateways)
    item = build_ours("Gateway", {"selector": LABELS, "servers": [INNER]}, WILD)
    items["inner server of another name"] = (item, gateways)
    for name, spec in _list_sockets().items():
        items[f"socket, {name}"] = (build_ours("ServiceEntry", spec, WILD), sockets)
    ref = {"kind": "Gateway", "group": "gateway.networking.k8s.io", "name": "a"}
    for spec in (
        {"action": "ALLOW", "targetRefs": [ref]},
        {**ACCESS, "action": "DENY"},
        {**ACCESS, "action": "CUSTOM", "provider": {"name": "a"}},
        {**ACCESS, "action": "AUDIT"},
        {"action": "ALLOW", "rules": [{}]},
        {**ACCESS, "selector": {}},
        {**ACCESS, "selector": {"matchLabels": {}}},
    ):
        items[f"AuthorizationPolicy {spec}"] = (build_ours("AuthorizationPolicy", spec), access)
    for name, spec in _list_filters().items():
        items[f"EnvoyFilter, {name}"] = (
            build_ours("EnvoyFilter", spec, WILD),
            "writes EnvoyFilters that find the names of a wildcard by TLS",
        )
    items["EnvoyFilter of another name"] = (
        build_ours("EnvoyFilter", RESOLVER, f"{WILD[:-1]}f"),
        "writes EnvoyFilters that find the names of a wildcard by TLS",
    )
    return items


def _list_filters() -> dict[str, Object]:
    """List EnvoyFilters that are not that of a wildcard's socket, by what is wrong."""
    found: dict[str, Object] = {}

    def spoil(name: str, *path: str | int, value: object) -> None:
        found[name] = spec = copy.deepcopy(RESOLVER)
        place: Any = spec
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    patch, config = ("configPatches", 0), ("configPatches", 0, "patch", "value", "typed_config")
    cache = (*config, "dns_cache_config")
    found["nothing"] = {}
    found["all pods"] = {"configPatches": RESOLVER["configPatches"]}
    found["two patches"] = {**RESOLVER, "configPatches": 2 * RESOLVER["configPatches"]}
    spoil("no labels", "workloadSelector", value={"labels": {}})
    spoil("a priority", "priority", value=10)
    spoil("a cluster", *patch, "applyTo", value="CLUSTER")
    spoil("sidecars", *patch, "match", "context", value="SIDECAR_OUTBOUND")
    spoil("another listener", *patch, "match", "listener", "name", value="0.0.0.0_8443")
    spoil("every listener", *patch, "match", value={"context": "GATEWAY"})
    spoil("in place", *patch, "patch", "operation", value="REPLACE")
    spoil("another filter", *patch, "patch", "value", "name", value="envoy.filters.network.rbac")
    spoil("no value", *patch, "patch", value={"operation": "INSERT_BEFORE"})
    spoil("another type", *config, "@type", value="type.googleapis.com/google.protobuf.Empty")
    spoil("more settings", *config, "save_upstream_address", value=True)
    spoil("another port", *config, "port_value", value=22)
    spoil("another cache", *cache, "name", value=f"*.{TENANT}_dfp_dns_cache")
    spoil("another family", *cache, "dns_lookup_family", value="AUTO")
    spoil("a resolver", *cache, "dns_failure_refresh_rate", value={"base_interval": "1s"})
    return found


def _list_inner_servers() -> dict[str, list[Object]]:
    """List servers that are not that of a wildcard behind its own socket, by what is wrong."""
    return {
        "another socket": [{**INNER, "bind": f"unix://@{OUR_NAME}"}],
        "a file": [{**INNER, "bind": f"unix:///{WILD}"}],
        "a port": [{**INNER, "port": {**INNER["port"], "number": 443}}],
        "another protocol": [{**INNER, "port": {**INNER["port"], "protocol": "TCP"}}],
        "TLS that ends": [
            {
                **INNER,
                "port": {**INNER["port"], "protocol": "TLS"},
                "tls": {"mode": "SIMPLE", "credentialName": "a"},
            }
        ],
        "a name": [{**INNER, "hosts": ["shop/api.example.com"]}],
        "every name": [{**INNER, "hosts": ["shop/*"]}],
        "every namespace": [{**INNER, "hosts": ["*/*.example.com"]}],
        "another server": [INNER, SERVER],
    }


def _list_sockets() -> dict[str, Object]:
    """List ServiceEntries that do not lead from a name of the operator's to its own socket."""
    own = {"address": f"unix://@{WILD}"}
    hosts = [f"{WILD}.{TENANT}"]
    return {
        "another one": build_service_entry(
            hosts=hosts, exportTo=["."], endpoints=[{"address": f"unix://@{OUR_NAME}"}]
        ),
        "beside an address": build_service_entry(
            hosts=hosts, exportTo=["."], endpoints=[own, {"address": "203.0.113.1"}]
        ),
        "for a host outside": build_service_entry(exportTo=["."], endpoints=[own]),
        "for another name": build_service_entry(
            hosts=[f"x.{TENANT}"], exportTo=["."], endpoints=[own]
        ),
    }


def test_a_gateway_may_stand_beside_the_operator(strict_operator: Client) -> None:
    item = build_ours("ServiceEntry", build_service_entry(exportTo=[OPERATOR.namespace]))
    assert find_refusal(strict_operator, item) == ""
    item = build_ours("Gateway", {"selector": LABELS, "servers": [SERVER]})
    item["metadata"]["namespace"] = OPERATOR.namespace
    assert find_refusal(strict_operator, item) == ""


FOREIGN = _list_foreign()


def test_nothing_else_passes(strict: ControlPlane, strict_operator: Client) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}
    strict.admin.apply(body)
    for name, (item, words) in FOREIGN.items():
        refusal = find_refusal(strict_operator, item)
        assert f"'{ACCOUNT}'" in refusal, name
        assert words in refusal, name


def test_it_changes_nothing_of_others(strict: ControlPlane, strict_operator: Client) -> None:
    """A stolen token may not take over what somebody else wrote."""
    item = build_object(ISTIO, "ServiceEntry", build_service_entry(exportTo=["."]), "mine")
    strict.admin.create(item)
    try:
        label = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "egress-operator"}}}
        for patch in (
            label,
            {"spec": {"exportTo": ["*"]}},
            {**label, "spec": {"resolution": "NONE"}},
        ):
            with pytest.raises(ApiError, match=ACCOUNT):
                strict_operator.merge_patch(item, patch)
    finally:
        strict.admin.delete(ISTIO, "ServiceEntry", "mine", item["metadata"]["namespace"])


def test_others_are_not_judged_by_it(strict: ControlPlane) -> None:
    item = build_object("security.istio.io/v1", "AuthorizationPolicy", {"action": "DENY"})
    assert find_refusal(strict.admin, item) == ""
    like = strict.client_as(f"{OPERATOR.user}-2", "system:masters")
    assert f"'{ACCOUNT}'" not in find_refusal(like, build_ours("ServiceEntry", ENTRY))
