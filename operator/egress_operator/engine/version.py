"""The order of resource versions."""


def parse_version(text: str) -> int | None:
    """Read a resource version; None: opaque, no order known. Pure.

    The API server's own versions are decimal numbers that grow with every write to etcd, and may be
    compared within one resource (Kubernetes documents this since 1.35).
    """
    return int(text) if text.isascii() and text.isdigit() else None
