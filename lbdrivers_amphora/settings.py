"""Settings of the amphora provider, read once from oslo.config into a frozen value.

Law: section and option names are octavia.conf's where the meaning is the same; where a default
differs from Octavia's, the field's text says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oslo_config import cfg

from lbdrivers.drivers.amphora import Topology, TrafficOptions, VrrpTimers
from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.settings import refusal
from lbdrivers.settings.names import driver
from lbdrivers.settings.tls import read_tls
from lbdrivers_amphora.client_settings import DATAGRAM_DRIVER
from lbdrivers_amphora.decide.datagrams import DatagramDriver
from lbdrivers_amphora.haproxy.quote import token
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings, read_heartbeats

_CONTROLLER_WORKER = (
    cfg.StrOpt("loadbalancer_topology", default="ACTIVE_STANDBY", choices=[t.value for t in Topology]),
    cfg.StrOpt("compute_driver", default="local"),
    cfg.StrOpt("network_driver", default="local"),
    cfg.StrOpt("amphora_driver", default="rest"),
    cfg.ListOpt("amp_boot_network_list", default=["management"]),
    cfg.FloatOpt("amp_active_timeout", min=0.1, help="Seconds to wait for a machine and its agent."),
    cfg.IntOpt("amp_active_retries", min=1, help="With amp_active_wait_sec: another way to say amp_active_timeout."),
    cfg.StrOpt("amp_image_tag", default="", help="What machines boot from; empty: the compute driver's default."),
    cfg.IntOpt("amp_active_wait_sec", min=1, help="Seconds between two looks at a machine, as Octavia counts them."),
)
_BUILDS = (
    cfg.IntOpt("build_rate_limit", default=-1, min=-1, help="Amphorae built at once by all workers; -1: no limit."),
    cfg.IntOpt("build_active_retries", default=120, min=1, help="Polls before one that waits for its turn fails."),
    cfg.FloatOpt("build_retry_interval", default=5.0, min=0.01, help="Seconds between two such polls."),
)
_FAILOVERS = (
    cfg.FloatOpt(
        "failover_rate", default=10.0, min=0, help="Failovers a second that nobody asked for by hand; 0: no limit."
    ),
    cfg.FloatOpt("failover_rate_per_zone", default=5.0, min=0, help="The same in one availability zone."),
)
_TASK_FLOW = (cfg.IntOpt("max_workers", default=8, min=1, help="Threads that work on one load balancer's amphorae."),)
_CERTIFICATES = (
    cfg.StrOpt("cert_generator", default="local"),
    cfg.StrOpt("cert_manager", default="local"),
    cfg.IntOpt("cert_validity_time", default=30 * 24 * 3600, min=60),
)
_KEEPALIVED = (
    cfg.IntOpt("vrrp_version", default=3, min=2, max=3),
    cfg.FloatOpt("vrrp_advert_int", default=0.1, min=0.01, max=40.95),
    cfg.FloatOpt("vrrp_check_interval", default=1.0, min=1),
    cfg.IntOpt("vrrp_fail_count", default=2, min=1),
    cfg.IntOpt("vrrp_success_count", default=2, min=1),
    cfg.FloatOpt("vrrp_garp_refresh_interval", default=5.0, min=0),
    cfg.IntOpt("vrrp_garp_refresh_count", default=2, min=1),
)
_HOUSE_KEEPING = (
    cfg.IntOpt("cert_expiry_buffer", default=14 * 24 * 3600, min=0),
    cfg.IntOpt("amphora_expiry_age", default=7 * 24 * 3600, min=0),
    cfg.IntOpt("spare_amphora_pool_size", default=0, min=0, help="Booted amphorae that wait for a load balancer."),
)
_DEFAULTS = TrafficOptions()
# Milliseconds: 24 days, the limit of HAProxy's timers.
_LONGEST = 24 * 24 * 3600 * 1000
_HAPROXY = (
    cfg.BoolOpt("connection_logging", default=_DEFAULTS.connection_logging),
    cfg.StrOpt("user_log_format", default=_DEFAULTS.log_format, help="HAProxy's log-format, with {{ project_id }}."),
    cfg.StrOpt("haproxy_stick_size", default=_DEFAULTS.stick_table_size, regex="^[1-9][0-9]*[kKmMgG]?$"),
    cfg.IntOpt("default_connection_limit", default=_DEFAULTS.connection_limit, min=1, max=1_000_000),
    cfg.IntOpt("timeout_client_data", default=_DEFAULTS.timeout_client_data, min=1, max=_LONGEST),
    cfg.IntOpt("timeout_member_connect", default=_DEFAULTS.timeout_member_connect, min=1, max=_LONGEST),
    cfg.IntOpt("timeout_member_data", default=_DEFAULTS.timeout_member_data, min=1, max=_LONGEST),
    cfg.IntOpt("timeout_tcp_inspect", default=_DEFAULTS.timeout_tcp_inspect, min=0, max=_LONGEST),
)
_AGENT = (
    cfg.IntOpt("user_log_facility", default=_DEFAULTS.user_log_facility, min=0, max=7),
    cfg.IntOpt("administrative_log_facility", default=_DEFAULTS.administrative_log_facility, min=0, max=7),
)
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "controller_worker": _CONTROLLER_WORKER,
    "certificates": _CERTIFICATES,
    "health_manager": _FAILOVERS,
    "house_keeping": _HOUSE_KEEPING,
    "haproxy_amphora": (*_HAPROXY, *_BUILDS, DATAGRAM_DRIVER),
    "amphora_agent": _AGENT,
    "keepalived_vrrp": _KEEPALIVED,
    "task_flow": _TASK_FLOW,
}
#: Seconds to wait for a machine and its agent: a container boots in one, a small VM in thirty.
ACTIVE_TIMEOUT = 60.0
#: Octavia's defaults of amp_active_retries and amp_active_wait_sec, for a file that sets one of them.
_OCTAVIA_RETRIES, _OCTAVIA_WAIT = 30, 10


@dataclass(frozen=True)
class AmphoraSettings:
    """What the provider needs to know."""

    topology: Topology
    """Amphorae per load balancer. Default ACTIVE_STANDBY (Octavia: SINGLE): what people expect of a
    load balancer is that it survives a machine."""

    compute_driver: str
    """Entry point in ``lbdrivers.compute``. Default ``local``: this very host, no cloud needed. Here and
    below, Octavia's names of drivers stand for ours (``names.DRIVERS``)."""

    network_driver: str
    """Entry point in ``lbdrivers.networks``."""

    amphora_driver: str
    """Entry point in ``lbdrivers.amphora``."""

    datagrams: DatagramDriver
    """Who balances datagrams: ``nftables`` (default: works on any kernel, in containers too), or
    ``keepalived_lvs`` (Octavia's way; needs IPVS in the appliance's kernel). SCTP and LEAST_CONNECTIONS of
    datagrams are claimed with the latter only."""

    certificate_driver: str
    """Entry point in ``lbdrivers.certificates``."""

    secret_store: str
    """Entry point in ``lbdrivers.secrets``: where users' certificates are. Default ``local``, files of this
    host (Octavia: Barbican)."""

    management_networks: tuple[str, ...]
    """Networks (id, or name where the driver knows names) on which agents are reached; the first is
    each machine's first interface."""

    active_timeout: float
    """Seconds until a machine that does not answer counts as failed: amp_active_timeout, else
    amp_active_retries times amp_active_wait_sec where a file sets one of them, else 60."""

    image: str | None
    """What machines boot from, in the compute driver's terms (a tag of images for Nova). Default None: the driver's
    own default. Amphorae that were booted from another one are outdated."""

    warm_pool: int
    """Booted amphorae that wait for a load balancer; whoever builds takes one first. Default 0: a machine on this
    host boots within a second; a cloud's takes half a minute. A spare is in no anti-affinity group, of the default
    image and flavor, and in the default zone: for others none is taken."""

    build_limit: int
    """Amphorae that all workers together build at once. Default -1: no limit, as in Octavia."""

    build_interval: float
    """Seconds between two looks of one that waits for its turn to be built."""

    build_patience: float
    """Seconds that a run waits for its turn to build or to fail over: build_active_retries times
    build_retry_interval, as in Octavia; default 600."""

    failover_rate: float
    """Failovers a second, of all workers, that nobody asked for by hand: a failure, an upgrade. Default 10: a cloud
    that lost a rack is not asked for a thousand machines in one second. 0: no limit."""

    failover_rate_per_zone: float
    """The same in one fault domain (availability zone). Default 5."""

    workers: int
    """Threads that work on one load balancer's amphorae at once. Default 8 (Octavia: 5)."""

    certificate_validity: float
    """Seconds that an agent's certificate is valid. Default 30 days, as in Octavia."""

    certificate_renewal: float
    """Seconds before its end at which an agent's certificate is renewed. Default 14 days, as in Octavia; never more
    than half of ``certificate_validity``, or a new one would be due at once."""

    memory_of_gone: float
    """Seconds for which a removed amphora is remembered, so that what turns up under its name later is known
    for ours. Default 7 days, as in Octavia."""

    timers: VrrpTimers
    """VRRP version 3 with an advertisement every 0.1 s by default (Octavia: version 2, 1 s), so that
    a backup takes over in about 0.4 s instead of 3."""

    traffic: TrafficOptions
    """What every HAProxy is told: logs, sizes, timeouts of listeners that say 0. Names and defaults are
    Octavia's, in [haproxy_amphora] and [amphora_agent]."""

    heartbeats: HeartbeatSettings = field(default_factory=HeartbeatSettings)
    """Where amphorae send heartbeats, and how."""


def read(configuration: cfg.ConfigOpts) -> AmphoraSettings:
    """The provider's settings out of parsed configuration.

    :raises InvalidInput: on a bad value; names section, option and what is allowed.
    """
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    try:
        worker, vrrp = configuration.controller_worker, configuration.keepalived_vrrp
        if not worker.amp_boot_network_list:
            problem = Problem("[controller_worker] amp_boot_network_list", "", "is empty", "name a management network")
            raise InvalidInput((problem,))
        return AmphoraSettings(
            topology=Topology(worker.loadbalancer_topology),
            compute_driver=driver(worker.compute_driver),
            network_driver=driver(worker.network_driver),
            amphora_driver=driver(worker.amphora_driver),
            datagrams=DatagramDriver(configuration.haproxy_amphora.datagram_driver),
            certificate_driver=driver(configuration.certificates.cert_generator),
            secret_store=driver(configuration.certificates.cert_manager),
            management_networks=tuple(worker.amp_boot_network_list),
            active_timeout=_active_timeout(worker),
            image=worker.amp_image_tag or None,
            warm_pool=configuration.house_keeping.spare_amphora_pool_size,
            build_limit=configuration.haproxy_amphora.build_rate_limit,
            build_interval=configuration.haproxy_amphora.build_retry_interval,
            build_patience=configuration.haproxy_amphora.build_active_retries
            * configuration.haproxy_amphora.build_retry_interval,
            failover_rate=configuration.health_manager.failover_rate,
            failover_rate_per_zone=configuration.health_manager.failover_rate_per_zone,
            workers=configuration.task_flow.max_workers,
            certificate_validity=float(configuration.certificates.cert_validity_time),
            certificate_renewal=min(
                float(configuration.house_keeping.cert_expiry_buffer), configuration.certificates.cert_validity_time / 2
            ),
            memory_of_gone=float(configuration.house_keeping.amphora_expiry_age),
            timers=VrrpTimers(
                version=vrrp.vrrp_version,
                advertisement_interval=vrrp.vrrp_advert_int,
                check_interval=vrrp.vrrp_check_interval,
                check_fall=vrrp.vrrp_fail_count,
                check_rise=vrrp.vrrp_success_count,
                garp_refresh_interval=vrrp.vrrp_garp_refresh_interval,
                garp_refresh_count=vrrp.vrrp_garp_refresh_count,
            ),
            traffic=_traffic(configuration),
            heartbeats=read_heartbeats(configuration),
        )
    except (cfg.Error, ValueError) as error:
        raise refusal(error) from error


def _traffic(configuration: cfg.ConfigOpts) -> TrafficOptions:
    haproxy, agent = configuration.haproxy_amphora, configuration.amphora_agent
    try:
        token(haproxy.user_log_format)
    except ValueError as error:
        problem = Problem("[haproxy_amphora] user_log_format", "", f"{error}", "write it on one line")
        raise InvalidInput((problem,)) from error
    return TrafficOptions(
        connection_logging=haproxy.connection_logging,
        log_format=haproxy.user_log_format,
        user_log_facility=agent.user_log_facility,
        administrative_log_facility=agent.administrative_log_facility,
        stick_table_size=haproxy.haproxy_stick_size,
        connection_limit=haproxy.default_connection_limit,
        timeout_client_data=haproxy.timeout_client_data,
        timeout_member_connect=haproxy.timeout_member_connect,
        timeout_member_data=haproxy.timeout_member_data,
        timeout_tcp_inspect=haproxy.timeout_tcp_inspect,
        tls=read_tls(configuration),
    )


def _active_timeout(worker: cfg.ConfigOpts) -> float:
    if worker.amp_active_timeout is not None:
        return float(worker.amp_active_timeout)
    retries, wait = worker.amp_active_retries, worker.amp_active_wait_sec
    if retries is None and wait is None:
        return ACTIVE_TIMEOUT
    return float((retries or _OCTAVIA_RETRIES) * (wait or _OCTAVIA_WAIT))
