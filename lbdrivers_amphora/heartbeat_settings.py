"""Settings of heartbeats and of the health manager: section ``[health_manager]``, read once into frozen values.

Law: names and meanings are octavia.conf's where it has them; a key that everybody knows is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from oslo_config import cfg

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.secret import Secret
from lbdrivers.settings import refusal
from lbdrivers_amphora.decide.failover import Policy
from lbdrivers_amphora.heartbeat_keys import Way, amphora_key, check_key, fingerprint
from lbdrivers_amphora.wire.heartbeat import Form

SECTION = "health_manager"
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    SECTION: (
        cfg.StrOpt("bind_ip", default="127.0.0.1", help="Address that heartbeats come to."),
        cfg.PortOpt("bind_port", default=5555),
        cfg.ListOpt("controller_ip_port_list", default=[], help="address:port of each health manager; none: no beats."),
        cfg.IntOpt("heartbeat_interval", default=10, min=1, max=86400),
        cfg.IntOpt("heartbeat_timeout", default=60, min=1),
        cfg.StrOpt("heartbeat_key", secret=True, help="Master key; in the form octavia the key itself."),
        cfg.StrOpt("heartbeat_form", default=Form.OWN.value, choices=[form.value for form in Form]),
        cfg.BoolOpt("allow_weak_heartbeat_key", default=False),
        cfg.StrOpt(
            "previous_heartbeat_form",
            choices=[form.value for form in Form],
            help="While amphorae change over: the form of those that were not told yet. Default: heartbeat_form.",
        ),
        cfg.StrOpt(
            "previous_heartbeat_key",
            secret=True,
            help="While amphorae change over: the key of those that were not told yet. Default: heartbeat_key.",
        ),
        cfg.FloatOpt("health_check_interval", default=3.0, min=0.05),
        cfg.IntOpt("health_update_threads", default=1, min=1, max=64, help="Processes that receive."),
        cfg.IntOpt("sock_rlimit", default=8 << 20, min=0, help="Bytes of heartbeats that wait in the kernel."),
        cfg.FloatOpt("flush_interval", default=1.0, min=0.05, help="Seconds between two writes to the database."),
        cfg.IntOpt("failover_threads", default=10, min=0, help="Failovers at one time; 0 leaves them to workers."),
        cfg.IntOpt("failover_threshold", min=1),
        cfg.FloatOpt("failover_share", default=0.2, min=0, max=1),
        cfg.IntOpt("failover_least", default=5, min=1),
        cfg.FloatOpt("failover_grace", default=60.0, min=0),
        cfg.FloatOpt("failover_retry", default=300.0, min=1),
        cfg.BoolOpt("dry_run", default=False, help="Report failovers, and do none."),
        cfg.FloatOpt("notification_damping", default=5.0, min=0),
    ),
    "controller_worker": (cfg.ListOpt("statistics_drivers", default=[], help="Where statistics go, too."),),
}
#: Octavia's names of sinks -> ours. The store, Octavia's stats_db, always has them.
_SINKS = {"stats_db": "store", "stats_logger": "log"}
_STORE = "store"


@dataclass(frozen=True)
class HeartbeatSettings:
    """How amphorae send heartbeats."""

    controllers: tuple[str, ...] = ()
    """``address:port`` of every health manager; amphorae tell them in turn. Default none: no heartbeats, and
    statuses are asked for when somebody wants to see them."""

    interval: int = 10
    """Seconds between two heartbeats of an amphora."""

    form: Form = Form.OWN
    """Default lbdrivers: a key for each amphora, repeated datagrams refused. ``octavia`` for amphorae that
    Octavia's agent runs in: one key for all."""

    key: Secret | None = field(default=None, repr=False)
    """The master key, at least 32 characters; in the form ``octavia`` the key of all."""

    previous: HeartbeatSettings | None = None
    """While amphorae change over to another form or key: what those speak that were not told yet. Default None:
    nothing but the current way is understood."""

    @property
    def fingerprint(self) -> str:
        """Tells form and key from others; empty where there is no key."""
        return "" if self.key is None else fingerprint(self.key, self.form)

    def way(self, told: str) -> Way:
        """In which way an amphora speaks.

        :param told: fingerprint of what it was told; empty when that is not known.
        """
        if self.previous is not None and told in ("", self.previous.fingerprint):
            return Way.PREVIOUS
        return Way.CURRENT if told in ("", self.fingerprint) else Way.OTHER

    def key_of(self, amphora_id: str) -> Secret:
        """What the amphora signs with. :raises RuntimeError: without heartbeats."""
        if self.key is None:
            raise RuntimeError("there is no heartbeat key")
        return self.key if self.form is Form.OCTAVIA else amphora_key(self.key, amphora_id)


@dataclass(frozen=True)
class ManagerSettings:
    """What the health manager needs to know besides."""

    bind_ip: str
    bind_port: int

    policy: Policy
    """When a silent amphora is failed over."""

    processes: int
    """How many processes receive (Octavia's health_update_threads). Default 1: ten thousand heartbeats a second."""

    check_interval: float
    """Seconds between two decisions."""

    flush_interval: float
    """Seconds for which changes are gathered before they are written. Default 1."""

    buffer_bytes: int
    """Heartbeats that wait in the kernel while we are busy. Default 8 MiB, as the kernel's own 200 KB hold less than
    a hundred; Octavia's default leaves it at that."""

    failover_threads: int
    """Failovers that the health manager works on itself at one time. 0: workers do it."""

    sinks: tuple[str, ...]
    """Entry points in ``lbdrivers.statistics`` that get statistics besides the store: log, prometheus."""

    damping: float
    """Seconds that a status must have lasted before anybody is notified of it. Default 5."""


def read_heartbeats(configuration: cfg.ConfigOpts) -> HeartbeatSettings:
    """How amphorae send heartbeats.

    :raises InvalidInput: on a bad value, or without a fit key where heartbeats are wanted.
    """
    found = _section(configuration)
    controllers = tuple(found.controller_ip_port_list)
    key = check_key(found.heartbeat_key or "", weak_allowed=found.allow_weak_heartbeat_key) if controllers else None
    current = HeartbeatSettings(controllers, found.heartbeat_interval, Form(found.heartbeat_form), key)
    return replace(current, previous=_previous(found, current))


def _previous(found: cfg.ConfigOpts, current: HeartbeatSettings) -> HeartbeatSettings | None:
    """What amphorae speak that were not told yet, if there is such a thing."""
    form, key = found.previous_heartbeat_form, found.previous_heartbeat_key
    if current.key is None or not (form or key):
        return None
    known = check_key(
        key or found.heartbeat_key, weak_allowed=found.allow_weak_heartbeat_key, option="previous_heartbeat_key"
    )
    before = replace(current, form=Form(form or current.form), key=known)
    if before.fingerprint == current.fingerprint:
        remedy = "name what amphorae spoke before, or remove it: nobody has to change over"
        problem = Problem(f"[{SECTION}] previous_heartbeat_form", before.form, "is what is spoken now", remedy)
        raise InvalidInput((problem,))
    return before


def read_manager(configuration: cfg.ConfigOpts) -> tuple[ManagerSettings, HeartbeatSettings]:
    """What the health manager needs.

    :raises InvalidInput: on a bad value, or when amphorae are told to send nothing.
    """
    found = _section(configuration)
    heartbeats = read_heartbeats(configuration)
    if not heartbeats.controllers:
        remedy = f"list where amphorae reach this machine, such as {found.bind_ip}:{found.bind_port}"
        problem = Problem(f"[{SECTION}] controller_ip_port_list", "", "is empty: nobody sends heartbeats", remedy)
        raise InvalidInput((problem,))
    if found.heartbeat_timeout < 2 * found.heartbeat_interval:
        remedy = f"set at least {2 * found.heartbeat_interval}: one heartbeat may be lost"
        message = f"is less than two intervals of {found.heartbeat_interval} s"
        raise InvalidInput((Problem(f"[{SECTION}] heartbeat_timeout", str(found.heartbeat_timeout), message, remedy),))
    return (
        ManagerSettings(
            bind_ip=found.bind_ip,
            bind_port=found.bind_port,
            policy=_policy(found),
            processes=found.health_update_threads,
            check_interval=found.health_check_interval,
            flush_interval=found.flush_interval,
            buffer_bytes=found.sock_rlimit,
            failover_threads=found.failover_threads,
            sinks=_sinks(configuration.controller_worker.statistics_drivers),
            damping=found.notification_damping,
        ),
        heartbeats,
    )


def _sinks(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for one in names if (name := _SINKS.get(one, one)) != _STORE)


def _policy(found: cfg.ConfigOpts) -> Policy:
    return Policy(
        timeout=float(found.heartbeat_timeout),
        interval=float(found.heartbeat_interval),
        grace=found.failover_grace,
        retry=found.failover_retry,
        share=found.failover_share,
        least=found.failover_least,
        threshold=found.failover_threshold,
        dry_run=found.dry_run,
    )


def _section(configuration: cfg.ConfigOpts) -> cfg.ConfigOpts:
    for name, options in OPTIONS.items():
        configuration.register_opts(options, group=name)
    section: cfg.ConfigOpts = configuration[SECTION]
    try:
        for option in OPTIONS[SECTION]:
            getattr(section, option.dest)
    except (cfg.Error, ValueError) as error:
        raise refusal(error) from error
    return section
