"""Certificate authorities; see ``lbdrivers.drivers.certificate`` for the laws.

The certificates are real ones. The authorities' keys lie readable in the records: this backend is for
tests and trials, and guards nothing.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lbdrivers.drivers.certificate import Credential, Trust
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.memory.cloud import Cloud, StoredSecret
from lbdrivers.memory.faults import Faults
from lbdrivers.model.secret import Secret

_DAY = 86400.0
#: An authority outlives every certificate that it signs; ten years, as is usual.
_AUTHORITY_VALIDITY = 3650 * _DAY
#: Validity of the controller's own certificate, and how long before its end it is renewed.
_CLIENT_VALIDITY, _CLIENT_RENEWAL = 365 * _DAY, 30 * _DAY
#: Clocks differ: certificates are valid from this many seconds ago.
_CLOCK_SKEW = 300.0
_CONTROLLER = "lbdrivers-controller"
#: What a certificate is good for, by the authority that signs it; those of users are good for both.
_USAGES = {"server": (ExtendedKeyUsageOID.SERVER_AUTH,), "client": (ExtendedKeyUsageOID.CLIENT_AUTH,)}
_ANY_USAGE = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

_Key = ec.EllipticCurvePrivateKey


class MemoryAuthority:
    """Implements ``Authority`` on the memory cloud."""

    contract = 1

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._now = context.now
        self._faults = faults or Faults()

    def trust(self) -> Trust:
        """See ``Authority.trust``."""
        with self._faults.around("trust"):
            return Trust(
                server_ca=self.authority("server").parts["certificate"].encode(),
                client_ca=self.authority("client").parts["certificate"].encode(),
            )

    def issue_server(self, common_name: str, validity: float) -> Credential:
        """See ``Authority.issue_server``."""
        with self._faults.around("issue_server", common_name, validity):
            made = self.issue("server", common_name, validity)
            return _credential(made)

    def client(self) -> Credential:
        """See ``Authority.client``."""
        with self._faults.around("client"):

            def current(old: StoredSecret | None) -> StoredSecret:
                if old is not None and float(old.parts["expires"]) - self._now() > _CLIENT_RENEWAL:
                    return old
                return self.issue("client", _CONTROLLER, _CLIENT_VALIDITY)

            return _credential(self.cloud.secrets.change("controller", current))

    def authority(self, role: str) -> StoredSecret:
        """The authority of that role ("server" signs agents, "client" controllers), made at first use."""
        found = self.cloud.secrets.get(f"authority/{role}")
        if found is not None:
            return found
        key = ec.generate_private_key(ec.SECP256R1())
        name = f"lbdrivers memory {role} authority"
        certificate = (
            self._builder(name, name, key.public_key(), _AUTHORITY_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        made = _stored(name, certificate, key, self._now() + _AUTHORITY_VALIDITY)
        return self.cloud.secrets.change(f"authority/{role}", lambda old: old or made)

    def issue(self, role: str, common_name: str, validity: float) -> StoredSecret:
        """A certificate with a new key, signed by the authority of that role."""
        issuer, issuer_key = self._signer(role)
        key = ec.generate_private_key(ec.SECP256R1())
        issuer_name = str(issuer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        certificate = (
            self._builder(common_name, issuer_name, key.public_key(), validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(_USAGES.get(role, _ANY_USAGE)), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        return _stored(common_name, certificate, key, self._now() + validity)

    def revocations(self, role: str) -> bytes:
        """The revocation list of the authority of that role: nothing is revoked."""
        issuer, key = self._signer(role)
        now = self._now()
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
        builder = builder.last_update(_moment(now - _CLOCK_SKEW)).next_update(_moment(now + _AUTHORITY_VALIDITY))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _signer(self, role: str) -> tuple[x509.Certificate, _Key]:
        parts = self.authority(role).parts
        key = serialization.load_pem_private_key(parts["key"].encode(), None)
        if not isinstance(key, _Key):
            raise PermanentError(f"the key of the {role} authority is of another kind than it was made")
        return x509.load_pem_x509_certificate(parts["certificate"].encode()), key

    def _builder(
        self, name: str, issuer: str, key: ec.EllipticCurvePublicKey, validity: float
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_moment(now - _CLOCK_SKEW))
            .not_valid_after(_moment(now + validity))
        )


def _name(common_name: str) -> x509.Name:
    # RFC 5280 limits a common name to 64 characters; the DNS name in the certificate carries all of it.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _stored(name: str, certificate: x509.Certificate, key: _Key, expires: float) -> StoredSecret:
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return StoredSecret(
        {
            "primary_cn": name,
            "certificate": certificate.public_bytes(pem).decode(),
            "key": private.decode(),
            "expires": repr(expires),
        }
    )


def _credential(stored: StoredSecret) -> Credential:
    pem = stored.parts["certificate"] + stored.parts["key"]
    return Credential(Secret(pem.encode()), float(stored.parts["expires"]))
