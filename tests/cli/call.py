"""Runs `egressctl` as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 60

POLICY = """\
apiVersion: egress-operator.io/v1alpha1
kind: EgressPolicy
metadata: {name: payments, namespace: shop}
spec:
  destinations:
  - hosts: [api.stripe.com]
"""
BROKEN = POLICY.replace("api.stripe.com", "*.stripe.com")
REFUSED = POLICY.replace("api.stripe.com", "API.stripe.com")


def build_environment(**extra: str) -> dict[str, str]:
    """Build the environment of a call: nothing that colours or configures but what is given."""
    names = ("PATH", "HOME", "LANG", "PYTHONPYCACHEPREFIX")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT / "operator")} | extra


def call(
    *arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Call the program and wait for its end."""
    return subprocess.run(
        [sys.executable, "-m", "egress_operator.cli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=build_environment(**(env or {})),
        timeout=TIME_LIMIT_S,
        check=False,
    )
