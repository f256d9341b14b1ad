"""The tree as an appliance gets it -> what its kernel shall do with datagrams.

Law: pure and total over UDP listeners; what nftables cannot do as asked is refused with
UnsupportedError, never left out in silence. ``refuse`` needs nothing but the tree and comes before
anything is touched. What IPVS can do besides stands in docs/differences.md.
"""

from __future__ import annotations

import ipaddress

from lbdrivers.drivers.amphora import Bundle
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import (
    DATAGRAM_POOLS,
    Algorithm,
    HealthMonitor,
    HttpMethod,
    Listener,
    ListenerProtocol,
    LoadBalancer,
    Member,
    MonitorType,
    Pool,
    SessionPersistence,
)
from lbdrivers_amphora.nftables.ir import (
    Affinity,
    Balance,
    Configuration,
    HttpProbe,
    Monitor,
    ProbeKind,
    Service,
    family,
)
from lbdrivers_amphora.nftables.ir import Member as Target
from lbdrivers_amphora.nftables.ir import Pool as Targets
from lbdrivers_amphora.nftables.ring import SLOTS

#: Seconds that a client stays at its member, unless the pool says otherwise (as in Octavia and IPVS).
PERSISTENCE_TIMEOUT = 360
_BALANCE = {
    Algorithm.ROUND_ROBIN: Balance.ROUND_ROBIN,
    Algorithm.SOURCE_IP: Balance.SOURCE_IP,
    Algorithm.SOURCE_IP_PORT: Balance.SOURCE_IP_PORT,
}
_PROBES = {
    MonitorType.UDP_CONNECT: ProbeKind.UDP_CONNECT,
    MonitorType.TCP: ProbeKind.TCP,
    MonitorType.HTTP: ProbeKind.HTTP,
}


def refuse(tree: LoadBalancer) -> None:
    """Refuse a tree whose datagrams nftables cannot balance as it wants.

    :raises UnsupportedError: names the listener or pool, and what to do.
    """
    for listener in tree.listeners:
        if listener.protocol is ListenerProtocol.SCTP:
            raise UnsupportedError("SCTP needs IPVS; nftables balances UDP only", object_id=listener.id)
    for pool in tree.pools:
        if pool.protocol in DATAGRAM_POOLS:
            _refuse_pool(pool)


def _refuse_pool(pool: Pool) -> None:
    if pool.lb_algorithm not in _BALANCE:
        raise UnsupportedError(
            f"nftables does not know how busy a member is, so that a {pool.protocol} pool cannot use "
            f"{pool.lb_algorithm}; use {', '.join(_BALANCE)}",
            object_id=pool.id,
        )
    monitor = pool.healthmonitor
    if monitor is not None and monitor.type not in _PROBES:
        raise UnsupportedError(
            f"members of a {pool.protocol} pool cannot be probed by {monitor.type}; use {', '.join(_PROBES)}",
            object_id=monitor.id,
        )
    if len(pool.members) > SLOTS:
        raise UnsupportedError(f"a {pool.protocol} pool has {SLOTS} members at most", object_id=pool.id)


def translate(bundle: Bundle) -> Configuration:
    """What this appliance has to do with datagrams; without services when there is nothing.

    :raises UnsupportedError: names the listener, pool or member that nftables cannot serve.
    """
    tree = bundle.load_balancer
    refuse(tree)
    if not tree.admin_state_up:
        return Configuration(tree.id)
    vips = tuple(vip.address for vip in bundle.vips)
    services = tuple(
        _service(listener, tree, vips)
        for listener in tree.listeners
        if listener.admin_state_up and listener.protocol is ListenerProtocol.UDP
    )
    return Configuration(tree.id, services)


def _service(listener: Listener, tree: LoadBalancer, vips: tuple[str, ...]) -> Service:
    pool = None if listener.default_pool_id is None else tree.pool(listener.default_pool_id)
    if pool is not None:
        _refuse_unreachable(pool, vips)
    return Service(
        listener_id=listener.id,
        addresses=vips,
        port=listener.protocol_port,
        limit=listener.connection_limit if listener.connection_limit > 0 else None,
        allowed=tuple(str(ipaddress.ip_network(cidr)) for cidr in listener.allowed_cidrs),
        pool=_pool(pool) if pool is not None and pool.admin_state_up else None,
    )


def _refuse_unreachable(pool: Pool, vips: tuple[str, ...]) -> None:
    """Datagrams are passed on as they are: IPv4 to IPv4, IPv6 to IPv6."""
    families = {family(vip) for vip in vips}
    for member in pool.members:
        if family(member.address) not in families:
            raise UnsupportedError(
                f"the member {member.address} of a {pool.protocol} pool needs an IPv{family(member.address)} VIP",
                object_id=member.id,
            )


def _pool(pool: Pool) -> Targets:
    monitor = pool.healthmonitor
    return Targets(
        id=pool.id,
        balance=_BALANCE[pool.lb_algorithm],
        members=tuple(map(_member, pool.members)),
        affinity=None if pool.session_persistence is None else _affinity(pool.session_persistence),
        monitor=None if monitor is None or not monitor.admin_state_up else _monitor(monitor),
    )


def _member(member: Member) -> Target:
    return Target(
        id=member.id,
        address=member.address,
        port=member.protocol_port,
        weight=member.weight,
        enabled=member.admin_state_up,
        backup=member.backup,
        probe_address=member.monitor_address,
        probe_port=member.monitor_port,
    )


def _affinity(persistence: SessionPersistence) -> Affinity:
    """A granularity speaks of one family; clients of the other are told apart by their whole address."""
    timeout, mask = persistence.persistence_timeout or PERSISTENCE_TIMEOUT, persistence.persistence_granularity
    if mask is None:
        return Affinity(timeout)
    prefix = f"{int(ipaddress.ip_address(mask)):b}".count("1")
    return Affinity(timeout, prefix4=prefix) if family(mask) == 4 else Affinity(timeout, prefix6=prefix)


def _monitor(monitor: HealthMonitor) -> Monitor:
    return Monitor(
        kind=_PROBES[monitor.type],
        delay=monitor.delay,
        timeout=monitor.timeout,
        rise=monitor.max_retries,
        fall=monitor.max_retries_down,
        http=_http(monitor) if monitor.type is MonitorType.HTTP else None,
    )


def _http(monitor: HealthMonitor) -> HttpProbe:
    codes = (part.partition("-") for part in (monitor.expected_codes or "200").split(","))
    return HttpProbe(
        method=(monitor.http_method or HttpMethod.GET).value,
        path=monitor.url_path or "/",
        version=f"{monitor.http_version or 1.0:.1f}",
        host=monitor.domain_name,
        codes=tuple((int(low), int(high or low)) for low, _, high in codes),
    )
