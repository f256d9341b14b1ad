"""The agent's door: only controllers of the right authority get in, only the right amphora is believed."""

from __future__ import annotations

import os
import socket
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.appliance import Appliance, driver
from support.appliance_site import an_appliance
from support.authority import TestAuthority

from lbdrivers.drivers.certificate import Credential, Trust
from lbdrivers.drivers.context import CONTRACT
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers_amphora.client_transport import tls_context

_PORT = 9443


@pytest.fixture(scope="module")
def authority() -> TestAuthority:
    return TestAuthority()


@pytest.fixture(scope="module")
def appliance(authority: TestAuthority) -> Iterator[Appliance]:
    with an_appliance(authority=authority) as made:
        yield made.appliance


def _request(appliance: Appliance, context: ssl.SSLContext) -> bytes:
    """The answer to a request. In TLS 1.3 the server refuses a certificate only after the client's part."""

    def work() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", _PORT), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=appliance.amphora_id) as line,
        ):
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return line.recv(4096)

    return appliance.inside(work)


def _context(authority: TestAuthority, credential: Credential | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.trust().server_ca.decode())
    if credential is not None:
        descriptor = os.memfd_create("credential")
        os.write(descriptor, credential.pem.reveal())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        os.close(descriptor)
    return context


def test_the_right_certificate_gets_in(appliance: Appliance, authority: TestAuthority) -> None:
    assert b"200 OK" in _request(appliance, _context(authority, authority.client()))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_certificate_no_answer(appliance: Appliance, authority: TestAuthority, version: ssl.TLSVersion) -> None:
    context = _context(authority, None)
    context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
        assert _request(appliance, context) == b"", "the agent answered"
        raise ConnectionError("closed without an answer")
    assert isinstance(caught.value, ssl.SSLError | ConnectionError)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_a_foreign_authority_gets_no_answer(
    appliance: Appliance, authority: TestAuthority, version: ssl.TLSVersion
) -> None:
    context = _context(authority, TestAuthority().client())
    context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        assert _request(appliance, context) == b"", "the agent answered"
        raise ConnectionError("closed without an answer")


def test_an_agents_certificate_is_no_controllers(appliance: Appliance, authority: TestAuthority) -> None:
    context = _context(authority, authority.issue_server(appliance.amphora_id, 60))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        assert _request(appliance, context) == b"", "the agent answered"
        raise ConnectionError("closed without an answer")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_is_refused(appliance: Appliance, authority: TestAuthority) -> None:
    context = _context(authority, authority.client())
    # The client would: without this, its own library is what refuses.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError) as caught:
        _request(appliance, context)
    # The server's alert, not a refusal by our own library.
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_another_amphora_is_not_believed(appliance: Appliance, authority: TestAuthority) -> None:
    with pytest.raises(TemporaryError, match="trusted") as caught:
        driver(authority).facts(appliance.machine, str(uuid.uuid4()))
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.operator or "match" in caught.value.operator


def test_an_appliance_of_a_foreign_authority_is_not_believed(appliance: Appliance) -> None:
    with pytest.raises(TemporaryError, match="trusted"):
        driver(TestAuthority()).facts(appliance.machine, appliance.amphora_id)


def test_a_new_certificate_serves_from_the_next_handshake_on(appliance: Appliance, authority: TestAuthority) -> None:
    def shown() -> bytes | None:
        def work() -> bytes | None:
            context = _context(authority, authority.client())
            with (
                socket.create_connection(("127.0.0.1", _PORT), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=appliance.amphora_id) as line,
            ):
                return line.getpeercert(binary_form=True)

        return appliance.inside(work)

    before = shown()
    speaker = driver(authority)
    new = authority.issue_server(appliance.amphora_id, 60)
    speaker.rotate_certificate(appliance.machine, appliance.amphora_id, new.pem)
    assert shown() not in (None, before)
    assert speaker.facts(appliance.machine, appliance.amphora_id).api_version == "1.0"


@dataclass(frozen=True)
class Successor:
    """A new authority for agents, after an old one. :param overlap: whether the old one is trusted still."""

    old: TestAuthority
    new: TestAuthority
    overlap: bool
    contract: int = CONTRACT

    def trust(self) -> Trust:
        earlier = self.old.trust()
        return Trust(self.new.trust().server_ca + (earlier.server_ca if self.overlap else b""), earlier.client_ca)

    def issue_server(self, common_name: str, validity: float) -> Credential:
        return self.new.issue_server(common_name, validity)

    def client(self) -> Credential:
        return self.old.client()


def test_while_two_authorities_are_trusted_agents_go_over_from_one_to_the_other(
    appliance: Appliance, authority: TestAuthority
) -> None:
    machine, name = appliance.machine, appliance.amphora_id
    new = TestAuthority()
    during, after = (Successor(authority, new, overlap) for overlap in (True, False))
    with pytest.raises(TemporaryError, match="trusted"):
        driver(after).facts(machine, name)
    driver(during).rotate_certificate(machine, name, during.issue_server(name, 60).pem)
    for speaker in (driver(during), driver(after)):
        assert speaker.facts(machine, name).api_version == "1.0"
    with pytest.raises(TemporaryError, match="trusted"):
        driver(authority).facts(machine, name)
    driver(during).rotate_certificate(machine, name, authority.issue_server(name, 60).pem)
    assert driver(authority).facts(machine, name).api_version == "1.0"


def test_a_certificate_without_its_key_locks_nobody_out(appliance: Appliance, authority: TestAuthority) -> None:
    from lbdrivers.model.secret import Secret

    speaker = driver(authority)
    with pytest.raises(PermanentError):
        speaker.rotate_certificate(appliance.machine, appliance.amphora_id, Secret(authority.trust().server_ca))
    assert speaker.facts(appliance.machine, appliance.amphora_id).api_version == "1.0"


def test_a_credential_that_is_none_is_a_permanent_error(authority: TestAuthority) -> None:
    from lbdrivers.model.secret import Secret

    with pytest.raises(PermanentError, match="certificate"):
        tls_context(Credential(Secret(b"nonsense"), 0.0), authority.trust())
