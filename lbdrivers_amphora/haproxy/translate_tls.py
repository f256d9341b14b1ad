"""TLS of listeners and pools -> words of ``bind`` and ``server`` lines, and the lists of certificates.

Law: a listener with any certificate speaks TLS and nothing else; a pool with an authority always verifies its
members. What HAProxy cannot serve as asked (a gap between versions, SSLv3) is refused, never widened.

Sources: HAProxy 2.6 configuration manual, sections 5.1 (bind) and 5.2 (server); what ``add server`` takes of
it at run time is proved by the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lbdrivers.drivers.amphora import Bundle, Facts, TlsPart
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import (
    AlpnProtocol,
    ClientAuthentication,
    HealthMonitor,
    Listener,
    ListenerProtocol,
    MonitorType,
    Pool,
    TlsVersion,
)
from lbdrivers.model.secret import Secret
from lbdrivers.model.tls import TLS13_SUITES, TlsDefaults
from lbdrivers_amphora.haproxy.certificates import listed, references
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.quote import Line, log_format, token
from lbdrivers_amphora.haproxy.translate_rules import words

_VERIFY = {
    ClientAuthentication.NONE: "none",
    ClientAuthentication.OPTIONAL: "optional",
    ClientAuthentication.MANDATORY: "required",
}
#: HAProxy's names of versions, lowest first. SSLv3 is not among them: OpenSSL comes without it.
_VERSIONS = {
    TlsVersion.TLSV1: "TLSv1.0",
    TlsVersion.TLSV1_1: "TLSv1.1",
    TlsVersion.TLSV1_2: "TLSv1.2",
    TlsVersion.TLSV1_3: "TLSv1.3",
}
_ORDER = tuple(_VERSIONS)
# What each header of a TERMINATED_HTTPS listener's insert_headers says of the client's certificate.
_HEADERS: dict[str, Line] = {
    header: words(f"http-request set-header {header} {value}")
    for header, value in {
        "X-SSL-Client-Verify": "%[ssl_c_verify]",
        "X-SSL-Client-Has-Cert": "%[ssl_c_used]",
        "X-SSL-Client-DN": "%{+Q}[ssl_c_s_dn]",
        "X-SSL-Client-CN": "%{+Q}[ssl_c_s_dn(cn)]",
        "X-SSL-Issuer": "%{+Q}[ssl_c_i_dn]",
        "X-SSL-Client-SHA1": "%{+Q}[ssl_c_sha1,hex]",
        "X-SSL-Client-Not-Before": "%{+Q}[ssl_c_notbefore]",
        "X-SSL-Client-Not-After": "%{+Q}[ssl_c_notafter]",
    }.items()
}
#: kB of memory for each session in the cache; some 200 bytes of HAProxy's, generously.
_SESSIONS_PER_KB = 4
#: HAProxy's own size of the cache, and the most that we ask for, some 50 MB.
_CACHE_DEFAULT, _CACHE_MOST = 20_000, 200_000
#: The cache takes this part of the appliance's memory at most.
_CACHE_SHARE = 50


def terminates(listener: Listener) -> bool:
    """Whether the listener speaks TLS itself."""
    return bool(listener.default_tls_container_ref or listener.sni_container_refs)


def certificate_lists(bundle: Bundle, facts: Facts) -> dict[str, bytes]:
    """File name -> text of the list of certificates of each listener that terminates TLS.

    The first certificate is the default one, for clients that name no other (crt-list, section 5.1).
    """
    return {
        f"{listener.id}.pem": "".join(f"{path}\n" for path in _certificates(listener, bundle, facts)).encode()
        for listener in bundle.load_balancer.listeners
        if terminates(listener)
    }


def _certificates(listener: Listener, bundle: Bundle, facts: Facts) -> Iterator[str]:
    default = listener.default_tls_container_ref
    references = (*((default,) if default else ()), *listener.sni_container_refs)
    names = dict.fromkeys(bundle.tls.name(TlsPart.CERTIFICATE, reference) for reference in references)
    yield from (_path(name, bundle, facts) for name in names)


def _path(name: str, bundle: Bundle, facts: Facts) -> str:
    return f"{facts.certificate_path}/{bundle.load_balancer.id}/{name}"


def certificate_files(configuration: Configuration, bundle: Bundle, facts: Facts) -> dict[str, Secret]:
    """File name -> content of everything that the configuration refers to, and nothing else."""
    folder = f"{facts.certificate_path}/{bundle.load_balancer.id}"
    lists = certificate_lists(bundle, facts)
    found: dict[str, Secret] = {}
    for name in sorted(references(configuration, folder)):
        if name in lists:
            found[name] = Secret(lists[name])
            inside = (path.removeprefix(f"{folder}/") for path in listed(lists[name].decode()))
            found |= {entry: bundle.tls.contents[entry] for entry in inside}
        else:
            found[name] = bundle.tls.contents[name]
    return found


def bind_words(listener: Listener, bundle: Bundle, facts: Facts) -> Line:
    """What follows the address of a ``bind`` line; nothing for a listener without certificates.

    :raises UnsupportedError: when HAProxy cannot serve these versions and ciphers.
    """
    if not terminates(listener):
        return ()
    found = [*words("ssl crt-list"), token(_path(f"{listener.id}.pem", bundle, facts))]
    if listener.client_ca_tls_container_ref is not None:
        found += _file("ca-file", TlsPart.AUTHORITIES, listener.client_ca_tls_container_ref, bundle, facts)
        found += words(f"verify {_VERIFY[listener.client_authentication]}")
    if listener.client_crl_container_ref is not None:
        found += _file("crl-file", TlsPart.REVOCATIONS, listener.client_crl_container_ref, bundle, facts)
    defaults = bundle.options.tls.listeners
    found += _spoken(listener, defaults)
    return (*found, *_alpn(listener.alpn_protocols or defaults.alpn_protocols))


def frontend_lines(listener: Listener) -> Iterator[Line]:
    """What a TERMINATED_HTTPS listener does besides."""
    if listener.protocol is not ListenerProtocol.TERMINATED_HTTPS:
        return
    # A port that speaks TLS has no clear text to redirect; the line keeps that so, whatever a bind becomes.
    yield words("http-request redirect scheme https unless { ssl_fc }")
    if listener.hsts_max_age is not None:
        flags = ["includeSubDomains"] * listener.hsts_include_subdomains + ["preload"] * listener.hsts_preload
        value = "; ".join((f"max-age={listener.hsts_max_age}", *flags))
        # "after": answers of HAProxy itself, such as a redirect, carry it too (RFC 6797, section 7.1).
        yield (*words("http-after-response set-header Strict-Transport-Security"), log_format(value))


def header_lines(listener: Listener) -> Iterator[Line]:
    """Headers that tell members of the client's certificate. What a client sends under such a name is replaced."""
    yield from (line for header, line in _HEADERS.items() if listener.header_inserted(header))


def server_words(pool: Pool, mode: str, bundle: Bundle, facts: Facts) -> Line:
    """``ssl ...`` of a server; nothing for a pool whose members are spoken to in clear.

    :raises UnsupportedError: as ``bind_words``.
    """
    if not pool.tls_enabled:
        return ()
    found = [token("ssl")]
    if pool.tls_container_ref is not None:
        found += _file("crt", TlsPart.CERTIFICATE, pool.tls_container_ref, bundle, facts)
    if pool.ca_tls_container_ref is not None:
        found += _file("ca-file", TlsPart.AUTHORITIES, pool.ca_tls_container_ref, bundle, facts)
    if pool.crl_container_ref is not None:
        found += _file("crl-file", TlsPart.REVOCATIONS, pool.crl_container_ref, bundle, facts)
    found += words(f"verify {'none' if pool.ca_tls_container_ref is None else 'required'} sni ssl_fc_sni")
    defaults = bundle.options.tls.pools
    found += _spoken(pool, defaults)
    return (*found, *_alpn(_offered(pool, mode, defaults)))


def _offered(pool: Pool, mode: str, defaults: TlsDefaults) -> Sequence[AlpnProtocol]:
    """Where bytes are passed on unread it is the client that chose a protocol, so nothing is offered by default."""
    return pool.alpn_protocols or (defaults.alpn_protocols if mode == "http" else ())


def check_options(pool: Pool, monitor: HealthMonitor, mode: str, defaults: TlsDefaults) -> Line:
    """How a probe speaks TLS. A server with ``ssl`` is probed by TLS anyway, unless elsewhere than at its own port.

    The monitor says which HTTP it speaks, and that is never HTTP/2.
    """
    https = monitor.type is MonitorType.HTTPS
    found: Line = ()
    if https or (pool.tls_enabled and monitor.type is MonitorType.TLS_HELLO):
        found += words("check-ssl" if pool.tls_enabled else "check-ssl verify none")
    if monitor.domain_name is not None and (https or pool.tls_enabled):
        found += (token("check-sni"), token(monitor.domain_name))
    if pool.tls_enabled and (https or monitor.type is MonitorType.HTTP) and _offered(pool, mode, defaults):
        found += words("check-alpn http/1.1")
    return found


def process_lines(listeners: Sequence[Listener], facts: Facts) -> Iterator[Line]:
    """Room for sessions of TLS 1.2 clients, by the appliance's memory (TLS 1.3 keeps them in tickets)."""
    if facts.memory and any(map(terminates, listeners)):
        room = facts.memory // _CACHE_SHARE * _SESSIONS_PER_KB
        if room > _CACHE_DEFAULT:
            yield words(f"tune.ssl.cachesize {min(room, _CACHE_MOST)}")


def _file(keyword: str, part: TlsPart, reference: str, bundle: Bundle, facts: Facts) -> Line:
    return (token(keyword), token(_path(bundle.tls.name(part, reference), bundle, facts)))


def _alpn(protocols: Sequence[AlpnProtocol]) -> Line:
    return (token("alpn"), token(",".join(protocols))) if protocols else ()


def _spoken(owner: Listener | Pool, defaults: TlsDefaults) -> Line:
    """Ciphers and versions. OpenSSL keeps the suites of TLS 1.3 apart, so they stand apart."""
    listed = (owner.tls_ciphers or defaults.ciphers).split(":")
    suites = [cipher for cipher in listed if cipher in TLS13_SUITES]
    ciphers = [cipher for cipher in listed if cipher and cipher not in TLS13_SUITES]
    for cipher in ciphers:
        if cipher.lstrip("!-+") in TLS13_SUITES:
            raise UnsupportedError(f"{cipher}: suites of TLS 1.3 can be listed, but not excluded", object_id=owner.id)
    low, high = _range(owner, owner.tls_versions or defaults.versions, old_ciphers=bool(ciphers))
    found: Line = ()
    if ciphers and low is not TlsVersion.TLSV1_3:
        found += (token("ciphers"), token(":".join(ciphers)))
    if suites and high is TlsVersion.TLSV1_3:
        found += (token("ciphersuites"), token(":".join(suites)))
    return (*found, *words(f"ssl-min-ver {_VERSIONS[low]} ssl-max-ver {_VERSIONS[high]}"))


def _range(
    owner: Listener | Pool, asked: tuple[TlsVersion, ...], *, old_ciphers: bool
) -> tuple[TlsVersion, TlsVersion]:
    """The lowest and the highest version. Without a cipher for versions below 1.3 only that one can be spoken."""
    if TlsVersion.SSLV3 in asked:
        raise UnsupportedError("SSLv3 is broken and not served; leave it out of tls_versions", object_id=owner.id)
    spoken = [version for version in _ORDER if version in asked and (old_ciphers or version is TlsVersion.TLSV1_3)]
    if not spoken:
        raise UnsupportedError(
            "tls_ciphers has suites of TLS 1.3 only, which tls_versions leaves out; change one", object_id=owner.id
        )
    low, high = spoken[0], spoken[-1]
    between = [version for version in _ORDER[_ORDER.index(low) : _ORDER.index(high)] if version not in spoken]
    if between:
        raise UnsupportedError(
            f"HAProxy serves versions without a gap; tls_versions leaves out {', '.join(between)}", object_id=owner.id
        )
    return low, high
