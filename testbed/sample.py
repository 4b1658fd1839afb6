"""The files of `samples/` and the requests that show what each of them allows."""

from dataclasses import dataclass
from pathlib import Path

from testbed.client import Object
from testbed.ledger import load_objects

DIRECTORY = Path(__file__).resolve().parents[1] / "samples"

FIXED_ADDRESSES = {
    "ledger.db.example.com": "198.51.100.54",
    "main.licences.example.com": "198.51.100.71",
    "replica-1.vm.example.com": "198.51.100.61",
    "replica-2.vm.example.com": "198.51.100.62",
    "reports.db.example.com": "198.51.100.55",
    "standby.licences.example.com": "198.51.100.72",
}
"""Outside servers whose addresses the samples name."""
ALLOWED_CIDRS = "198.51.100.0/24"
"""The operator's setting that the samples with literal addresses need."""


@dataclass(frozen=True)
class Sample:
    """One file and what it allows."""

    file: str
    calls: tuple[str, ...]
    """As `testbed.request.call` reads them: refused without the policy, answered with it."""
    neighbours: tuple[str, ...]
    """Requests to the same ports that stay refused."""
    servers: tuple[str, ...] = ()
    """Who may answer, where that is not the called host."""
    is_for_gateway: bool = False
    """Whether it goes through the gateway of `GATEWAY_FILE`."""
    denied: tuple[str, ...] = ()
    """What another workload of the namespace, with another service account, is refused."""
    records: tuple[tuple[str, str], ...] = ()
    """DNS records beside those of the outside hosts: (name, address)."""

    @property
    def path(self) -> Path:
        """The file."""
        return DIRECTORY / self.file

    @property
    def policy(self) -> Object:
        """The policy in it."""
        (policy,) = load_objects(self.path)
        return policy


SAMPLES = (
    Sample(
        "https-api.yaml",
        ("GET https://api.stripe.com/",),
        ("GET https://other.example.com/",),
    ),
    Sample(
        "http-api.yaml",
        ("GET http://rates.example.com/",),
        ("GET http://other.example.com/",),
    ),
    Sample(
        "two-https-hosts.yaml",
        ("GET https://git.example.com/", "GET https://packages.example.com/"),
        ("GET https://other.example.com/",),
    ),
    Sample(
        "http-and-https.yaml",
        ("GET http://www.example.com/", "GET https://www.example.com/"),
        ("GET http://other.example.com/", "GET https://other.example.com/"),
    ),
    Sample(
        "http-timeout-retries.yaml",
        ("GET http://stock.example.com/",),
        ("GET http://other.example.com/",),
    ),
    Sample(
        "temporary-access.yaml",
        ("GET https://carrier.example.com/",),
        ("GET https://other.example.com/",),
    ),
    Sample(
        "circuit-breaker.yaml",
        ("GET http://quotes.example.com/",),
        ("GET http://other.example.com/",),
    ),
    Sample(
        "weights.yaml",
        ("GET http://search.example.com/",),
        ("GET http://other.example.com/",),
        servers=("stable.search.example.com", "canary.search.example.com"),
    ),
    Sample(
        "failover.yaml",
        ("GET https://licences.example.com/",),
        ("GET https://other.example.com/",),
        servers=("main.licences.example.com",),
    ),
    Sample(
        "postgresql-by-name.yaml",
        ("TCP orders.db.example.com:5432",),
        ("TCP other.example.com:5432",),
    ),
    Sample(
        "postgresql-by-address.yaml",
        ("TCP ledger.db.example.com:5432",),
        ("TCP other.example.com:5432",),
    ),
    Sample(
        "mongodb-on-vms.yaml",
        ("TCP catalogue.vm.example.com:27017",),
        ("TCP other.example.com:27017",),
        servers=("replica-1.vm.example.com", "replica-2.vm.example.com"),
        records=(("catalogue.vm.example.com", "198.51.100.100"),),
    ),
    Sample(
        "chosen-workloads.yaml",
        ("GET http://mail.example.com/", "GET https://mail.example.com/"),
        ("GET http://other.example.com/", "GET https://other.example.com/"),
        denied=("GET http://mail.example.com/", "GET https://mail.example.com/"),
    ),
    Sample(
        "wildcard.yaml",
        ("GET http://eu.ingest.example.com/", "GET https://a.us.ingest.example.com/"),
        ("GET http://ingest.example.com/", "GET https://ingest.example.com/"),
    ),
    Sample(
        "http-through-gateway.yaml",
        ("GET http://partner.example.com/",),
        ("GET http://other.example.com/",),
        is_for_gateway=True,
    ),
    Sample(
        "https-through-gateway.yaml",
        ("GET https://bank.example.com/",),
        ("GET https://other.example.com/",),
        is_for_gateway=True,
    ),
    Sample(
        "database-through-gateway.yaml",
        ("TCP reports.db.example.com:5432",),
        ("TCP other.example.com:5432",),
        is_for_gateway=True,
    ),
    Sample(
        "restricted-service-account.yaml",
        ("GET https://cards.example.com/",),
        ("GET https://other.example.com/",),
        is_for_gateway=True,
        denied=("GET https://cards.example.com/",),
    ),
)
DIRECT_SAMPLES = tuple(
    sample for sample in SAMPLES if not sample.is_for_gateway and not sample.denied
)
"""Those that every workload of the namespace may use, without a gateway."""
GATEWAY_FILE = DIRECTORY / "egress-gateway.yaml"

HOSTS = (
    "api.stripe.com",
    "rates.example.com",
    "git.example.com",
    "packages.example.com",
    "www.example.com",
    "stock.example.com",
    "carrier.example.com",
    "quotes.example.com",
    "search.example.com",
    "stable.search.example.com",
    "canary.search.example.com",
    "licences.example.com",
    "orders.db.example.com",
    "mail.example.com",
    "partner.example.com",
    "bank.example.com",
    "cards.example.com",
    "ingest.example.com",
    "eu.ingest.example.com",
    "a.us.ingest.example.com",
    "other.example.com",
)
"""Outside servers of the samples with whatever address, and one that no sample names."""
