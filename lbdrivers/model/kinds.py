"""The kinds of resources: their names, what they hold, and what of them is settled at birth.

Law: pure tables; nobody else writes down which field of which resource holds children.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import TypeAlias

from lbdrivers.model.resources import HealthMonitor, L7Policy, L7Rule, Listener, LoadBalancer, Member, Pool


class Kind(enum.StrEnum):
    """What a resource is; the words are those of ``LoadBalancer.walk``."""

    LOAD_BALANCER = "loadbalancer"
    POOL = "pool"
    HEALTH_MONITOR = "healthmonitor"
    MEMBER = "member"
    LISTENER = "listener"
    L7POLICY = "l7policy"
    L7RULE = "l7rule"


AnyResource: TypeAlias = LoadBalancer | Listener | Pool | Member | HealthMonitor | L7Policy | L7Rule

#: kind -> its fields that hold children, with the children's kind.
CHILDREN: dict[Kind, dict[str, Kind]] = {
    Kind.LOAD_BALANCER: {"pools": Kind.POOL, "listeners": Kind.LISTENER},
    Kind.POOL: {"healthmonitor": Kind.HEALTH_MONITOR, "members": Kind.MEMBER},
    Kind.LISTENER: {"l7policies": Kind.L7POLICY},
    Kind.L7POLICY: {"rules": Kind.L7RULE},
    Kind.HEALTH_MONITOR: {},
    Kind.MEMBER: {},
    Kind.L7RULE: {},
}

#: kind -> fields that the v2 API takes at creation only. The load balancer's own are not here:
#: replacing the whole for one of them would take its VIP away, so they are shown as updates and it
#: is for the provider to refuse what it cannot change.
CREATE_ONLY: dict[Kind, tuple[str, ...]] = {
    Kind.LOAD_BALANCER: (),
    Kind.POOL: ("protocol",),
    Kind.LISTENER: ("protocol", "protocol_port"),
    Kind.MEMBER: ("address", "protocol_port", "subnet_id", "request_sriov"),
    Kind.HEALTH_MONITOR: ("type",),
    Kind.L7POLICY: (),
    Kind.L7RULE: (),
}


def children(resource: AnyResource, kind: Kind) -> Iterator[tuple[Kind, AnyResource]]:
    """The resource's direct children with their kinds, in the order of ``LoadBalancer.walk``."""
    for field, child_kind in CHILDREN[kind].items():
        value = getattr(resource, field)
        if isinstance(value, tuple):
            for child in value:
                yield child_kind, child
        elif value is not None:
            yield child_kind, value
