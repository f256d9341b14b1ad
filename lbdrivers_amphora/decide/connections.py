"""What the amphora provider does with connections; with datagrams see ``datagrams``.

Law: pure data, shared by the provider, the kit and the golden files.
"""

from __future__ import annotations

from lbdrivers.features import Feature

FEATURES = frozenset(
    {
        Feature.LISTENER_TCP,
        Feature.LISTENER_HTTP,
        Feature.LISTENER_HTTPS,
        Feature.LISTENER_PROMETHEUS,
        Feature.LISTENER_TERMINATED_HTTPS,
        Feature.LISTENER_ALLOWED_CIDRS,
        Feature.LISTENER_CONNECTION_LIMIT,
        Feature.LISTENER_INSERT_HEADERS,
        Feature.LISTENER_TIMEOUTS,
        Feature.ALGORITHM_ROUND_ROBIN,
        Feature.ALGORITHM_LEAST_CONNECTIONS,
        Feature.ALGORITHM_SOURCE_IP,
        Feature.PERSISTENCE_SOURCE_IP,
        Feature.PERSISTENCE_HTTP_COOKIE,
        Feature.PERSISTENCE_APP_COOKIE,
        Feature.POOL_PROXY,
        Feature.POOL_TLS,
        Feature.MEMBER_WEIGHT,
        Feature.MEMBER_BACKUP,
        Feature.MEMBER_MONITOR_ADDRESS,
        Feature.MONITOR_HTTP,
        Feature.MONITOR_HTTPS,
        Feature.MONITOR_TCP,
        Feature.MONITOR_PING,
        Feature.MONITOR_TLS_HELLO,
        Feature.L7,
        Feature.VIP_ADDITIONAL,
        Feature.FLAVOR,
        Feature.AVAILABILITY_ZONE,
        Feature.STATISTICS,
        Feature.FAILOVER,
    }
)
