"""Settings for many machines: connections to a database server, the jobboard, and workers.

Law: names and defaults are those of oslo.db and of Octavia's ``[task_flow]``; what a worker alone
needs stands in ``[lbdrivers]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from oslo_config import cfg

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.secret import Secret


class BoardKind(StrEnum):
    """What keeps the jobs; the values are Octavia's names."""

    REDIS = "redis_taskflow_driver"
    ZOOKEEPER = "zookeeper_taskflow_driver"
    ETCD = "etcd_taskflow_driver"


_POOL = (
    cfg.IntOpt("max_pool_size", default=5, min=1, help="Connections to a server that are kept open."),
    cfg.IntOpt("max_overflow", default=50, min=0, help="Connections beyond those, while they are needed."),
    cfg.FloatOpt("pool_timeout", default=30.0, min=0, help="Seconds to wait for a connection of the pool."),
    cfg.IntOpt("connection_recycle_time", default=3600, min=1, help="Seconds after which one is made anew."),
)
_JOBBOARD = (
    cfg.BoolOpt("jobboard_enabled", default=False, help="Share work by jobs."),
    cfg.StrOpt("jobboard_backend_driver", default=BoardKind.REDIS.value, choices=[kind.value for kind in BoardKind]),
    cfg.ListOpt("jobboard_backend_hosts", default=["127.0.0.1"], help="Its servers."),
    cfg.PortOpt("jobboard_backend_port", default=6379, help="Their port."),
    cfg.StrOpt("jobboard_backend_username", help="User of Redis."),
    cfg.StrOpt("jobboard_backend_password", secret=True, help="Password of Redis."),
    cfg.StrOpt("jobboard_backend_namespace", default="octavia_jobboard", help="Prefix of everything in it."),
    cfg.IntOpt("jobboard_redis_backend_db", default=0, min=0, help="Number of the Redis database."),
    cfg.StrOpt("jobboard_redis_sentinel", help="Name of the Redis service that Sentinels watch."),
    cfg.StrOpt("jobboard_redis_sentinel_username", help="User of the Sentinels."),
    cfg.StrOpt("jobboard_redis_sentinel_password", secret=True, help="Password of the Sentinels."),
    cfg.DictOpt("jobboard_redis_backend_ssl_options", default={}, help="ssl, ssl_keyfile, ssl_certfile, ..."),
    cfg.DictOpt("jobboard_redis_sentinel_ssl_options", default={}, help="The same for the Sentinels."),
    cfg.DictOpt("jobboard_zookeeper_ssl_options", default={}, help="use_ssl, keyfile, certfile, verify_certs, ..."),
    cfg.DictOpt("jobboard_etcd_ssl_options", default={}, help="use_ssl, ca_cert, cert_key, cert_cert."),
    cfg.FloatOpt("jobboard_etcd_timeout", min=0, help="Seconds for a request to etcd."),
    cfg.StrOpt("jobboard_etcd_api_path", help="Path of etcd's gateway, such as /v3/."),
    cfg.IntOpt("jobboard_expiration_time", default=30, min=1, help="A claim of a silent worker lapses then."),
)
_WORKER = (
    cfg.FloatOpt("worker_poll_seconds", default=1.0, min=0.01, help="How often a worker without work looks for some."),
)

#: The options of this file, by section.
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = MappingProxyType(
    {"database": _POOL, "task_flow": _JOBBOARD, "lbdrivers": _WORKER}
)


@dataclass(frozen=True)
class PoolSettings:
    """Connections to a database server; SQLite needs none of this. Names and defaults are oslo.db's."""

    size: int = 5
    """``max_pool_size``: connections that are kept open."""

    overflow: int = 50
    """``max_overflow``: connections beyond those, closed as soon as nobody needs them."""

    timeout_seconds: float = 30.0
    """``pool_timeout``: so long a caller waits for a connection; then the database does not answer."""

    recycle_seconds: int = 3600
    """``connection_recycle_time``: a connection older than this is made anew, before a firewall or the
    server (MariaDB: after 8 hours) drops it silently."""


DEFAULT_POOL = PoolSettings()


@dataclass(frozen=True)
class SentinelSettings:
    """Redis behind Sentinels: the hosts of the jobboard are the Sentinels' then."""

    service: str
    """``jobboard_redis_sentinel``: name of the service that they watch."""

    username: str | None = None
    password: Secret | None = None
    ssl: Mapping[str, str] = field(default_factory=dict)
    """``jobboard_redis_sentinel_ssl_options``."""


@dataclass(frozen=True)
class JobboardSettings:
    """``[task_flow] jobboard_*``: where jobs are posted. Defaults are Octavia's."""

    kind: BoardKind = BoardKind.REDIS
    """``jobboard_backend_driver``."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """``jobboard_backend_hosts``: Redis and etcd take the first one, Sentinels and ZooKeeper all."""

    port: int = 6379
    """``jobboard_backend_port``."""

    username: str | None = None
    password: Secret | None = None

    namespace: str = "octavia_jobboard"
    """``jobboard_backend_namespace``: two control planes on one server need two."""

    database: int = 0
    """``jobboard_redis_backend_db``."""

    sentinel: SentinelSettings | None = None
    """Default: Redis itself is asked."""

    ssl: Mapping[str, str] = field(default_factory=dict)
    """The ``jobboard_*_ssl_options`` of the kind; empty: no TLS."""

    timeout_seconds: float | None = None
    """``jobboard_etcd_timeout``."""

    api_path: str | None = None
    """``jobboard_etcd_api_path``."""

    expiration_seconds: int = 30
    """``jobboard_expiration_time``: the claim of a worker that is silent for so long lapses. A worker
    that lives renews it three times as often."""


def read_pool(configuration: cfg.ConfigOpts) -> PoolSettings:
    """The pool's settings; options are registered already."""
    group = configuration.database
    return PoolSettings(group.max_pool_size, group.max_overflow, group.pool_timeout, group.connection_recycle_time)


def read_jobboard(configuration: cfg.ConfigOpts) -> JobboardSettings | None:
    """The jobboard's settings, None when it is not enabled. :raises InvalidInput: when no host is named."""
    group = configuration.task_flow
    if not group.jobboard_enabled:
        return None
    if not group.jobboard_backend_hosts:
        raise InvalidInput((Problem("[task_flow] jobboard_backend_hosts", "", "is empty", "name at least one host"),))
    kind = BoardKind(group.jobboard_backend_driver)
    ssl = {
        BoardKind.REDIS: group.jobboard_redis_backend_ssl_options,
        BoardKind.ZOOKEEPER: group.jobboard_zookeeper_ssl_options,
        BoardKind.ETCD: group.jobboard_etcd_ssl_options,
    }[kind]
    return JobboardSettings(
        kind=kind,
        hosts=tuple(group.jobboard_backend_hosts),
        port=group.jobboard_backend_port,
        username=group.jobboard_backend_username,
        password=_secret(group.jobboard_backend_password),
        namespace=group.jobboard_backend_namespace,
        database=group.jobboard_redis_backend_db,
        sentinel=_sentinel(configuration),
        ssl=MappingProxyType(dict(ssl)),
        timeout_seconds=group.jobboard_etcd_timeout,
        api_path=group.jobboard_etcd_api_path,
        expiration_seconds=group.jobboard_expiration_time,
    )


def _sentinel(configuration: cfg.ConfigOpts) -> SentinelSettings | None:
    group = configuration.task_flow
    if not group.jobboard_redis_sentinel:
        return None
    return SentinelSettings(
        service=group.jobboard_redis_sentinel,
        username=group.jobboard_redis_sentinel_username,
        password=_secret(group.jobboard_redis_sentinel_password),
        ssl=MappingProxyType(dict(group.jobboard_redis_sentinel_ssl_options)),
    )


def _secret(text: str | None) -> Secret | None:
    return Secret(text.encode()) if text else None
