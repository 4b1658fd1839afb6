"""kopf, imported without the `kubernetes` library.

kopf imports that library when it is installed, to recognise its classes in handlers. Nothing here
uses them, and it would cost a fifth of a second and 20 MiB in every pod. Where a kubeconfig names a
plugin, the library is still imported, later and in full.
"""

import sys

_ABSENT = "kubernetes" not in sys.modules
if _ABSENT:
    # None makes an import fail as if it were not installed, which kopf is prepared for.
    sys.modules["kubernetes"] = None  # type: ignore[assignment]

import kopf  # noqa: E402 - after the lines that it depends on
from kopf._core.reactor.inventory import (  # noqa: E402 - as above
    ResourceMemories,
    ResourceMemory,
)

if _ABSENT:
    del sys.modules["kubernetes"]

__all__ = ["ResourceMemories", "ResourceMemory", "kopf"]
