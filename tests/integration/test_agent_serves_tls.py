"""A real agent in a box: its HAProxy speaks TLS to clients and members, and is given certificates at run time."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support import tls_client
from support.appliance import CLIENT, VIP
from support.appliance_site import FRONT, Site, an_appliance
from support.bundles import listener, member, monitor, policy, pool, rule, tree
from support.certificates import Authority, Issued
from support.patience import eventually
from support.stored import Stored
from support.tls_client import Answer

from lbdrivers.drivers.amphora import Bundle
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import Listener, Pool
from lbdrivers_amphora.secret_files import secret_files

_CLEAR, _TLS, _DEMANDING = 8081, 8443, 8444
SITE, CLIENTS, OTHERS, MEMBERS = Authority("site"), Authority("clients"), Authority("others"), Authority("members")
WWW, API, SHOP = (SITE.issue(f"{name}.example.com") for name in ("www", "api", "shop"))
GOOD, REVOKED = CLIENTS.issue("good"), CLIENTS.issue("revoked")
FOREIGN = OTHERS.issue("foreign")
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@dataclass
class TlsSite(Site):
    """With a secret store."""

    stored: Stored = field(default_factory=Stored)

    def bundle(self, *listeners: Listener, pools: tuple[Pool, ...] = (), **fields: Any) -> Bundle:
        files = secret_files(tree(listeners, pools), lambda: self.stored)
        return super().bundle(*listeners, pools=pools, tls=files, **fields)

    def serve(
        self, *, members: tuple[int, ...] = (_CLEAR,), behind: dict[str, Any] | None = None, **fields: Any
    ) -> Mildness:
        """One TERMINATED_HTTPS listener before members on those ports."""
        each = pool(members=tuple(member(f"m{port}", CLIENT, port) for port in members), **(behind or {}))
        values = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "www", "default_pool_id": each.id}
        return self.configure(listener("https", 443, **(values | fields)), pools=(each,))

    def ask(self, name: str | None = "www.example.com", **how: Any) -> Answer:
        return self.appliance.inside(lambda: tls_client.ask(VIP, 443, name, **how))

    def shown(self, name: str | None = "www.example.com") -> str:
        """Fingerprint of the certificate that a client sees."""
        return self.ask(name).certificate

    def pids(self) -> tuple[tuple[int, ...], str]:
        """Of HAProxy: the master's and its newest worker's."""
        master = self.driver.report(self.appliance.machine, self.appliance.amphora_id).haproxy_pids
        return master, self.appliance.run("pgrep", "-n", "-P", str(master[0]))

    def files(self) -> set[str]:
        folder = Path(self.appliance.config.base_cert_dir) / self.bundle().load_balancer.id
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def module_site(folder: Path) -> Iterator[TlsSite]:
    certificate = MEMBERS.issue("www.example.com").write(folder, "member")
    clients = folder / "clients.pem"
    clients.write_bytes(CLIENTS.pem)
    with an_appliance(*FRONT) as plain:
        inside = plain.appliance.inside
        with (
            tls_client.member(inside, CLIENT, _CLEAR),
            tls_client.member(inside, CLIENT, _TLS, certificate),
            tls_client.member(inside, CLIENT, _DEMANDING, certificate, clients),
        ):
            yield TlsSite(plain.appliance, plain.driver)


@pytest.fixture
def site(module_site: TlsSite) -> TlsSite:
    """With the certificates that all tests begin with."""
    module_site.stored.stored = {
        "www": WWW.container(),
        "api": API.container(),
        "shop": SHOP.container(),
        "clients": CLIENTS.pem,
        "others": OTHERS.pem,
        "members": MEMBERS.pem,
        "revoked": CLIENTS.revoke(REVOKED),
        "good": GOOD.container(),
    }
    return module_site


class Load:
    """Somebody who asks all the time, over a new connection each time; ``failures`` must stay empty."""

    def __init__(self, site: TlsSite) -> None:
        self._site, self._end = site, threading.Event()
        self.requests, self.failures, self.seen = 0, list[str](), set[str]()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                answer = self._site.ask()
                self.seen.add(answer.certificate)
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except OSError as error:
                self.failures.append(repr(error))
            self.requests += 1

    def __enter__(self) -> Load:
        self._thread.start()
        eventually(lambda: self.requests > 10)
        return self

    def __exit__(self, *_error: object) -> None:
        before = self.requests
        eventually(lambda: self.requests > before + 10)
        self._end.set()
        self._thread.join()


def test_certificates_are_chosen_by_name(site: TlsSite) -> None:
    site.serve(sni_container_refs=("api", "shop"), insert_headers={"X-Forwarded-Proto": "true"})
    answer = site.ask()
    assert (answer.status, answer.certificate, answer.version) == (200, WWW.fingerprint, "TLSv1.3")
    assert "x-forwarded-proto: https\n" in answer.body
    assert site.shown("api.example.com") == API.fingerprint
    assert site.shown("shop.example.com") == SHOP.fingerprint
    assert site.shown("unknown.example.com") == WWW.fingerprint
    assert site.shown(None) == WWW.fingerprint
    # Clear text on this port is never served.
    with pytest.raises((OSError, http.client.HTTPException)):
        site.appliance.get(443)


def test_without_a_default_certificate_the_first_one_serves(site: TlsSite) -> None:
    site.serve(default_tls_container_ref=None, sni_container_refs=("api", "shop"))
    assert (site.shown("shop.example.com"), site.shown(None)) == (SHOP.fingerprint, API.fingerprint)


def test_members_of_the_chain_travel_with_the_certificate(site: TlsSite) -> None:
    lower = Authority("lower", SITE)
    site.stored.stored["www"] = lower.issue("www.example.com").container()
    site.serve()

    def handshake() -> None:
        context = ssl.create_default_context(cadata=SITE.pem.decode())
        with socket.create_connection((VIP, 443), 5) as plain:
            context.wrap_socket(plain, server_hostname="www.example.com").close()

    site.appliance.inside(handshake)


def refused(site: TlsSite, **how: Any) -> bool:
    try:
        site.ask(**how)
    except OSError:
        return True
    return False


def test_clients_show_certificates_as_they_are_asked(site: TlsSite, folder: Path) -> None:
    shown = {
        name: issued.write(folder, name)
        for name, issued in (("good", GOOD), ("revoked", REVOKED), ("foreign", FOREIGN))
    }
    headers = {"X-SSL-Client-Has-Cert": "true", "X-SSL-Client-CN": "true", "X-SSL-Client-Verify": "true"}
    wanted = {
        "NONE": {"nobody": True, "good": True, "foreign": True, "revoked": True},
        "OPTIONAL": {"nobody": True, "good": True, "foreign": False, "revoked": False},
        "MANDATORY": {"nobody": False, "good": True, "foreign": False, "revoked": False},
    }
    for how, allowed in wanted.items():
        site.serve(
            client_authentication=how,
            client_ca_tls_container_ref="clients",
            client_crl_container_ref="revoked",
            insert_headers=headers,
        )
        got = {name: not refused(site, certificate=shown.get(name)) for name in allowed}
        assert got == allowed, how
        if how != "NONE":
            body = site.ask(certificate=shown["good"]).body
            assert "x-ssl-client-has-cert: 1\n" in body
            assert "x-ssl-client-cn: good\n" in body
            assert "x-ssl-client-verify: 0\n" in body


def test_rules_know_the_clients_certificate(site: TlsSite, folder: Path) -> None:
    shown = GOOD.write(folder, "good")
    denied = policy("denied", "REJECT", rule("any", "SSL_CONN_HAS_CERT", "EQUAL_TO", "true", invert=True))
    named = policy(
        "named", "REDIRECT_TO_URL", rule("cn", "SSL_DN_FIELD", "EQUAL_TO", "good", key="CN"),
        rule("path", "PATH", "EQUAL_TO", "/named"), redirect_url="http://named.example.com/",
    )  # fmt: skip
    site.serve(
        client_authentication="OPTIONAL", client_ca_tls_container_ref="clients", l7policies=(denied, named),
        hsts_max_age=300, hsts_preload=True,
    )  # fmt: skip
    answer = site.ask()
    # HAProxy's own answers carry it, too.
    assert (answer.status, answer.headers["strict-transport-security"]) == (403, "max-age=300; preload")
    assert site.ask(certificate=shown).status == 200
    answer = site.ask(path="/named", certificate=shown)
    assert (answer.status, answer.headers["location"]) == (302, "http://named.example.com/")


def test_versions_ciphers_and_protocols_are_those_that_were_asked_for(site: TlsSite) -> None:
    aes, chacha = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"
    site.serve(tls_versions=("TLSv1.2",), tls_ciphers=aes, alpn_protocols=("http/1.1",), hsts_max_age=31536000)
    answer = site.ask(protocols=("h2", "http/1.1"))
    assert (answer.version, answer.cipher, answer.protocol) == ("TLSv1.2", aes, "http/1.1")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert refused(site, versions=(TLS13, TLS13))
    assert refused(site, versions=(TLS12, TLS12), ciphers=chacha)
    site.serve(tls_ciphers="TLS_CHACHA20_POLY1305_SHA256")
    assert site.ask(protocols=("h2",)).protocol == "h2"
    assert (site.ask(protocols=("h2",)).status, site.ask().cipher) == (200, "TLS_CHACHA20_POLY1305_SHA256")
    assert refused(site, versions=(TLS12, TLS12))


def test_members_are_verified_where_there_is_an_authority(site: TlsSite) -> None:
    checks = {"healthmonitor": monitor("HTTPS", http_version=1.1, domain_name="www.example.com")}
    site.serve(members=(_TLS,), behind={"tls_enabled": True, "ca_tls_container_ref": "members", **checks})
    assert eventually(lambda: site.ask().status, lambda status: status == 200) == 200
    assert f"port: {_TLS}\n" in site.ask().body
    # The name that a client asks for is the one that the member must prove.
    assert site.ask("other.example.com").status == 503
    site.serve(members=(_TLS,), behind={"tls_enabled": True, "ca_tls_container_ref": "others"})
    assert site.ask().status == 503
    site.serve(members=(_TLS,), behind={"tls_enabled": True})
    assert site.ask().status == 200
    site.serve(members=(_CLEAR,), behind={"tls_enabled": True})
    assert site.ask().status == 503


def test_members_get_our_certificate(site: TlsSite) -> None:
    hello = {"healthmonitor": monitor("TLS-HELLO"), "tls_enabled": True}
    site.serve(members=(_DEMANDING,), behind={**hello, "tls_container_ref": "good"})
    assert eventually(lambda: site.ask().status, lambda status: status == 200) == 200
    site.serve(members=(_DEMANDING,), behind={"tls_enabled": True})
    assert site.ask().status in (502, 503)


@pytest.mark.parametrize("kind", ["HTTP", "HTTPS", "TCP", "TLS-HELLO"])
def test_probes_reach_members_that_speak_tls(site: TlsSite, kind: str) -> None:
    site.serve(members=(_TLS,), behind={"tls_enabled": True, "healthmonitor": monitor(kind)})

    def states() -> set[str]:
        report = site.driver.report(site.appliance.machine, site.appliance.amphora_id)
        return {one.status for entry in report.pools.values() for one in entry.members.values()}

    assert eventually(states, lambda found: found == {"UP"}) == {"UP"}


def test_members_with_tls_come_and_go_at_run_time(site: TlsSite) -> None:
    behind = {"tls_enabled": True, "ca_tls_container_ref": "members", "tls_container_ref": "good"}
    site.serve(members=(_TLS,), behind=behind)
    before = site.pids()
    with Load(site) as load:
        assert site.serve(members=(_TLS, _DEMANDING), behind=behind) is Mildness.RUNTIME
        assert eventually(lambda: site.ask().body, lambda body: f"port: {_DEMANDING}\n" in body)
        assert site.serve(members=(_DEMANDING,), behind=behind) is Mildness.RUNTIME
        assert f"port: {_DEMANDING}\n" in site.ask().body
    assert load.failures == []
    assert site.pids() == before


def test_an_empty_pool_gets_its_first_member_with_tls_at_run_time(site: TlsSite) -> None:
    behind = {"tls_enabled": True, "ca_tls_container_ref": "members", "tls_container_ref": "good"}
    site.serve(members=(), behind=behind)
    # Another process, which has never read the pool's files.
    assert site.serve(members=(), behind=behind, timeout_client_data=7000) is Mildness.RELOAD
    assert site.serve(members=(_TLS,), behind=behind, timeout_client_data=7000) is Mildness.RUNTIME
    assert eventually(lambda: site.ask().status, lambda status: status == 200) == 200


def swapped(site: TlsSite, change: Callable[[], Mildness], sees: Issued) -> None:
    """The change is made under load, without a failed request, and by the same processes."""
    before = site.pids()
    with Load(site) as load:
        assert change() is Mildness.RUNTIME
        assert eventually(site.shown, lambda shown: shown == sees.fingerprint) == sees.fingerprint
    assert load.failures == []
    assert sees.fingerprint in load.seen
    assert site.pids() == before


def test_a_renewed_certificate_is_swapped_without_a_failed_request(site: TlsSite) -> None:
    site.serve(sni_container_refs=("api",))
    old = site.files()
    renewed = SITE.issue("www.example.com")
    site.stored.stored["www"] = renewed.container()
    swapped(site, lambda: site.serve(sni_container_refs=("api",)), renewed)
    assert site.shown("api.example.com") == API.fingerprint
    # The old file is gone, and the same again does nothing.
    assert len(site.files()) == len(old) and site.files() != old
    assert site.serve(sni_container_refs=("api",)) is Mildness.NOTHING
    # Once more: the process still knows it by its first name.
    again = SITE.issue("www.example.com")
    site.stored.stored["www"] = again.container()
    swapped(site, lambda: site.serve(sni_container_refs=("api",)), again)
    # What is on disk is what runs: a new process shows the same.
    assert site.serve(sni_container_refs=("api",), timeout_client_data=9000) is Mildness.RELOAD
    assert site.shown() == again.fingerprint


def test_another_reference_is_swapped_likewise(site: TlsSite) -> None:
    site.serve()
    other = SITE.issue("www.example.com")
    site.stored.stored["next"] = other.container()
    swapped(site, lambda: site.serve(default_tls_container_ref="next"), other)


def test_certificates_join_and_leave_by_name(site: TlsSite) -> None:
    site.serve()
    before = site.pids()
    assert site.serve(sni_container_refs=("api",)) is Mildness.RUNTIME
    assert site.shown("api.example.com") == API.fingerprint
    assert site.serve(sni_container_refs=("api", "shop")) is Mildness.RUNTIME
    assert site.shown("shop.example.com") == SHOP.fingerprint
    assert site.serve(sni_container_refs=("shop",)) is Mildness.RUNTIME
    assert site.shown("api.example.com") == WWW.fingerprint
    assert site.pids() == before
    # In front of others the process cannot put it.
    assert site.serve(sni_container_refs=("api", "shop")) is Mildness.RELOAD
    assert site.shown("api.example.com") == API.fingerprint
    assert len(site.files()) == 4


def test_who_is_trusted_changes_by_a_reload(site: TlsSite, folder: Path) -> None:
    good, foreign = GOOD.write(folder, "good"), FOREIGN.write(folder, "foreign")
    asked = {"client_authentication": "MANDATORY", "client_ca_tls_container_ref": "clients"}
    site.serve(**asked, client_crl_container_ref="revoked")
    site.stored.stored["revoked"] = CLIENTS.revoke(GOOD, REVOKED)
    assert site.serve(**asked, client_crl_container_ref="revoked") is Mildness.RELOAD
    assert refused(site, certificate=good)
    site.stored.stored |= {"clients": OTHERS.pem, "revoked": OTHERS.revoke()}
    assert site.serve(**asked, client_crl_container_ref="revoked") is Mildness.RELOAD
    assert not refused(site, certificate=foreign)
    assert refused(site, certificate=good)
    assert len(site.files()) == 4


def test_what_haproxy_refuses_leaves_what_runs(site: TlsSite) -> None:
    site.serve()
    before = site.files()
    # OpenSSL's security level wants 2,048 bits (SSL_CTX_set_security_level(3)).
    weak = SITE.issue("www.example.com", rsa.generate_private_key(65537, 1024))
    site.stored.stored["www"] = weak.container()
    with pytest.raises(PermanentError, match="unable to load SSL certificate"):
        site.serve()
    assert eventually(site.shown) == WWW.fingerprint
    # A crash would bring up the old certificate, too: the list names it.
    (balancer,) = {site.bundle().load_balancer.id}
    folder = Path(site.appliance.config.base_cert_dir) / balancer
    lists = [path.read_text() for path in folder.iterdir() if b"BEGIN" not in path.read_bytes()]
    assert all(Path(line).name in before for text in lists for line in text.splitlines())
    site.stored.stored["www"] = WWW.container()
    site.serve()
    assert eventually(site.shown) == WWW.fingerprint
    assert site.files() == before


def test_without_tls_no_certificate_stays(site: TlsSite) -> None:
    site.serve(sni_container_refs=("api",))
    each = pool(members=(member("m", CLIENT, _CLEAR),))
    site.configure(listener("http", 80, default_pool_id=each.id), pools=(each,))
    assert site.files() == set()
    assert eventually(lambda: site.appliance.get()[0]) == 200
