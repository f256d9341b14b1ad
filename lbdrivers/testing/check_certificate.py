"""The laws of the certificate contracts (``lbdrivers.drivers.certificate``), one function each.

Certificates are tried in real TLS handshakes, with a server that requires client certificates and a
client that checks the server's name, as agents and controllers do.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lbdrivers.drivers.certificate import Authority, Credential, SecretStore
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
    """

    make: Callable[[], SecretStore]
    reference: str
    absent_reference: str
    patience: Patience = field(default_factory=Patience)


def check_a_certificate_is_fetched_whole(fixture: SecretStoreFixture) -> None:
    """A reference gives certificate and key that belong together, each time the same; the key is not shown."""
    found = fixture.patience.settled("tls_container", lambda: fixture.make().tls_container(fixture.reference))
    expect(found == fixture.make().tls_container(fixture.reference), "the same reference gives another certificate")
    expect(bool(found.primary_cn), "the certificate has no first name")
    expect("PRIVATE" not in repr(found), "the container's text shows its key")
    parts = (found.certificate, found.private_key.reveal(), *found.intermediates)
    try:
        load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Secret(b"\n".join(parts)))
    except ssl.SSLError as error:
        fail(f"certificate and key cannot be used together: {error}", error)


def check_an_absent_reference_is_refused(fixture: SecretStoreFixture) -> None:
    """A reference to nothing is a PermanentError, as a certificate and as a plain secret."""
    store = fixture.make()
    refused("an absent certificate", lambda: store.tls_container(fixture.absent_reference))
    refused("an absent secret", lambda: store.secret(fixture.absent_reference))


SECRET_STORE_CHECKS: tuple[Check[SecretStoreFixture], ...] = (
    Check(check_a_certificate_is_fetched_whole),
    Check(check_an_absent_reference_is_refused),
)
