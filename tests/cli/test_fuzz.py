"""Whatever comes in: an exit code of the table, one line for each finding, no traceback."""

import io
import sys
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.call import POLICY
from egress_operator.cli.main import run

WORDS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "spec",
        "destinations",
        "hosts",
        "ports",
        "number",
        "protocol",
        "items",
        "List",
        "EgressPolicy",
        "egress-operator.io/v1alpha1",
        "networking.istio.io/v1",
        "ServiceEntry",
        "v1",
        "Namespace",
        "http",
        "timeout",
        "uid",
        "annotations",
        "creationTimestamp",
        "addresses",
        "backends",
        "labels",
        "status",
    ]
)
LEAVES = st.one_of(
    WORDS,
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@st.composite
def changed_policies(draw: st.DrawFn) -> bytes:
    """Draw a policy with some bytes replaced, doubled or taken away."""
    data = bytearray(POLICY.encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 12)))
        data[start:end] = draw(st.one_of(st.binary(max_size=6), st.just(data[start:end] * 2)))
    return bytes(data)


@st.composite
def changed_objects(draw: st.DrawFn) -> bytes:
    """Draw an object with values of the wrong kind in some places."""
    version, kind = draw(
        st.sampled_from(
            [
                ("egress-operator.io/v1alpha1", "EgressPolicy"),
                ("networking.istio.io/v1", "ServiceEntry"),
                ("networking.istio.io/v1beta1", "VirtualService"),
                ("v1", "Namespace"),
                ("v1", "List"),
            ]
        )
    )
    value = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "a", "namespace": "b", draw(WORDS): draw(VALUES)},
        "spec": {"destinations": [{"hosts": ["a.example.com"], draw(WORDS): draw(VALUES)}]},
        draw(WORDS): draw(VALUES),
    }
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("command", ["lint", "render"])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        VALUES.map(lambda value: yaml.safe_dump(value).encode("utf-8", "surrogatepass")),
        changed_policies(),
        changed_objects(),
    )
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_input(
    command: str,
    data: bytes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", _Stdin(data))
    code = run([command, "-f", "-"])
    out, err = capsys.readouterr()
    assert "unexpected error" not in err
    findings = out if command == "lint" else err
    lines = [line for line in findings.split("\n") if line and not line.startswith("note: ")]
    assert all(line.startswith("<stdin>:") for line in lines)
    errors = [line for line in lines if ": error EG" in line]
    assert code == (2 if any("EG901" in e or "EG902" in e for e in errors) else bool(errors))
    assert "\x1b" not in out + err
    if command == "render":
        list(yaml.safe_load_all(out))
