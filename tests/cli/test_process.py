"""The program as its users have it: exit codes, streams, pipes, files."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cli.call import BROKEN, POLICY, REFUSED, ROOT, TIME_LIMIT_S, build_environment, call
from egress_operator.cli.main import run
from testbed.port import find_free_port

ESC = b"\x1b"
TRACEBACK = b"Traceback"

OLDER = POLICY.replace("payments, ", 'older, creationTimestamp: "2026-01-01T00:00:00Z", ')
CONFLICT = f"{OLDER}---\n{POLICY}    ports: [{{number: 443, protocol: TLS, targetPort: 8443}}]\n"
SHADOWED = (
    f"{POLICY}---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
    "metadata: {name: mine, namespace: shop}\nspec: {hosts: [api.stripe.com]}\n"
)

OVERRIDDEN = (
    f"{POLICY}    originateTLS: {{}}\n---\napiVersion: networking.istio.io/v1\n"
    "kind: DestinationRule\nmetadata: {name: mine, namespace: shop}\n"
    "spec: {host: api.stripe.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}\n"
)

EXPIRED = POLICY.replace("spec:\n", 'spec:\n  expiresAt: "2026-01-31T00:00:00Z"\n')
HIDDEN = (
    f"{POLICY}---\napiVersion: networking.istio.io/v1\nkind: Sidecar\n"
    "metadata: {name: default, namespace: shop}\nspec:\n"
    "  egress: [{hosts: ['istio-system/*', './*.svc.cluster.local']}]\n"
)
NULLS = "creationTimestamp: null, labels: null, annotations: null, uid: null"
PARTLY_HIDDEN = f"{HIDDEN}  workloadSelector: {{labels: {{app: batch}}}}\n"

CODES = [
    ("fine", POLICY, 0),
    ("nothing", "", 1),
    ("comments", "# none\n---\n", 1),
    ("other kinds", "apiVersion: v1\nkind: ConfigMap\n", 1),
    ("warning", SHADOWED, 0),
    ("expired", EXPIRED, 0),
    ("overridden", OVERRIDDEN, 1),
    ("hidden", HIDDEN, 1),
    ("partly hidden", PARTLY_HIDDEN, 0),
    ("refused", REFUSED, 1),
    ("conflict", CONFLICT, 1),
    ("duplicate key", POLICY + "spec: {}\n", 1),
    ("twice", f"{POLICY}---\n{POLICY}", 1),
    ("no object", "a: b\n", 1),
    ("broken", BROKEN, 2),
    ("fine and broken", f"{POLICY}---\n{BROKEN}", 2),
]


@pytest.mark.parametrize(("text", "code"), [row[1:] for row in CODES], ids=[r[0] for r in CODES])
@pytest.mark.parametrize(
    "arguments", [("lint",), ("lint", "-o", "json"), ("render",), ("render", "-o", "json")]
)
def test_exit_code_does_not_depend_on_the_output(
    arguments: tuple[str, ...],
    text: str,
    code: int,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    path = tmp_path / "input.yaml"
    path.write_text(text)
    assert run([*arguments, "-f", str(path)]) == code
    out, err = capfdbinary.readouterr()
    assert TRACEBACK not in err
    assert ESC not in out + err


@pytest.mark.parametrize(("text", "code"), [(POLICY, 0), (REFUSED, 1), (BROKEN, 2)])
def test_exit_code_of_the_process(text: str, code: int) -> None:
    for command in ("lint", "render"):
        assert call(command, "-f", "-", stdin=text.encode()).returncode == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("frob",), "No such command 'frob'; see egressctl --help"),
        (("rendr",), "No such command 'rendr' (did you mean render?); see egressctl --help"),
        (("render", "--frob"), "No such option '--frob'"),
        (("lint", "--debug"), "--debug stands before the command: egressctl --debug lint"),
        (("render", "-o", "toml"), "see egressctl render --help"),
        (("lint",), "nothing to read: name files or directories with -f, or - for stdin"),
        (("lint", "-f", "-", "--allowed-cidrs", "x"), "--allowed-cidrs: 'x' is not a CIDR"),
        (("lint", "-n", "Foo_Bar", "-f", "-"), '--namespace: "Foo_Bar" '),
        (("run", "--metrics-port", "0"), "--metrics-port: 0 is not between 1 and 65535"),
        (("run", "--context"), "Option '--context' requires an argument"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("egressctl: ")
    assert words in line


def test_without_arguments_the_help_goes_to_stderr() -> None:
    done = call()
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Exit codes, whatever -o says:" in done.stderr


def test_lint_finding(tmp_path: Path) -> None:
    path = tmp_path / "egress.yaml"
    path.write_text(f"# first\n{REFUSED}")
    done = call("lint", path)
    assert done.returncode == 1
    assert done.stdout.decode() == (
        f"{path}:7:13: error EG010 shop/payments spec.destinations[0].hosts[0]: "
        "'API.stripe.com' has upper-case letters; write api.stripe.com\n"
    )
    assert done.stderr.decode().splitlines() == [
        "policies: 1, gateways: 0, errors: 1, warnings: 0",
        (
            "note: some checks run only on policies without errors: fix what was found, then "
            "run lint again"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "partial"),
    [
        (POLICY, False),
        (CONFLICT, False),
        (REFUSED, True),
        (POLICY + "spec: {}\n", True),
        (BROKEN, True),
        ("", False),
    ],
)
def test_that_checks_were_left_out_is_noted_only_then(
    text: str,
    partial: bool,  # noqa: FBT001 - a column of the table
    tmp_path: Path,
) -> None:
    path = tmp_path / "input.yaml"
    path.write_text(text)
    assert (b"note: some checks" in call("lint", path).stderr) is partial


def test_nothing_was_left_out_of_what_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        assert b"note: some checks" not in call("lint", path).stderr


def test_a_missing_file_has_no_line_and_a_fix_of_its_own(tmp_path: Path) -> None:
    done = call("lint", tmp_path / "missing.yaml", "-o", "json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["rule"], finding["line"], finding["column"]) == ("EG901", None, None)
    fix = "name a file or directory that is there and that you may read"
    assert finding["message"] == f"cannot be read: No such file or directory; {fix}"
    assert finding["fix"].lower() == f"{fix}."


def test_lint_json(tmp_path: Path) -> None:
    path = tmp_path / "egress.yaml"
    path.write_text(REFUSED)
    done = call("lint", "-f", path, "-o", "json")
    found = json.loads(done.stdout)
    assert found["summary"] == {"policies": 1, "gateways": 0, "errors": 1, "warnings": 0}
    (finding,) = found["findings"]
    assert {name: finding[name] for name in ("rule", "level", "file", "line", "column")} == {
        "rule": "EG010",
        "level": "error",
        "file": str(path),
        "line": 6,
        "column": 13,
    }
    assert finding["path"] == "spec.destinations[0].hosts[0]"
    assert finding["object"] == "shop/payments"
    assert finding["message"] == "'API.stripe.com' has upper-case letters; write api.stripe.com"
    assert finding["fix"] == "write api.stripe.com"


def test_unquoted_wildcard_says_the_fix() -> None:
    done = call("lint", "-f", "-", stdin=BROKEN.encode())
    assert done.stdout.decode() == (
        "<stdin>:6:13: error EG901 YAML takes *.stripe.com for a reference to another place: "
        'write "*.stripe.com" in quotes\n'
    )


def test_a_rule_that_counts_in_place_of_the_operator_s_is_an_error() -> None:
    done = call("lint", "-f", "-", stdin=OVERRIDDEN.encode())
    (line,) = done.stdout.decode().splitlines()
    assert line.startswith(
        "<stdin>:1:1: error EG107 shop/payments: DestinationRule mine, written by hand, counts for "
        "api.stripe.com in place of the operator's own if it is younger: originateTLS, "
        "traffic and failover have no effect"
    )


def test_a_sidecar_that_hides_a_host_is_named_with_what_to_add() -> None:
    done = call("lint", "-f", "-", stdin=HIDDEN.encode())
    assert done.stdout.decode() == (
        "<stdin>:1:1: error EG120 shop/payments: Sidecar default does not import api.stripe.com "
        "(443), so sidecars block these calls, or let them out as if there were no policy; add "
        '"./api.stripe.com" to the egress hosts\n'
    )
    done = call("lint", "-f", "-", stdin=PARTLY_HIDDEN.encode())
    (line,) = done.stdout.decode().splitlines()
    assert line.startswith(
        "<stdin>:1:1: warning EG121 shop/payments: Sidecar default, for pods with app=batch, does "
    )


def test_the_default_sidecar_of_the_mesh_counts_for_a_namespace_without_one() -> None:
    text = HIDDEN.replace("namespace: shop}\nspec:\n  egress", "namespace: mesh}\nspec:\n  egress")
    assert call("lint", "-f", "-", stdin=text.encode()).stdout == b""
    done = call("lint", "-f", "-", "--istio-namespace", "mesh", stdin=text.encode())
    assert b"Sidecar mesh/default, the mesh's default, does not import" in done.stdout


@pytest.mark.parametrize("spec", ["text", "{egress: [{hosts: 7}]}", "{workloadSelector: 1}"])
def test_a_sidecar_that_cannot_be_read_is_reported(spec: str) -> None:
    text = HIDDEN.partition("spec:\n  egress")[0] + f"spec: {spec}\n"
    done = call("lint", "-f", "-", stdin=text.encode())
    assert b"EG906 the Istio object cannot be read" in done.stdout
    assert TRACEBACK not in done.stderr


@pytest.mark.parametrize("text", [HIDDEN, SHADOWED, OVERRIDDEN], ids=["Sidecar", "entry", "rule"])
def test_null_in_metadata_of_an_istio_object_is_left_out(text: str) -> None:
    policy, *rest = text.split("---\n")
    with_null = "---\n".join(
        (policy, *(part.replace("metadata: {", f"metadata: {{{NULLS}, ") for part in rest))
    )
    assert NULLS in with_null
    expected = call("lint", "-f", "-", stdin=text.encode())
    done = call("lint", "-f", "-", stdin=with_null.encode())
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)


def test_unknown_field_is_guessed() -> None:
    text = POLICY.replace("hosts:", "host:")
    done = call("lint", "-f", "-", stdin=text.encode())
    assert b"<stdin>:6:5: error EG001" in done.stdout
    assert b"did you mean hosts?" in done.stdout


@pytest.mark.parametrize("command", ["lint", "render"])
@pytest.mark.parametrize("key", ["gatewayRef", "from"])
def test_a_key_with_nothing_behind_it_opens_nothing(key: str, command: str) -> None:
    text = POLICY.replace("spec:\n", f"spec:\n  {key}:\n")
    done = call(command, "-f", "-", stdin=text.encode())
    assert done.returncode == 1
    words = (
        f"<stdin>:5:3: error EG033 shop/payments spec.{key}: {key} has no value; give it one, or"
    )
    assert words in (done.stdout + done.stderr).decode()
    assert b"kind: ServiceEntry" not in done.stdout


def test_null_in_metadata_is_left_out() -> None:
    text = POLICY.replace(
        "namespace: shop", "namespace: shop, labels: null, creationTimestamp: null"
    )
    assert call("lint", "-f", "-", stdin=text.encode()).returncode == 0


def test_conflict_among_files(tmp_path: Path) -> None:
    older, younger = CONFLICT.split("---\n")
    (tmp_path / "b.yaml").write_text(older)
    (tmp_path / "a.yaml").write_text(younger)
    done = call("lint", "-f", tmp_path / "b.yaml", "-f", tmp_path / "a.yaml")
    (line,) = done.stdout.decode().splitlines()
    assert line.startswith(f"{tmp_path}/a.yaml:6:13: error EG102 shop/payments ")
    assert "older" in line


def test_names_decide_between_policies_that_are_not_created_yet() -> None:
    other = POLICY.replace("payments", "checkout")
    text = f"{POLICY}    ports: [{{number: 443, protocol: TLS, targetPort: 8443}}]\n---\n{other}"
    (line,) = call("lint", "-f", "-", stdin=text.encode()).stdout.decode().splitlines()
    assert " shop/payments " in line
    assert "policy checkout (older, or first by name at the same age) claims" in line


def test_warnings_fail_only_on_demand() -> None:
    arguments = ("lint", "-f", "-", "--fail-on", "warning")
    done = call(*arguments, stdin=SHADOWED.encode())
    assert done.returncode == 1
    assert b": warning EG105 shop/payments: " in done.stdout
    assert call(*arguments, stdin=POLICY.encode()).returncode == 0


def test_a_policy_for_a_gateway_without_the_gateways_file_is_not_judged() -> None:
    policy = POLICY.replace("spec:\n", "spec:\n  gatewayRef: {name: shared}\n").encode()
    done = call("lint", "-f", "-", "--fail-on", "warning", stdin=policy)
    assert done.returncode == 1
    assert b": warning EG908 shop/payments spec.gatewayRef.name: " in done.stdout
    done = call("render", "-f", "-", stdin=policy)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b": error EG908 shop/payments " in done.stderr


def test_of_a_paused_policy_it_is_told_that_nothing_is_rendered() -> None:
    paused = "namespace: shop, annotations: {egress-operator.io/paused: 'true'}"
    policy = POLICY.replace("namespace: shop", paused).encode()
    done = call("render", "-f", "-", stdin=policy)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b": warning EG912 shop/payments metadata.annotations" in done.stderr
    done = call("lint", "-f", "-", stdin=policy)
    assert done.returncode == 0
    assert b": warning EG912 shop/payments metadata.annotations" in done.stdout


GATEWAY = """---
apiVersion: egress-operator.io/v1alpha1
kind: EgressGateway
metadata: {name: shared}
spec:
  namespace: shop
  selector: {istio: egressgateway}
  service: {name: istio-egressgateway, port: 443}
  namespaces: {matchLabels: {egress: shared}}
  authorization: Managed
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {egress: shared}}
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (GATEWAY, b"is selected by spec.namespaces too: whoever may write there"),
        (
            f"{POLICY}\n{GATEWAY.replace('egress: shared}}', 'a: b}}')}",
            b"has policies too: whoever",
        ),
        (GATEWAY.replace("{name: shop, labels", "{name: web, labels"), b""),
        (GATEWAY.replace("{matchLabels: {egress: shared}}", "{}"), b""),
        (GATEWAY.replace("labels: {egress: shared}", "labels: {egress: other}"), b""),
    ],
)
def test_gateway_in_the_namespace_of_a_tenant_is_warned_of(text: str, cause: bytes) -> None:
    done = call("lint", "-f", "-", stdin=text.encode())
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == bool(cause)
    assert cause in done.stdout
    assert (b": warning EG910 shared spec.namespace: " in done.stdout) is bool(cause)


def test_render_keeps_streams_apart() -> None:
    bad = REFUSED.replace("payments", "other")
    done = call("render", "-f", "-", stdin=f"{POLICY}---\n{bad}".encode())
    assert done.returncode == 1
    (obj,) = yaml.safe_load_all(done.stdout)
    assert (obj["kind"], obj["spec"]["hosts"]) == ("ServiceEntry", ["api.stripe.com"])
    assert obj["metadata"]["annotations"]["egress-operator.io/policies"] == "payments"
    assert "ownerReferences" not in obj["metadata"]
    (line,) = done.stderr.decode().splitlines()
    assert "EG010 shop/other" in line


def test_an_expired_policy_is_warned_of_and_nothing_is_rendered() -> None:
    done = call("render", "-f", "-", stdin=EXPIRED.encode())
    assert (done.returncode, done.stdout) == (0, b"")
    assert b": warning EG118 shop/payments spec.expiresAt: " in done.stderr
    assert b"expired at 2026-01-31T00:00:00Z" in done.stderr
    assert call("lint", "-f", "-", "--fail-on", "warning", stdin=EXPIRED.encode()).returncode == 1
    later = EXPIRED.replace('"2026-01-31T00:00:00Z"', "2999-01-31T00:00:00Z")
    done = call("render", "-f", "-", stdin=later.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == call("render", "-f", "-", stdin=POLICY.encode()).stdout


def test_render_refers_to_owners_that_exist() -> None:
    text = POLICY.replace("namespace: shop", "namespace: shop, uid: abc-1")
    done = call("render", "-f", "-", stdin=text.encode())
    (obj,) = yaml.safe_load_all(done.stdout)
    assert obj["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "egress-operator.io/v1alpha1",
            "kind": "EgressPolicy",
            "name": "payments",
            "uid": "abc-1",
        }
    ]


def test_a_copied_uid_refers_to_nobody() -> None:
    text = POLICY.replace("namespace: shop", "namespace: shop, uid: abc-1")
    both = f"{text}---\n{text.replace('payments', 'other').replace('api.', 'files.')}"
    done = call("render", "-f", "-", stdin=both.encode())
    objects = list(yaml.safe_load_all(done.stdout))
    assert [obj["spec"]["hosts"] for obj in objects] == [["api.stripe.com"], ["files.stripe.com"]]
    assert not any("ownerReferences" in obj["metadata"] for obj in objects)


def test_render_prints_nothing_of_unreadable_input() -> None:
    done = call("render", "-f", "-", stdin=f"{POLICY}---\n{BROKEN}".encode())
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"<stdin>:13:13: error EG901" in done.stderr


def test_render_is_byte_stable_and_sorted(tmp_path: Path) -> None:
    names = [("b", "shop", "b.example.com"), ("a", "shop", "a.example.com"), ("c", "app", "c.co")]
    texts = [
        POLICY.replace("payments", name).replace("shop", space).replace("api.stripe.com", host)
        for name, space, host in names
    ]
    http = "    ports: [{number: 80, protocol: HTTP}]\n    http: {timeout: 3s}\n"
    one = tmp_path / "one.yaml"
    one.write_text("---\n".join(text + http for text in texts))
    two = tmp_path / "two.yaml"
    two.write_text("---\n".join(text + http for text in reversed(texts)))
    first, second = call("render", "-f", one), call("render", "-f", two)
    assert first.returncode == 0
    assert first.stdout == second.stdout
    found = [
        (obj["metadata"]["namespace"], obj["kind"], obj["spec"]["hosts"][0])
        for obj in yaml.safe_load_all(first.stdout)
    ]
    assert found == [
        ("app", "ServiceEntry", "c.co"),
        ("app", "VirtualService", "c.co"),
        ("shop", "ServiceEntry", "a.example.com"),
        ("shop", "ServiceEntry", "b.example.com"),
        ("shop", "VirtualService", "a.example.com"),
        ("shop", "VirtualService", "b.example.com"),
    ]
    as_json = json.loads(call("render", "-f", one, "-o", "json").stdout)
    assert (as_json["apiVersion"], as_json["kind"]) == ("v1", "List")
    assert as_json["items"] == list(yaml.safe_load_all(first.stdout))


def test_render_reads_its_own_output_back(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    first = call("render", "-f", tmp_path)
    (tmp_path / "objects.yaml").write_bytes(first.stdout)
    second = call("render", "-f", tmp_path)
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, b"")


def test_lists_are_opened_and_findings_lie_in_them() -> None:
    items = "".join(
        f"- {json.dumps(yaml.safe_load(text))}\n" for text in (POLICY, REFUSED.replace("pay", "p"))
    )
    done = call("lint", "-f", "-", stdin=f"items:\n{items}kind: List\napiVersion: v1\n".encode())
    assert done.stdout.startswith(b"<stdin>:3:")
    assert b"EG010 shop/pments" in done.stdout
    assert done.stderr.startswith(b"policies: 2, gateways: 0, errors: 1, warnings: 0\n")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (yaml.safe_load(POLICY), "items of a List must be a list"),
        ("text", "items of a List must be a list"),
        ([{"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(POLICY)]}], "in a List"),
    ],
)
def test_a_list_that_cannot_be_opened_is_an_error(items: object, words: str) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    done = call("lint", "-f", "-", stdin=text.encode())
    assert done.returncode == 1
    assert words in done.stdout.decode()
    assert done.stderr.startswith(b"policies: 0, gateways: 0, errors: 1, warnings: 0\n")


@pytest.mark.parametrize("more", [{}, {"items": None}, {"items": []}])
def test_a_list_without_items_is_left_out(more: dict[str, object]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", **more})
    done = call("lint", "-f", "-", stdin=f"{text}\n---\n{POLICY}".encode())
    assert (done.returncode, done.stdout) == (0, b"")


GATEWAY = (ROOT / "samples" / "egress-gateway.yaml").read_text()
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\n"


@pytest.mark.parametrize("command", ["lint", "render"])
def test_input_without_a_policy_is_an_error_at_each_place_that_was_named(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG_MAP)
    done = call(command, tmp_path, "-", stdin=SHADOWED.partition("---")[2].encode())
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).decode().splitlines()
    assert [line for line in lines if "EG909" in line] == [
        f"{place}: error EG909 no EgressPolicy and no EgressGateway found: name the files or "
        "directories that hold them"
        for place in (tmp_path, "<stdin>")
    ]


@pytest.mark.parametrize(
    ("text", "is_told"), [(SHADOWED.partition("---")[2], True), (SHADOWED, False)]
)
def test_istio_s_objects_alone_are_not_checked(text: str, *, is_told: bool) -> None:
    done = call("lint", "-f", "-", stdin=text.encode())
    note = b"note: 1 object of Istio not checked: these are only compared with policies\n"
    assert (note in done.stderr) is is_told


def test_an_empty_file_that_was_named_is_an_error_next_to_policies_too(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "policy.yaml").write_text(POLICY)
    done = call("lint", tmp_path / "policy.yaml", tmp_path / "empty.yaml")
    assert done.returncode == 1
    assert done.stdout.decode() == f"{tmp_path}/empty.yaml: error EG909 the file is empty\n"
    assert call("lint", tmp_path).returncode == 0


@pytest.mark.parametrize("text", [POLICY, GATEWAY])
def test_files_of_other_kinds_are_fine_next_to_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(text)
    (tmp_path / "config.yaml").write_text(CONFIG_MAP)
    done = call("lint", tmp_path / "config.yaml", tmp_path / "ours.yaml")
    assert (done.returncode, done.stdout) == (0, b"")


def test_gateways_are_counted() -> None:
    done = call("lint", "-f", "-", stdin=f"{GATEWAY}---\n{POLICY}".encode())
    assert done.stderr == b"policies: 1, gateways: 1, errors: 0, warnings: 0\n"


def test_settings_come_from_flags_and_environment() -> None:
    text = POLICY.replace("hosts: [api.stripe.com]", "addresses: [10.9.8.7]")
    text += "    ports: [{number: 5432, protocol: TCP}]\n"
    done = call("lint", "-f", "-", stdin=text.encode())
    assert done.returncode == 1
    assert b"call egressctl with --allowed-cidrs" in done.stdout
    arguments = ("lint", "-f", "-", "--allowed-cidrs", "10.9.0.0/16")
    assert call(*arguments, stdin=text.encode()).returncode == 0
    env = {"EGRESS_ALLOWED_CIDRS": "10.9.0.0/16", "EGRESS_METRICS_PORT": "of another command"}
    assert call("lint", "-f", "-", stdin=text.encode(), env=env).returncode == 0


def test_a_flag_that_the_samples_need_is_named() -> None:
    done = call("lint", ROOT / "samples")
    assert done.returncode == 1
    (line,) = done.stdout.decode().splitlines()
    assert "EG055" in line
    assert "call egressctl with --dns-capture on" in line
    assert call("lint", ROOT / "samples", "--dns-capture", "on").returncode == 0


def test_namespace_of_policies_that_name_none() -> None:
    text = POLICY.replace(", namespace: shop", "")
    for arguments, namespace in [((), "default"), (("-n", "till"), "till")]:
        done = call("render", "-f", "-", *arguments, stdin=text.encode())
        (obj,) = yaml.safe_load_all(done.stdout)
        assert obj["metadata"]["namespace"] == namespace


def test_directory_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\ndata: {a: on, a: 010}\n")
    (tmp_path / "package.json").write_text('{"name": "x"}')
    (tmp_path / "chart.yaml").write_text("{{- if .Values.a }}\na: b\n")
    done = call("lint", tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().splitlines() == [
        "note: 2 documents of other kinds left out",
        "note: 1 file left out, neither YAML nor ours",
        "policies: 1, gateways: 0, errors: 0, warnings: 0",
    ]
    (tmp_path / "chart.yaml").write_text(f"{POLICY}  x: {{{{ .Values.a }}\n")
    assert call("lint", tmp_path).returncode == 2


def test_misspelt_kind_and_version() -> None:
    for old, new, words in [
        ("kind: EgressPolicy", "kind: EgresPolicy", b"did you mean EgressPolicy?"),
        ("v1alpha1", "v1", b"write egress-operator.io/v1alpha1"),
        ("egress-operator.io/", "egressoperator.io/", b"write egress-operator.io/v1alpha1"),
        ("egress-operator.io/v1alpha1", "v1alpha1", b"write egress-operator.io/v1alpha1"),
    ]:
        done = call("lint", "-f", "-", stdin=POLICY.replace(old, new).encode())
        assert done.returncode == 1
        assert b"<stdin>:1:1: error EG906" in done.stdout
        assert words in done.stdout


def test_a_kind_of_the_same_name_of_another_product_is_left_out() -> None:
    other = POLICY.replace("egress-operator.io/v1alpha1", "crd.antrea.io/v1")
    done = call("lint", "-f", "-", stdin=f"{POLICY}---\n{other}".encode())
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"note: 1 document of other kinds left out\n" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: EgressPolicy\nkind: EgressPolicy\n", "write egress-operator.io/v1alpha1"),
        (
            "spec: {}\n",
            "a policy has apiVersion: egress-operator.io/v1alpha1 and kind: EgressPolicy",
        ),
        ("just text\n", "not a Kubernetes object: write apiVersion, kind, metadata and spec"),
    ],
)
def test_what_is_no_object_says_what_an_object_has(text: str, words: str) -> None:
    done = call("lint", "-f", "-", stdin=text.encode())
    assert (done.returncode, b"error EG906" in done.stdout) == (1, True)
    assert words in done.stdout.decode()


def test_nothing_from_a_file_steers_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb.yaml"
    path.write_text(POLICY + '"x\\e[31m\\ny": 1\n')
    done = call("lint", tmp_path)
    assert done.returncode == 1
    assert ESC not in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "env", "coloured"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": ""}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(arguments: tuple[str, ...], env: dict[str, str], *, coloured: bool) -> None:
    done = call("lint", "-f", "-", *arguments, stdin=REFUSED.encode(), env=env)
    assert (ESC in done.stdout) is coloured
    done = call("render", "-f", "-", *arguments, stdin=REFUSED.encode(), env=env)
    assert (ESC in done.stderr) is coloured
    assert ESC not in done.stdout


@pytest.mark.parametrize(("term", "coloured"), [("xterm", True), ("dumb", False)])
def test_colour_on_a_terminal(term: str, *, coloured: bool) -> None:
    ours, theirs = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "egress_operator.cli", "lint", "-f", "-"],
            input=REFUSED.encode(),
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=build_environment(TERM=term),
            timeout=TIME_LIMIT_S,
            check=False,
        )
        assert (ESC in os.read(ours, 4096)) is coloured
    finally:
        os.close(ours)
        os.close(theirs)


def _pipe(command: str) -> subprocess.CompletedProcess[bytes]:
    program = f"{sys.executable} -m egress_operator.cli"
    return subprocess.run(
        ["bash", "-c", command.replace("egressctl", program)],
        capture_output=True,
        env=build_environment(),
        timeout=TIME_LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["crds", "render -f {}", "lint -o json -f {}", "--help"])
def test_a_reader_that_goes_away_is_no_error(arguments: str, tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("---\n".join(POLICY.replace("payments", f"p{n}") for n in range(200)))
    ended = "true" if arguments == "--help" else "head -c 10"
    done = _pipe(
        f"egressctl {arguments.format(path)} | {ended} >/dev/null; exit ${{PIPESTATUS[0]}}"
    )
    assert (
        done.returncode,
        done.stderr.replace(b"policies: 200, gateways: 0, errors: 0, warnings: 0\n", b""),
    ) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["crds", "--help", "version"])
def test_a_full_disk_is_one_line(arguments: str) -> None:
    done = _pipe(f"egressctl {arguments} >/dev/full")
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert "No space left on device" in line


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    for arguments in (f"render -f {path}", f"lint {path}", "version"):
        done = _pipe(f"egressctl {arguments} {closed}")
        assert (done.returncode, TRACEBACK in done.stderr) == (0, False), done.stderr
    done = _pipe(f"egressctl lint -f - {closed} <&-")
    assert done.returncode == 2


def test_plain_locale(tmp_path: Path) -> None:
    path = tmp_path / "ä.yaml"
    path.write_text(REFUSED)
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = call("lint", path, env=env)
    assert done.returncode == 1, done.stderr
    assert done.stdout


def test_unexpected_error_is_one_line_until_asked() -> None:
    code = (
        "import sys, egress_operator.cli.command.version as v, egress_operator.cli.main as m\n"
        "def fail(text): raise RuntimeError('boom')\n"
        "v.write_data = fail\n"
        "sys.exit(m.run(sys.argv[1:]))\n"
    )

    def start(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            env=build_environment(**env),
            timeout=TIME_LIMIT_S,
            check=False,
        )

    done = start("version")
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert "RuntimeError: boom" in line
    for done in (start("--debug", "version"), start("version", EGRESSCTL_DEBUG="1")):
        assert done.returncode == 2
        assert TRACEBACK in done.stderr


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let children have SIGINT: a shell makes what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_interrupt_is_one_line() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "egress_operator.cli", "lint", "-f", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=build_environment(),
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            # It reads to the end of its input, which does not come: more than a pipe holds is
            # taken only once it reads.
            process.stdin.write(b"# comment\n" * 50_000)
            process.stdin.flush()
            for _ in range(TIME_LIMIT_S):
                # One that comes between two reads is noticed only after the next one.
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                    break
            assert process.poll() == 130
            assert process.stderr.read().strip() == b"egressctl: interrupted"
        finally:
            process.kill()


def test_name_of_the_plugin(tmp_path: Path) -> None:
    script = tmp_path / "kubectl-egress"
    script.write_text("from egress_operator.cli.main import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(script), "render", "--help"],
        capture_output=True,
        env=build_environment(),
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.stdout.startswith(b"Usage: kubectl egress render ")


def test_version() -> None:
    text, as_json = call("version"), call("version", "-o", "json")
    found = json.loads(as_json.stdout)
    assert text.stdout.decode() == f"egressctl {found['version']}\n"
    assert found["apiVersion"] == "egress-operator.io/v1alpha1"


def test_crds() -> None:
    done = call("crds")
    assert (done.returncode, done.stderr) == (0, b"")
    crds = list(yaml.safe_load_all(done.stdout))
    assert [crd["metadata"]["name"] for crd in crds] == [
        "egressgateways.egress-operator.io",
        "egresspolicies.egress-operator.io",
    ]
    shipped = sorted((ROOT / "crds").glob("*.yaml"))
    assert [yaml.safe_load(path.read_text()) for path in shipped] == crds


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    done = call(env={"_EGRESSCTL_COMPLETE": f"{shell}_source"})
    assert done.returncode == 0
    assert b"_EGRESSCTL_COMPLETE" in done.stdout


def test_completed_words() -> None:
    env = {"_EGRESSCTL_COMPLETE": "bash_complete", "COMP_WORDS": "egressctl r", "COMP_CWORD": "1"}
    done = call(env=env)
    assert done.stdout.decode().split() == ["plain,render", "plain,run"]


def test_operator_that_cannot_find_a_cluster_ends_with_its_own_code(tmp_path: Path) -> None:
    ports = ("--metrics-port", str(find_free_port()), "--health-port", str(find_free_port()))
    done = call("run", *ports, "--kubeconfig", tmp_path / "missing", "--bind", "127.0.0.1")
    assert (done.returncode, done.stdout) == (3, b"")
    assert TRACEBACK not in done.stderr
    assert b"missing" in done.stderr


@pytest.mark.parametrize(
    ("ports", "code"),
    [
        ("{number: 5432, protocol: TLS}", "EG057"),
        ("{number: 80, protocol: HTTP, targetPort: 443}", "EG058"),
    ],
)
def test_a_protocol_that_does_not_fit_is_a_warning(ports: str, code: str) -> None:
    text = f"{POLICY}    ports: [{ports}]\n".encode()
    done = call("lint", "-f", "-", stdin=text)
    assert done.returncode == 0
    assert "<stdin>:7:" in done.stdout.decode()
    assert f"warning {code} shop/payments spec.destinations[0].ports[0]." in done.stdout.decode()
    assert b"errors: 0, warnings: 1" in done.stderr
    assert b"kind: ServiceEntry" in call("render", "-f", "-", stdin=text).stdout
