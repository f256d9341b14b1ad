"""Users' certificates and revocation lists: every common form is read, and what cannot be used says what to do."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from support.certificates import Authority

from lbdrivers.model.secret import Secret
from lbdrivers_amphora.certificates import pem

AUTHORITY, OTHER = Authority("authority"), Authority("other")
NOW = datetime.datetime.now(datetime.UTC)


def certificate(subject: x509.Name, *names: x509.GeneralName) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def name(kind: x509.ObjectIdentifier, text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, text)])


ORGANISATION = name(NameOID.ORGANIZATION_NAME, "Example")


@pytest.mark.parametrize(
    ("made", "called"),
    [
        (certificate(name(NameOID.COMMON_NAME, "www.example.com"), x509.DNSName("a.example.com")), "www.example.com"),
        (certificate(ORGANISATION, x509.DNSName("a.example.com"), x509.DNSName("b.example.com")), "a.example.com"),
        (certificate(ORGANISATION, x509.RFC822Name("me@example.com")), "O=Example"),
        (certificate(ORGANISATION), "O=Example"),
    ],
)
def test_a_certificate_is_called_by_the_name_that_it_has(made: x509.Certificate, called: str) -> None:
    assert pem.first_name(made) == called


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_bundles_are_read_in_each_form(encoding: serialization.Encoding) -> None:
    made = certificate(ORGANISATION)
    assert pem.read_certificates(made.public_bytes(encoding)) == (made,)
    assert pem.read_certificates(pkcs7.serialize_certificates([made], encoding)) == (made,)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused(content: bytes) -> None:
    with pytest.raises(pem.Unusable, match="certificate") as caught:
        pem.read_certificates(content)
    assert caught.value.remedy == "store certificates in PEM"


def test_a_file_without_a_revocation_list_is_refused() -> None:
    with pytest.raises(pem.Unusable, match="no revocation list in it"):
        pem.read_revocation_lists(AUTHORITY.pem)
    with pytest.raises(pem.Unusable, match="no revocation list can be read"):
        pem.read_revocation_lists(b"nonsense")


def test_keys_that_nobody_serves_with_are_refused() -> None:
    key = dsa.generate_private_key(2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(pem.Unusable, match="neither RSA, EC nor EdDSA"):
        pem.read_key(Secret(text), None)


def test_a_revocation_list_must_be_signed_by_an_authority_beside_it() -> None:
    lists = pem.read_revocation_lists(AUTHORITY.revoke())
    (mine,), (others,) = pem.read_certificates(AUTHORITY.pem), pem.read_certificates(OTHER.pem)
    pem.check_signed(lists, (others, mine))
    with pytest.raises(pem.Unusable, match="is not signed by the authority beside it"):
        pem.check_signed(lists, (others,))
    # Of the same name, with another key.
    with pytest.raises(pem.Unusable, match="is not signed"):
        pem.check_signed(lists, pem.read_certificates(Authority("authority").pem))


def test_an_authority_whose_key_signs_nothing_has_signed_no_list() -> None:
    """X25519 keys only agree on secrets; such a certificate is read, and verifies nothing."""
    lists = pem.read_revocation_lists(AUTHORITY.revoke())
    signer = ec.generate_private_key(ec.SECP256R1())
    odd = (
        x509.CertificateBuilder()
        .subject_name(lists[0].issuer)
        .issuer_name(lists[0].issuer)
        .public_key(x25519.X25519PrivateKey.generate().public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    with pytest.raises(pem.Unusable, match="is not signed"):
        pem.check_signed(lists, (odd,))
