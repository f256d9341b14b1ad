"""Settings of the core, and how configuration files are loaded.

Law: a file whose names are not all known is not used (``check``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oslo_config import cfg

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.tls import DEFAULT_POLICY, TlsPolicy
from lbdrivers.settings import scale, tls
from lbdrivers.settings.check import Findings, Names, check, places
from lbdrivers.settings.declared import declared, names_of
from lbdrivers.settings.refusal import refusal

_CORE = (
    cfg.StrOpt("state_path", help="Folder for everything that must survive a command."),
    cfg.FloatOpt("lease_seconds", default=30.0, min=1, help="A run whose holder is silent this long is taken over."),
    cfg.FloatOpt("retry_initial_seconds", default=1.0, min=0, help="Wait before the first retry of a failed run."),
    cfg.FloatOpt("retry_maximum_seconds", default=300.0, min=0, help="Longest wait between two retries."),
)
_DATABASE = (cfg.StrOpt("connection", secret=True, help="SQLAlchemy URL; default: SQLite in state_path."),)
_API = (cfg.StrOpt("default_provider_driver", default="amphora", help="Provider of trees that name none."),)

_HOUSE_KEEPING = (cfg.IntOpt("cert_interval", default=3600, min=1, help="Seconds between two rounds of maintenance."),)

#: Every option that the core reads, by section.
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "lbdrivers": (*_CORE, *scale.OPTIONS["lbdrivers"]),
    "database": (*_DATABASE, *scale.OPTIONS["database"]),
    "task_flow": scale.OPTIONS["task_flow"],
    "api_settings": (*_API, *tls.OPTIONS["api_settings"]),
    "house_keeping": _HOUSE_KEEPING,
}
#: Octavia's other name of its own provider.
_PROVIDERS = {"octavia": "amphora"}


@dataclass(frozen=True)
class Settings:
    """The core's settings."""

    state_path: Path
    """Folder for everything that must survive a command. Default: the environment variable
    LBDRIVERS_STATE_PATH, else /var/lib/lbdrivers as root, else ~/.local/state/lbdrivers."""

    database: str = field(repr=False)
    """SQLAlchemy URL of the store; not shown, as it may have a password in it. Default: the SQLite file
    ``lbdrivers.sqlite`` in ``state_path``."""

    default_provider: str
    """Provider of trees that name none."""

    lease_seconds: float
    """A run whose holder is silent for so long is taken over by another worker."""

    retry_initial_seconds: float
    """Wait before the first retry of a run that failed for a temporary reason; doubles each time."""

    retry_maximum_seconds: float
    """Longest wait between two retries."""

    pool: scale.PoolSettings = scale.DEFAULT_POOL
    """Connections to a database server."""

    jobboard: scale.JobboardSettings | None = None
    """Where work is shared by jobs. Default None: every worker takes what is due from the store."""

    maintenance_seconds: float = 3600.0
    """Housekeeping maintains every load balancer so often: [house_keeping] cert_interval."""

    worker_poll_seconds: float = 1.0
    """A worker that found nothing to do looks again after so long; costs one query."""

    tls: TlsPolicy = DEFAULT_POLICY
    """What trees may ask of TLS: [api_settings] tls_cipher_prohibit_list and minimum_tls_version. Its defaults are
    those that a provider's own settings read, too."""


def load(files: Sequence[Path] = (), state_path: Path | None = None) -> cfg.ConfigOpts:
    """Parse configuration files, later ones winning.

    :param state_path: overrides ``[lbdrivers] state_path``.
    :raises InvalidInput: when a file is missing or malformed, or has a section or option that nobody
        knows; it names the file and the line.
    """
    examine(files)
    configuration = cfg.ConfigOpts()
    arguments = [text for file in files for text in ("--config-file", str(file))]
    try:
        configuration(arguments, project="lbdrivers", default_config_files=[], default_config_dirs=[])
    except cfg.Error as error:
        raise InvalidInput((Problem("configuration", "", str(error).strip()),)) from error
    configuration.register_opts(_CORE, group="lbdrivers")
    if state_path is not None:
        configuration.set_override("state_path", str(state_path), group="lbdrivers")
    return configuration


def examine(files: Sequence[Path]) -> Findings:
    """What there is to tell about configuration files besides what they say.

    :raises InvalidInput: as ``load`` does.
    """
    found = [place for file in files for place in places(_text(file), str(file))]
    return check(found, Names(names_of(OPTIONS), declared)) if found else Findings()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        message, remedy = f"cannot be read: {error.strerror}", "name a configuration file"
        raise InvalidInput((Problem(str(file), "", message, remedy),)) from error
    except UnicodeDecodeError as error:
        raise InvalidInput((Problem(str(file), "", "is not UTF-8", "save it as UTF-8"),)) from error


def default_state_path() -> Path:
    """Where state lives when nothing is configured: LBDRIVERS_STATE_PATH, else /var/lib (FHS) for
    root, else the XDG state folder."""
    if given := os.environ.get("LBDRIVERS_STATE_PATH"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/lbdrivers")
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "lbdrivers"


def read(configuration: cfg.ConfigOpts) -> Settings:
    """The core's settings out of parsed configuration. :raises InvalidInput: on a bad value."""
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    try:
        default_provider = configuration.api_settings.default_provider_driver
        state_path = Path(configuration.lbdrivers.state_path or default_state_path())
        return Settings(
            state_path=state_path,
            database=configuration.database.connection or f"sqlite:///{state_path / 'lbdrivers.sqlite'}",
            default_provider=_PROVIDERS.get(default_provider, default_provider),
            lease_seconds=configuration.lbdrivers.lease_seconds,
            retry_initial_seconds=configuration.lbdrivers.retry_initial_seconds,
            retry_maximum_seconds=configuration.lbdrivers.retry_maximum_seconds,
            pool=scale.read_pool(configuration),
            jobboard=scale.read_jobboard(configuration),
            maintenance_seconds=float(configuration.house_keeping.cert_interval),
            worker_poll_seconds=configuration.lbdrivers.worker_poll_seconds,
            tls=tls.read_tls(configuration),
        )
    except (cfg.Error, ValueError) as error:
        raise refusal(error) from error
