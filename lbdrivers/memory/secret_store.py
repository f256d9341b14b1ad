"""A secret store in the memory cloud; see ``lbdrivers.drivers.certificate`` for the laws.

What nobody stored is made when it is first asked for, and stays as it is: ``memory:<name>`` is a
certificate for that name, ``memory:authority/<name>`` an authority, ``memory:crl/<name>`` its revocation list.
"""

from __future__ import annotations

from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.memory.certificate import MemoryAuthority
from lbdrivers.memory.cloud import Cloud, StoredSecret
from lbdrivers.memory.faults import Faults
from lbdrivers.model.secret import Secret

_ON_DEMAND = "memory:"
#: What signs certificates made on demand.
_USERS = "users"
_VALIDITY = 365 * 86400.0


class MemorySecretStore:
    """Implements ``SecretStore`` on the memory cloud."""

    contract = 1

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._authorities = MemoryAuthority(context)
        self._faults = faults or Faults()

    def store(self, reference: str, container: TlsContainer) -> None:
        """Put a user's certificate where the reference finds it; one that is there is replaced."""
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
            if "key" not in parts:
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
        """See ``SecretStore.secret``; of a certificate it is the certificate, without its key."""
        with self._faults.around("secret", reference):
            parts = self._referenced(reference).parts
            return Secret(parts.get("secret", parts.get("certificate", "")).encode())

    def _referenced(self, reference: str) -> StoredSecret:
        found = self.cloud.secrets.get(f"user/{reference}")
        if found is None and reference.startswith(_ON_DEMAND):
            made = self._made(reference.removeprefix(_ON_DEMAND))
            found = self.cloud.secrets.change(f"user/{reference}", lambda old: old or made)
        if found is None:
            raise PermanentError(f"the reference {reference} points to nothing")
        return found

    def _made(self, wanted: str) -> StoredSecret:
        kind, _, name = wanted.partition("/")
        if name and kind == "authority":
            return StoredSecret({"secret": self._authorities.authority(f"users/{name}").parts["certificate"]})
        if name and kind == "crl":
            return StoredSecret({"secret": self._authorities.revocations(f"users/{name}").decode()})
        return self._authorities.issue(_USERS, wanted, _VALIDITY)
