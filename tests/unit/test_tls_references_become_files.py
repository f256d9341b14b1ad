"""References to secrets become files named by their content; what cannot be used is refused, all of it at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bundles import bundle, facts, listener, pool, tree
from support.certificates import PEM, PKCS8, TRADITIONAL, Authority, Issued, key_pem, new_key

from lbdrivers.drivers.amphora import TlsPart
from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.errors import InvalidInput, PermanentError, TemporaryError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.certificates import pem
from lbdrivers_amphora.decide import tls
from lbdrivers_amphora.decide.tls import Fetched
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.translate_tls import certificate_files
from lbdrivers_amphora.secret_files import secret_files

CLIENTS, OTHERS = Authority("clients"), Authority("others")
WWW, API = CLIENTS.issue("www.example.com"), CLIENTS.issue("api.example.com")


class Store:
    """Secrets by reference; what is not there is refused, and every question is counted."""

    contract = 1

    def __init__(self, **stored: TlsContainer | bytes) -> None:
        self._stored = stored
        self.asked: list[str] = []

    def tls_container(self, reference: str) -> TlsContainer:
        self.asked.append(reference)
        found = self._stored.get(reference)
        if not isinstance(found, TlsContainer):
            raise PermanentError(f"no certificate {reference}; store one")
        return found

    def secret(self, reference: str) -> Secret:
        self.asked.append(reference)
        found = self._stored.get(reference)
        if not isinstance(found, bytes):
            raise PermanentError(f"no secret {reference}; store one")
        return Secret(found)


def everything(**fields: object) -> LoadBalancer:
    """A tree with every kind of reference."""
    values = {
        "protocol": "TERMINATED_HTTPS",
        "default_tls_container_ref": "www",
        "sni_container_refs": ("api", "www"),
        "client_ca_tls_container_ref": "clients",
        "client_crl_container_ref": "revoked",
    }
    behind = pool(
        tls_enabled=True,
        tls_container_ref="api",
        ca_tls_container_ref="clients",
        crl_container_ref="revoked",
    )
    return tree((listener("https", 443, default_pool_id=behind.id, **(values | fields)),), (behind,))


def stored(**others: TlsContainer | bytes) -> Store:
    values: dict[str, TlsContainer | bytes] = {
        "www": WWW.container(),
        "api": API.container(),
        "clients": CLIENTS.pem,
        "revoked": CLIENTS.revoke(API),
    }
    return Store(**(values | others))


def test_each_reference_becomes_one_file_named_by_its_content() -> None:
    store = stored()
    found = secret_files(everything(), lambda: store)
    assert sorted(store.asked) == ["api", "clients", "revoked", "www"]
    assert set(found.names) == {
        (TlsPart.CERTIFICATE, "www"),
        (TlsPart.CERTIFICATE, "api"),
        (TlsPart.AUTHORITIES, "clients"),
        (TlsPart.REVOCATIONS, "revoked"),
    }
    for name, content in found.contents.items():
        assert re.fullmatch(r"[0-9a-f]{40}\.pem", name)
        assert name == f"{hashlib.sha1(content.reveal()).hexdigest()}.pem"
    assert set(found.names.values()) == set(found.contents)
    assert found.contents[found.name(TlsPart.CERTIFICATE, "www")].reveal() == WWW.together
    assert found.contents[found.name(TlsPart.AUTHORITIES, "clients")].reveal() == CLIENTS.pem
    assert "PRIVATE" not in repr(found)


def test_without_references_no_store_is_opened() -> None:
    def never() -> Store:
        raise AssertionError("opened")

    assert not secret_files(tree((listener(),), (pool(tls_container_ref="x"),)), never).names


def test_a_new_certificate_under_the_old_reference_is_another_file() -> None:
    old = secret_files(everything(), stored)
    new = secret_files(everything(), lambda: stored(www=CLIENTS.issue("www.example.com").container()))
    assert old.name(TlsPart.CERTIFICATE, "www") != new.name(TlsPart.CERTIFICATE, "www")
    assert old.name(TlsPart.CERTIFICATE, "api") == new.name(TlsPart.CERTIFICATE, "api")


def _key_forms() -> dict[str, TlsContainer]:
    found = {}
    for kind in ("ec", "rsa", "ed25519"):
        issued = CLIENTS.issue("www.example.com", new_key(kind))
        forms = {"PKCS 8": PKCS8} if kind == "ed25519" else {"PKCS 8": PKCS8, "traditional": TRADITIONAL}
        for called, form in forms.items():
            for word in (None, b"open sesame"):
                container = issued.container(passphrase=word)
                key = Secret(b"# a comment\n\n" + key_pem(issued.key, form, word))
                name = f"{kind} {called}{' encrypted' if word else ''}"
                found[name] = TlsContainer(
                    "id", "www", container.certificate, key, (), None if word is None else Secret(word + b"\n")
                )
    return found


_KEYS = _key_forms()


@pytest.mark.parametrize("name", _KEYS)
def test_keys_of_every_form_are_written_in_one(name: str) -> None:
    container = _KEYS[name]
    found = secret_files(everything(), lambda: stored(www=container))
    text = found.contents[found.name(TlsPart.CERTIFICATE, "www")].reveal()
    assert text.count(b"-----BEGIN PRIVATE KEY-----") == 1
    assert b"\n\n" not in text and b"#" not in text


def test_a_needless_passphrase_does_no_harm() -> None:
    needless = WWW.container()
    needless = TlsContainer("i", "w", needless.certificate, needless.private_key, (), Secret(b"word"))
    assert secret_files(everything(), lambda: stored(www=needless)).contents


def test_the_chain_follows_the_key() -> None:
    lower = Authority("lower", Authority("upper"))
    issued = lower.issue("www.example.com")
    found = secret_files(everything(), lambda: stored(www=issued.container()))
    text = found.contents[found.name(TlsPart.CERTIFICATE, "www")].reveal()
    assert text == issued.pem + issued.key_pem + lower.pem


def _mismatched() -> TlsContainer:
    return Issued(WWW.certificate, API.key).container()


def _with_key(content: bytes, word: bytes | None = None) -> TlsContainer:
    return TlsContainer("i", "w", WWW.pem, Secret(content), (), None if word is None else Secret(word))


BAD: dict[str, tuple[Callable[[], Store], str, str]] = {
    "a key of another certificate": (lambda: stored(www=_mismatched()), "default_tls_container_ref", "does not belong"),
    "an encrypted key without its passphrase": (
        lambda: stored(www=_with_key(key_pem(WWW.key, passphrase=b"word"))),
        "default_tls_container_ref",
        "passphrase",
    ),
    "a wrong passphrase": (
        lambda: stored(www=_with_key(key_pem(WWW.key, passphrase=b"word"), b"another")),
        "default_tls_container_ref",
        "passphrase",
    ),
    "no key": (lambda: stored(www=_with_key(WWW.pem)), "default_tls_container_ref", "no private key"),
    "a key that is cut off": (
        lambda: stored(www=_with_key(WWW.key_pem[:90] + WWW.key_pem[-26:])),
        "default_tls_container_ref",
        "cannot be read",
    ),
    "an authority without a certificate": (lambda: stored(clients=b"x"), "client_ca_tls_container_ref", "certificate"),
    "no revocation list": (lambda: stored(revoked=CLIENTS.pem), "client_crl_container_ref", "no revocation list"),
    "a list of another authority": (
        lambda: stored(revoked=OTHERS.revoke()),
        "client_crl_container_ref",
        "not signed by the authority",
    ),
    "one list of two of another authority": (
        lambda: stored(revoked=CLIENTS.revoke() + OTHERS.revoke()),
        "client_crl_container_ref",
        "not signed by the authority",
    ),
    "a list of a namesake": (
        lambda: stored(revoked=Authority("clients").revoke()),
        "client_crl_container_ref",
        "not signed by the authority",
    ),
    "nothing there": (lambda: Store(), "default_tls_container_ref", "no certificate www"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_with_place_value_and_remedy(case: str) -> None:
    make, field, words = BAD[case]
    with pytest.raises(InvalidInput) as caught:
        secret_files(everything(), make)
    found = [problem for problem in caught.value.problems if field in problem.path]
    assert found
    assert all(problem.path.startswith("listener https, ") for problem in found)
    assert all(words in problem.message and problem.value for problem in found)
    assert all(problem.remedy or "store one" in problem.message for problem in found)
    assert "PRIVATE KEY" not in str(caught.value)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        secret_files(everything(), lambda: stored(www=_mismatched(), revoked=OTHERS.revoke()))
    assert {problem.value for problem in caught.value.problems} == {"www", "revoked"}


def test_a_store_that_does_not_answer_is_no_verdict() -> None:
    class Silent(Store):
        def tls_container(self, reference: str) -> TlsContainer:
            raise TemporaryError("away")

    with pytest.raises(TemporaryError):
        secret_files(everything(), Silent)


def test_two_authorities_and_their_lists_go_together() -> None:
    both = stored(clients=CLIENTS.pem + OTHERS.pem, revoked=CLIENTS.revoke() + OTHERS.revoke(WWW))
    found = secret_files(everything(), lambda: both)
    assert found.contents[found.name(TlsPart.REVOCATIONS, "revoked")].reveal().count(b"BEGIN X509 CRL") == 2


def test_an_authority_never_takes_a_key_along() -> None:
    found = secret_files(everything(), lambda: stored(clients=CLIENTS.pem + WWW.key_pem))
    assert found.contents[found.name(TlsPart.AUTHORITIES, "clients")].reveal() == CLIENTS.pem


def test_binary_forms_are_read() -> None:
    (one,) = pem.read_revocation_lists(CLIENTS.revoke())
    assert pem.read_revocation_lists(one.public_bytes(Encoding.DER)) == (one,)
    assert pem.read_certificates(WWW.certificate.public_bytes(Encoding.DER)) == (WWW.certificate,)


def test_a_key_that_cannot_sign_is_refused() -> None:
    key = x25519.X25519PrivateKey.generate().private_bytes(PEM, PKCS8, NoEncryption())
    with pytest.raises(pem.Unusable, match="neither RSA"):
        pem.read_key(Secret(key), None)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["www", "clients", "revoked"]))
def test_any_bytes_are_refused_or_used(content: bytes, reference: str) -> None:
    given_secret = _with_key(content) if reference == "www" else content
    try:
        secret_files(everything(), lambda: stored(**{reference: given_secret}))
    except InvalidInput as error:
        assert {problem.value for problem in error.problems} <= {reference, "revoked"}


def test_names_for_comparison_need_no_content() -> None:
    wanted = tls.uses(everything())
    known = secret_files(everything(), stored)
    assert tls.merged(tls.unknown(wanted), known) == known
    assert set(tls.unknown(wanted).names) == set(known.names)


def test_an_appliance_gets_the_files_that_its_configuration_names_and_no_others() -> None:
    """A pool that nobody leads to has its certificate in no line, so that its key stays where it is."""
    unused = pool("unused", tls_enabled=True, tls_container_ref="api")
    front = listener("l", 443, protocol="TERMINATED_HTTPS", default_tls_container_ref="www")
    wanted = tree((front,), (unused,))
    fetched = Fetched({"www": WWW.container(), "api": API.container()}, {})
    made = bundle(wanted, tls=tls.files(tls.uses(wanted), fetched))
    found = certificate_files(translate(made, facts()), made, facts())
    own = made.tls.name(TlsPart.CERTIFICATE, "www")
    assert set(found) == {f"{front.id}.pem", own}
    assert found[own] == made.tls.contents[own]
    assert found[f"{front.id}.pem"].reveal().decode().strip() == f"{facts().certificate_path}/{wanted.id}/{own}"
    assert made.tls.name(TlsPart.CERTIFICATE, "api") in made.tls.contents
