"""Kubeconfig files for the testbed's users."""

import base64
from pathlib import Path

import yaml


def write_kubeconfig(file: Path, url: str, ca_file: Path, user: str, token: str) -> None:
    """Write a self-contained kubeconfig (mode 600) for one user and one bearer token."""
    root = base64.b64encode(ca_file.read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "testbed", "cluster": {"server": url, "certificate-authority-data": root}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
        "current-context": "testbed",
    }
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(content))
