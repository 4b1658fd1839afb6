"""istiod as the judge of every Istio object."""

import pytest

from testbed.client import ApiError, Object
from testbed.controlplane import ControlPlane
from testbed.istiod import Istiod, Rejections, parse_rejections, start_istiod

pytestmark = pytest.mark.long("testbed")


def build_service_entry(namespace: str, **more: object) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "bank", "namespace": namespace},
        "spec": {
            "hosts": ["api.bank.example"],
            "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
            "resolution": "DNS",
            "exportTo": ["."],
            **more,
        },
    }


def test_a_right_object_is_accepted_and_a_wrong_one_refused(istiod: Istiod, namespace: str) -> None:
    client = istiod.control_plane.admin
    assert istiod.check(build_service_entry(namespace)) is None
    assert client.find("networking.istio.io/v1", "ServiceEntry", "bank", namespace) is None

    wrong = build_service_entry(namespace, exportTo=[".", namespace])
    refusal = istiod.check(wrong)
    assert refusal is not None
    assert refusal.startswith('admission webhook "validation.istio.io" denied the request')
    assert "duplicate entries in exportTo" in refusal
    with pytest.raises(ApiError, match="duplicate entries in exportTo"):
        client.apply(wrong)

    unknown = istiod.check(build_service_entry(namespace, exporTo=["."]))
    assert unknown is not None
    assert "exporTo" in unknown
    client.apply(build_service_entry(namespace))
    assert not istiod.rejections()


def test_two_run_side_by_side_and_one_starts_anew(
    control_plane: ControlPlane, istiod: Istiod
) -> None:
    with start_istiod(control_plane) as second:
        assert second.discovery_port != istiod.discovery_port
        assert 'pilot_inbound_updates{type="config"} ' in second.metrics(), "names have no suffix"
        assert second.root_certificate() == istiod.root_certificate()
        assert '"mode":"ALLOW_ANY"' not in second.debug("/debug/mesh")
        port = second.http_port
        second.restart(outbound_mode="ALLOW_ANY", mesh={"connectTimeout": "3s"})
        assert second.http_port == port
        shown = second.debug("/debug/mesh")
        assert '"connectTimeout":"3s"' in shown
        assert "REGISTRY_ONLY" not in shown
    assert istiod.check(build_service_entry("default")) is None, "the first one judges on"


def test_rejections_are_summed_over_their_labels() -> None:
    text = """\
# HELP pilot_total_rejected_configs Total number of configs that Pilot had to reject or ignore.
# TYPE pilot_total_rejected_configs counter
pilot_total_rejected_configs{name="shop.one",type="gateway"} 2
pilot_total_rejected_configs{name="shop.two",type="gateway"} 1
# HELP pilot_total_xds_rejects Total number of XDS responses from pilot rejected by proxy.
# TYPE pilot_total_xds_rejects counter
pilot_total_xds_rejects{type="type.googleapis.com/envoy.config.listener.v3.Listener"} 4
"""
    assert parse_rejections(text) == Rejections(config=3, xds=4)
    assert not parse_rejections("")
