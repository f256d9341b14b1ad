"""Settings of the OVN provider, section ``[ovn]``, read once into frozen values.

Names and defaults are those of ovn-octavia-provider, so that its configuration files serve here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from lbdrivers import settings as core
from lbdrivers.errors import InvalidInput, Problem

_TLS = tuple(
    cfg.StrOpt(f"ovn_{side}_{what}", default="", help=f"File with the {text} for TLS to OVN's {name} database.")
    for side, name in (("nb", "northbound"), ("sb", "southbound"))
    for what, text in (("private_key", "private key"), ("certificate", "certificate"), ("ca_cert", "authority"))
)
_OVN = (
    cfg.ListOpt("ovn_nb_connection", default=["tcp:127.0.0.1:6641"], help="Where the northbound database is."),
    cfg.ListOpt("ovn_sb_connection", default=["tcp:127.0.0.1:6642"], help="Where the southbound database is."),
    *_TLS,
    cfg.IntOpt("ovsdb_connection_timeout", default=180, min=1, help="Seconds until a transaction must be done."),
    cfg.IntOpt("ovsdb_retry_max_interval", default=180, min=1, help="Longest wait of daemons between two attempts."),
    cfg.IntOpt("ovsdb_probe_interval", default=60000, min=0, help="Milliseconds of silence before a probe; 0: none."),
    cfg.StrOpt("network_driver", default="ovn", help="Driver of the networks and ports."),
    cfg.StrOpt("networks_file", help="YAML file with the networks of the network driver ovn."),
)
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {"ovn": _OVN}

#: Public 10.212.16.0/20 and private 10.212.32.0/20, on one router; the file says more.
PACKAGED_NETWORKS = Path(__file__).parent / "network" / "networks.yaml"
_SCHEMES = ("tcp", "ssl", "unix")


@dataclass(frozen=True)
class Tls:
    """Files for TLS; all are empty where it is not spoken."""

    private_key: str = ""
    certificate: str = ""
    authority: str = ""


@dataclass(frozen=True)
class DatabaseSettings:
    """How a database of OVN is reached."""

    remote: str
    """The servers of the database, with commas between them, such as ``tcp:127.0.0.1:6641``. Of a cluster all
    are named; its leader is spoken to."""

    tls: Tls = Tls()
    """For servers that are named with ``ssl:``."""

    timeout: int = 180
    """Seconds until a connection must stand or a transaction must be done; then the run fails, to be tried again."""

    probe_interval: int = 60000
    """Milliseconds of silence after which the server is asked whether it lives; 0 asks never."""


@dataclass(frozen=True)
class OvnSettings:
    """What the provider and its network driver need to know."""

    northbound: DatabaseSettings
    southbound: DatabaseSettings

    network_driver: str = "ovn"
    """Who knows networks and makes ports: a driver of the group ``lbdrivers.networks``."""

    networks_file: Path = PACKAGED_NETWORKS
    """YAML file that describes the networks which the network driver ``ovn`` makes."""

    longest_wait: int = 180
    """Seconds that a daemon waits at most before it tries again to reach a database."""


def read(configuration: cfg.ConfigOpts) -> OvnSettings:
    """The settings out of parsed configuration. :raises InvalidInput: on a bad value."""
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    try:
        found = configuration.ovn
        settings = OvnSettings(
            northbound=_database(found, "nb"),
            southbound=_database(found, "sb"),
            network_driver=found.network_driver,
            networks_file=Path(found.networks_file) if found.networks_file else PACKAGED_NETWORKS,
            longest_wait=found.ovsdb_retry_max_interval,
        )
    except (cfg.Error, ValueError) as error:
        raise core.refusal(error) from error
    _check_tls(settings)
    return settings


def _database(found: cfg.ConfigOpts.GroupAttr, side: str) -> DatabaseSettings:
    return DatabaseSettings(
        remote=_remote(f"ovn_{side}_connection", found[f"ovn_{side}_connection"]),
        tls=Tls(*(found[f"ovn_{side}_{what}"] for what in ("private_key", "certificate", "ca_cert"))),
        timeout=found.ovsdb_connection_timeout,
        probe_interval=found.ovsdb_probe_interval,
    )


def _remote(option: str, servers: Sequence[str]) -> str:
    if not servers:
        raise InvalidInput((Problem(f"[ovn] {option}", "", "is empty", "name a server: tcp:, ssl: or unix:"),))
    for server in servers:
        if server.partition(":")[0] not in _SCHEMES or not server.partition(":")[2]:
            remedy = "write tcp:ADDRESS:PORT, ssl:ADDRESS:PORT or unix:PATH"
            raise InvalidInput((Problem(f"[ovn] {option}", server, "is no server of a database", remedy),))
    return ",".join(servers)


def _check_tls(settings: OvnSettings) -> None:
    """Files must be there, and be the same for both: OVN's library has one set of them for a whole process."""
    sides = {"nb": settings.northbound, "sb": settings.southbound}
    spoken = {side: one.tls for side, one in sides.items() if "ssl:" in one.remote}
    problems = []
    for side, tls in spoken.items():
        named = {"private_key": tls.private_key, "certificate": tls.certificate, "ca_cert": tls.authority}
        for what, file in named.items():
            if not file or not Path(file).is_file():
                text = "is needed for ssl:" if not file else "is no file"
                problems.append(Problem(f"[ovn] ovn_{side}_{what}", file, text, "name a PEM file"))
    if len(set(spoken.values())) > 1:
        remedy = "give both databases the same key, certificate and authority"
        problems.append(Problem("[ovn] ovn_sb_private_key", "", "differs from that of the northbound one", remedy))
    if problems:
        raise InvalidInput(tuple(problems))
