"""Keys and certificates made on the spot: the API server's, the outside world's, the clients'."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=2)
SKEW = dt.timedelta(hours=1)
SPIFFE = "spiffe://"
"""Begins the identities of the mesh."""


@dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate, both PEM."""

    key: bytes
    certificate: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write `name`.key (mode 600) and `name`.crt and return both paths."""
        key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
        key.touch(mode=0o600)
        key.write_bytes(self.key)
        certificate.write_bytes(self.certificate)
        return key, certificate


class CertificateAuthority:
    """A self-signed root that issues certificates for servers and clients."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, certificate: x509.Certificate
    ) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, name: str) -> Self:
        """Make a fresh root with common name `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, key: bytes, certificate: bytes) -> Self:
        """Take over a root from its private key and its certificate, both PEM."""
        loaded = serialization.load_pem_private_key(key, password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        return cls(loaded, x509.load_pem_x509_certificate(certificate))

    @property
    def pem(self) -> bytes:
        """The root certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, names: Sequence[str] = (), *, group: str | None = None) -> KeyPair:
        """Issue a certificate for common name `name`, good for servers and for clients.

        `names` are the subject alternative names: DNS names, addresses, or identities of the mesh
        (`spiffe://...`). `group` becomes the organisation, which Kubernetes reads as the client's
        group.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(name, group), self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(entry) for entry in names]),
                critical=False,
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the private key as unencrypted PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_signing_key(directory: Path, name: str) -> tuple[Path, Path]:
    """Write a fresh key pair without certificate: `name`.key and `name`.pub."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private_file, public_file = directory / f"{name}.key", directory / f"{name}.pub"
    private_file.touch(mode=0o600)
    private_file.write_bytes(key_pem(key))
    public_file.write_bytes(public)
    return private_file, public_file


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _general_name(entry: str) -> x509.GeneralName:
    if entry.startswith(SPIFFE):
        return x509.UniformResourceIdentifier(entry)
    try:
        return x509.IPAddress(ipaddress.ip_address(entry))
    except ValueError:
        return x509.DNSName(entry)
