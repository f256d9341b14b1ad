"""Users' certificates, keys and revocation lists: read in any common form, checked, written in one.

Law: pure. What cannot be used raises ``Unusable`` with the remedy; what is written holds what was asked
for and nothing else, so that a key never travels in a file of authorities.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from lbdrivers.model.secret import Secret

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_KEY_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_LIST_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_ENCODING = serialization.Encoding.PEM


class Unusable(Exception):
    """What was read cannot be used; the text says why, ``remedy`` what to do. Never shows content."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def read_certificates(content: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM bundle, of PKCS #7 (PEM or DER), or one in DER; in their order there.

    :raises Unusable: when there is none.
    """
    try:
        if b"-----BEGIN PKCS7-----" in content:
            found = pkcs7.load_pem_pkcs7_certificates(content)
        elif b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)
        else:
            found = _read_binary(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable(f"no certificate can be read: {error}", "store certificates in PEM") from error
    if not found:
        raise Unusable("there is no certificate in it", "store certificates in PEM")
    return tuple(found)


def _read_binary(content: bytes) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(content)]
    except ValueError:
        return pkcs7.load_der_pkcs7_certificates(content)


def read_key(content: Secret, passphrase: Secret | None) -> PrivateKey:
    """The private key: PKCS #8 or the traditional form, encrypted or not; a needless passphrase does no harm.

    :raises Unusable: when there is none, or the passphrase is missing or wrong.
    """
    block = _KEY_BLOCK.search(content.reveal())
    if block is None:
        raise Unusable("there is no private key in it", "store the key in PEM")
    word = None if passphrase is None else passphrase.reveal().rstrip(b"\r\n")
    try:
        key = _load_key(block[0], word)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: a library's text about a key is not for logs.
        remedy = "store the key's own passphrase with it, or the key without one"
        raise Unusable("the private key cannot be read, or its passphrase is missing or wrong", remedy) from None
    if not isinstance(key, PrivateKey):
        raise Unusable("the private key is neither RSA, EC nor EdDSA", "use a certificate with one of these")
    return key


def _load_key(block: bytes, passphrase: bytes | None) -> object:
    try:
        return serialization.load_pem_private_key(block, passphrase)
    except TypeError:
        if passphrase is None:
            raise
        return serialization.load_pem_private_key(block, None)


def read_revocation_lists(content: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists of a PEM, or one in DER. :raises Unusable: when there is none."""
    try:
        if b"-----BEGIN" not in content:
            return (x509.load_der_x509_crl(content),)
        found = tuple(x509.load_pem_x509_crl(block) for block in _LIST_BLOCK.findall(content))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable(f"no revocation list can be read: {error}", "store it in PEM") from error
    if not found:
        raise Unusable("there is no revocation list in it", "store it in PEM")
    return found


def credential(certificates: tuple[x509.Certificate, ...], key: PrivateKey) -> Secret:
    """One PEM: the certificate, its key in PKCS #8, and what leads to an authority.

    :raises Unusable: when the key is not the first certificate's.
    """
    first, *others = certificates
    if first.public_key() != key.public_key():
        raise Unusable(
            "the private key does not belong to the certificate",
            "store the certificate with the key that it was requested with; the server's own certificate comes first",
        )
    private = key.private_bytes(_ENCODING, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Secret(b"".join((write(first), private, *map(write, others))))


def check_signed(lists: tuple[x509.CertificateRevocationList, ...], authorities: tuple[x509.Certificate, ...]) -> None:
    """:raises Unusable: when one of the lists was signed by none of the authorities."""
    for one in lists:
        issuers = [authority for authority in authorities if authority.subject == one.issuer]
        if not any(_signed(one, issuer) for issuer in issuers):
            raise Unusable(
                f"the revocation list of {one.issuer.rfc4514_string()} is not signed by the authority beside it",
                "use the list that this authority publishes",
            )


def _signed(revocations: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    try:
        return revocations.is_signature_valid(key)  # type: ignore[arg-type] # other kinds of keys raise TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def write(one: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """As PEM."""
    return one.public_bytes(_ENCODING)


def first_name(certificate: x509.Certificate) -> str:
    """The common name, else the first DNS name, else the whole subject."""
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        return str(attribute.value)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return certificate.subject.rfc4514_string()
    return next(iter(names.get_values_for_type(x509.DNSName)), certificate.subject.rfc4514_string())
