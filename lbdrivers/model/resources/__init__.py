"""The tree: LoadBalancer > Listener, Pool > Member, HealthMonitor; Listener > L7Policy > L7Rule.

Law: one frozen tree, parsed once; a value that exists is valid. Pools belong to the load balancer
and are referred to by id, so that listeners and policies can share them; children know no parents.
Field names, types, ranges and defaults are those of the v2 load-balancing API.
"""

from __future__ import annotations

from lbdrivers.model.resources.base import Resource
from lbdrivers.model.resources.enums import (
    Algorithm,
    AlpnProtocol,
    ClientAuthentication,
    CompareType,
    HttpMethod,
    ListenerProtocol,
    MonitorType,
    PersistenceType,
    PolicyAction,
    PoolProtocol,
    RuleType,
    TlsVersion,
)
from lbdrivers.model.resources.flavor import (
    NOTHING,
    AvailabilityZone,
    AvailabilityZoneProfile,
    Flavor,
    FlavorProfile,
)
from lbdrivers.model.resources.health_monitor import UDP_CONNECT_MINIMUM_DELAY, HealthMonitor
from lbdrivers.model.resources.l7 import L7Policy, L7Rule
from lbdrivers.model.resources.listener import (
    COMPATIBLE_POOLS,
    HTTP_LISTENERS,
    INSERTABLE_HEADERS,
    INSERTABLE_TLS_HEADERS,
    Listener,
)
from lbdrivers.model.resources.load_balancer import AdditionalVip, LoadBalancer
from lbdrivers.model.resources.pool import DATAGRAM_POOLS, Member, Pool, SessionPersistence

__all__ = [
    "COMPATIBLE_POOLS",
    "DATAGRAM_POOLS",
    "HTTP_LISTENERS",
    "INSERTABLE_HEADERS",
    "INSERTABLE_TLS_HEADERS",
    "NOTHING",
    "UDP_CONNECT_MINIMUM_DELAY",
    "AdditionalVip",
    "Algorithm",
    "AlpnProtocol",
    "AvailabilityZone",
    "AvailabilityZoneProfile",
    "ClientAuthentication",
    "CompareType",
    "Flavor",
    "FlavorProfile",
    "HealthMonitor",
    "HttpMethod",
    "L7Policy",
    "L7Rule",
    "Listener",
    "ListenerProtocol",
    "LoadBalancer",
    "Member",
    "MonitorType",
    "PersistenceType",
    "PolicyAction",
    "Pool",
    "PoolProtocol",
    "Resource",
    "RuleType",
    "SessionPersistence",
    "TlsVersion",
]
