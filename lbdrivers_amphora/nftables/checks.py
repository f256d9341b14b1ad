"""Health of members: who is probed, and how probes make a member go down and come up.

Law: pure. The state machine is the table below: a probe that agrees with a member's standing settles
it, one that opposes it counts, and so many in a row turn it. A member that nobody probed yet is up,
as in keepalived and HAProxy.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from lbdrivers_amphora.nftables.ir import Configuration, Monitor


class Standing(enum.StrEnum):
    UP = "UP"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True)
class Health:
    """How a member stands, and how many probes in a row oppose that."""

    standing: Standing = Standing.UP
    opposed: int = 0


#: (standing, whether the probe was good) -> (threshold to reach, standing from there on), or None where
#: the probe agrees. Everything that turns a member stands here.
TRANSITIONS: Mapping[tuple[Standing, bool], tuple[str, Standing] | None] = {
    (Standing.UP, True): None,
    (Standing.UP, False): ("fall", Standing.DOWN),
    (Standing.DOWN, True): ("rise", Standing.UP),
    (Standing.DOWN, False): None,
}


def probed(health: Health, good: bool, monitor: Monitor) -> Health:
    """Health after one more probe."""
    turn = TRANSITIONS[health.standing, good]
    if turn is None:
        return Health(health.standing)
    threshold, then = turn
    if health.opposed + 1 >= getattr(monitor, threshold):
        return Health(then)
    return Health(health.standing, health.opposed + 1)


@dataclass(frozen=True, slots=True)
class Target:
    """One member as it is probed."""

    address: str
    port: int
    monitor: Monitor

    def is_at(self, other: Target) -> bool:
        """Whether both are probed at the same place."""
        return (self.address, self.port) == (other.address, other.port)


def targets(configuration: Configuration) -> dict[str, Target]:
    """Whom to probe, by member id; a member of a pool behind several listeners once."""
    return {
        member.id: Target(member.probe_address or member.address, member.probe_port or member.port, pool.monitor)
        for service in configuration.services
        if (pool := service.pool) is not None and pool.monitor is not None
        for member in pool.members
        if member.enabled
    }


def still_down(down: frozenset[str], before: Configuration, after: Configuration) -> frozenset[str]:
    """Who is down after a change: who was, and is probed where it was. Whoever moved gets a fresh chance."""
    old, new = targets(before), targets(after)
    return frozenset(one for one in down if one in old and one in new and old[one].is_at(new[one]))
