"""The programs that start others inside namespaces: what those find there, and how they end."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import netns
from testbed.deadline import wait_until
from testbed.netns import NETNS_DIR, Netns
from testbed.network import find_missing
from testbed.system import RESOLVER, ROOTS_DIR

from .sandbox import ROOT, SANDBOX

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.long("testbed"),
    pytest.mark.usefixtures("machine"),
]

USER = 1000
LAUNCH_FAILED = 125
TIMEOUT_S = 10
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
WITHOUT = """
import ctypes, os, sys
PR_CAPBSET_DROP = 24
assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, int(sys.argv[1]), 0, 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes a command that lacks a capability which root has."""
OTHER_ETC = """
import os, sys
from testbed import linux
linux.unshare(linux.CLONE_NEWNS)
linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
linux.mount(sys.argv[1], "/etc", flags=linux.MS_BIND)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes a command that finds a directory as /etc."""
MISSING = "from testbed.network import find_missing; print(*find_missing(), sep='\\n')"


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Netns]:
    """Give a namespace that no mesh knows of, with a resolver and roots of its own."""
    resolver, roots = tmp_path / "resolv.conf", tmp_path / "roots"
    resolver.write_text("nameserver 192.0.2.1\n")
    roots.mkdir()
    (roots / "ca-certificates.crt").write_text("one root\n")
    made = Netns(
        f"launch-{secrets.token_hex(3)}", "", {str(RESOLVER): resolver, str(ROOTS_DIR): roots}
    )
    netns.create(made.name)
    yield made
    netns.delete(made.name)


def run(argv: list[str], **environment: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )


def read_status(inside: Netns, user: int | None) -> dict[str, list[str]]:
    """Read what the kernel tells of a process inside."""
    lines = run(inside.command("cat", "/proc/self/status", user=user)).stdout.splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def test_a_command_runs_as_the_user_and_in_no_other_group(inside: Netns) -> None:
    status = read_status(inside, USER)

    assert status["Uid"] == status["Gid"] == [str(USER)] * 4
    assert status["Groups"] == []
    assert set("".join(status["CapPrm"] + status["CapEff"])) == {"0"}


def test_without_a_user_a_command_is_root(inside: Netns) -> None:
    assert read_status(inside, None)["Uid"] == ["0"] * 4


def test_a_command_ignores_no_signal_that_others_do_not(inside: Netns) -> None:
    (ignored,) = read_status(inside, USER)["SigIgn"]

    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert not int(ignored, 16) >> (number - 1) & 1


def test_a_command_is_in_its_network(inside: Netns) -> None:
    name = run(inside.command("readlink", "/proc/self/ns/net")).stdout.strip()

    assert name == f"net:[{(NETNS_DIR / inside.name).stat().st_ino}]"
    assert name != str(Path("/proc/self/ns/net").readlink())


def test_a_command_finds_its_files_and_nobody_else_does(inside: Netns) -> None:
    before = Path("/etc/resolv.conf").read_text()
    script = f"cat /etc/resolv.conf; ls {ROOTS_DIR}"

    told = run(inside.command("sh", "-c", script, user=USER)).stdout

    assert told.splitlines() == ["nameserver 192.0.2.1", "ca-certificates.crt"]
    assert Path("/etc/resolv.conf").read_text() == before


def test_the_exit_code_is_the_command_s(inside: Netns) -> None:
    assert run(inside.command("sh", "-c", "exit 3")).returncode == 3


def test_signals_reach_the_command(inside: Netns) -> None:
    with subprocess.Popen(inside.command("sleep", "600", user=USER)) as child:
        wait_until(
            lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n", TIMEOUT_S, "no sleep"
        )
        assert netns.find_processes(inside.name) == [child.pid]

        child.send_signal(signal.SIGTERM)

        assert child.wait(TIMEOUT_S) == -signal.SIGTERM


def test_what_cannot_be_run_is_named(inside: Netns) -> None:
    elsewhere = Netns("nobody-has-this-name", "")
    for argv, word in (
        (inside.command("no-such-program"), "no-such-program"),
        (elsewhere.command("true"), elsewhere.name),
    ):
        done = run(argv)
        assert done.returncode == LAUNCH_FAILED
        assert word in done.stderr
        assert "Traceback" not in done.stderr


def test_a_command_keeps_no_namespace_but_its_own(inside: Netns) -> None:
    """Or those that are removed would go on living, and answering, as long as it runs."""
    other = f"{inside.name}-other"
    netns.create(other)
    with subprocess.Popen(inside.command("sleep", "600")) as child:
        mounts = Path(f"/proc/{child.pid}/mountinfo")
        wait_until(lambda: "/etc/resolv.conf" in mounts.read_text(), TIMEOUT_S, "no mounts")
        assert other in mounts.read_text()

        netns.delete(other)

        assert other not in mounts.read_text()
        child.kill()


def test_in_the_sandbox_there_is_a_network_with_loopback_alone() -> None:
    script = "ls -A /run; tail -n +3 /proc/net/dev; cat /proc/net/if_inet6; exit 4"

    done = run([*map(str, SANDBOX), "sh", "-c", script])

    assert done.returncode == 4
    link, address = done.stdout.splitlines()
    assert link.split(":")[0].strip() == "lo"
    # It is up, or it would have none.
    assert address.startswith("0" * 31 + "1 ")


def test_in_the_sandbox_a_resolver_that_is_a_link_may_be_mounted_over(tmp_path: Path) -> None:
    """As with systemd-resolved: the file is in /run, which is another one there."""
    (tmp_path / "resolv.conf").symlink_to("/run/some-resolver/resolv.conf")
    command = [*map(str, SANDBOX), "stat", "-L", "-c", "%F", "/etc/resolv.conf"]

    done = run([sys.executable, "-P", "-c", OTHER_ETC, str(tmp_path), *command], PYTHONPATH=ROOT)

    assert done.stdout == "regular empty file\n"


def test_where_namespaces_are_forbidden_the_sandbox_runs_the_command_as_it_is() -> None:
    command = [*map(str, SANDBOX), "readlink", "/proc/self/ns/net"]

    done = run([sys.executable, "-c", WITHOUT, str(CAP_SYS_ADMIN), *command])

    assert done.stdout.strip() == str(Path("/proc/self/ns/net").readlink())


@pytest.mark.parametrize("capability", [CAP_NET_ADMIN, CAP_SYS_ADMIN], ids=["net", "sys"])
def test_the_words_of_a_kernel_that_refuses_are_told(capability: int) -> None:
    words = [sys.executable, "-c", WITHOUT, str(capability), sys.executable, "-P", "-c", MISSING]

    done = run(words, PYTHONPATH=ROOT)

    (line,) = done.stdout.splitlines()
    assert line.startswith("the mesh cannot have a network here")
    assert "Operation not permitted" in line


def test_who_is_not_root_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: USER)

    (line,) = find_missing()

    assert "with sudo" in line


def test_without_linux_there_is_no_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    (line,) = find_missing()

    assert "Linux" in line
