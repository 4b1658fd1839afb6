"""Who does what lint says is told nothing more: no fix leads to the next rule."""

import json
from pathlib import Path

import pytest

from cli.call import POLICY
from egress_operator.cli.main import run

HEAD = POLICY.partition("  - hosts")[0]
KEY = "    http: {headers: {request: {set: [{name: x-api-key, value: abc}]}}}\n"
TEAM = "    http: {headers: {request: {set: [{name: x-team, value: abc}]}}}\n"
PORT = "    ports: [{number: %s}]\n"
FIXED = "    addresses: [203.0.113.20]\n"
TLS = "    originateTLS: {}\n"


def build(host: str, *fields: str) -> str:
    return f"{HEAD}  - hosts: ['{host}']\n{''.join(fields)}"


def port(text: str) -> str:
    return PORT % text


CASES = [
    (
        "EG055",
        build("db.example.com", port("5432, protocol: TCP")),
        "; write addresses with the IPs that clients dial;",
        build("db.example.com", port("5432, protocol: TCP"), FIXED),
    ),
    (
        "EG055",
        build("cache.example.com", port("6380, protocol: TCP")),
        "if the client speaks TLS from the first byte (",
        build("cache.example.com", port("6380, protocol: TLS")),
    ),
    (
        "EG057",
        build("db.example.com", port("5432, protocol: TLS")),
        "; write protocol: TCP, and addresses with the IPs that clients dial,",
        build("db.example.com", port("5432, protocol: TCP"), FIXED),
    ),
    (
        "EG057",
        build("db.example.com", port("5432, protocol: TLS"), FIXED),
        "; write protocol: TCP, also if TLS follows later",
        build("db.example.com", port("5432, protocol: TCP"), FIXED),
    ),
    (
        "EG058",
        build("api.example.com", port("80, protocol: HTTP, targetPort: 443")),
        "; add originateTLS: {}",
        build("api.example.com", port("80, protocol: HTTP, targetPort: 443"), TLS),
    ),
    (
        "EG061",
        build("db.example.com", port("5432, protocol: TCP"), FIXED, TLS),
        "; remove originateTLS, and switch TLS on in the client",
        build("db.example.com", port("5432, protocol: TCP"), FIXED),
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
]


def lint(text: str, path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the messages by their rules."""
    path.write_text(text)
    run(["lint", "-o", "json", str(path)])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return {finding["rule"]: finding["message"] for finding in findings}


@pytest.mark.parametrize(("rule", "text", "words", "cure"), CASES)
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
