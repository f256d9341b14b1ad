"""Feature names: what a provider can do, and what a tree needs. Shared by drivers, kit and docs.

Law: capabilities are data. ``required(tree)`` is a pure function of the tree; what a provider
lacks is refused by ``check`` before anything is touched.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import (
    DATAGRAM_POOLS,
    HTTP_LISTENERS,
    Algorithm,
    Listener,
    LoadBalancer,
    Member,
    MonitorType,
    PersistenceType,
    Pool,
    PoolProtocol,
)


class Feature(enum.StrEnum):
    """One capability; the value is its stable public name."""

    LISTENER_TCP = "listener-tcp"
    LISTENER_HTTP = "listener-http"
    LISTENER_HTTPS = "listener-https"
    LISTENER_TERMINATED_HTTPS = "listener-terminated-https"
    LISTENER_UDP = "listener-udp"
    LISTENER_SCTP = "listener-sctp"
    LISTENER_PROMETHEUS = "listener-prometheus"
    LISTENER_ALLOWED_CIDRS = "listener-allowed-cidrs"
    LISTENER_CONNECTION_LIMIT = "listener-connection-limit"
    LISTENER_INSERT_HEADERS = "listener-insert-headers"
    LISTENER_TIMEOUTS = "listener-timeouts"
    ALGORITHM_ROUND_ROBIN = "algorithm-round-robin"
    ALGORITHM_LEAST_CONNECTIONS = "algorithm-least-connections"
    ALGORITHM_SOURCE_IP = "algorithm-source-ip"
    ALGORITHM_SOURCE_IP_PORT = "algorithm-source-ip-port"
    DATAGRAM_ROUND_ROBIN = "datagram-round-robin"
    DATAGRAM_LEAST_CONNECTIONS = "datagram-least-connections"
    DATAGRAM_SOURCE_IP = "datagram-source-ip"
    DATAGRAM_SOURCE_IP_PORT = "datagram-source-ip-port"
    PERSISTENCE_SOURCE_IP = "persistence-source-ip"
    PERSISTENCE_HTTP_COOKIE = "persistence-http-cookie"
    PERSISTENCE_APP_COOKIE = "persistence-app-cookie"
    PERSISTENCE_GRANULARITY = "persistence-granularity"
    POOL_TLS = "pool-tls"
    POOL_PROXY = "pool-proxy"
    MEMBER_WEIGHT = "member-weight"
    MEMBER_BACKUP = "member-backup"
    MEMBER_MONITOR_ADDRESS = "member-monitor-address"
    MEMBER_SRIOV = "member-sriov"
    MONITOR_HTTP = "monitor-http"
    MONITOR_HTTPS = "monitor-https"
    MONITOR_TCP = "monitor-tcp"
    MONITOR_PING = "monitor-ping"
    MONITOR_TLS_HELLO = "monitor-tls-hello"
    MONITOR_UDP_CONNECT = "monitor-udp-connect"
    MONITOR_SCTP = "monitor-sctp"
    MONITOR_ACROSS_PROTOCOLS = "monitor-across-protocols"
    L7 = "l7"
    L7_WITHOUT_HTTP = "l7-without-http"
    VIP_ADDITIONAL = "vip-additional"
    VIP_QOS = "vip-qos"
    VIP_SECURITY_GROUPS = "vip-security-groups"
    FLAVOR = "flavor"
    AVAILABILITY_ZONE = "availability-zone"
    STATISTICS = "statistics"
    FAILOVER = "failover"


ALL = frozenset(Feature)

_LOAD_BALANCER_FIELDS = {
    "additional_vips": Feature.VIP_ADDITIONAL,
    "vip_qos_policy_id": Feature.VIP_QOS,
    "vip_sg_ids": Feature.VIP_SECURITY_GROUPS,
    "flavor_id": Feature.FLAVOR,
    "flavor_data": Feature.FLAVOR,
    "availability_zone": Feature.AVAILABILITY_ZONE,
    "availability_zone_data": Feature.AVAILABILITY_ZONE,
}
_TIMEOUTS = ("timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect")

_MONITORS = {
    MonitorType.HTTP: Feature.MONITOR_HTTP,
    MonitorType.HTTPS: Feature.MONITOR_HTTPS,
    MonitorType.TCP: Feature.MONITOR_TCP,
    MonitorType.PING: Feature.MONITOR_PING,
    MonitorType.TLS_HELLO: Feature.MONITOR_TLS_HELLO,
    MonitorType.UDP_CONNECT: Feature.MONITOR_UDP_CONNECT,
    MonitorType.SCTP: Feature.MONITOR_SCTP,
}
#: The monitor that speaks a protocol of datagrams itself.
_OWN_MONITORS = {PoolProtocol.UDP: MonitorType.UDP_CONNECT, PoolProtocol.SCTP: MonitorType.SCTP}
_ALGORITHMS = {
    Algorithm.ROUND_ROBIN: Feature.ALGORITHM_ROUND_ROBIN,
    Algorithm.LEAST_CONNECTIONS: Feature.ALGORITHM_LEAST_CONNECTIONS,
    Algorithm.SOURCE_IP: Feature.ALGORITHM_SOURCE_IP,
    Algorithm.SOURCE_IP_PORT: Feature.ALGORITHM_SOURCE_IP_PORT,
}
# Datagrams are balanced by another engine than connections, nearly everywhere.
_DATAGRAM_ALGORITHMS = {
    Algorithm.ROUND_ROBIN: Feature.DATAGRAM_ROUND_ROBIN,
    Algorithm.LEAST_CONNECTIONS: Feature.DATAGRAM_LEAST_CONNECTIONS,
    Algorithm.SOURCE_IP: Feature.DATAGRAM_SOURCE_IP,
    Algorithm.SOURCE_IP_PORT: Feature.DATAGRAM_SOURCE_IP_PORT,
}
_PERSISTENCE = {
    PersistenceType.SOURCE_IP: Feature.PERSISTENCE_SOURCE_IP,
    PersistenceType.HTTP_COOKIE: Feature.PERSISTENCE_HTTP_COOKIE,
    PersistenceType.APP_COOKIE: Feature.PERSISTENCE_APP_COOKIE,
}


def _needs(tree: LoadBalancer) -> Iterator[tuple[Feature, str]]:
    """Each needed feature with the name of what needs it."""
    for field, feature in _LOAD_BALANCER_FIELDS.items():
        if getattr(tree, field):
            yield feature, f"loadbalancer.{field}"
    for listener in tree.listeners:
        for feature in _listener_needs(listener):
            yield feature, f"listener {listener.name or listener.id}"
    for pool in tree.pools:
        for feature in _pool_needs(pool):
            yield feature, f"pool {pool.name or pool.id}"
        for member in pool.members:
            for feature in _member_needs(member):
                yield feature, f"pool {pool.name or pool.id}, member {member.name or member.address}"


def _listener_needs(listener: Listener) -> Iterator[Feature]:
    yield Feature(f"listener-{listener.protocol.value.lower().replace('_', '-')}")
    if listener.allowed_cidrs:
        yield Feature.LISTENER_ALLOWED_CIDRS
    if listener.connection_limit != -1:
        yield Feature.LISTENER_CONNECTION_LIMIT
    if listener.insert_headers:
        yield Feature.LISTENER_INSERT_HEADERS
    if any(getattr(listener, field) != Listener.model_fields[field].default for field in _TIMEOUTS):
        yield Feature.LISTENER_TIMEOUTS
    if listener.l7policies:
        yield Feature.L7
        if listener.protocol not in HTTP_LISTENERS:
            # The v2 API takes these, but who passes bytes on unread cannot look at requests.
            yield Feature.L7_WITHOUT_HTTP


def _pool_needs(pool: Pool) -> Iterator[Feature]:
    yield (_DATAGRAM_ALGORITHMS if pool.protocol in DATAGRAM_POOLS else _ALGORITHMS)[pool.lb_algorithm]
    if pool.protocol in (PoolProtocol.PROXY, PoolProtocol.PROXYV2):
        yield Feature.POOL_PROXY
    if pool.tls_enabled:
        yield Feature.POOL_TLS
    if pool.session_persistence is not None:
        yield _PERSISTENCE[pool.session_persistence.type]
        if pool.session_persistence.persistence_granularity is not None:
            yield Feature.PERSISTENCE_GRANULARITY
    if pool.healthmonitor is not None:
        yield _MONITORS[pool.healthmonitor.type]
        if asks_elsewhere(pool.protocol, pool.healthmonitor.type):
            yield Feature.MONITOR_ACROSS_PROTOCOLS


def asks_elsewhere(protocol: PoolProtocol, kind: MonitorType) -> bool:
    """Whether such a monitor of a pool of datagrams speaks another protocol than its members' clients do, so that
    it says nothing of the very port that serves them."""
    return protocol in DATAGRAM_POOLS and kind is not _OWN_MONITORS[protocol]


def _member_needs(member: Member) -> Iterator[Feature]:
    if member.weight != 1:
        yield Feature.MEMBER_WEIGHT
    if member.backup:
        yield Feature.MEMBER_BACKUP
    if member.monitor_address or member.monitor_port:
        yield Feature.MEMBER_MONITOR_ADDRESS
    if member.request_sriov:
        yield Feature.MEMBER_SRIOV


def required(tree: LoadBalancer) -> frozenset[Feature]:
    """Every feature that the tree needs."""
    return frozenset(feature for feature, _ in _needs(tree))


def check(provider: str, available: frozenset[Feature], tree: LoadBalancer) -> None:
    """Refuse what the provider cannot do.

    :raises UnsupportedError: names each missing feature and what needs it; or a flavor or zone of which
        nobody has said yet what it stands for.
    """
    missing = {feature: path for feature, path in _needs(tree) if feature not in available}
    if missing:
        listed = "; ".join(f"{feature} (needed by {path})" for feature, path in sorted(missing.items()))
        raise UnsupportedError(f"the provider {provider} does not support {listed}")
    for named, data in (("flavor_id", "flavor_data"), ("availability_zone", "availability_zone_data")):
        if getattr(tree, named) is not None and getattr(tree, data) is None:
            raise UnsupportedError(
                f"loadbalancer.{named} is a name that no provider knows; write {data}, what it means"
            )
