"""A certificate authority for tests: real certificates, made in memory."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lbdrivers.drivers.certificate import Credential, Trust
from lbdrivers.drivers.context import CONTRACT
from lbdrivers.model.secret import Secret

_NOW = datetime.datetime.now(datetime.UTC)
_LATER = _NOW + datetime.timedelta(days=30)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class _Issuer:
    """One self-signed authority."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        # What tells authorities of one name from each other (RFC 5280, section 4.2.1.1).
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(_NOW - datetime.timedelta(hours=1)).not_valid_after(_LATER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> Credential:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(name), key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        form = serialization.PrivateFormat.PKCS8
        private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return Credential(Secret(certificate + private), _LATER.timestamp())


class TestAuthority:
    """The certificate contract, with one authority for agents and one for controllers."""

    __test__ = False
    contract = CONTRACT

    def __init__(self) -> None:
        self._servers, self._clients = _Issuer("agents"), _Issuer("controllers")
        self._client = self._clients.issue("controller")

    def trust(self) -> Trust:
        return Trust(self._servers.pem, self._clients.pem)

    def issue_server(self, common_name: str, validity: float) -> Credential:
        return self._servers.issue(common_name)

    def client(self) -> Credential:
        return self._client
