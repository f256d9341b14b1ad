"""Authorities and what they sign, judged by openssl and by real handshakes."""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.local_site import NoRecords, no_driver

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import InvalidInput, PermanentError
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.certificates import x509 as certificates
from lbdrivers_amphora.certificates.local import CLIENT_VALIDITY, RENEW_BEFORE, LocalAuthority

AMPHORA = "3b6f0d3e-52a4-4a5e-9d1f-6c8d1f1b9a10"
DAY = 24 * 3600.0


def authority(state: Path, configuration: str = "", **context: Any) -> LocalAuthority:
    files = []
    if configuration:
        files.append(state / "lbdrivers.conf")
        files[0].write_text(configuration)
    made = DriverContext(settings.load(files, state_path=state), NoRecords(), no_driver)
    return LocalAuthority(replace(made, **context))


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_openssl_verifies_the_chain_and_the_purpose(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    trust = ours.trust()
    server_ca, client_ca = written(tmp_path / "s.pem", trust.server_ca), written(tmp_path / "c.pem", trust.client_ca)
    server = written(tmp_path / "server.pem", ours.issue_server(AMPHORA, DAY).pem.reveal())
    client = written(tmp_path / "client.pem", ours.client().pem.reveal())
    strict = ("verify", "-x509_strict", "-purpose")
    assert openssl(*strict, "sslserver", "-verify_hostname", AMPHORA, "-CAfile", server_ca, server).returncode == 0
    assert openssl(*strict, "sslclient", "-CAfile", client_ca, client).returncode == 0
    assert openssl(*strict, "sslserver", "-verify_hostname", "other", "-CAfile", server_ca, server).returncode != 0
    assert openssl(*strict, "sslserver", "-CAfile", client_ca, server).returncode != 0
    assert openssl(*strict, "sslclient", "-CAfile", server_ca, client).returncode != 0
    assert openssl(*strict, "sslclient", "-CAfile", server_ca, server).returncode != 0
    assert openssl(*strict, "sslserver", "-CAfile", client_ca, client).returncode != 0


def test_the_certificate_says_who_and_what_for(tmp_path: Path) -> None:
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC).timestamp()
    credential = authority(tmp_path, now=lambda: now).issue_server(AMPHORA, 3 * DAY)
    certificate = x509.load_pem_x509_certificate(credential.pem.reveal())
    key = serialization.load_pem_private_key(credential.pem.reveal(), None)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == f"CN={AMPHORA}"
    assert certificate.not_valid_after_utc.timestamp() == credential.expires == now + 3 * DAY
    assert certificate.not_valid_before_utc.timestamp() == now - certificates.BACKDATE
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [AMPHORA]
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert extensions.get_extension_for_class(x509.KeyUsage).critical
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_two_credentials_share_neither_key_nor_number(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    pems = [ours.issue_server(AMPHORA, DAY).pem.reveal() for _ in range(2)]
    first, second = (x509.load_pem_x509_certificate(pem) for pem in pems)
    assert first.serial_number != second.serial_number
    assert first.public_key() != second.public_key()


def test_the_authorities_are_made_once_by_whoever_comes_first(tmp_path: Path) -> None:
    seen: list[bytes] = []
    started = threading.Barrier(8)

    def look() -> None:
        ours = authority(tmp_path)
        started.wait()
        trust = ours.trust()
        seen.append(trust.server_ca + trust.client_ca + ours.client().pem.reveal())

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    folder = tmp_path / "certificates"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} >= {"server_ca.pem", "client_ca.pem", "client.cert-and-key.pem"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_the_controllers_certificate_is_kept_and_renewed_in_time(tmp_path: Path) -> None:
    now = 1_900_000_000.0
    first = authority(tmp_path, now=lambda: now).client()
    assert first.expires == now + CLIENT_VALIDITY
    before = now + CLIENT_VALIDITY - RENEW_BEFORE
    assert authority(tmp_path, now=lambda: before - 1).client() == first
    renewed = authority(tmp_path, now=lambda: before).client()
    assert renewed.expires == before + CLIENT_VALIDITY
    (tmp_path / "certificates" / "client_ca.pem").unlink()
    assert authority(tmp_path, now=lambda: before).client() != renewed


def rsa_authority(folder: Path, passphrase: bytes | None = None, *, ca: bool = True) -> tuple[Path, Path]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "operator")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths = folder / "ca.crt", folder / "ca.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    return paths


def test_an_existing_authority_is_used(tmp_path: Path) -> None:
    certificate, key = rsa_authority(tmp_path, b"open sesame")
    options = f"ca_certificate = {certificate}\nca_private_key = {key}\nca_private_key_passphrase = open sesame\n"
    ours = authority(tmp_path, f"[certificates]\n{options}signing_digest = sha384\n")
    assert ours.trust().server_ca == certificate.read_bytes()
    credential = ours.issue_server(AMPHORA, 365 * DAY)
    issued = x509.load_pem_x509_certificate(credential.pem.reveal())
    parent = x509.load_pem_x509_certificate(certificate.read_bytes())
    issued.verify_directly_issued_by(parent)
    assert isinstance(issued.signature_hash_algorithm, hashes.SHA384)
    assert credential.expires == parent.not_valid_after_utc.timestamp(), "it never outlives its authority"
    assert not (tmp_path / "certificates" / "server_ca.pem").exists()


def test_an_authority_that_has_expired_issues_nothing(tmp_path: Path) -> None:
    authority(tmp_path, now=lambda: 1e9).trust()
    with pytest.raises(PermanentError, match="no certificate can be issued"):
        authority(tmp_path, now=lambda: 3e9).issue_server(AMPHORA, DAY)


def test_configured_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    certificate, key = rsa_authority(tmp_path, b"right")
    with pytest.raises(InvalidInput, match="ca_private_key: is missing"):
        authority(tmp_path, f"[certificates]\nca_certificate = {certificate}\n").trust()
    with pytest.raises(InvalidInput, match="client_cert: is missing"):
        authority(tmp_path, f"[controller_worker]\nclient_ca = {certificate}\n").trust()
    both = f"[certificates]\nca_certificate = {certificate}\nca_private_key = {key}\n"
    with pytest.raises(InvalidInput, match="private key cannot be read"):
        authority(tmp_path, both + "ca_private_key_passphrase = wrong\n").trust()
    with pytest.raises(InvalidInput, match=r"nothing\.pem"):
        authority(tmp_path, both.replace(str(key), "/nothing.pem")).trust()
    with pytest.raises(InvalidInput, match="signing_digest"):
        authority(tmp_path, both + "signing_digest = md5\n").trust()
    rsa_authority(tmp_path, ca=False)
    with pytest.raises(InvalidInput, match="not an authority"):
        authority(tmp_path, both).trust()
    other = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(InvalidInput, match="does not belong"):
        authority(tmp_path, both).trust()


def test_a_configured_controller_is_used(tmp_path: Path) -> None:
    maker = authority(tmp_path)
    client_ca = written(tmp_path / "client_ca.pem", maker.trust().client_ca)
    client = written(tmp_path / "client.pem", maker.client().pem.reveal())
    other = tmp_path / "other"
    other.mkdir()
    amphora = f"[haproxy_amphora]\nclient_cert = {client}\nserver_ca = {client_ca}\n"
    ours = authority(other, f"[controller_worker]\nclient_ca = {client_ca}\n{amphora}")
    assert ours.client() == maker.client()
    assert ours.trust().client_ca == ours.trust().server_ca == maker.trust().client_ca


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """What came of a TLS handshake over a pair of sockets: "" or the error."""
    near, far = socket.socketpair()
    errors = []

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as wrapped:
                wrapped.sendall(wrapped.recv(1))
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as wrapped:
            wrapped.sendall(b"x")
            assert wrapped.recv(1) == b"x" or not errors
    except OSError as error:
        errors.append(str(error))
    thread.join()
    return "; ".join(errors)


def contexts(ours: LocalAuthority, theirs: LocalAuthority, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(written(folder / "s", ours.issue_server(AMPHORA, DAY).pem.reveal()))
    server.load_verify_locations(cadata=ours.trust().client_ca.decode())
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_cert_chain(written(folder / "c", theirs.client().pem.reveal()))
    client.load_verify_locations(cadata=ours.trust().server_ca.decode())
    return server, client


def test_a_handshake_needs_the_right_authority_and_name(tmp_path: Path) -> None:
    other_state = tmp_path / "other"
    other_state.mkdir()
    ours, other = authority(tmp_path), authority(other_state)
    server, client = contexts(ours, ours, tmp_path)
    assert handshake(server, client, AMPHORA) == ""
    assert "match" in handshake(server, client, "another")
    server, stranger = contexts(ours, other, tmp_path)
    assert handshake(server, stranger, AMPHORA) != ""
    pem = Secret(ours.issue_server(AMPHORA, DAY).pem.reveal())
    stranger.load_cert_chain(written(tmp_path / "stolen", pem.reveal()))
    assert handshake(server, stranger, AMPHORA) != "", "an agent's key opens no agent"
