"""What octavia.conf says about TLS holds: defaults are spoken, what is forbidden is refused before anything is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.bundles import bundle, facts, listener, member, pool, tree

from lbdrivers import settings
from lbdrivers.drivers.amphora import TrafficOptions
from lbdrivers.errors import InvalidInput
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.resources import AlpnProtocol, LoadBalancer, TlsVersion
from lbdrivers.model.tls import DEFAULT_CIPHERS, DEFAULT_POLICY, TlsDefaults, TlsPolicy, check_tls
from lbdrivers.reconcile.engine import Engine
from lbdrivers.registry import make_context
from lbdrivers.settings.tls import read_tls
from lbdrivers.store.store import Store
from lbdrivers_amphora import settings as amphora
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate

FORBIDDING = TlsPolicy(prohibited=frozenset({"ECDHE-RSA-AES128-SHA", "RC4-SHA"}), minimum_version=TlsVersion.TLSV1_2)


def loaded(folder: Path, *lines: str) -> settings.Settings:
    file = folder / "octavia.conf"
    file.write_text("\n".join(("[api_settings]", *lines)))
    return settings.read(settings.load([file], state_path=folder))


def everything(**fields: object) -> LoadBalancer:
    behind = pool("shop", tls_enabled=True, members=(member("m"),), **fields)
    front = listener(
        "web", 443, protocol="TERMINATED_HTTPS", default_tls_container_ref="a", default_pool_id=behind.id, **fields
    )
    return tree((front,), (behind,))


def test_nothing_said_is_octavias_default(tmp_path: Path) -> None:
    assert loaded(tmp_path).tls == DEFAULT_POLICY
    check_tls(everything(tls_ciphers="RC4-SHA", tls_versions=("TLSv1",)), DEFAULT_POLICY)


def test_what_is_said_is_read(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "default_listener_ciphers = ECDHE-RSA-AES256-GCM-SHA384",
        "default_pool_tls_versions = TLSv1.3",
        "default_pool_alpn_protocols = http/1.1, http/1.0",
        "tls_cipher_prohibit_list = RC4-SHA:DES-CBC3-SHA",
        "minimum_tls_version = TLSv1.2",
    ).tls
    assert found == TlsPolicy(
        TlsDefaults(ciphers="ECDHE-RSA-AES256-GCM-SHA384"),
        TlsDefaults(versions=(TlsVersion.TLSV1_3,), alpn_protocols=(AlpnProtocol.HTTP_1_1, AlpnProtocol.HTTP_1_0)),
        frozenset({"RC4-SHA", "DES-CBC3-SHA"}),
        TlsVersion.TLSV1_2,
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("minimum_tls_version = TLSv2",), "minimum_tls_version"),
        (("default_listener_tls_versions = TLSv1.2,TLSv9",), "default_listener_tls_versions"),
        (("default_pool_alpn_protocols = h3",), "default_pool_alpn_protocols"),
        (("default_pool_ciphers = RC4 SHA",), "default_pool_ciphers"),
        (
            ("minimum_tls_version = TLSv1.3",),
            r"default_listener_tls_versions: is below .*TLSv1\.2.*begin with TLSv1\.3",
        ),
        (("tls_cipher_prohibit_list = DHE-RSA-AES128-GCM-SHA256",), "default_pool_ciphers: has ciphers that"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        loaded(tmp_path, *lines)


def test_every_listener_and_pool_that_asks_for_what_is_forbidden_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_tls(everything(tls_ciphers="RC4-SHA:AES256-SHA", tls_versions=("TLSv1.1", "TLSv1.2")), FORBIDDING)
    assert [(one.path, one.value, one.remedy) for one in caught.value.problems] == [
        ("listener web, tls_ciphers", "RC4-SHA", "leave them out"),
        ("listener web, tls_versions", "TLSv1.1", "begin with TLSv1.2"),
        ("pool shop, tls_ciphers", "RC4-SHA", "leave them out"),
        ("pool shop, tls_versions", "TLSv1.1", "begin with TLSv1.2"),
    ]
    check_tls(everything(), FORBIDDING)
    check_tls(everything(tls_versions=("TLSv1.3",)), FORBIDDING)


def test_a_forbidden_tree_is_refused_before_it_is_written(tmp_path: Path) -> None:
    configuration = settings.load([], state_path=tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    provider = MemoryProvider(make_context(configuration, store.records))
    engine = Engine(store, lambda _: provider, replace(settings.read(configuration), tls=FORBIDDING))
    wanted = everything(tls_ciphers="RC4-SHA")
    with pytest.raises(InvalidInput, match="listener web, tls_ciphers"):
        engine.submit(wanted)
    assert store.get(wanted.id) is None
    store.close()


def test_haproxy_speaks_what_the_deployment_says_where_a_tree_does_not(tmp_path: Path) -> None:
    file = tmp_path / "octavia.conf"
    file.write_text(
        "[api_settings]\n"
        "default_listener_ciphers = ECDHE-RSA-AES256-GCM-SHA384\n"
        "default_listener_tls_versions = TLSv1.2\n"
        "default_listener_alpn_protocols = http/1.1\n"
        "default_pool_ciphers = TLS_AES_128_GCM_SHA256\n"
        "default_pool_tls_versions = TLSv1.3\n"
        "default_pool_alpn_protocols = h2\n"
    )
    options = amphora.read(settings.load([file], state_path=tmp_path)).traffic
    text = render(translate(bundle(everything(), options=options), facts()))
    assert " ciphers ECDHE-RSA-AES256-GCM-SHA384 ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2 alpn http/1.1\n" in text
    assert " ciphersuites TLS_AES_128_GCM_SHA256 ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3 alpn h2\n" in text
    said = everything(
        tls_ciphers="ECDHE-RSA-AES128-GCM-SHA256", tls_versions=("TLSv1.2",), alpn_protocols=("http/1.0",)
    )
    own = " ciphers ECDHE-RSA-AES128-GCM-SHA256 ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2 alpn http/1.0\n"
    assert render(translate(bundle(said, options=options), facts())).count(own) == 2
    assert options == replace(TrafficOptions(), tls=options.tls)
    assert DEFAULT_CIPHERS not in text


def test_providers_and_the_core_read_the_same(tmp_path: Path) -> None:
    configuration = settings.load([], state_path=tmp_path)
    assert settings.read(configuration).tls == amphora.read(configuration).traffic.tls == read_tls(configuration)
