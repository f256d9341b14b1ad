"""Settings of the embedded site, section ``[local]``, read once into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from lbdrivers import settings as core

_LOCAL = (
    cfg.StrOpt("path", help="Folder of the site; default: local, in state_path."),
    cfg.StrOpt("networks_file", help="YAML file with the networks; default: the packaged one."),
    cfg.FloatOpt("boot_timeout", default=20.0, min=0.1, help="Seconds until a machine must be up, its agent aside."),
)
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {"local": _LOCAL}

#: Management 10.211.0.0/20, public 10.211.16.0/20, private 10.211.32.0/20; the file says more.
PACKAGED_NETWORKS = Path(__file__).with_name("networks.yaml")


@dataclass(frozen=True)
class SiteSettings:
    """What machines and networks on this host need to know."""

    path: Path
    """Folder of the site. One folder is one site: its machines reach each other and nothing else.
    Default: ``local`` in the core's ``state_path``."""

    state_path: Path
    """The controller's state; appliances see this folder empty, for it holds keys."""

    networks_file: Path = PACKAGED_NETWORKS
    """YAML file that describes the networks."""

    boot_timeout: float = 20.0
    """Seconds until a machine must be up, its agent aside. It takes some 0.05; the default leaves
    room for a host that is very busy."""


def read(configuration: cfg.ConfigOpts) -> SiteSettings:
    """The site's settings out of parsed configuration. :raises InvalidInput: on a bad value."""
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    state_path = core.read(configuration).state_path.absolute()
    try:
        local = configuration.local
        return SiteSettings(
            path=Path(local.path).absolute() if local.path else state_path / "local",
            state_path=state_path,
            networks_file=Path(local.networks_file) if local.networks_file else PACKAGED_NETWORKS,
            boot_timeout=local.boot_timeout,
        )
    except (cfg.Error, ValueError) as error:
        raise core.refusal(error) from error
