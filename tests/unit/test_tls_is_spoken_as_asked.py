"""Versions, ciphers and protocols: what a tree asks for is what HAProxy is told, or it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from support.bundles import bundle, facts, listener, member, monitor, pool, tree

from lbdrivers.drivers.amphora import TlsPart
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import Listener, ListenerProtocol
from lbdrivers_amphora.haproxy.certificates import listed, references
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.translate_tls import bind_words, certificate_lists

TLS13, OLD = "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"


def https(**fields: Any) -> Listener:
    values = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "www"} | fields
    return listener("https", 443, **values)


def bind(**fields: Any) -> str:
    one = https(**fields)
    return " ".join(bind_words(one, bundle(tree((one,))), facts()))


@pytest.mark.parametrize(
    ("versions", "ciphers", "words"),
    [
        (("TLSv1.2",), f"{TLS13}:{OLD}", f"ciphers {OLD} ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2"),
        (("TLSv1.3",), f"{TLS13}:{OLD}", f"ciphersuites {TLS13} ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3"),
        (("TLSv1.3", "TLSv1.2"), OLD, f"ciphers {OLD} ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3"),
        (("TLSv1.2", "TLSv1.3"), TLS13, f"ciphersuites {TLS13} ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3"),
        (("TLSv1", "TLSv1.1"), OLD, f"ciphers {OLD} ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.1"),
    ],
)
def test_suites_of_tls_13_stand_apart(versions: tuple[str, ...], ciphers: str, words: str) -> None:
    assert f" {words} alpn " in bind(tls_versions=versions, tls_ciphers=ciphers)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tls_versions": ("SSLv3", "TLSv1")}, "SSLv3 is broken"),
        ({"tls_versions": ("TLSv1", "TLSv1.2")}, "leaves out TLSv1.1"),
        ({"tls_versions": ("TLSv1", "TLSv1.3")}, "leaves out TLSv1.1, TLSv1.2"),
        ({"tls_versions": ("TLSv1.2",), "tls_ciphers": TLS13}, "suites of TLS 1.3 only"),
        ({"tls_ciphers": f"!{TLS13}:{OLD}"}, "but not excluded"),
    ],
)
def test_what_cannot_be_served_as_asked_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words) as caught:
        bind(**fields)
    assert caught.value.object_id == https().id
    with pytest.raises(UnsupportedError, match=words):
        behind = pool(tls_enabled=True, members=(member("m"),), **fields)
        front = listener(default_pool_id=behind.id)
        translate(bundle(tree((front,), (behind,))), facts())


def test_any_certificate_makes_the_port_speak_tls() -> None:
    for fields in ({}, {"default_tls_container_ref": None, "sni_container_refs": ("www",)}):
        assert bind(**fields).startswith("ssl crt-list ")
    one = listener("metrics", 9101, protocol=ListenerProtocol.PROMETHEUS, default_tls_container_ref="www")
    assert bind_words(one, bundle(tree((one,))), facts())[0] == "ssl"
    assert bind_words(listener(), bundle(tree((listener(),))), facts()) == ()


def test_the_default_certificate_comes_first_and_each_once() -> None:
    one = https(sni_container_refs=("api", "www", "shop"))
    made = bundle(tree((one,)))
    (text,) = certificate_lists(made, facts()).values()
    names = [path.rpartition("/")[2] for path in listed(text.decode())]
    assert names == [made.tls.name(TlsPart.CERTIFICATE, each) for each in ("www", "api", "shop")]
    assert text.endswith(b".pem\n")


def test_only_what_the_configuration_names_is_referred_to() -> None:
    behind = pool("used", tls_enabled=True, ca_tls_container_ref="members", members=(member("m"),))
    idle = pool("idle", tls_enabled=True, ca_tls_container_ref="others", members=(member("n"),))
    made = bundle(tree((https(default_pool_id=behind.id),), (behind, idle)))
    folder = f"{facts().certificate_path}/{made.load_balancer.id}"
    found = references(translate(made, facts()), folder)
    assert found == {f"{https().id}.pem", made.tls.name(TlsPart.AUTHORITIES, "members")}


@pytest.mark.parametrize(
    ("kind", "tls", "fields", "words"),
    [
        ("HTTPS", False, {}, "check-ssl verify none"),
        ("HTTPS", False, {"http_version": 1.1, "domain_name": "a.b"}, "check-ssl verify none check-sni a.b"),
        ("HTTPS", True, {}, "check-ssl check-alpn http/1.1"),
        ("HTTP", True, {}, "check-alpn http/1.1"),
        ("HTTP", False, {"http_version": 1.1, "domain_name": "a.b"}, ""),
        ("TLS-HELLO", True, {}, "check-ssl"),
        ("TLS-HELLO", False, {}, ""),
        ("TCP", True, {}, ""),
    ],
)
def test_probes_speak_tls_as_their_type_and_pool_say(kind: str, tls: bool, fields: dict[str, Any], words: str) -> None:
    behind = pool(tls_enabled=tls, members=(member("m"),), healthmonitor=monitor(kind, **fields))
    (backend,) = translate(bundle(tree((listener(default_pool_id=behind.id),), (behind,))), facts()).backends
    (server,) = backend.servers
    assert server.check is not None
    assert " ".join(server.check.options) == words
    assert (("option", "ssl-hello-chk") in backend.lines) == (kind == "TLS-HELLO" and not tls)


@pytest.mark.parametrize(("memory", "size"), [(0, None), (256_000, "20480"), (1_000_000, "80000"), (10**8, "200000")])
def test_the_session_cache_grows_with_the_appliance(memory: int, size: str | None) -> None:
    lines = translate(bundle(tree((https(),))), facts(memory=memory)).process
    assert [line[1] for line in lines if line[0] == "tune.ssl.cachesize"] == ([] if size is None else [size])
    clear = translate(bundle(tree((listener(),))), facts(memory=memory)).process
    assert not [line for line in clear if line[0] == "tune.ssl.cachesize"]
