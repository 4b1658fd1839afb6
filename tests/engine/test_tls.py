"""The API server's certificate is verified, without what only Python 3.13 demands of it."""

import ssl

from egress_operator.engine.tls import create_context


def test_chain_and_name_are_verified() -> None:
    context = create_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_certificates_may_lack_what_many_clusters_leave_out() -> None:
    assert not create_context().verify_flags & ssl.VERIFY_X509_STRICT
