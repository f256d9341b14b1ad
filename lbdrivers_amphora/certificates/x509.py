"""Certificates as values: authorities, and what they sign for agents and controllers.

Law: nothing here reads a clock or a file; moments are arguments, in seconds since the epoch. Keys are
EC P-256: made in a millisecond, small in a handshake. Profiles follow RFC 5280 section 4.2.
"""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lbdrivers.errors import InvalidInput, PermanentError, Problem
from lbdrivers.model.secret import Secret

#: Seconds that a certificate is valid before it was made, for hosts whose clocks are late.
BACKDATE = 600.0

Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

#: Digests that [certificates] signing_digest may name.
DIGESTS: dict[str, Digest] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Purpose(enum.Enum):
    """What a certificate is good for (extended key usage); never for both."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class SigningAuthority:
    """An authority that can sign."""

    certificate: x509.Certificate
    key: Key
    digest: Digest

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> Secret:
        """Its key, not encrypted."""
        return _key_pem(self.key)


def new_authority(common_name: str, now: float, validity: float, digest: Digest) -> SigningAuthority:
    """An authority of its own, whose certificates are the last of their chain."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = (
        _builder(name, name, key.public_key(), now, now + validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return SigningAuthority(builder.sign(key, digest), key, digest)


def issue(
    authority: SigningAuthority, common_name: str, purpose: Purpose, now: float, validity: float
) -> tuple[Secret, float]:
    """A certificate with a new key, as one PEM (certificate first), and the moment when it expires.

    It never outlives its authority. A server's DNS name is its common name.

    :raises PermanentError: when the authority has expired.
    """
    last = authority.certificate.not_valid_after_utc
    if last.timestamp() <= now:
        raise PermanentError(
            "no certificate can be issued", f"the authority {authority.certificate.subject} expired on {last}"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + validity, last.timestamp())
    builder = (
        _builder(authority.certificate.subject, _name(common_name), key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose.value]), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer(authority), critical=False)
    )
    certificate = builder.sign(authority.key, authority.digest)
    pem = certificate.public_bytes(serialization.Encoding.PEM) + _key_pem(key).reveal()
    return Secret(pem), certificate.not_valid_after_utc.timestamp()


def load_authority(
    certificate: bytes, key: Secret, passphrase: Secret | None, digest: str, source: str
) -> SigningAuthority:
    """An authority out of PEM. :raises InvalidInput: when the parts are unreadable or do not belong together."""
    loaded = load_certificate(certificate, source)
    try:
        private = serialization.load_pem_private_key(key.reveal(), passphrase.reveal() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _invalid(
            source, f"the private key cannot be read: {error}", "give an EC or RSA key in PEM, and its passphrase"
        ) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise _invalid(source, "the private key is neither EC nor RSA", "use an EC or RSA authority")
    if private.public_key() != loaded.public_key():
        raise _invalid(
            source, "the private key does not belong to the certificate", "name the two files of one authority"
        )
    if not _may_sign(loaded):
        raise _invalid(source, "the certificate is not an authority's", "use one with basicConstraints CA:TRUE")
    if digest not in DIGESTS:
        raise _invalid(
            "[certificates] signing_digest", f"{digest} is not supported", f"use one of {', '.join(DIGESTS)}"
        )
    return SigningAuthority(loaded, private, DIGESTS[digest])


def load_certificate(pem: bytes, source: str) -> x509.Certificate:
    """The first certificate of a PEM. :raises InvalidInput: when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise _invalid(source, f"no certificate can be read: {error}", "give a certificate in PEM") from error


def expiry(pem: bytes, source: str) -> float:
    """When the first certificate of a PEM expires. :raises InvalidInput: when there is none."""
    return load_certificate(pem, source).not_valid_after_utc.timestamp()


def signed_by(certificate: x509.Certificate, authority: SigningAuthority) -> bool:
    """Whether the authority issued the certificate and its signature is right."""
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issuer(authority: SigningAuthority) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(uuid.uuid4().int)
        .not_valid_before(_moment(now - BACKDATE))
        .not_valid_after(_moment(end))
    )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _usage(*, signs: bool) -> x509.KeyUsage:
    """An authority signs certificates and lists; everyone else signs handshakes and agrees on keys."""
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: Key) -> Secret:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return Secret(key.private_bytes(encoding, form, serialization.NoEncryption()))


def _invalid(path: str, message: str, remedy: str) -> InvalidInput:
    return InvalidInput((Problem(path, "", message, remedy),))
