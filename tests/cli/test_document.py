"""Strict YAML: values, places, and one line for everything that is refused. With both parsers."""

from typing import Any

import pytest
import yaml

from egress_operator.cli import document
from egress_operator.cli.document import Document, decode_text, find_place, parse_documents
from egress_operator.cli.finding import Finding, InputError, one_line

LOADERS = {"libyaml": yaml.CSafeLoader, "python": yaml.SafeLoader}


@pytest.fixture(params=LOADERS, autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setattr(document, "_LOADER", LOADERS[name])
    return name


def read(text: str | bytes) -> list[Document]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(parse_documents(decode_text(data, "f.yaml"), "f.yaml"))


def refuse(text: str | bytes) -> Finding:
    with pytest.raises(InputError) as caught:
        read(text)
    return caught.value.finding


def values(text: str | bytes) -> list[Any]:
    return [found.value for found in read(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n", []),
        ("---\n---\na: 1\n...\n---\n# x\n", [{"a": 1}]),
        ("\ufeffa: b\r\nc: d\r\n", [{"a": "b", "c": "d"}]),
        ("a: &x {b: 1}\nc: *x\n", [{"a": {"b": 1}, "c": {"b": 1}}]),
        ("a: |\n  on\n  010\n", [{"a": "on\n010\n"}]),
        ("a: 'on'\nb: \"010\"\n", [{"a": "on", "b": "010"}]),
        ("a:\nb: []\n", [{"a": None, "b": []}]),
    ],
)
def test_values(text: str, expected: list[Any]) -> None:
    found = read(text)
    assert [one.value for one in found] == expected
    assert not any(one.faults for one in found)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("hosts: [*.example.com]", "1:9", 'write "*.example.com" in quotes'),
        ("hosts:\n- *.example.com\n", "2:3", 'write "*.example.com" in quotes'),
        ("hosts:\n- *\n", "2:3", 'write "*" in quotes'),
        ("a: *foo", "1:4", 'write "*foo" in quotes'),
        ("a: &x [*x]", "1:8", 'write "*x" in quotes'),
        ("a:\n\t- b", "2:1", "cannot start any token"),
        ("a: b: c", "1:5", "mapping values are not allowed"),
        ("a: @b", "1:4", "cannot start any token"),
        ("a: [b\nc: d", "2:2", "a flow sequence that begins in line 1"),
        ("a: 'b\nc", "2:2", "a quoted scalar that begins in line 1"),
        ("a: b\n c: d\n", "2:3", "mapping values are not allowed"),
        (" a: b\nc: d", "2:1", "<document start>"),
        ('a: "\\q"', "1:5", "found unknown escape character"),
        ("a: b\nc\n", "3:1", "could not find expected ':'"),
        ("a: \x00", "1:4", "U+0000"),
        ("a: b\nc: \x1b[31m", "2:4", "U+001B"),
        ("a: b\n\ufeff---\nc: d", "2:1", "U+FEFF"),
        (b"\xff", "1:1", "save the file as UTF-8"),
        (b"a: b\nc: \xe9", "2:4", "byte 0xe9"),
        ("a: b".encode("utf-16"), "1:1", "not UTF-8"),
    ],
)
def test_unreadable_text(loader: str, text: str | bytes, where: str, words: str) -> None:
    found = refuse(text)
    assert (found.rule, found.line) == ("EG901", int(where.partition(":")[0]))
    if loader == "libyaml":
        assert found.where == f"f.yaml:{where}"
    assert words in found.message
    assert one_line(found.message) == found.message


INDENT = "indent the line like the fields that it belongs to"
HELM = "render the chart first: helm template CHART | egressctl lint -f -"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("a:\n\t- b", "indent with spaces"),
        ("a: 1\n\tb: 2", "indent with spaces"),
        ("a: b: c", "put the value in quotes"),
        ("a: 1\nb: call: 5", "put the value in quotes"),
        ("a: b\n c: d\n", INDENT),
        ("x:\n  a: 1\n   b: 2\n", INDENT),
        ("x:\n  a: 1\n b: 2\n", INDENT),
        ("x:\n  - a\n - b\n", INDENT),
        ("x:\n  - a\n  b: 2\n", INDENT),
        (" a: b\nc: d", INDENT),
        ("a:b\nc: d\n", "with a space after the colon"),
        ("kind EgressPolicy\nmetadata: {}\n", "check that the line above reads name: value"),
        ("a: b\nc\n", "write it as name: value"),
        ("a: @b", "put text that begins with @ in quotes"),
        ("a: `b`", "put text that begins with ` in quotes"),
        ("a: 'it's'", "put the whole value in quotes"),
        ('- "x" y', "put the whole value in quotes"),
        ("a: - b", "begin the list in the next line"),
        ("a: [b\nc: d", "close it with ]"),
        ("a: {b: 1\nc: d", "close it with }"),
        ("a: 'b\nc", "close the quotes"),
        ('a: "\\q"', "single quotes"),
        ("{{- if .Values.a }}\na: b\n", HELM),
        ("a: {{ .Values.a }}-x\n", HELM),
        ("x:\n{{ toYaml .Values.x | indent 2 }}\n", HELM),
    ],
)
def test_unreadable_text_says_how_to_fix_it(text: str, fix: str) -> None:
    _, _, found = refuse(text).message.partition("; ")
    assert fix in found


def test_a_template_that_happens_to_be_yaml_says_how_to_render_it() -> None:
    (found,) = read("a: {{ .Values.a }}\n")
    assert HELM in found.faults[0].message


@pytest.mark.parametrize(
    ("text", "rule", "where", "words"),
    [
        ("a: 1\nb: 2\na: 3", "EG903", "3:1", "already in line 1: keep one; or is --- missing"),
        ("a: {b: 1, b: 2}", "EG903", "1:11", "already in line 1"),
        ("a: on", "EG904", "1:4", 'write "on"'),
        ("on: a", "EG904", "1:1", 'write "on"'),
        ("a: [010]", "EG904", "1:5", 'write "010"'),
        ("number: 0443", "EG904", "1:9", 'write "0443" for text, or 443 for the number'),
        ("a: &x {b: 1}\nd: {<<: *x}", "EG905", "2:5", "write the fields out"),
        ("a: !!str 5", "EG905", "1:4", "tag:yaml.org,2002:str"),
        ("a: !x {b: c}", "EG905", "1:4", "remove it"),
        ("80: x", "EG905", "1:1", 'the key "80" is not text: put it in quotes'),
        ("a: 99999999999999999999", "EG904", "1:4", "for text, or a smaller number"),
        ("? [a]\n: b", "EG905", "1:3", "put it in quotes"),
    ],
)
def test_fault(text: str, rule: str, where: str, words: str) -> None:
    (found,) = read(text)
    (fault,) = found.faults
    assert (fault.rule, fault.where) == (rule, f"f.yaml:{where}")
    assert words in fault.message
    assert fault.fix


def test_json_indented_by_tabs(loader: str) -> None:
    if loader == "python":
        pytest.skip("only libyaml takes tabs between the tokens of JSON")
    assert values('{\n\t"a": [1,\n\t2]}') == [{"a": [1, 2]}]


def test_the_merge_key_in_quotes_is_an_ordinary_key() -> None:
    (found,) = read('"<<": {a: b}')
    assert found.faults == ()


def test_documents_before_a_fault_are_read() -> None:
    documents = parse_documents("a: b\n---\nc: [", "f.yaml")
    assert next(documents).value == {"a": "b"}
    with pytest.raises(InputError):
        next(documents)


def test_places() -> None:
    (found,) = read("a:\n  b:\n  - {c: 1}\n  - c: 2\n    d.e/f: 3\n")
    for path, line, column in [
        ("", 1, 1),
        ("a", 1, 1),
        ("a.b", 2, 3),
        ("a.b[0]", 3, 5),
        ("a.b[0].c", 3, 6),
        ("a.b[1]", 4, 5),
        ('a.b[1]["d.e/f"]', 5, 5),
        ("a.b[1].missing.deeper", 4, 5),
        ("a.b[7].c", 2, 3),
        ("missing", 1, 1),
    ]:
        assert find_place(found.place, path)[:2] == (line, column), path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 65 + "]" * 65, "64 levels"),
        ("{a: " * 65 + "1" + "}" * 65, "64 levels"),
        ("- " * 65 + "a", "64 levels"),
        ("a: &x 1\nb: [" + "*x, " * 10_001 + "]", "10000 values"),
        ("a: &x [" + "1, " * 99 + "]\nb: [" + "*x, " * 101 + "]", "10000 values"),
        ("a: &x [1]\nb: &y [" + "*x, " * 99 + "]\nc: [" + "*y, " * 99 + "]", "10000 values"),
    ],
)
def test_bound(text: str, words: str) -> None:
    found = refuse(text)
    assert found.rule == "EG902"
    assert words in found.message
    assert found.line > 0


@pytest.mark.parametrize(
    "text",
    [
        "[" * 64 + "]" * 64,
        "a: &x 1\nb: [" + "*x, " * 10_000 + "]",
        "a: &x [" + "1, " * 99 + "]\nb: [" + "*x, " * 100 + "]",
    ],
)
def test_just_within_the_bounds(text: str) -> None:
    (found,) = read(text)
    assert found.faults == ()


def test_faults_are_counted_out() -> None:
    (found,) = read("a: 1\n" * 1000)
    assert len(found.faults) == document.MAX_FAULTS
