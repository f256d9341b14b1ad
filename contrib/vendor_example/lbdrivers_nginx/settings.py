"""The section ``[nginx]``, read once into a frozen value."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from lbdrivers import settings
from lbdrivers.errors import InvalidInput, Problem

#: What the entry point ``lbdrivers.options`` refers to: so a misspelt option is refused by name.
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "nginx": (
        cfg.StrOpt("path", help="Folder of the configurations; default: nginx in [lbdrivers] state_path."),
        cfg.StrOpt("vip_range", default="127.77.0.0/24", help="Where VIPs are taken from that name no address."),
        cfg.StrOpt("namespace", default="", help="Network namespace to run in (ip netns); empty: this one."),
        cfg.StrOpt("stream_module", default="/usr/lib/nginx/modules/ngx_stream_module.so", help="Empty: built in."),
    )
}


@dataclass(frozen=True)
class NginxSettings:
    """See ``OPTIONS`` for the meaning of each."""

    path: Path
    vips: ipaddress.IPv4Network | ipaddress.IPv6Network
    namespace: str
    stream_module: str


def read(configuration: cfg.ConfigOpts) -> NginxSettings:
    """:raises InvalidInput: on a bad value."""
    configuration.register_opts(OPTIONS["nginx"], group="nginx")
    path = Path(configuration.nginx.path or settings.read(configuration).state_path / "nginx").absolute()
    try:
        vips = ipaddress.ip_network(configuration.nginx.vip_range)
    except ValueError as error:
        raise InvalidInput((Problem("[nginx] vip_range", configuration.nginx.vip_range, str(error)),)) from error
    if len(str(path)) > 60:  # below it come an id and a name, and Linux takes socket paths of 107 bytes
        raise InvalidInput((Problem("[nginx] path", str(path), "is too long for sockets below it"),))
    return NginxSettings(path, vips, configuration.nginx.namespace, configuration.nginx.stream_module)
