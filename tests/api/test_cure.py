"""Who does what a message says has a valid policy: no fix leads to the next rule."""

from collections import Counter
from typing import Any

import pytest

from api.corpus import Document, Pair, check, load_pairs
from api.cure import count_ways_out, list_cures
from egress_operator.api.check import check_spec
from egress_operator.diagnostic import Scope, read_rules

NAMES_ANOTHER = {"EG002-mirror-backend"}
"""The example in the message is the name of something else in the policy."""
LEAST_CURED = 150
MECHANICAL = {"EG030"}
"""Each way out is applied as it is written, without a row."""

WILDCARD = {"hosts": ["*.example.com"]}
HOST = {"hosts": ["a.example.com"]}
RANGE = {"addresses": ["203.0.113.0/24"], "ports": [{"number": 5432, "protocol": "TCP"}]}
ADDRESS = {"addresses": ["203.0.113.20"]}
BACKEND = {"name": "v1", "endpoints": [{"address": "203.0.113.10"}]}
OTHER_BACKEND = {"name": "v2", "endpoints": [{"address": "203.0.113.11"}]}
WEIGHTED = [BACKEND | {"weight": 75}, OTHER_BACKEND | {"weight": 25}]
MACHINE = {
    "hosts": ["vm.example.com"],
    "location": "Internal",
    "backends": [{"name": "vm", "endpoints": [{"address": "203.0.113.10"}]}],
}
KNOWN_MACHINE = MACHINE | {
    "backends": [{"name": "vm", "endpoints": [{"address": "203.0.113.10", "serviceAccount": "vm"}]}]
}
FILES = {"originateTLS": {"files": {"ca": "/etc/ca.crt"}}}
SECRETS = {"originateTLS": {"caCertificateRef": {"name": "ca"}}}
HTTP_80 = {"number": 80, "protocol": "HTTP"}
HTTP_443 = {"number": 443, "protocol": "HTTP"}
HTTP2_80 = {"number": 80, "protocol": "HTTP2"}
TCP_80 = {"number": 80, "protocol": "TCP"}
TLS_80 = {"number": 80, "protocol": "TLS"}
TLS_443 = {"number": 443, "protocol": "TLS"}
TO_443 = {"number": 80, "protocol": "HTTP", "targetPort": 443}
TIMEOUT = {"http": {"timeout": "3s"}}
POOL = {"traffic": {"connectionPool": {"maxPendingRequests": 5}}}
LIMIT = {"traffic": {"connectionPool": {"maxConnections": 5}}}
GATEWAY = {"gatewayRef": {"name": "shared"}}
ACCOUNTS = {"from": {"serviceAccounts": ["checkout"]}}
WORKLOADS = {"from": {"workloads": {"matchLabels": {"app": "checkout"}}}}
BOTH = {"from": ACCOUNTS["from"] | WORKLOADS["from"]}


def build(*destinations: Document, **fields: Document) -> Document:
    return {**fields, "destinations": list(destinations)}


def _list_cured() -> list[tuple[Pair, Document]]:
    found = []
    for pair in load_pairs():
        diagnostics = check(pair.invalid, pair.resource)[1]
        if pair.name not in NAMES_ANOTHER and len(diagnostics) == 1:
            found += [(pair, cure) for cure in list_cures(pair.invalid, diagnostics[0])]
    return found


CURED = _list_cured()


def test_many_fixes_are_mechanical() -> None:
    assert len(CURED) >= LEAST_CURED


@pytest.mark.parametrize(("pair", "cure"), CURED, ids=[pair.name for pair, _ in CURED])
def test_the_suggested_fix_is_valid(pair: Pair, cure: Document) -> None:
    assert check(cure, pair.resource)[1] == ()


CASES: list[tuple[str, Document, str, Document]] = [
    (
        "EG209",
        build(HOST | {"ports": [HTTP_443]}),
        "write protocol TLS, for applications that call https://...",
        build(HOST | {"ports": [TLS_443]}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_443]}),
        "leave ports out (port 80, HTTP; the mesh opens TLS to port 443), add originateTLS: {}",
        build(HOST | {"originateTLS": {}}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_443]}),
        "for a server that speaks plain HTTP on 443, write number 80 and targetPort 443",
        build(HOST | {"ports": [TO_443]}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_80, HTTP_443]}),
        "; write protocol TLS, for applications that call https://...",
        build(HOST | {"ports": [HTTP_80, TLS_443]}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_443]} | TIMEOUT),
        "; leave ports out (port 80, HTTP; the mesh opens TLS to port 443), add originateTLS:",
        build(HOST | {"originateTLS": {}} | TIMEOUT),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_443]} | TIMEOUT | POOL),
        "or write protocol TLS and remove http and traffic",
        build(HOST | {"ports": [TLS_443]}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_80, HTTP_443]} | TIMEOUT),
        (
            "; move the port into another destination with the same host, without http, with "
            "protocol TLS"
        ),
        build(HOST | {"ports": [HTTP_80]} | TIMEOUT, HOST | {"ports": [TLS_443]}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [HTTP_443], "originateTLS": {}}),
        "; leave ports out (port 80, HTTP; the mesh opens TLS to port 443) and call http://...",
        build(HOST | {"originateTLS": {}}),
    ),
    (
        "EG209",
        build(HOST | {"ports": [TO_443, HTTP_443], "originateTLS": {}}),
        (
            "; remove the port, and call http://... on port 80 with targetPort: 443; for "
            "applications that call https://..., write port 443 with TLS into another "
            "destination with the same host, without originateTLS"
        ),
        build(HOST | {"ports": [TO_443], "originateTLS": {}}, HOST | {"ports": [TLS_443]}),
    ),
    (
        "EG216",
        build(HOST, **ACCOUNTS),
        "; add gatewayRef, because only a gateway sees who calls;",
        build(HOST, **ACCOUNTS, **GATEWAY),
    ),
    (
        "EG216",
        build(HOST, **ACCOUNTS),
        "or write from.workloads in its place, to choose pods by their labels",
        build(HOST, **WORKLOADS),
    ),
    (
        "EG216",
        build(HOST | FILES, **ACCOUNTS),
        (
            "; add gatewayRef, because only a gateway sees who calls, and name Secrets in "
            "place of originateTLS.files;"
        ),
        build(HOST | SECRETS, **ACCOUNTS, **GATEWAY),
    ),
    (
        "EG216",
        build(HOST, **BOTH),
        "or remove serviceAccounts, so that workloads alone choose the pods",
        build(HOST, **WORKLOADS),
    ),
    (
        "EG216",
        build(MACHINE, **ACCOUNTS),
        "; write from.workloads in its place, to choose pods by their labels",
        build(MACHINE, **WORKLOADS),
    ),
    (
        "EG216",
        build(RANGE, **ACCOUNTS),
        (
            "; move what can only be called directly (destinations without hosts, location "
            "Internal) into a policy without from, where every workload may call it"
        ),
        build(RANGE),
    ),
    (
        "EG216",
        build(WILDCARD, **ACCOUNTS),
        "; add gatewayRef, because only a gateway sees who calls",
        build(WILDCARD, **ACCOUNTS, **GATEWAY),
    ),
    (
        "EG216",
        build(WILDCARD | {"originateTLS": {}}, **ACCOUNTS),
        "; add gatewayRef, because only a gateway sees who calls;",
        build(WILDCARD | {"originateTLS": {}}, **ACCOUNTS, **GATEWAY),
    ),
    (
        "EG216",
        build(WILDCARD | {"originateTLS": {}}, **ACCOUNTS),
        "or write from.workloads in its place, to choose pods by their labels",
        build(WILDCARD | {"originateTLS": {}}, **WORKLOADS),
    ),
    (
        "EG216",
        build(WILDCARD | {"ports": [HTTP_80]}, **BOTH),
        "; add gatewayRef, because only a gateway sees who calls;",
        build(WILDCARD | {"ports": [HTTP_80]}, **BOTH, **GATEWAY),
    ),
    (
        "EG240",
        build(WILDCARD | {"traffic": {"loadBalancer": {"policy": "Random"}}}),
        "; remove traffic, or name each host",
        build(WILDCARD),
    ),
    (
        "EG240",
        build(WILDCARD | {"ports": [HTTP_80], "traffic": {"loadBalancer": {"policy": "Random"}}}),
        "; remove traffic, or name each host",
        build(WILDCARD | {"ports": [HTTP_80]}),
    ),
    (
        "EG240",
        build(
            WILDCARD
            | {
                "ports": [HTTP_80],
                "traffic": {
                    "loadBalancer": {"policy": "Random"},
                    "connectionPool": {"maxConnections": 5},
                },
            }
        ),
        "; remove loadBalancer, or name each host",
        build(
            WILDCARD | {"ports": [HTTP_80], "traffic": {"connectionPool": {"maxConnections": 5}}}
        ),
    ),
    (
        "EG240",
        build(
            WILDCARD | {"ports": [HTTP_80], "traffic": {"connectionPool": {"idleTimeout": "9s"}}}
        ),
        "; remove traffic; or leave ports out and add originateTLS: {}",
        build(
            WILDCARD | {"originateTLS": {}, "traffic": {"connectionPool": {"idleTimeout": "9s"}}}
        ),
    ),
    (
        "EG237",
        build(WILDCARD | {"ports": [HTTP_443], "originateTLS": {}}),
        "; leave ports out, which means port 80 with HTTP, to port 443; or name each host",
        build(WILDCARD | {"originateTLS": {}}),
    ),
    (
        "EG237",
        build(WILDCARD | {"ports": [HTTP2_80]}),
        "; write {number: 80, protocol: HTTP}; or",
        build(WILDCARD | {"ports": [HTTP_80]}),
    ),
    (
        "EG237",
        build(WILDCARD | {"ports": [HTTP2_80]}),
        "; or add originateTLS: {}, with targetPort: 443; or",
        build(WILDCARD | {"ports": [HTTP2_80 | {"targetPort": 443}], "originateTLS": {}}),
    ),
    (
        "EG237",
        build(WILDCARD | {"ports": [HTTP2_80]}),
        "; or name each host",
        build(HOST | {"ports": [HTTP2_80]}),
    ),
    (
        "EG237",
        build(WILDCARD | {"ports": [TO_443]}),
        "can have port 80 with protocol HTTP and targetPort 443 with originateTLS alone;",
        build(WILDCARD | {"ports": [TO_443], "originateTLS": {}}),
    ),
    (
        "EG237",
        build(WILDCARD | {"ports": [HTTP2_80, TLS_443]}),
        (
            "with targetPort: 443; or name each host; with originateTLS, ports with TLS go "
            "into another destination with the same host"
        ),
        build(
            WILDCARD | {"ports": [HTTP2_80 | {"targetPort": 443}], "originateTLS": {}},
            WILDCARD | {"ports": [TLS_443]},
        ),
    ),
    (
        "EG210",
        build(WILDCARD | {"ports": [TLS_80]}),
        "; write protocol HTTP for http://..., or port 443 for https://...; or name each host",
        build(WILDCARD | {"ports": [TLS_443]}),
    ),
    (
        "EG210",
        build(HOST | {"ports": [TLS_80]}),
        "; for a server that speaks TLS on 80 write number 443 and targetPort 80",
        build(HOST | {"ports": [TLS_443 | {"targetPort": 80}]}),
    ),
    (
        "EG231",
        build(HOST | {"backends": [BACKEND | {"weight": 50}, OTHER_BACKEND]}),
        "or add failover: true, without weights, to send everything to the first healthy one",
        build(HOST | {"backends": [BACKEND, OTHER_BACKEND], "failover": True}),
    ),
    (
        "EG215",
        build(HOST | {"ports": [HTTP_80]} | POOL, HOST),
        (
            "; remove connectionPool.maxPendingRequests, with all around it that is empty "
            "then, because not all ports of the host are HTTP, HTTP2 or GRPC; and write the "
            "rest the same in each"
        ),
        build(HOST | {"ports": [HTTP_80]}, HOST),
    ),
    (
        "EG215",
        build(
            HOST
            | {"ports": [HTTP_80]}
            | {"traffic": {"connectionPool": {"maxPendingRequests": 5, "maxConnections": 5}}},
            HOST,
        ),
        "and write the rest the same in each",
        build(HOST | {"ports": [HTTP_80]} | LIMIT, HOST | LIMIT),
    ),
    (
        "EG215",
        build(HOST | {"ports": [HTTP_80]} | LIMIT, HOST),
        "; write the same in each of them,",
        build(HOST | {"ports": [HTTP_80]} | LIMIT, HOST | LIMIT),
    ),
    (
        "EG215",
        build(WILDCARD | {"ports": [HTTP_80]} | LIMIT, WILDCARD),
        "; remove traffic, which a wildcard with a TLS port cannot have",
        build(WILDCARD | {"ports": [HTTP_80]}, WILDCARD),
    ),
    (
        "EG204",
        build(HOST | {"addresses": RANGE["addresses"], "ports": [HTTP_80]}),
        "or leave hosts out, with protocol TCP, to allow the range as it is dialled",
        build(RANGE | {"ports": [TCP_80]}),
    ),
    (
        "EG208",
        build(ADDRESS | {"ports": [TCP_80]} | TIMEOUT),
        "; remove http; or give a single address a name in hosts, and write protocol HTTP",
        build(ADDRESS | {"ports": [TCP_80]}),
    ),
    (
        "EG208",
        build(ADDRESS | TIMEOUT),
        "; remove http; or give a single address a name in hosts, and write protocol HTTP",
        build(HOST | ADDRESS | {"ports": [HTTP_80]} | TIMEOUT),
    ),
    (
        "EG202",
        build({"ports": [TLS_443]}),
        "; name its hosts in hosts, or addresses that have no name in addresses",
        build(RANGE),
    ),
    (
        "EG205",
        build(ADDRESS | {"ports": [HTTP_80]}),
        "; write protocol TCP, with which the proxy sees no requests;",
        build(ADDRESS | {"ports": [TCP_80]}),
    ),
    (
        "EG205",
        build(ADDRESS | {"ports": [HTTP_80]}),
        "or give a single address a name in hosts",
        build(HOST | ADDRESS | {"ports": [HTTP_80]}),
    ),
    (
        "EG218",
        build(HOST | SECRETS),
        "; add gatewayRef: only a gateway reads Secrets;",
        build(HOST | SECRETS, **GATEWAY),
    ),
    (
        "EG218",
        build(HOST | SECRETS),
        "or name files of the sidecar in files",
        build(HOST | FILES),
    ),
    (
        "EG219",
        build(HOST | FILES, **GATEWAY),
        "; name Secrets in caCertificateRef and clientCertificateRef:",
        build(HOST | SECRETS, **GATEWAY),
    ),
    (
        "EG219",
        build(HOST | FILES, **GATEWAY),
        "or remove gatewayRef",
        build(HOST | FILES),
    ),
    (
        "EG230",
        build(HOST | {"backends": WEIGHTED, "failover": True}),
        "; remove the weights,",
        build(HOST | {"backends": [BACKEND, OTHER_BACKEND], "failover": True}),
    ),
    (
        "EG230",
        build(HOST | {"backends": WEIGHTED, "failover": True}),
        "or remove failover,",
        build(HOST | {"backends": WEIGHTED}),
    ),
    *(
        ("EG242", build(WILDCARD, **WORKLOADS), words, cure)
        for words, cure in (
            (
                "leave ports out, add originateTLS: {} and call http://...",
                build(WILDCARD | {"originateTLS": {}}, **WORKLOADS),
            ),
            ("name each host;", build(HOST, **WORKLOADS)),
            ("or move the wildcard into a policy without from", build(WILDCARD)),
        )
    ),
    (
        "EG249",
        build(KNOWN_MACHINE | {"originateTLS": {}}),
        "; remove originateTLS:",
        build(KNOWN_MACHINE),
    ),
    (
        "EG249",
        build(KNOWN_MACHINE | {"originateTLS": {}}),
        "or remove serviceAccount,",
        build(MACHINE | {"originateTLS": {}}),
    ),
]


@pytest.mark.parametrize(("code", "spec", "words", "cure"), CASES)
def test_the_fix_fits_what_else_the_policy_has(
    code: str, spec: Document, words: str, cure: Document
) -> None:
    found: dict[str, Any] = {item.code: item.message for item in check_spec(spec)[1]}
    assert words in found[code]
    assert check_spec(cure)[1] == ()


def test_each_way_out_of_a_rule_has_a_row() -> None:
    ways = {
        rule.code: count_ways_out(rule.fix)
        for rule in read_rules().values()
        if rule.scope is Scope.SHAPE and rule.code not in MECHANICAL
    }
    rows = Counter(code for code, *_ in CASES)
    assert [code for code, number in ways.items() if 1 < number > rows[code]] == []
