"""The seed of what tests choose at random. `make` gives a fresh one and prints it."""

import os
import random
import secrets

SEED = os.environ.get("EGRESS_SEED") or secrets.token_hex(3)
"""`EGRESS_SEED` repeats a run. A test that uses it prints it, or has it in its messages."""


def build_rng(purpose: str, seed: str = SEED) -> random.Random:
    """Make a generator of its own for each purpose, so that none depends on another's draws."""
    return random.Random(f"{seed}/{purpose}")  # noqa: S311 - chooses tests, guards no secret
