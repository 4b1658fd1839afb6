"""What the demo plays: the samples with their titles, and policies of other scenes."""

from dataclasses import dataclass

from testbed.client import Object
from testbed.ledger import load_objects
from testbed.sample import GATEWAY_FILE, SAMPLES, Sample

NAMESPACE = "shop"
GATEWAY_TITLE = "The platform team opens an egress gateway"
GATEWAY_TEXT = (
    "Policies may go through the gateway in istio-egress. Namespaces with the label egress=shared "
    "may use it; the gateway denies everybody else."
)


@dataclass(frozen=True)
class Act:
    """A sample with what is said about it."""

    sample: Sample
    title: str
    text: str = ""
    """One or two sentences; without them it is shown in two lines."""


_TITLES = {
    "https-api.yaml": (
        "One HTTPS host",
        "The smallest policy. The application opens TLS itself; Istio sees only the server name.",
    ),
    "http-api.yaml": ("An HTTP API", ""),
    "two-https-hosts.yaml": ("Two HTTPS hosts", ""),
    "http-and-https.yaml": ("HTTP and HTTPS", ""),
    "http-timeout-retries.yaml": (
        "HTTP with a timeout and retries",
        "The sidecar reads HTTP, so it can limit the time and try again.",
    ),
    "temporary-access.yaml": ("Access that ends by itself", ""),
    "circuit-breaker.yaml": (
        "Limits of connections, and a server that fails",
        "The sidecar answers 503 by itself while the server is down or has too much to do.",
    ),
    "weights.yaml": ("Some requests for a new version", ""),
    "failover.yaml": (
        "A standby server",
        "The sidecar turns to the standby while connections to the main server fail.",
    ),
    "postgresql-by-name.yaml": (
        "A database, by name",
        (
            "Istio cannot read the protocol. The sidecar gives the host an address of its own, in "
            "DNS. The mesh needs ISTIO_META_DNS_CAPTURE in its proxyMetadata for that."
        ),
    ),
    "postgresql-by-address.yaml": ("A database, by address", ""),
    "mongodb-on-vms.yaml": ("MongoDB on virtual machines", ""),
    "chosen-workloads.yaml": ("Only pods with a label", ""),
    "wildcard.yaml": (
        "All names below a domain",
        "The sidecar asks DNS for each name, and calls no other port than the scheme's.",
    ),
    "http-through-gateway.yaml": ("HTTP, the gateway opens TLS", ""),
    "https-through-gateway.yaml": (
        "HTTPS through the gateway",
        (
            "The line gatewayRef sends traffic through the gateway, where it stays encrypted. The "
            "operator makes up an internal name of the host for the gateway; it is in no DNS."
        ),
    ),
    "database-through-gateway.yaml": ("A database through the gateway", ""),
    "restricted-service-account.yaml": (
        "Only one service account",
        "The gateway itself checks the caller, so a team cannot bypass it from its own pods.",
    ),
}
ACTS = tuple(Act(sample, *_TITLES[sample.file]) for sample in SAMPLES)
DIRECT_ACTS = tuple(act for act in ACTS if not act.sample.is_for_gateway)
GATEWAY_ACTS = tuple(act for act in ACTS if act.sample.is_for_gateway)


def load_gateway() -> Object:
    """Return the EgressGateway of the samples."""
    (gateway,) = load_objects(GATEWAY_FILE)
    return gateway


REFUNDS_HOST = "refunds.example.com"
REFUNDS = f"""\
apiVersion: egress-operator.io/v1alpha1
kind: EgressPolicy
metadata:
  name: refunds
  namespace: {NAMESPACE}
spec:
  gatewayRef: {{name: shared}}
  from:
    serviceAccounts: [checkout]
  destinations:
  - hosts: [{REFUNDS_HOST}]
    originateTLS: {{}}
"""
"""HTTP, so that a refusal of the gateway is an answer (403) and not a closed connection."""
EVIL_HOST = "evil.example.com"
"""An outside server to which an edit by hand would lead."""
MISTAKE_FILE = "mistake.yaml"
MISTAKE = f"""\
apiVersion: egress-operator.io/v1alpha1
kind: EgressPolicy
metadata:
  name: mistake
  namespace: {NAMESPACE}
spec:
  destinations:
  - hosts: [api.example.com]
    http:
      timeout: 3s
"""
"""Without ports it is TLS on 443, where the proxy sees no requests."""
RIVAL = f"""\
apiVersion: egress-operator.io/v1alpha1
kind: EgressPolicy
metadata:
  name: rival
  namespace: {NAMESPACE}
spec:
  destinations:
  - hosts: [stock.example.com]
    ports:
    - {{number: 80, protocol: HTTP}}
    http:
      timeout: 30s
"""
"""Asks for another timeout than the sample http-timeout-retries.yaml."""
OWN_FILE, OWN_HOST = "my-policy.yaml", "api.example.com"
OWN = f"""\
apiVersion: egress-operator.io/v1alpha1
kind: EgressPolicy
metadata:
  name: my-policy
  namespace: {NAMESPACE}
spec:
  destinations:
  - hosts: [{OWN_HOST}]
"""
"""For the user to apply and to change."""
SPARE_HOSTS = (OWN_HOST, "files.example.com")
"""Outside servers for policies of the user's own."""
