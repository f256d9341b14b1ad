"""The certificate contracts: an authority that issues, and a store that user references point into.

Law: delete never needs a secret. Keys travel as Secret only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lbdrivers.model.secret import Secret


@dataclass(frozen=True)
class Credential:
    """A certificate with its key, as one PEM; ``expires`` in seconds since the epoch."""

    pem: Secret
    expires: float


@dataclass(frozen=True)
class Trust:
    """What both ends of the agent's API need to know each other.

    :param server_ca: PEM of the authority that signs agents' certificates (the controller trusts it).
    :param client_ca: PEM of the authority that signs controllers' (agents trust it).
    """

    server_ca: bytes
    client_ca: bytes


class Authority(Protocol):
    """Issues certificates for agents and controllers, from two separate authorities."""

    contract: int

    def trust(self) -> Trust:
        """The two authorities' certificates; made at first use by drivers that own them."""
        ...

    def issue_server(self, common_name: str, validity: float) -> Credential:
        """A certificate for an agent: CN and DNS SAN are ``common_name`` (the amphora id).

        :param validity: seconds from now.
        """
        ...

    def client(self) -> Credential:
        """The controller's client certificate, renewed when it is about to expire."""
        ...


@dataclass(frozen=True)
class TlsContainer:
    """A user's certificate as it is stored: PEM parts, which nobody has checked yet.

    :param id: what the store knows it by.
    :param primary_cn: the certificate's first name.
    :param intermediates: certificates that lead from it to an authority, one PEM each, in that order.
    :param passphrase: of the key, when the key is encrypted.
    """

    id: str
    primary_cn: str
    certificate: bytes
    private_key: Secret
    intermediates: tuple[bytes, ...] = ()
    passphrase: Secret | None = None


class SecretStore(Protocol):
    """Fetches what a user's references point to. A reference means something to one store only.

    Law: it only reads. The same reference gives the same content until somebody stores another one.
    """

    contract: int

    def tls_container(self, reference: str) -> TlsContainer:
        """A certificate with its key.

        :raises PermanentError: when the reference points to nothing readable; its text names the remedy.
        :raises TemporaryError: when the store does not answer.
        """
        ...

    def secret(self, reference: str) -> Secret:
        """A plain secret (an authority's certificates, a revocation list), as it is stored.

        :raises PermanentError, TemporaryError: as above.
        """
        ...
