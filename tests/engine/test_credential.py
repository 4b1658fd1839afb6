"""Logging in: kubeconfig of every kind, the service account, and each way to get them wrong."""

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from egress_operator.engine.credential import (
    Credentials,
    Login,
    build_account_credentials,
    load_credentials,
)
from egress_operator.engine.failure import ApiError, CredentialError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport
from engine.harness import TOKEN, eventually, read_admin_token
from testbed.certificate import CertificateAuthority
from testbed.controlplane import ControlPlane

NAMESPACES = Resource("", "v1", "namespaces")

WriteConfig = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Write a kubeconfig with one cluster, and contexts `first` (current) and `second`."""

    def write(
        user: dict[str, object], cluster: dict[str, object] | None = None, **second: object
    ) -> Path:
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "first",
            "clusters": [
                {"name": "c", "cluster": cluster or {"server": "http://127.0.0.1:1"}},
            ],
            "users": [{"name": "first", "user": user}, {"name": "second", "user": second}],
            "contexts": [
                {"name": name, "context": {"cluster": "c", "user": name}}
                for name in ("first", "second")
            ],
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(body))
        return path

    return write


async def test_a_kubeconfig_reaches_the_api_server(control_plane: ControlPlane) -> None:
    credentials = await load_credentials(str(control_plane.admin_kubeconfig))
    async with Transport(credentials, field_manager="test", user_agent="test") as transport:
        page = await transport.list_page(NAMESPACES)
    assert "default" in {item["metadata"]["name"] for item in page["items"]}


async def test_an_unknown_authority_is_not_trusted(
    control_plane: ControlPlane, write_config: WriteConfig
) -> None:
    other = base64.b64encode(CertificateAuthority.create("somebody else").pem).decode()
    path = write_config(
        {"token": TOKEN},
        {"server": control_plane.url, "certificate-authority-data": other},
    )
    credentials = await load_credentials(str(path))
    async with Transport(credentials, field_manager="test", user_agent="test") as transport:
        with pytest.raises(ApiError, match="ConnectionFailed") as caught:
            await transport.list_page(NAMESPACES)
    assert "certificate verify failed" in str(caught.value)
    assert TOKEN not in str(caught.value)


async def test_contexts(write_config: WriteConfig) -> None:
    path = str(write_config({"token": "one"}, token="two"))  # noqa: S106 - no secret
    assert (await (await load_credentials(path)).login()).authorization == "Bearer one"
    login = await (await load_credentials(path, "second")).login()
    assert (login.authorization, login.server, login.ssl_context) == (
        "Bearer two",
        "http://127.0.0.1:1",
        None,
    )


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str:
    """Connect the two in memory; return the subject of the client's certificate."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_hostname=name)
    other = server.wrap_bio(there, back, server_side=True)
    for side in (one, other, one, other):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    certificate = other.getpeercert()
    assert certificate is not None
    return str(certificate["subject"])


def build_server(name: str) -> tuple[CertificateAuthority, ssl.SSLContext]:
    """Make a server that knows its clients by certificates of the authority, and is of it too."""
    authority = CertificateAuthority.create("cluster")
    server = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode("ascii")
    )
    server.verify_mode = ssl.CERT_REQUIRED
    with TemporaryDirectory() as directory:
        key, certificate = authority.issue("server", [name]).write(Path(directory), "server")
        server.load_cert_chain(certificate, key)
    return authority, server


def build_user(authority: CertificateAuthority, directory: Path, form: str) -> dict[str, object]:
    """Issue a certificate for `me`; as a `file` it lies in `directory`."""
    pair = authority.issue("me")
    if form == "file":
        pair.write(directory, "me")
        return {"client-certificate": "me.crt", "client-key": "me.key"}
    return {
        "client-certificate-data": base64.b64encode(pair.certificate).decode(),
        "client-key-data": base64.b64encode(pair.key).decode(),
    }


@pytest.mark.parametrize("form", ["file", "data"])
async def test_a_client_certificate(
    write_config: WriteConfig, form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    authority, server = build_server("kubernetes.default")
    config = write_config(
        build_user(authority, tmp_path, form),
        {
            "server": "https://127.0.0.1:1/",
            "certificate-authority-data": base64.b64encode(authority.pem).decode(),
            "tls-server-name": "kubernetes.default",
        },
    )
    login = await (await load_credentials(str(config))).login()
    assert login.ssl_context is not None
    assert login.server == "https://127.0.0.1:1"
    assert login.server_hostname == "kubernetes.default"
    assert login.authorization == ""
    assert "'me'" in shake_hands(login.ssl_context, server, "kubernetes.default")
    assert not list(temporary.iterdir()), "a key was left behind"


async def test_a_server_that_is_not_verified(write_config: WriteConfig) -> None:
    config = write_config(
        {"token": "one"},
        {
            "server": "https://127.0.0.1:1",
            "insecure-skip-tls-verify": True,
            "proxy-url": "http://127.0.0.1:2",
        },
    )
    login = await (await load_credentials(str(config))).login()
    assert login.ssl_context is not None
    assert login.ssl_context.verify_mode is ssl.CERT_NONE
    assert not login.ssl_context.check_hostname
    assert login.proxy == "http://127.0.0.1:2"


async def test_a_token_file_is_read_again_after_a_401(write_config: WriteConfig) -> None:
    path = write_config({"tokenFile": "token", "token": "old"})
    (path.parent / "token").write_text("one\n")
    credentials = await load_credentials(str(path))
    assert (await credentials.login()).authorization == "Bearer one"
    (path.parent / "token").write_text("two\n")
    assert (await credentials.login()).authorization == "Bearer one"
    assert (await credentials.refresh()).authorization == "Bearer two"


async def test_a_name_and_a_password(write_config: WriteConfig) -> None:
    config = write_config({"username": "me", "password": "word"})
    authorization = (await (await load_credentials(str(config))).login()).authorization
    assert authorization == f"Basic {base64.b64encode(b'me:word').decode()}"


async def test_no_user_at_all(write_config: WriteConfig) -> None:
    path = write_config({})
    path.write_text(path.read_text().replace("user: first", "user: ''"))
    assert (await (await load_credentials(str(path))).login()).authorization == ""


async def test_files_are_merged_as_kubectl_does_it(write_config: WriteConfig) -> None:
    """The first file that says something wins, and names files beside itself."""
    first = write_config({"tokenFile": "token"})
    first = first.rename(first.parent / "first.yaml")
    second = write_config({"token": "wrong"}, token="two")  # noqa: S106 - no secret
    (second.parent / "other").mkdir()
    second.write_text(second.read_text().replace("current-context: first", "current-context: x"))
    second = second.rename(second.parent / "other" / "second.yaml")
    (first.parent / "token").write_text("one")
    document = yaml.safe_load(first.read_text())
    document["users"] = document["users"][:1]
    first.write_text(yaml.safe_dump(document))
    paths = f"{first}{os.pathsep}{second}"
    assert (await (await load_credentials(paths)).login()).authorization == "Bearer one"
    assert (await (await load_credentials(paths, "second")).login()).authorization == "Bearer two"


def test_only_a_plugin_needs_the_library(write_config: WriteConfig) -> None:
    code = (
        "import asyncio, sys\n"
        "from egress_operator.engine.credential import load_credentials\n"
        "asyncio.run(load_credentials(sys.argv[1]))\n"
        "assert 'kubernetes' not in sys.modules\n"
    )
    config = str(write_config({"token": "one"}))
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "operator")}
    subprocess.run([sys.executable, "-c", code, config], env=environment, check=True, timeout=60)


async def test_a_plugin_is_asked_again_after_a_401(write_config: WriteConfig) -> None:
    """An exec plugin, a program of the user's, gives another token each time."""
    script = write_config({}).parent / "plugin.sh"
    script.write_text(
        "#!/bin/sh\n"
        'echo x >> "$0.calls"\n'
        'n=$(wc -l < "$0.calls")\n'
        'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"token-\'$n\'"}}\'\n'
    )
    script.chmod(0o755)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(script),
        "interactiveMode": "Never",
    }
    credentials = await load_credentials(str(write_config({"exec": plugin})))
    first = (await credentials.login()).authorization
    assert (await credentials.login()).authorization == first
    assert (await credentials.refresh()).authorization != first


async def test_a_plugin_that_gives_a_certificate(write_config: WriteConfig) -> None:
    authority, server = build_server("127.0.0.1")
    pair = authority.issue("me")
    status = {
        "clientCertificateData": pair.certificate.decode(),
        "clientKeyData": pair.key.decode(),
    }
    version = "client.authentication.k8s.io/v1"
    answer = write_config({}).parent / "answer.json"
    answer.write_text(
        json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    )
    plugin = {
        "apiVersion": version,
        "command": "cat",
        "args": [str(answer)],
        "interactiveMode": "Never",
    }
    authority_data = base64.b64encode(authority.pem).decode()
    config = write_config(
        {"exec": plugin},
        {"server": "https://127.0.0.1:1", "certificate-authority-data": authority_data},
    )
    login = await (await load_credentials(str(config))).login()
    assert login.authorization == ""
    assert login.ssl_context is not None
    assert "'me'" in shake_hands(login.ssl_context, server, "127.0.0.1")


async def test_a_plugin_that_gives_nothing(write_config: WriteConfig) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}
    with pytest.raises(CredentialError, match="the plugin gave neither"):
        await load_credentials(str(write_config({"exec": plugin})))


async def test_the_environment_and_the_home_directory(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_config({"token": "one"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}{os.pathsep}{path}")
    assert (await (await load_credentials()).login()).authorization == "Bearer one"
    monkeypatch.delenv("KUBECONFIG")
    (tmp_path / ".kube").mkdir()
    path.rename(tmp_path / ".kube" / "config")
    assert (await (await load_credentials()).login()).authorization == "Bearer one"


@pytest.mark.parametrize(
    "text",
    ["", "a: [", "[]", "apiVersion: v1\nkind: Config\n", "\x00", "clusters: 7\n"],
)
async def test_an_unusable_kubeconfig_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(CredentialError) as caught:
        await load_credentials(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message


TLS = {"server": "https://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"tokenFile": "absent"}, None, "absent"),
        ({"client-certificate": "absent.crt"}, TLS, "absent.crt"),
        ({"client-certificate-data": "?"}, TLS, "Error"),
        ({"client-certificate-data": "bm90aGluZw=="}, TLS, "certificate or key"),
        ({}, TLS | {"certificate-authority-data": "bm90aGluZw=="}, "certificate or key"),
        ({}, {"server": ""}, "no server"),
        (["token"], None, "Error"),
    ],
)
async def test_an_unusable_entry_is_one_line(
    write_config: WriteConfig, user: object, cluster: dict[str, object] | None, words: str
) -> None:
    path = write_config(user, cluster)
    with pytest.raises(CredentialError, match=words) as caught:
        await load_credentials(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cluster", "user"])
async def test_a_name_that_leads_nowhere(write_config: WriteConfig, kind: str) -> None:
    path = write_config({"token": "one"})
    document = yaml.safe_load(path.read_text())
    document["contexts"][0]["context"][kind] = "third"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(CredentialError, match=f"no {kind} has the name 'third'"):
        await load_credentials(str(path))


async def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="KUBECONFIG"):
        await load_credentials()
    with pytest.raises(CredentialError, match="absent"):
        await load_credentials(str(tmp_path / "absent"))


async def test_an_unknown_context(write_config: WriteConfig) -> None:
    with pytest.raises(CredentialError, match="context third of"):
        await load_credentials(str(write_config({"token": "one"})), "third")


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """Make the directory that the kubelet mounts into a pod."""
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("one\n")
    (directory / "ca.crt").write_bytes(CertificateAuthority.create("cluster").pem)
    return directory


@pytest.mark.looptime
async def test_the_account_token_is_read_again_once_a_minute(account: Path) -> None:
    credentials = build_account_credentials("fd00::1", "6443", account)
    first = await credentials.login()
    assert first.server == "https://[fd00::1]:6443"
    assert first.authorization == "Bearer one"
    (account / "token").write_text("two")
    await asyncio.sleep(50)
    assert (await credentials.login()).authorization == "Bearer one"
    await asyncio.sleep(11)
    renewed = await credentials.login()
    assert renewed.authorization == "Bearer two"
    assert renewed.ssl_context is first.ssl_context, "connections would be given up"


async def test_the_account_token_is_read_again_after_a_401(account: Path) -> None:
    credentials = build_account_credentials("127.0.0.1", "6443", account)
    first = await credentials.login()
    (account / "token").write_text("two")
    (account / "ca.crt").write_bytes(CertificateAuthority.create("renewed").pem)
    second = await credentials.refresh()
    assert second.authorization == "Bearer two"
    assert second.ssl_context is not first.ssl_context


async def test_an_account_that_is_being_replaced_keeps_its_token(account: Path) -> None:
    credentials = build_account_credentials("127.0.0.1", "6443", account)
    first = await credentials.login()
    (account / "token").unlink()
    assert (await credentials.refresh()) is first


@pytest.mark.parametrize(("name", "text"), [("token", ""), ("ca.crt", "nothing"), ("token", None)])
async def test_an_unusable_account_is_one_line(account: Path, name: str, text: str | None) -> None:
    if text is None:
        (account / name).unlink()
    else:
        (account / name).write_text(text)
    with pytest.raises(CredentialError) as caught:
        await build_account_credentials("127.0.0.1", "6443", account).login()
    assert str(account) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_concurrent_refreshes_load_once() -> None:
    loads = 0
    gate = threading.Event()

    def load() -> Login:
        nonlocal loads
        loads += 1
        gate.wait(10)
        return Login("http://x", None, f"Bearer {loads}")

    gate.set()
    credentials = Credentials(load)
    await credentials.login()
    gate.clear()
    tasks = [asyncio.create_task(credentials.refresh()) for _ in range(5)]
    await eventually(lambda: loads == 2, "the second load has begun")
    gate.set()
    assert {login.authorization for login in await asyncio.gather(*tasks)} == {"Bearer 2"}
    assert loads == 2


async def test_in_a_pod_the_account_is_used(
    monkeypatch: pytest.MonkeyPatch, control_plane: ControlPlane, account: Path
) -> None:
    (account / "token").write_text(read_admin_token(control_plane))
    (account / "ca.crt").write_bytes(control_plane.ca_file.read_bytes())
    host, _, port = control_plane.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr("egress_operator.engine.credential._ACCOUNT", account)
    credentials = await load_credentials()
    async with Transport(credentials, field_manager="test", user_agent="test") as transport:
        assert (await transport.get(NAMESPACES, "", "default"))["metadata"]["name"] == "default"
