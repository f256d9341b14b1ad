"""Users' certificates for tests: authorities, what they sign, and what they revoke. Real ones, made in memory."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.model.secret import Secret

PEM = serialization.Encoding.PEM
PKCS8, TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
_NOW = datetime.datetime.now(datetime.UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def new_key(kind: str = "ec") -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key, form: serialization.PrivateFormat = PKCS8, passphrase: bytes | None = None) -> bytes:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(PEM, form, how)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key and what signed it."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)

    @property
    def together(self) -> bytes:
        return self.pem + self.key_pem

    @property
    def chain_pem(self) -> bytes:
        return b"".join(one.public_bytes(PEM) for one in self.chain)

    @property
    def fingerprint(self) -> str:
        """As HAProxy shows it."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()

    def container(self, name: str = "container", passphrase: bytes | None = None) -> TlsContainer:
        return TlsContainer(
            id=name,
            primary_cn=name,
            certificate=self.pem,
            private_key=Secret(key_pem(self.key, passphrase=passphrase)),
            intermediates=tuple(one.public_bytes(PEM) for one in self.chain),
            passphrase=None if passphrase is None else Secret(passphrase),
        )

    def write(self, folder: Path, name: str) -> Path:
        """As one file, for HAProxy and for Python's ssl module."""
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(self.together + self.chain_pem)
        return path


class Authority:
    """Signs certificates and revocation lists."""

    def __init__(self, name: str, parent: Authority | None = None) -> None:
        self._key = new_key()
        self._parent = parent
        subject = _name(name)
        signer, issuer = (self._key, subject) if parent is None else (parent._key, parent.certificate.subject)
        builder = _builder(subject, issuer, self._key, 30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(signer, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def issue(self, name: str, key: Key | None = None, days: float = 20) -> Issued:
        """A certificate for that DNS name."""
        own = key or new_key()
        builder = _builder(_name(name), self.certificate.subject, own, days)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        chain = () if self._parent is None else (self.certificate,)
        return Issued(builder.sign(self._key, hashes.SHA256()), own, chain)

    def revoke(self, *issued: Issued) -> bytes:
        """The list of exactly these."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(_NOW - datetime.timedelta(hours=1))
        builder = builder.next_update(_NOW + datetime.timedelta(days=30))
        for one in issued:
            entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(_NOW).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, days: float) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(_NOW - datetime.timedelta(hours=1)).not_valid_after(
        _NOW + datetime.timedelta(days=days)
    )
