"""Two certificate authorities and a secret store; see ``lbdrivers.drivers.certificate`` for the laws.

The certificates are real ones. The authorities' keys lie readable in the records: this backend is for
tests and trials, and guards nothing. A reference ``memory:<name>`` that nobody stored gives a
certificate for that name, made when it is first asked for.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lbdrivers.drivers.certificate import Credential, TlsContainer, Trust
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
_ON_DEMAND = "memory:"

_Key = ec.EllipticCurvePrivateKey


class MemoryAuthority:
    """Implements ``Authority`` and ``SecretStore`` on the memory cloud."""

    contract = 1

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._now = context.now
        self._faults = faults or Faults()

    def trust(self) -> Trust:
        """See ``Authority.trust``."""
        with self._faults.around("trust"):
            return Trust(
                server_ca=self._authority("server").parts["certificate"].encode(),
                client_ca=self._authority("client").parts["certificate"].encode(),
            )

    def issue_server(self, common_name: str, validity: float) -> Credential:
        """See ``Authority.issue_server``."""
        with self._faults.around("issue_server", common_name, validity):
            made = self._issue("server", common_name, validity)
            return _credential(made)

    def client(self) -> Credential:
        """See ``Authority.client``."""
        with self._faults.around("client"):

            def current(old: StoredSecret | None) -> StoredSecret:
                if old is not None and float(old.parts["expires"]) - self._now() > _CLIENT_RENEWAL:
                    return old
                return self._issue("client", _CONTROLLER, _CLIENT_VALIDITY)

            return _credential(self.cloud.secrets.change("controller", current))

    def store(self, reference: str, container: TlsContainer) -> None:
        """Put a user's certificate where the reference finds it."""
        parts = {
            "primary_cn": container.primary_cn,
            "certificate": container.certificate.decode(),
            "key": container.private_key.reveal().decode(),
        }
        parts |= {f"intermediate-{n:03}": pem.decode() for n, pem in enumerate(container.intermediates)}
        if container.passphrase is not None:
            parts["passphrase"] = container.passphrase.reveal().decode()
        self.cloud.secrets.change(f"user/{reference}", lambda _old: StoredSecret(parts))

    def store_secret(self, reference: str, secret: Secret) -> None:
        """Put a plain secret where the reference finds it."""
        stored = StoredSecret({"secret": secret.reveal().decode()})
        self.cloud.secrets.change(f"user/{reference}", lambda _old: stored)

    def tls_container(self, reference: str) -> TlsContainer:
        """See ``SecretStore.tls_container``."""
        with self._faults.around("tls_container", reference):
            parts = self._referenced(reference).parts
            if "certificate" not in parts:
                raise PermanentError(f"the reference {reference} points to a plain secret, not to a certificate")
            passphrase = parts.get("passphrase")
            return TlsContainer(
                id=reference,
                primary_cn=parts["primary_cn"],
                certificate=parts["certificate"].encode(),
                private_key=Secret(parts["key"].encode()),
                intermediates=tuple(
                    pem.encode() for name, pem in sorted(parts.items()) if name.startswith("intermediate-")
                ),
                passphrase=None if passphrase is None else Secret(passphrase.encode()),
            )

    def secret(self, reference: str) -> Secret:
        """See ``SecretStore.secret``."""
        with self._faults.around("secret", reference):
            parts = self._referenced(reference).parts
            return Secret(parts.get("secret", parts.get("certificate", "")).encode())

    def _referenced(self, reference: str) -> StoredSecret:
        found = self.cloud.secrets.get(f"user/{reference}")
        if found is None and reference.startswith(_ON_DEMAND):
            made = self._issue("server", reference.removeprefix(_ON_DEMAND), _CLIENT_VALIDITY)
            found = self.cloud.secrets.change(f"user/{reference}", lambda old: old or made)
        if found is None:
            raise PermanentError(f"the reference {reference} points to nothing")
        return found

    def _authority(self, role: str) -> StoredSecret:
        """The authority for servers or for clients, made at first use."""
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

    def _issue(self, role: str, common_name: str, validity: float) -> StoredSecret:
        authority = self._authority(role)
        issuer = x509.load_pem_x509_certificate(authority.parts["certificate"].encode())
        issuer_key = serialization.load_pem_private_key(authority.parts["key"].encode(), None)
        if not isinstance(issuer_key, _Key):
            raise PermanentError(f"the key of the {role} authority is of another kind than it was made")
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if role == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        issuer_name = str(issuer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        certificate = (
            self._builder(common_name, issuer_name, key.public_key(), validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        return _stored(common_name, certificate, key, self._now() + validity)

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
