"""The local secret store: what it reads, and what it refuses with the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from support.certificates import PEM, TRADITIONAL, Authority, key_pem, new_key

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.memory.records import MemoryRecords
from lbdrivers_amphora.certificates.secrets import LocalSecretStore

ROOT = Authority("root")
UPPER = Authority("upper", ROOT)
LOWER = Authority("lower", UPPER)
WWW = ROOT.issue("www.example.com")
CHAINED = LOWER.issue("chained.example.com")
CHAIN = (LOWER.certificate, UPPER.certificate)


@pytest.fixture
def store(tmp_path: Path) -> LocalSecretStore:
    context = DriverContext(settings.load(state_path=tmp_path), MemoryRecords(), lambda _group, _name: None)
    made = LocalSecretStore(context)
    made.folder.mkdir(mode=0o700)
    return made


def put(store: LocalSecretStore, name: str, content: bytes, mode: int = 0o600) -> Path:
    path = store.folder / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_certificate_and_its_key(store: LocalSecretStore) -> None:
    put(store, "www.crt", WWW.pem, 0o644)
    put(store, "www.key", WWW.key_pem)
    found = store.tls_container("www")
    assert (found.primary_cn, found.certificate, found.intermediates) == ("www.example.com", WWW.pem, ())
    assert found.private_key.reveal() == WWW.key_pem
    assert found.passphrase is None


def test_one_file_with_all_of_it(store: LocalSecretStore) -> None:
    put(store, "www.pem", key_pem(WWW.key, TRADITIONAL) + WWW.pem + ROOT.pem)
    found = store.tls_container("www")
    assert (found.certificate, found.intermediates) == (WWW.pem, (ROOT.pem,))


LOWER_PEM, UPPER_PEM = (one.public_bytes(PEM) for one in CHAIN)


@pytest.mark.parametrize(
    "intermediates",
    [
        LOWER_PEM + UPPER_PEM,
        b"lower\n" + LOWER_PEM + b"\nupper\n" + UPPER_PEM,
        serialize_certificates(list(CHAIN), Encoding.PEM),
        serialize_certificates(list(CHAIN), Encoding.DER),
    ],
    ids=["PEM", "PEM with words between", "PKCS7 in PEM", "PKCS7 in DER"],
)
def test_intermediates_in_every_form(store: LocalSecretStore, intermediates: bytes) -> None:
    put(store, "www.crt", CHAINED.pem)
    put(store, "www.key", CHAINED.key_pem)
    put(store, "www.int", intermediates)
    assert set(store.tls_container("www").intermediates) == {LOWER_PEM, UPPER_PEM}


def test_intermediates_behind_the_certificate_and_beside_it_are_taken_once(store: LocalSecretStore) -> None:
    put(store, "www.crt", CHAINED.pem + LOWER_PEM)
    put(store, "www.key", CHAINED.key_pem)
    put(store, "www.int", LOWER_PEM + UPPER_PEM)
    assert store.tls_container("www").intermediates == (LOWER_PEM, UPPER_PEM)


def test_a_passphrase(store: LocalSecretStore) -> None:
    put(store, "www.crt", WWW.pem)
    put(store, "www.key", key_pem(WWW.key, passphrase=b"open sesame"))
    put(store, "www.pass", b"open sesame\n")
    found = store.tls_container("www").passphrase
    assert found is not None
    assert found.reveal() == b"open sesame\n"


@pytest.mark.parametrize("ending", ["crt", "crl", "pem"])
def test_a_plain_secret(store: LocalSecretStore, ending: str) -> None:
    put(store, f"clients.{ending}", ROOT.pem)
    assert store.secret("clients").reveal() == ROOT.pem


def refused(store: LocalSecretStore, reference: str, *words: str) -> None:
    for fetch in (store.tls_container, store.secret):
        with pytest.raises(PermanentError) as caught:
            fetch(reference)
        for word in words:
            assert word in caught.value.user


@pytest.mark.parametrize("reference", ["../www", "/etc/passwd", "a/b", ".www", "-x", "www\n", "", "w" * 300, "\u0663"])
def test_names_stay_in_the_folder(store: LocalSecretStore, reference: str) -> None:
    refused(store, reference, "not the name", str(store.folder), "such as www")


def test_what_is_not_there_is_told_with_the_commands_that_put_it_there(store: LocalSecretStore) -> None:
    refused(store, "www", f"install -D -m 600 CERTIFICATE {store.folder}/www.crt", "points to nothing")
    store.folder.rmdir()
    refused(store, "www", f"install -D -m 600 CERTIFICATE {store.folder}/www.crt", "points to nothing")


def test_a_certificate_without_its_key_is_told(store: LocalSecretStore) -> None:
    put(store, "www.crt", WWW.pem)
    with pytest.raises(PermanentError, match=r"there is no www\.key"):
        store.tls_container("www")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("ending", ["key", "pass", "pem"])
def test_secrets_that_others_can_read_are_refused(store: LocalSecretStore, ending: str, mode: int) -> None:
    put(store, "www.crt", WWW.pem)
    put(store, "www.key", WWW.key_pem)
    path = put(store, f"www.{ending}", WWW.together, mode)
    with pytest.raises(PermanentError, match=f"chmod 600 {path}"):
        store.tls_container("www")


def test_a_certificate_that_others_can_write_is_refused(store: LocalSecretStore) -> None:
    path = put(store, "www.crt", WWW.pem, 0o664)
    put(store, "www.key", WWW.key_pem)
    refused(store, "www", f"chmod 600 {path}")


def test_a_folder_that_others_can_write_is_refused(store: LocalSecretStore) -> None:
    put(store, "www.pem", WWW.together)
    store.folder.chmod(0o777)
    refused(store, "www", f"chmod 700 {store.folder}")


def test_links_are_not_followed(store: LocalSecretStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.pem"
    elsewhere.write_bytes(WWW.together)
    elsewhere.chmod(0o600)
    (store.folder / "www.crt").symlink_to(elsewhere)
    refused(store, "www", "www.crt cannot be read", "plain file")
    real = store.folder.rename(tmp_path / "real")
    store.folder.symlink_to(real)
    refused(store, "www", "cannot be opened")


def test_only_plain_files_of_a_sane_size_are_read(store: LocalSecretStore) -> None:
    os.mkfifo(store.folder / "www.crt", 0o600)
    refused(store, "www", "no plain file")
    put(store, "large.crt", b"x" * (1 << 20) + b"x")
    refused(store, "large", "1048576 bytes")


def test_what_is_no_certificate_is_told(store: LocalSecretStore) -> None:
    put(store, "www.crt", b"nonsense")
    put(store, "www.key", key_pem(new_key()))
    with pytest.raises(PermanentError, match="no certificate can be read"):
        store.tls_container("www")


def test_the_folder_can_be_configured(tmp_path: Path) -> None:
    file = tmp_path / "given.conf"
    file.write_text(f"[certificates]\nstorage_path = {tmp_path}/keys\n")
    context = DriverContext(settings.load([file], tmp_path), MemoryRecords(), lambda _group, _name: None)
    assert LocalSecretStore(context).folder == tmp_path / "keys"
