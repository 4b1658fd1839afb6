"""`python -m demo.call` where it cannot make a request."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from demo import call, state
from demo.state import State, write_state

REQUEST = "GET http://stock.example.com/"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a demo, in a place for temporary files that holds no other."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / "egress-operator-test"
    home.mkdir()
    return home


def run(monkeypatch: pytest.MonkeyPatch, pod: str, request: str = REQUEST) -> int:
    monkeypatch.setattr(sys, "argv", ["demo.call", pod, request])
    return call.main()


def test_without_a_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "shop/checkout") == 2
    assert "no demo of yours is running" in capsys.readouterr().err


def test_a_demo_that_was_killed_does_not_count(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(directory, State(2**22 + 1, {}, []))
    assert run(monkeypatch, "shop/checkout") == 2
    assert "no demo of yours is running" in capsys.readouterr().err


def test_a_demo_that_cannot_be_read_is_passed_over(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(directory, State(os.getpid(), {}, []))
    (directory.with_name("egress-operator-other") / state.FILE).mkdir(parents=True)
    assert run(monkeypatch, "shop/checkout") == 2
    assert "has no mesh" in capsys.readouterr().err


def test_a_demo_without_a_mesh(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(directory, State(os.getpid(), {}, []))
    assert run(monkeypatch, "shop/checkout") == 2
    assert "has no mesh" in capsys.readouterr().err


def test_a_pod_that_is_not_there(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(directory, State(os.getpid(), {"pay/app": state.Pod("control", [])}, []))
    assert run(monkeypatch, "shop/checkout") == 2
    assert "there is no pod shop/checkout; there are pay/app" in capsys.readouterr().err


def test_a_request_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "shop/checkout", "stock.example.com") == 2
    assert "is no call" in capsys.readouterr().err
