"""Sidecars beside two policies, and what each workload reaches then.

Read by a test of the plan and of `explain`, and by one with a mesh, which makes the calls.
"""

from dataclasses import dataclass

from testbed.client import Object

SHOP, ROOT = "shop", "istio-system"
API, DATABASE = "api.example", "db.example"
HTTP, TLS, BYTES = f"GET http://{API}/", f"GET https://{API}/", f"TCP {DATABASE}:5432"
CALLS = (HTTP, TLS, BYTES)
"""All that the policies open."""
NONE: tuple[str, ...] = ()
CHECKOUT, BATCH = "shop/checkout", "shop/batch"
SERVICES = "./*.svc.cluster.local"
WRITTEN = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
"""When they are written where no API server says it."""


@dataclass(frozen=True)
class Scene:
    """Sidecars in the order in which they are written, and which calls get through."""

    name: str
    sidecars: tuple[Object, ...]
    checkout: tuple[str, ...]
    batch: tuple[str, ...]
    hidden: bool
    """Whether the policies are not Ready because of it."""
    partly_hidden: bool = False
    """Whether they say that some workloads do not see a host."""

    def build(self) -> list[Object]:
        """Build the Sidecars as an API server shows them."""
        return [
            {**item, "metadata": {**item["metadata"], "creationTimestamp": created}}
            for item, created in zip(self.sidecars, WRITTEN, strict=False)
        ]


def build_sidecar(
    name: str,
    *hosts: str,
    namespace: str = SHOP,
    app: str | None = None,
    listeners: tuple[Object, ...] = (),
    **more: object,
) -> Object:
    """Build a Sidecar for the pods of an app or for all.

    It has some listeners of ports, and, if there are `hosts`, one without port.
    """
    egress = [*listeners, *([{"hosts": list(hosts)}] if hosts else [])]
    spec: Object = {**({"egress": egress} if egress else {}), **more}
    if app is not None:
        spec["workloadSelector"] = {"labels": {"app": app} if app else {}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def build_listener(port: int, protocol: str, *hosts: str, **more: object) -> Object:
    """Build a listener of a port."""
    return {"port": {"number": port, "protocol": protocol}, "hosts": list(hosts), **more}


NARROW = build_sidecar("narrow", SERVICES)
OPEN = build_sidecar("open", SERVICES, outboundTrafficPolicy={"mode": "ALLOW_ANY"})
SCENES = [
    Scene("services-only", (NARROW,), NONE, NONE, hidden=True),
    Scene("all-of-the-namespace", (build_sidecar("all", "./*"),), CALLS, CALLS, hidden=False),
    Scene("all-of-the-mesh", (build_sidecar("all", "*/*"),), CALLS, CALLS, hidden=False),
    Scene("own-name", (build_sidecar("all", "shop/*"),), CALLS, CALLS, hidden=False),
    Scene("other-namespace", (build_sidecar("pay", "pay/*"),), NONE, NONE, hidden=True),
    Scene("nothing", (build_sidecar("nothing", "~/*"),), NONE, NONE, hidden=True),
    Scene(
        "one-host",
        (build_sidecar("api", f"./{API}"),),
        (HTTP, TLS),
        (HTTP, TLS),
        hidden=True,
    ),
    Scene("wildcard", (build_sidecar("wild", "./*.example"),), CALLS, CALLS, hidden=False),
    Scene("wildcard-elsewhere", (build_sidecar("wild", "./*.org"),), NONE, NONE, hidden=True),
    Scene(
        "excluded",
        (build_sidecar("most", "./*", f"~./{API}"),),
        (BYTES,),
        (BYTES,),
        hidden=True,
    ),
    Scene(
        "no-egress",
        (build_sidecar("mode", outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}),),
        CALLS,
        CALLS,
        hidden=False,
    ),
    Scene(
        "selected",
        (build_sidecar("batch", SERVICES, app="batch"),),
        CALLS,
        NONE,
        hidden=False,
        partly_hidden=True,
    ),
    Scene(
        "selected-shown",
        (NARROW, build_sidecar("batch", "./*", app="batch")),
        NONE,
        CALLS,
        hidden=True,
    ),
    Scene(
        "selected-without-labels",
        (build_sidecar("all", "./*"), build_sidecar("every", SERVICES, app="")),
        NONE,
        NONE,
        hidden=True,
    ),
    Scene("older-hides", (NARROW, build_sidecar("all", "./*")), NONE, NONE, hidden=True),
    Scene("younger-hides", (build_sidecar("all", "./*"), NARROW), CALLS, CALLS, hidden=False),
    Scene(
        "default-of-the-mesh",
        (build_sidecar("default", SERVICES, namespace=ROOT),),
        NONE,
        NONE,
        hidden=True,
    ),
    Scene(
        "default-of-the-mesh-shows",
        (build_sidecar("default", "./*", namespace=ROOT),),
        CALLS,
        CALLS,
        hidden=False,
    ),
    Scene(
        "default-of-the-mesh-beside-own",
        (build_sidecar("default", SERVICES, namespace=ROOT), build_sidecar("own", "./*")),
        CALLS,
        CALLS,
        hidden=False,
    ),
    Scene(
        "default-of-the-mesh-beside-selected",
        (
            build_sidecar("default", SERVICES, namespace=ROOT),
            build_sidecar("batch", "./*", app="batch"),
        ),
        NONE,
        CALLS,
        hidden=True,
    ),
    Scene(
        "selected-in-the-root-namespace",
        (build_sidecar("checkout", SERVICES, namespace=ROOT, app="checkout"),),
        CALLS,
        CALLS,
        hidden=False,
    ),
    Scene(
        "by-port",
        (build_sidecar("ports", "./*", listeners=(build_listener(80, "HTTP", SERVICES),)),),
        (TLS, BYTES),
        (TLS, BYTES),
        hidden=True,
    ),
    Scene(
        "by-port-alone",
        (build_sidecar("ports", listeners=(build_listener(443, "TLS", "./*"),)),),
        (TLS,),
        (TLS,),
        hidden=True,
    ),
    Scene(
        "by-address",
        (
            build_sidecar(
                "ports",
                "./*",
                listeners=(
                    build_listener(80, "HTTP", SERVICES, bind="127.0.0.1"),
                    build_listener(443, "TLS", SERVICES, bind="127.0.0.1"),
                    build_listener(5432, "TCP", SERVICES, captureMode="NONE"),
                ),
            ),
        ),
        (TLS, BYTES),
        (TLS, BYTES),
        hidden=True,
    ),
    Scene("open", (OPEN,), CALLS, CALLS, hidden=True),
]
"""In a mesh of mode REGISTRY_ONLY. With ALLOW_ANY what is not seen is let out all the same."""
