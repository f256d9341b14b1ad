"""What a deployment decides about TLS: ``[api_settings]`` of octavia.conf.

Law: defaults that the deployment itself forbids are refused when the settings are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from oslo_config import cfg, types

from lbdrivers.errors import InvalidInput
from lbdrivers.model.resources import AlpnProtocol, TlsVersion
from lbdrivers.model.tls import DEFAULT_ALPN, DEFAULT_CIPHERS, DEFAULT_VERSIONS, TlsDefaults, TlsPolicy

_VERSIONS = types.List(types.String(choices=[one.value for one in TlsVersion]), bounds=False)
_PROTOCOLS = types.List(types.String(choices=[one.value for one in AlpnProtocol]), bounds=False)
#: The characters of a cipher list (as ``model.values.CipherList`` has it).
_CIPHERS = types.String(regex=re.compile(r"^[A-Za-z0-9\-+!:@=_.]{1,2048}$"))


def _defaults(owner: str) -> tuple[cfg.Opt, ...]:
    return (
        cfg.Opt(f"default_{owner}_ciphers", _CIPHERS, default=DEFAULT_CIPHERS, help=f"Ciphers of a {owner} without."),
        cfg.Opt(f"default_{owner}_tls_versions", _VERSIONS, default=[one.value for one in DEFAULT_VERSIONS]),
        cfg.Opt(f"default_{owner}_alpn_protocols", _PROTOCOLS, default=[one.value for one in DEFAULT_ALPN]),
    )


OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "api_settings": (
        *_defaults("listener"),
        *_defaults("pool"),
        cfg.StrOpt(
            "tls_cipher_prohibit_list", default="", help="Ciphers that nobody may ask for, with colons between."
        ),
        cfg.StrOpt("minimum_tls_version", choices=[one.value for one in TlsVersion], help="The lowest to ask for."),
    )
}


def read_tls(configuration: cfg.ConfigOpts) -> TlsPolicy:
    """:raises InvalidInput: when a default is one of what is forbidden. :raises cfg.Error: on a bad value."""
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    given = configuration.api_settings
    minimum = given.minimum_tls_version
    policy = TlsPolicy(
        listeners=_read_defaults(given, "listener"),
        pools=_read_defaults(given, "pool"),
        prohibited=frozenset(filter(None, given.tls_cipher_prohibit_list.split(":"))),
        minimum_version=None if minimum is None else TlsVersion(minimum),
    )
    problems = (
        *policy.problems("[api_settings] default_listener_", policy.listeners.ciphers, None),
        *policy.problems("[api_settings] default_listener_tls_", None, policy.listeners.versions),
        *policy.problems("[api_settings] default_pool_", policy.pools.ciphers, None),
        *policy.problems("[api_settings] default_pool_tls_", None, policy.pools.versions),
    )
    if problems:
        raise InvalidInput(problems)
    return policy


def _read_defaults(given: cfg.ConfigOpts, owner: str) -> TlsDefaults:
    return TlsDefaults(
        given[f"default_{owner}_ciphers"],
        tuple(map(TlsVersion, given[f"default_{owner}_tls_versions"])),
        tuple(map(AlpnProtocol, given[f"default_{owner}_alpn_protocols"])),
    )
