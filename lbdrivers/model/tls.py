"""What TLS means where a tree leaves it open, and what a deployment forbids; defaults are those of Octavia 19.

Law: plain values. A tree keeps "not said"; whoever makes a configuration of it looks here. What a tree says
is judged by the policy when it is submitted, and the policy's own defaults keep to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.resources import AlpnProtocol, Listener, LoadBalancer, Pool, TlsVersion

#: TLS 1.3's cipher suites (RFC 8446, appendix B.4); OpenSSL keeps them apart from all others.
TLS13_SUITES = frozenset(
    {
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    }
)
#: OWASP's suite B: forward secrecy and authenticated encryption only.
DEFAULT_CIPHERS = ":".join(
    (
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "DHE-RSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
        "DHE-RSA-CHACHA20-POLY1305",
    )
)
DEFAULT_VERSIONS = (TlsVersion.TLSV1_2, TlsVersion.TLSV1_3)
DEFAULT_ALPN = (AlpnProtocol.H2, AlpnProtocol.HTTP_1_1, AlpnProtocol.HTTP_1_0)


@dataclass(frozen=True)
class TlsDefaults:
    """What a listener or pool speaks that does not say it itself."""

    ciphers: str = DEFAULT_CIPHERS
    versions: tuple[TlsVersion, ...] = DEFAULT_VERSIONS
    alpn_protocols: tuple[AlpnProtocol, ...] = DEFAULT_ALPN


@dataclass(frozen=True)
class TlsPolicy:
    """What a deployment has decided about TLS.

    :param prohibited: ciphers that no list may have.
    :param minimum_version: the lowest that may be asked for; None: any.
    """

    listeners: TlsDefaults = field(default_factory=TlsDefaults)
    pools: TlsDefaults = field(default_factory=TlsDefaults)
    prohibited: frozenset[str] = frozenset()
    minimum_version: TlsVersion | None = None

    def problems(self, path: str, ciphers: str | None, versions: tuple[TlsVersion, ...] | None) -> Iterator[Problem]:
        """What of the ciphers and versions that stand there is forbidden; None is not said."""
        refused = [one for one in (ciphers or "").split(":") if one in self.prohibited]
        if refused:
            message, remedy = "has ciphers that this deployment prohibits", "leave them out"
            yield Problem(f"{path}ciphers", ":".join(refused), message, remedy)
        order = tuple(TlsVersion)
        low = [
            one
            for one in versions or ()
            if self.minimum_version is not None and order.index(one) < order.index(self.minimum_version)
        ]
        if low:
            message, remedy = "is below what this deployment demands", f"begin with {self.minimum_version}"
            yield Problem(f"{path}versions", ", ".join(low), message, remedy)


#: Of a deployment that has decided nothing.
DEFAULT_POLICY = TlsPolicy()


def check_tls(tree: LoadBalancer, policy: TlsPolicy) -> None:
    """Refuse what the deployment forbids.

    :raises InvalidInput: names every listener and pool, the value and the remedy.
    """
    owners: tuple[tuple[str, Listener | Pool], ...] = (
        *(("listener", one) for one in tree.listeners),
        *(("pool", one) for one in tree.pools),
    )
    found = tuple(
        problem
        for kind, one in owners
        for problem in policy.problems(f"{kind} {one.name or one.id}, tls_", one.tls_ciphers, one.tls_versions)
    )
    if found:
        raise InvalidInput(found)
