"""The laws of the certificate contracts (``lbdrivers.drivers.certificate``), one function each.

Certificates are tried in real TLS handshakes, with a server that requires client certificates and a
client that checks the server's name, as agents and controllers do.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from lbdrivers.drivers.certificate import Authority, Credential, SecretStore, TlsContainer
from lbdrivers.model.secret import Secret
from lbdrivers.testing.check import Check, Patience, expect, fail, refused
from lbdrivers.testing.handshake import load_chain, shake_hands
from lbdrivers.testing.surroundings import new_id

_HOUR = 3600.0


@dataclass(frozen=True)
class AuthorityFixture:
    """An authority under test.

    :param make: a new driver object on the same backend, each time; as after a restart.
    """

    make: Callable[[], Authority]
    patience: Patience = field(default_factory=Patience)

    def server(self, name: str, validity: float = _HOUR) -> Credential:
        """A certificate for an agent."""
        return self.patience.settled("issue_server", lambda: self.make().issue_server(name, validity))

    def meet(self, server: Credential, client: Credential | None, name: str) -> None:
        """A handshake. :raises ssl.SSLError: when it fails."""
        trust = self.patience.settled("trust", self.make().trust)
        shake_hands(server, client, trust.server_ca, trust.client_ca, name)


def _must_fail(what: str, handshake: Callable[[], None]) -> None:
    try:
        handshake()
    except ssl.SSLError:
        return
    fail(f"{what} got through")


def check_trust_is_constant(fixture: AuthorityFixture) -> None:
    """The two authorities are made once, and they are two."""
    first = fixture.patience.settled("trust", fixture.make().trust)
    expect(first == fixture.make().trust(), "trust() gives other authorities when asked again")
    expect(first.server_ca != first.client_ca, "one authority signs agents and controllers")


def check_agents_and_controllers_know_each_other(fixture: AuthorityFixture) -> None:
    """An agent's certificate and the controller's get through a handshake that checks both and the name."""
    name = new_id()
    try:
        fixture.meet(fixture.server(name), fixture.make().client(), name)
    except ssl.SSLError as error:
        fail(f"agent and controller do not get through: {error}", error)


def check_strangers_are_refused(fixture: AuthorityFixture) -> None:
    """No client certificate, an agent's one in place of it, or another agent's name: all are refused."""
    name = new_id()
    server, client = fixture.server(name), fixture.make().client()
    _must_fail("a client without a certificate", lambda: fixture.meet(server, None, name))
    _must_fail("an agent in the controller's role", lambda: fixture.meet(server, fixture.server(new_id()), name))
    _must_fail("an agent of another name", lambda: fixture.meet(server, client, new_id()))
    _must_fail("a controller in an agent's role", lambda: fixture.meet(client, client, name))


def check_validity_is_as_asked(fixture: AuthorityFixture) -> None:
    """``expires`` is what was asked for, and the controller's certificate is not about to expire."""
    for validity in (_HOUR, 30 * 24 * _HOUR):
        left = fixture.server(new_id(), validity).expires - time.time()
        # A driver may round to its format's resolution, and the call takes time.
        expect(abs(left - validity) < 120, f"a certificate for {validity:g} s is valid for {left:g} s")
    expect(fixture.make().client().expires - time.time() > _HOUR, "the controller's certificate ends within an hour")


def check_keys_are_not_shown(fixture: AuthorityFixture) -> None:
    """No key in the text of what drivers hand out."""
    for credential in (fixture.server(new_id()), fixture.make().client()):
        expect("PRIVATE" not in f"{credential!r} {credential}", "a credential's text shows its key")
        expect(b"PRIVATE KEY" in credential.pem.reveal(), "a credential has no key")


AUTHORITY_CHECKS: tuple[Check[AuthorityFixture], ...] = (
    Check(check_trust_is_constant),
    Check(check_agents_and_controllers_know_each_other),
    Check(check_strangers_are_refused),
    Check(check_validity_is_as_asked),
    Check(check_keys_are_not_shown),
)


@dataclass(frozen=True)
class SecretStoreFixture:
    """A secret store under test.

    :param make: a new driver object on the same backend, each time.
    :param reference: points to a certificate with an unencrypted key.
    :param absent_reference: points to nothing.
    :param encrypted_reference: points to a certificate whose key has a passphrase.
    :param chained_reference: points to a certificate that intermediates lead from to an authority, two at least.
    :param plain_reference: points to a plain secret, which is ``plain``.
    """

    make: Callable[[], SecretStore]
    reference: str
    absent_reference: str
    encrypted_reference: str
    chained_reference: str
    plain_reference: str
    plain: bytes
    patience: Patience = field(default_factory=Patience)

    def container(self, reference: str) -> TlsContainer:
        """What the reference points to."""
        return self.patience.settled("tls_container", lambda: self.make().tls_container(reference))


def check_a_certificate_is_fetched_whole(fixture: SecretStoreFixture) -> None:
    """A reference gives certificate and key that belong together, each time the same; the key is not shown."""
    found = fixture.container(fixture.reference)
    expect(found == fixture.make().tls_container(fixture.reference), "the same reference gives another certificate")
    expect(bool(found.primary_cn), "the certificate has no first name")
    expect("PRIVATE" not in repr(found), "the container's text shows its key")
    _expect_usable(found)


def check_an_encrypted_key_comes_with_its_passphrase(fixture: SecretStoreFixture) -> None:
    """A key that has a passphrase is given with it, and the passphrase is not shown."""
    found = fixture.container(fixture.encrypted_reference)
    if found.passphrase is None:
        fail("the key is encrypted, and its passphrase is not given")
    expect(found.passphrase.reveal().decode() not in repr(found), "the container's text shows its passphrase")
    _expect_usable(found)


def check_intermediates_are_in_order(fixture: SecretStoreFixture) -> None:
    """Each intermediate has signed what stands before it, the first one the certificate itself."""
    found = fixture.container(fixture.chained_reference)
    expect(len(found.intermediates) >= 2, f"{len(found.intermediates)} intermediates instead of two at least")
    chain = [x509.load_pem_x509_certificate(pem) for pem in (found.certificate, *found.intermediates)]
    for signed, signer in pairwise(chain):
        try:
            signed.verify_directly_issued_by(signer)
        except (ValueError, TypeError, InvalidSignature) as error:
            fail(f"{signer.subject.rfc4514_string()} has not signed what stands before it", error)


def check_a_plain_secret_is_fetched(fixture: SecretStoreFixture) -> None:
    """A plain secret is given as it was stored, to the byte, and not shown."""
    found = fixture.patience.settled("secret", lambda: fixture.make().secret(fixture.plain_reference))
    expect(found.reveal() == fixture.plain, "a plain secret is not what was stored")
    expect(fixture.plain.decode(errors="replace") not in f"{found!r} {found}", "a secret's text shows it")


def check_an_absent_reference_is_refused(fixture: SecretStoreFixture) -> None:
    """A reference to nothing is a PermanentError, as a certificate and as a plain secret."""
    store = fixture.make()
    refused("an absent certificate", lambda: store.tls_container(fixture.absent_reference))
    refused("an absent secret", lambda: store.secret(fixture.absent_reference))


def _expect_usable(found: TlsContainer) -> None:
    parts = (found.certificate, found.private_key.reveal(), *found.intermediates)
    try:
        load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Secret(b"\n".join(parts)), found.passphrase)
    except ssl.SSLError as error:
        fail(f"certificate and key cannot be used together: {error}", error)


SECRET_STORE_CHECKS: tuple[Check[SecretStoreFixture], ...] = (
    Check(check_a_certificate_is_fetched_whole),
    Check(check_an_encrypted_key_comes_with_its_passphrase),
    Check(check_intermediates_are_in_order),
    Check(check_a_plain_secret_is_fetched),
    Check(check_an_absent_reference_is_refused),
)
