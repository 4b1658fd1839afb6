"""How the API server's certificate is verified."""

import ssl


def create_context(authority: str = "") -> ssl.SSLContext:
    """Return a context that verifies the chain and the name of the API server.

    `authority`: certificates in PEM; empty: the system's. Raises ssl.SSLError when there is none in
    it. Since Python 3.13 the default context also refuses certificates that lack extensions which
    RFC 5280 demands; those of many clusters do, and kubectl takes them.
    """
    context = ssl.create_default_context(cadata=authority or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
