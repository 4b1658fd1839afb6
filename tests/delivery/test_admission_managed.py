"""The operator's own objects on a real API server: who may change what marks them as its own."""

import copy
from collections.abc import Iterator

import pytest

from delivery.admission import (
    MANAGED,
    OUR_NAME,
    TENANT_USER,
    Object,
    build_ours,
    find_refusal,
)
from delivery.attack import BEHIND, ISTIO, TENANT, build_object, build_service_entry
from egress_operator.istio.envoy_filter import LookupFamily, build_resolver_spec
from testbed.client import ApiError, Client
from testbed.controlplane import CONTROLLER_MANAGER, ControlPlane

SECURITY = "security.istio.io/v1"
WILD = "any-example-com-h47287a8f16ec75e6-443-658aeeb5924a9340"
LABEL = "app.kubernetes.io/managed-by"
OWNER = {
    "apiVersion": "egress-operator.io/v1alpha1",
    "kind": "EgressPolicy",
    "name": "payments",
    "uid": "2b1c4b6e-4f55-4a2f-9d5c-0c6f5d1f7a10",
}
ISTIOD = "system:serviceaccount:istio-system:istiod"
CHANGES: dict[str, Object] = {
    "label removed": {"labels": {LABEL: None}},
    "label changed": {"labels": {LABEL: "Helm"}},
    "labels removed": {"labels": None},
    "host changed": {"annotations": {"egress-operator.io/host": "a.example.com"}},
    "policies removed": {"annotations": {"egress-operator.io/policies": None}},
    "annotation of ours added": {"annotations": {"egress-operator.io/gateway": "a"}},
    "annotations removed": {"annotations": None},
    "owners removed": {"ownerReferences": None},
    "owner added": {
        "ownerReferences": [OWNER, {**OWNER, "name": "b", "uid": f"{OWNER['uid'][:-1]}1"}]
    },
    "owner replaced": {"ownerReferences": [{**OWNER, "name": "b"}]},
    "revision": {"labels": {"istio.io/rev": "none"}},
    "allocation": {"labels": {"networking.istio.io/enable-autoallocate-ip": "true"}},
    "exportTo by annotation": {"annotations": {"networking.istio.io/exportTo": "~"}},
    "dry run": {"annotations": {"istio.io/dry-run": "true"}},
    "gateway's Service": {"annotations": {"internal.istio.io/gateway-service": "none.pay.svc"}},
    "another mark of istiod's": {"annotations": {"internal.istio.io/parents": "a"}},
}
"""What nobody but the operator and controllers may do to the metadata of its objects."""
FREE: dict[str, Object] = {
    "other labels": {"labels": {"team": "pay", "app.kubernetes.io/part-of": "shop"}},
    "other annotations": {"annotations": {"example.com/backup": "yes"}},
    "finalizer": {"finalizers": ["example.com/keep"]},
}
SPECS: dict[str, Object] = {
    "ServiceEntry": build_service_entry(hosts=[f"{BEHIND}.{TENANT}"], exportTo=["."]),
    "VirtualService": {"hosts": [TENANT], "gateways": ["mesh"], "exportTo": ["."]},
    "DestinationRule": {"host": TENANT, "exportTo": ["."]},
    "Gateway": {"selector": {"istio": "egressgateway"}},
    "AuthorizationPolicy": {"action": "ALLOW", "selector": {"matchLabels": {"istio": "egress"}}},
    "EnvoyFilter": build_resolver_spec(
        (("istio", "egress"),), f"unix://@{WILD}", f"*.{WILD}.{TENANT}", LookupFamily.ALL
    ),
}
NAMES = {"EnvoyFilter": WILD}
"""Those that have the name of a listener."""


@pytest.fixture(params=SPECS)
def ours(
    request: pytest.FixtureRequest, operator: Client, guarded: ControlPlane
) -> Iterator[Object]:
    """Make an object of the operator's, of each kind."""
    name = NAMES.get(request.param, OUR_NAME)
    item = build_ours(request.param, SPECS[request.param], name)
    item["metadata"]["ownerReferences"] = [OWNER]
    # Its owner is nowhere, and the garbage collector would see that.
    with guarded.suspend_controller_manager():
        yield operator.create(item)
        operator.merge_patch(item, {"metadata": {"finalizers": None}})
        operator.delete(*_key(item))


def find_words(client: Client, item: Object, metadata: Object) -> str:
    """Return the words of the refusal of a change of metadata, empty when it is made."""
    try:
        client.merge_patch(item, {"metadata": metadata})
    except ApiError as error:
        return error.message
    return ""


def test_nobody_changes_what_marks_our_objects(
    guarded: ControlPlane, tenant: Client, ours: Object
) -> None:
    nobody = guarded.client_as("system:serviceaccount:istio-systems:istiod", "system:masters")
    for client in (tenant, guarded.admin, nobody):
        for name, metadata in CHANGES.items():
            words = find_words(client, ours, metadata)
            assert f"'{MANAGED}'" in words, name
            assert "egress-operator's own" in words or "istiod's own" in words, (name, words)
        assert client.get(*_key(ours))["metadata"] == ours["metadata"]


def test_every_way_to_write_is_judged(tenant: Client, ours: Object) -> None:
    bare = copy.deepcopy(ours)
    del bare["metadata"]["labels"]
    with pytest.raises(ApiError, match=MANAGED):
        tenant.replace(bare)
    with pytest.raises(ApiError, match=MANAGED):
        tenant.json_patch(ours, [{"op": "remove", "path": "/metadata/ownerReferences"}])
    del bare["metadata"]["managedFields"], bare["metadata"]["resourceVersion"]
    bare["metadata"]["labels"] = {LABEL: "Helm"}
    with pytest.raises(ApiError, match=MANAGED):
        tenant.apply(bare)


def test_words_name_the_field_and_the_fix(tenant: Client, ours: Object) -> None:
    name = ours["metadata"]["name"]
    words = find_words(tenant, ours, {"labels": {"istio.io/rev": "none"}})
    assert words.partition(" denied request: ")[2] == (
        f"istio.io/rev of {name} is egress-operator's own: change the EgressPolicy instead;"
        " a backup or migration tool needs admission.exemptUsers, a value of the chart, for the"
        " platform team"
    )
    words = find_words(tenant, ours, {"ownerReferences": None})
    assert f"ownerReferences of {name} is egress-operator's own" in words


def test_other_metadata_is_everybody_s(tenant: Client, ours: Object) -> None:
    for name, metadata in FREE.items():
        assert find_words(tenant, ours, metadata) == "", name


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        ("system:serviceaccount:kube-system:generic-garbage-collector", True),
        ("system:serviceaccount:kube-system:namespace-controller", True),
        (CONTROLLER_MANAGER, False),
        ("system:apiserver", False),
        (ISTIOD, False),
        ("system:serviceaccount:istio-system:istiod-canary", False),
    ],
)
def test_controllers_may_change_it(
    guarded: ControlPlane, operator: Client, user: str, *, groups: bool
) -> None:
    group = ("system:serviceaccounts:kube-system",) if groups else ()
    client = guarded.client_as(user, "system:masters", *group)
    item = build_ours("ServiceEntry", build_service_entry(exportTo=["."]))
    item["metadata"]["ownerReferences"] = [OWNER]
    with guarded.suspend_controller_manager():
        for name, metadata in CHANGES.items():
            operator.create(item)
            assert find_words(client, item, metadata) == "", name
            guarded.admin.delete(*_key(item))


def test_operator_may_change_it_but_for_the_label(operator: Client, ours: Object) -> None:
    for name, metadata in CHANGES.items():
        words = find_words(operator, ours, metadata)
        assert ("writes only objects with the label" in words) is ("label" in name.split()[0]), name


def test_operator_restores_what_was_taken_away(
    guarded: ControlPlane, operator: Client, ours: Object
) -> None:
    controller = guarded.client_as(CONTROLLER_MANAGER, "system:masters")
    assert find_words(controller, ours, {"labels": {LABEL: None}}) == ""
    metadata = {"labels": {LABEL: "egress-operator"}, "ownerReferences": [OWNER]}
    assert find_words(operator, ours, metadata) == ""


def test_nobody_forges_our_label(guarded: ControlPlane, tenant: Client) -> None:
    own = {
        "ServiceEntry": build_service_entry(exportTo=["."]),
        "VirtualService": {"hosts": ["reviews"]},
        "DestinationRule": {"host": "reviews"},
    }
    for kind, spec in {**SPECS, **own}.items():
        item = build_ours(kind, spec)
        for client in (tenant, guarded.admin):
            words = find_refusal(client, item)
            assert f"'{MANAGED}'" in words, kind
            assert "remove it, and write an EgressPolicy instead" in words, kind
        del item["metadata"]["labels"]
        assert find_refusal(tenant, item) == "", kind
        created = tenant.create(item)
        try:
            assert find_words(tenant, created, FREE["finalizer"]) == "", kind
            words = find_words(tenant, created, {"labels": {LABEL: "egress-operator"}})
            assert f"'{MANAGED}'" in words, kind
        finally:
            tenant.merge_patch(created, {"metadata": {"finalizers": None}})
            tenant.delete(*_key(created))


def test_marks_of_istiod_are_istiod_s(guarded: ControlPlane, tenant: Client) -> None:
    item = build_object(ISTIO, "Gateway", {"selector": {"istio": "ingressgateway"}}, "web")
    item["metadata"]["annotations"] = {"internal.istio.io/parent-namespace": "istio-egress"}
    istiod = guarded.client_as(ISTIOD, "system:masters")
    for client in (tenant, guarded.admin):
        words = find_refusal(client, item)
        assert f"'{MANAGED}'" in words
        assert "internal.istio.io/parent-namespace is istiod's own; remove it" in words
    istiod.create(item)
    try:
        assert find_words(tenant, item, {"labels": {"team": "pay"}}) == ""
        assert tenant.merge_patch(item, {"spec": {"selector": {"app": "web"}}})
        words = find_words(tenant, item, {"annotations": {"internal.istio.io/parents": "a"}})
        assert f"'{MANAGED}'" in words
        assert find_words(tenant, item, {"annotations": None}) == ""
    finally:
        tenant.delete(*_key(item))


def _key(item: Object) -> tuple[str, str, str, str]:
    return item["apiVersion"], item["kind"], item["metadata"]["name"], TENANT_USER.namespace
