"""One UDP or SCTP listener of the tree -> configuration of its keepalived, for a kernel with IPVS.

Law: pure. What IPVS or keepalived cannot do as asked is refused with UnsupportedError, never left
out in silence. Names of groups and the comments with ids are part of the interface: agents read
statuses out of the file.

Sources: keepalived.conf(5), ipvsadm(8).
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Mapping

from lbdrivers.drivers.amphora import Bundle, Facts
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import (
    Algorithm,
    HealthMonitor,
    HttpMethod,
    Listener,
    ListenerProtocol,
    Member,
    MonitorType,
    Pool,
    SessionPersistence,
)
from lbdrivers_amphora.keepalived import lvs_ir as ir
from lbdrivers_amphora.keepalived.quote import quote, url_path

#: Listeners that IPVS serves; HAProxy serves the others.
PROTOCOLS = (ListenerProtocol.UDP, ListenerProtocol.SCTP)
#: Network namespace of traffic on every appliance; agents look for the name in the file.
NAMESPACE = "amphora-haproxy"
# Weighted kinds throughout, so that weights count. Maglev hashing moves few clients when members
# change, and both amphorae of a pair agree; with the fallback a client of a member that drains, or
# is full, goes to another one instead of nowhere (ipvsadm(8), "mh").
_SCHEDULERS: Mapping[Algorithm, tuple[str, tuple[str, ...]]] = {
    Algorithm.ROUND_ROBIN: ("wrr", ()),
    Algorithm.LEAST_CONNECTIONS: ("wlc", ()),
    Algorithm.SOURCE_IP: ("mh", ("mh-fallback",)),
    Algorithm.SOURCE_IP_PORT: ("mh", ("mh-port", "mh-fallback")),
}
# Octavia's defaults.
_PERSISTENCE_TIMEOUT = 360
_WHOLE_ADDRESS = {4: "255.255.255.255", 6: "128"}
_HIGHEST_CODE = 599
# The checker of SCTP ends by itself after its timeout; keepalived ends it a second later.
_GRACE = 1


def translate(bundle: Bundle, facts: Facts, listener: Listener) -> ir.Configuration:
    """What the listener's keepalived on this appliance has to do.

    :param listener: one of the bundle's tree, over UDP or SCTP.
    :raises UnsupportedError: names the pool, monitor or member that IPVS cannot serve.
    """
    tree = bundle.load_balancer
    enabled = tree.admin_state_up and listener.admin_state_up
    pool = tree.pool(listener.default_pool_id) if enabled and listener.default_pool_id is not None else None
    servers: tuple[ir.VirtualServer, ...] = ()
    if pool is not None:
        families = dict.fromkeys((4, 6))
        addresses = {one: tuple(vip.address for vip in bundle.vips if _family(vip.address) == one) for one in families}
        _check(pool, addresses)
        servers = tuple(_server(listener, pool, one, addresses[one], facts) for one in families if addresses[one])
    return ir.Configuration(
        load_balancer_id=tree.id,
        listener_id=listener.id,
        namespace=NAMESPACE,
        enabled=enabled,
        pool=None if pool is None else ir.Pool(pool.id, pool.admin_state_up),
        servers=servers,
        script_security=facts.haproxy_user is not None,
    )


def _family(address: str) -> int:
    return ipaddress.ip_address(address).version


def _check(pool: Pool, addresses: Mapping[int, tuple[str, ...]]) -> None:
    for member in pool.members:
        if member.backup:
            raise UnsupportedError(
                f"a {pool.protocol} pool has no backup members: IPVS uses all of them", object_id=member.id
            )
        if not addresses[_family(member.address)]:
            raise UnsupportedError(
                f"the member {member.address} cannot be reached: no VIP is of its family, and IPVS translates none",
                object_id=member.id,
            )


def _server(listener: Listener, pool: Pool, family: int, addresses: tuple[str, ...], facts: Facts) -> ir.VirtualServer:
    scheduler, flags = _SCHEDULERS[pool.lb_algorithm]
    monitor = pool.healthmonitor
    if monitor is not None and not (monitor.admin_state_up and pool.admin_state_up):
        monitor = None
    limit = listener.connection_limit if listener.connection_limit > 0 else None
    members = [member for member in pool.members if _family(member.address) == family and pool.admin_state_up]
    return ir.VirtualServer(
        name=f"ipv{family}-group",
        addresses=addresses,
        port=listener.protocol_port,
        protocol=listener.protocol.value,
        scheduler=scheduler,
        flags=flags,
        persistence=_persistence(pool.session_persistence, family),
        monitor=None if monitor is None else ir.Monitor(monitor.id, monitor.delay),
        servers=tuple(_real_server(m, limit, monitor, facts) for m in members if m.admin_state_up),
        disabled=tuple(member.id for member in members if not member.admin_state_up),
    )


def _persistence(persistence: SessionPersistence | None, family: int) -> ir.Persistence | None:
    """A granularity of the other family says nothing about this one: there each address is its own."""
    if persistence is None:
        return None
    granularity = _WHOLE_ADDRESS[family]
    mask = persistence.persistence_granularity
    if mask is not None and _family(mask) == family:
        granularity = mask if family == 4 else str(int(ipaddress.ip_address(mask)).bit_count())
    return ir.Persistence(persistence.persistence_timeout or _PERSISTENCE_TIMEOUT, granularity)


def _real_server(member: Member, limit: int | None, monitor: HealthMonitor | None, facts: Facts) -> ir.RealServer:
    return ir.RealServer(
        member_id=member.id,
        address=member.address,
        port=member.protocol_port,
        weight=member.weight,
        connection_limit=limit,
        checker=None if monitor is None else _checker(monitor, member, facts),
    )


def _checker(monitor: HealthMonitor, member: Member, facts: Facts) -> ir.Checker:
    address = member.monitor_address or member.address
    port = member.monitor_port or member.protocol_port
    try:
        return _CHECKERS[monitor.type](monitor, address, port, facts)
    except KeyError:
        raise UnsupportedError(f"IPVS has no monitor of type {monitor.type}", object_id=monitor.id) from None


def _retries(monitor: HealthMonitor) -> int:
    """keepalived's ``retry`` counts the failures before the one that takes a member down."""
    return monitor.max_retries_down - 1


def _udp(monitor: HealthMonitor, address: str, port: int, facts: Facts) -> ir.Checker:
    command = (f"{facts.base_path}/lvs/check/udp_check.sh", address, str(port))
    return ir.MiscCheck(command, monitor.timeout, _retries(monitor))


def _sctp(monitor: HealthMonitor, address: str, port: int, facts: Facts) -> ir.Checker:
    del facts
    command = ("amphora-health-checker", "sctp", "-t", str(monitor.timeout), address, str(port))
    return ir.MiscCheck(command, monitor.timeout + _GRACE, _retries(monitor))


def _tcp(monitor: HealthMonitor, address: str, port: int, facts: Facts) -> ir.Checker:
    del facts
    return ir.TcpCheck(address, port, monitor.timeout, _retries(monitor))


def _http(monitor: HealthMonitor, address: str, port: int, facts: Facts) -> ir.Checker:
    del facts
    if monitor.http_method not in (None, HttpMethod.GET):
        raise UnsupportedError(
            f"keepalived checks with GET only, not with {monitor.http_method}; change http_method",
            object_id=monitor.id,
        )
    path = monitor.url_path or "/"
    try:
        url_path(path)
    except ValueError as error:
        raise UnsupportedError(f"the monitor cannot be carried out: {error}", object_id=monitor.id) from error
    return ir.HttpCheck(
        address=address,
        port=port,
        timeout=monitor.timeout,
        retries=_retries(monitor),
        path=path,
        codes=_codes(monitor),
        protocol=None if monitor.http_version is None else f"{monitor.http_version}",
        virtual_host=None if monitor.domain_name is None else quote(monitor.domain_name),
    )


def _codes(monitor: HealthMonitor) -> tuple[str, ...]:
    """Codes sorted, each once, or one range. All stand in one ``url`` block: of several blocks
    keepalived wants every one to succeed."""
    codes = tuple(sorted(set((monitor.expected_codes or "200").split(","))))
    for code in itertools.chain.from_iterable(code.split("-") for code in codes):
        if not 100 <= int(code) <= _HIGHEST_CODE:
            raise UnsupportedError(
                f"keepalived expects codes from 100 to {_HIGHEST_CODE}, not {code}", object_id=monitor.id
            )
    return codes


_CHECKERS: Mapping[MonitorType, Callable[[HealthMonitor, str, int, Facts], ir.Checker]] = {
    MonitorType.UDP_CONNECT: _udp,
    MonitorType.SCTP: _sctp,
    MonitorType.TCP: _tcp,
    MonitorType.HTTP: _http,
}
