"""What TLS means where a tree leaves it open: Octavia 19's defaults of ciphers, versions and protocols.

Law: plain values. A tree keeps "not said"; whoever makes a configuration of it looks here.
"""

from __future__ import annotations

from lbdrivers.model.resources import AlpnProtocol, TlsVersion

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
