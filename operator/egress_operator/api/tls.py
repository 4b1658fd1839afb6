"""TLS that the mesh opens for an application that speaks plain HTTP."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictStr

from egress_operator.api.host import LABEL_LENGTH
from egress_operator.api.model import REFERENCE_FIELDS, Model
from egress_operator.api.rule import (
    Check,
    Finding,
    ListType,
    Omittable,
    build_not_empty_check,
    quote,
)
from egress_operator.api.scalar import LABEL_PATTERN, FilePath, ServerName
from egress_operator.api.word import Words

MOST_NAMES = 16
CA_SUFFIX = "-cacert"
"""istiod looks for the CA beside a client certificate under this name, and serves a Secret whose
name ends so as a CA alone (pilot/pkg/xds/sds.go, pilot/pkg/credentials/kube/secrets.go)."""


_LABEL = re.compile(LABEL_PATTERN)


def _find_bad_name(name: str) -> Iterator[Finding]:
    if _LABEL.fullmatch(name) is not None:
        return
    namespace, _, own = name.partition(".")
    if _LABEL.fullmatch(namespace) and _LABEL.fullmatch(own):
        yield Finding(
            f"{quote(name)} has a dot", fix=f"write {own}: the policy's namespace is put before it"
        )
    else:
        yield Finding(subject=quote(name))


def _find_half_pair(files: "CertificateFiles") -> Iterator[Finding]:
    if (files.certificate is None) != (files.key is None):
        given, missing = ("key", "certificate") if files.key else ("certificate", "key")
        yield Finding(f"{given} is given without {missing}", (given,), f"add {missing}")


def _find_certificate_named_as_ca(tls: "OriginateTLS") -> Iterator[Finding]:
    client = tls.client_certificate_ref
    if client is not None and client.name.endswith(CA_SUFFIX):
        yield Finding(
            f"{quote(client.name)} ends in {CA_SUFFIX}, so Istio would read only a CA from it",
            ("clientCertificateRef", "name"),
        )


def _find_unrelated_ca(tls: "OriginateTLS") -> Iterator[Finding]:
    client, ca = tls.client_certificate_ref, tls.ca_certificate_ref
    if client is not None and ca is not None and ca.name != f"{client.name}{CA_SUFFIX}":
        yield Finding(
            f"Istio does not look for the CA of {client.name} in {ca.name}",
            ("caCertificateRef", "name"),
            f"name it {client.name}{CA_SUFFIX}, or remove caCertificateRef and put the CA into "
            f"{client.name} as ca.crt",
        )


class SecretRef(Model):
    """A Secret in the gateway's namespace."""

    absent_fields: ClassVar[Words] = dict.fromkeys(
        REFERENCE_FIELDS,
        "remove it: the Secret is in the namespace of the gateway, and its full name is the "
        "policy's namespace, a dot and this name, such as shop.stripe-client",
    )
    name: Annotated[
        StrictStr,
        Field(max_length=LABEL_LENGTH, examples=["stripe-client"]),
        Check("EG018", f"self.matches(r'{LABEL_PATTERN}')", _find_bad_name, pattern=LABEL_PATTERN),
    ]
    """The name without the namespace of the policy: stripe-client, in a policy of the namespace
    shop, is the Secret shop.stripe-client in the gateway's namespace."""


class CertificateFiles(Model):
    """Files in the container of the sidecar."""

    ca: Annotated[Omittable[FilePath], Field(examples=["/etc/stripe/ca.crt"])] = None
    """The certificates of the authorities that may have signed the server's certificate; left out:
    those of the system."""
    certificate: Annotated[Omittable[FilePath], Field(examples=["/etc/stripe/tls.crt"])] = None
    """The client's certificate, for mutual TLS; needs key."""
    key: Annotated[Omittable[FilePath], Field(examples=["/etc/stripe/tls.key"])] = None
    """The private key of certificate."""

    checks: ClassVar[tuple[Check, ...]] = (
        build_not_empty_check("ca", "certificate", "key"),
        Check("EG220", "has(self.certificate) == has(self.key)", _find_half_pair),
    )


class OriginateTLS(Model):
    """How the mesh opens TLS. Empty is enough: each host is its own server name."""

    absent_fields: ClassVar[Words] = {
        "mode": "remove it: originateTLS: {} is simple TLS, and a client certificate makes it "
        "mutual TLS"
    }
    server_name: Annotated[Omittable[ServerName], Field(examples=["api.stripe.com"])] = None
    """The name that is sent to the server (SNI), the same for all hosts of the destination, and
    demanded of its certificate unless subjectAltNames is given; left out: each host's own name."""
    subject_alt_names: Annotated[
        tuple[ServerName, ...],
        Field(max_length=MOST_NAMES, examples=[["edge.stripe.com"]]),
        ListType("set"),
    ] = ()
    """The names of which the server's certificate must carry one, when it carries another than the
    server name; at most 16."""
    ca_certificate_ref: Annotated[
        Omittable[SecretRef],
        Field(examples=[{"name": "stripe-ca"}]),
    ] = None
    """The Secret with the authority that signed the server's certificate (ca.crt); needs
    gatewayRef; left out: the system's authorities. Next to clientCertificateRef it must have that
    name with -cacert at the end."""
    client_certificate_ref: Annotated[
        Omittable[SecretRef], Field(examples=[{"name": "stripe-client"}])
    ] = None
    """The Secret with the client's certificate and key (tls.crt, tls.key), for mutual TLS; needs
    gatewayRef. It holds the server's authority too (ca.crt), unless caCertificateRef is given:
    Istio does not use the system's authorities here."""
    files: Annotated[
        Omittable[CertificateFiles], Field(examples=[{"ca": "/etc/stripe/ca.crt"}])
    ] = None
    """Certificates as files in the container of the sidecar, for a policy without gatewayRef."""

    height: ClassVar[int] = 2
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "EG221",
            "!has(self.clientCertificateRef)"
            f" || !self.clientCertificateRef.name.endsWith('{CA_SUFFIX}')",
            _find_certificate_named_as_ca,
            "clientCertificateRef.name",
        ),
        Check(
            "EG222",
            "!has(self.clientCertificateRef) || !has(self.caCertificateRef)"
            f" || self.caCertificateRef.name == self.clientCertificateRef.name + '{CA_SUFFIX}'",
            _find_unrelated_ca,
            "caCertificateRef.name",
        ),
    )
