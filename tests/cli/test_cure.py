"""Who does what lint says is told nothing more: no fix leads to the next rule."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cure import count_ways_out
from cli.call import POLICY
from egress_operator.cli.main import run
from egress_operator.diagnostic import Scope, read_rules

GATEWAY = """\
apiVersion: egress-operator.io/v1alpha1
kind: EgressGateway
metadata: {name: shared}
spec:
  namespace: istio-egress
  selector: {istio: egressgateway}
  service: {name: istio-egressgateway, port: 443}
  namespaces: {matchLabels: {egress: shared}}
  authorization: Managed
---
"""
HEAD = POLICY.partition("  - hosts")[0]
KEY = "    http: {headers: {request: {set: [{name: x-api-key, value: abc}]}}}\n"
TEAM = "    http: {headers: {request: {set: [{name: x-team, value: abc}]}}}\n"
PORT = "    ports: [%s]\n"
FIXED = "    addresses: [203.0.113.20]\n"
TLS = "    originateTLS: {}\n"


def build(host: str, *fields: str) -> str:
    return f"{HEAD}  - hosts: ['{host}']\n{''.join(fields)}"


def port(text: str) -> str:
    return PORT % text


BELOW = {
    "gateway": "  gatewayRef: {name: shared}\n",
    "from": "  from: {workloads: {matchLabels: {app: checkout}}}\n",
    "allow": "",
}
"""What restricts a name below a wildcard."""
NAME = "  - hosts: [a.shops.example.com]\n"
COPIED = (
    "    backends: [{name: main, endpoints: [{address: 203.0.113.10}]}, "
    "{name: copy, endpoints: [{address: 203.0.113.11}]}]\n"
    "    failover: true\n"
)
MIRROR = "    http: {mirror: {backend: copy}}\n"
ALLOW = "    http: {allow: [{methods: [GET]}]}\n"
HTTP_80 = "{number: 80, protocol: HTTP}"
TLS_443 = "{number: 443, protocol: TLS}"


def build_below(restriction: str, wildcard: str, ports: str) -> str:
    """Build a wildcard with some fields and a name below it, whose policy restricts it."""
    name = build("a.shops.example.com", port(ports))
    name = name.replace("payments", "narrow").replace("spec:\n", f"spec:\n{BELOW[restriction]}")
    if restriction == "allow":
        name += ALLOW
    gateway = GATEWAY if restriction == "gateway" else ""
    return f"{gateway}{build('*.shops.example.com', wildcard)}---\n{name}"


def list_below() -> Iterator[tuple[str, str, str, str]]:
    """List the restrictions that a wildcard lifts, each with the ways out."""
    http, both = port(HTTP_80), port(f"{HTTP_80}, {TLS_443}")
    for restriction in BELOW:
        broken = build_below(restriction, both, HTTP_80)
        for words, wildcard in (
            ("; remove the port from the wildcard,", http),
            ("or give the wildcard originateTLS in its place,", TLS),
        ):
            yield "EG106", broken, words, build_below(restriction, wildcard, HTTP_80)
            if restriction != "allow":
                own = f"{HTTP_80}, {TLS_443}"
                yield "EG106", broken, words, build_below(restriction, wildcard, own)
    for restriction in ("gateway", "from"):
        yield (
            "EG106",
            build_below(restriction, http, TLS_443),
            "; add the port to it, or remove it",
            build_below(restriction, http, f"{HTTP_80}, {TLS_443}"),
        )


OPEN_GATEWAY = GATEWAY.replace("spec:\n", "spec:\n  wildcards: HTTP\n")
THROUGH = build("*.example.com", TLS).replace("spec:\n", f"spec:\n{BELOW['gateway']}")
THROUGH_TLS = build("*.example.com", port(TLS_443)).replace("spec:\n", f"spec:\n{BELOW['gateway']}")
CASES = [
    (
        "EG055",
        build("db.example.com", port("{number: 5432, protocol: TCP}")),
        "; write addresses with the IPs that clients dial;",
        build("db.example.com", port("{number: 5432, protocol: TCP}"), FIXED),
    ),
    (
        "EG055",
        build("cache.example.com", port("{number: 6380, protocol: TCP}")),
        "if the client speaks TLS from the first byte (",
        build("cache.example.com", port("{number: 6380, protocol: TLS}")),
    ),
    (
        "EG057",
        build("db.example.com", port("{number: 5432, protocol: TLS}")),
        "; write protocol: TCP, and addresses with the IPs that clients dial,",
        build("db.example.com", port("{number: 5432, protocol: TCP}"), FIXED),
    ),
    (
        "EG057",
        build("db.example.com", port("{number: 5432, protocol: TLS}"), FIXED),
        "; write protocol: TCP, also if TLS follows later",
        build("db.example.com", port("{number: 5432, protocol: TCP}"), FIXED),
    ),
    (
        "EG058",
        build("api.example.com", port("{number: 80, protocol: HTTP, targetPort: 443}")),
        "; add originateTLS: {}",
        build("api.example.com", port("{number: 80, protocol: HTTP, targetPort: 443}"), TLS),
    ),
    (
        "EG061",
        build("db.example.com", port("{number: 5432, protocol: TCP}"), FIXED, TLS),
        "; remove originateTLS, and switch TLS on in the client",
        build("db.example.com", port("{number: 5432, protocol: TCP}"), FIXED),
    ),
    (
        "EG063",
        build("api.example.com", TLS, KEY),
        "; remove it, and let the application send it",
        build("api.example.com", TLS, TEAM),
    ),
    (
        "EG074",
        build("*.co.uk"),
        "; name a domain of one owner, such as *.example.co.uk",
        build("*.example.co.uk"),
    ),
    (
        "EG075",
        build("*.s3.amazonaws.com"),
        "; name each host;",
        build("bucket.s3.amazonaws.com"),
    ),
    *(
        ("EG125", f"{GATEWAY}{THROUGH}", words, cure)
        for words, cure in (
            (
                "; ask the platform team for wildcards: HTTP in its spec;",
                f"{OPEN_GATEWAY}{THROUGH}",
            ),
            ("or name each host;", f"{GATEWAY}{THROUGH.replace('*', 'a')}"),
            ("or move the wildcard into a policy without gatewayRef", build("*.example.com", TLS)),
        )
    ),
    *(
        ("EG125", f"{OPEN_GATEWAY}{THROUGH_TLS}", words, cure)
        for words, cure in (
            (
                "; ask the platform team for wildcards: HTTPAndTLS in its spec;",
                f"{OPEN_GATEWAY.replace(': HTTP', ': HTTPAndTLS')}{THROUGH_TLS}",
            ),
            (
                "or leave ports out, add originateTLS: {} and call http://...,",
                f"{OPEN_GATEWAY}{THROUGH}",
            ),
            ("or name each host;", f"{OPEN_GATEWAY}{THROUGH_TLS.replace('*', 'a')}"),
            (
                "or move the wildcard into a policy without gatewayRef",
                build("*.example.com", port(TLS_443)),
            ),
        )
    ),
    (
        "EG130",
        build("*.shops.example.com", NAME, port(HTTP_80), COPIED, MIRROR, NAME, COPIED),
        "or copies requests (http.mirror), which Istio cannot tell apart from the wildcard; give",
        build("*.shops.example.com", TLS, NAME, TLS, COPIED, MIRROR),
    ),
]


UNSEEN = {
    "EG055": "one way is a setting of the mesh",
    "EG075": "one way is a setting of the operator",
    "EG076": "the version of Istio is a setting; plan/test_version.py applies each fix",
    "EG077": "the same; the second way out keeps the wildcard, and so the warning",
    "EG126": "files do not tell which admission policies are in force",
}
"""Rules with a way out that is not in the files, and which it is."""


def lint(text: str, path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the messages of each rule."""
    path.write_text(text)
    run(["lint", "-o", "json", str(path)])
    findings = json.loads(capsys.readouterr().out)["findings"]
    found: dict[str, str] = {}
    for finding in findings:
        found[finding["rule"]] = f"{found.get(finding['rule'], '')}{finding['message']}\n"
    return found


@pytest.mark.parametrize(("rule", "text", "words", "cure"), [*CASES, *list_below()])
def test_the_fix_is_enough(
    rule: str,
    text: str,
    words: str,
    cure: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = lint(text, tmp_path / "policy.yaml", capsys)
    assert list(found) == [rule]
    assert words in found[rule]
    assert lint(cure, tmp_path / "cure.yaml", capsys) == {}


def test_each_way_out_of_a_rule_has_a_row() -> None:
    ways = {
        rule.code: count_ways_out(rule.fix)
        for rule in read_rules().values()
        if rule.scope is not Scope.SHAPE and rule.code not in UNSEEN
    }
    rows = Counter(rule for rule, *_ in CASES)
    assert [code for code, number in ways.items() if 1 < number > rows[code]] == []
