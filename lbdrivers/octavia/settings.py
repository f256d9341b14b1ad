"""Settings of the two ways of octavia-lib.

Law: as ``lbdrivers.settings``; the sockets have Octavia's own names and defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from oslo_config import cfg

from lbdrivers.settings import refusal

_FOLDER = "/var/run/octavia"  # the one that octavia-lib has compiled in
_AGENT = tuple(
    cfg.StrOpt(f"{name}_socket_path", default=f"{_FOLDER}/{name}.sock", help=f"The driver agent's {name} socket.")
    for name in ("status", "stats", "get")
)
_OURS = (
    cfg.FloatOpt("octavia_status_timeout", default=60.0, min=0, help="Wait for a foreign driver's statuses."),
    cfg.ListOpt("octavia_config_files", default=[], help="Configuration files that foreign drivers read."),
    cfg.FloatOpt("octavia_report_interval", default=10.0, min=0.1, help="Time between reports of what runs."),
    cfg.IntOpt("octavia_workers", default=4, min=1, help="Load balancers that the provider agent works on at once."),
)
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {"driver_agent": _AGENT, "lbdrivers": _OURS}

#: Configuration files of the drivers inside Octavia's processes, separated by colons.
FILES = "LBDRIVERS_CONFIG_FILES"
_DEFAULT_FILE = Path("/etc/lbdrivers/lbdrivers.conf")


@dataclass(frozen=True)
class Sockets:
    """Paths of the driver agent's three sockets."""

    status: Path
    stats: Path
    get: Path


@dataclass(frozen=True)
class OctaviaSettings:
    """Settings of this package."""

    sockets: Sockets
    """Where Octavia's driver agent listens; for foreign drivers, where we do."""

    status_timeout: float
    """Seconds in which a foreign driver has to report what it was asked for."""

    config_files: tuple[str, ...]
    """Files in the form of octavia.conf for foreign drivers, which look for their options where Octavia has its own:
    in oslo.config's object for the whole process. Default: none, so that they work with their defaults."""

    report_interval: float
    """Seconds between two reports of operating statuses and statistics to Octavia."""

    workers: int
    """Load balancers that the provider agent works on at one time."""


def read(configuration: cfg.ConfigOpts) -> OctaviaSettings:
    """Out of parsed configuration. :raises InvalidInput: on a bad value."""
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    agent, ours = configuration.driver_agent, configuration.lbdrivers
    try:
        return OctaviaSettings(
            sockets=Sockets(Path(agent.status_socket_path), Path(agent.stats_socket_path), Path(agent.get_socket_path)),
            status_timeout=ours.octavia_status_timeout,
            config_files=tuple(ours.octavia_config_files),
            report_interval=ours.octavia_report_interval,
            workers=ours.octavia_workers,
        )
    except (cfg.Error, ValueError) as error:
        raise refusal(error) from error


@lru_cache(maxsize=1)
def configure_foreign(files: tuple[str, ...]) -> None:
    """Have foreign drivers find what these files say, as they would inside Octavia.

    :raises InvalidInput: when a file cannot be read. What an option is worth, its driver finds out.
    """
    arguments = [text for file in files for text in ("--config-file", file)]
    try:
        cfg.CONF(arguments, project="octavia", default_config_files=[], default_config_dirs=[])
    except cfg.Error as error:
        raise refusal(error) from error


def files() -> tuple[Path, ...]:
    """The configuration files of a process that is not ours: LBDRIVERS_CONFIG_FILES, else
    /etc/lbdrivers/lbdrivers.conf where there is one."""
    if named := os.environ.get(FILES):
        return tuple(Path(name) for name in named.split(os.pathsep) if name)
    return (_DEFAULT_FILE,) if _DEFAULT_FILE.exists() else ()
