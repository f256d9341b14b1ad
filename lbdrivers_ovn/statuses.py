"""Operating statuses of a load balancer, out of its rows and what OVN's monitors say.

Law: pure. A member that is probed and of which nothing is heard yet counts as ONLINE, because OVN sends to it; one that
nobody can probe, because its address is no port's, is in ERROR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lbdrivers.model.resources import LoadBalancer, Member, Pool
from lbdrivers.model.status import OperatingStatus
from lbdrivers_ovn.translate import monitored, transport

ONLINE, OFFLINE = OperatingStatus.ONLINE, OperatingStatus.OFFLINE
ERROR, DEGRADED = OperatingStatus.ERROR, OperatingStatus.DEGRADED


@dataclass(frozen=True)
class Monitor:
    """A Service_Monitor of the southbound database: who is probed, and how it went.

    :param protocol: tcp or udp.
    :param status: online, offline or error; empty before the first answer.
    """

    port: str
    address: str
    number: int
    protocol: str
    status: str


def member_status(
    pool: Pool, member: Member, monitors: Mapping[tuple[str, int, str], Monitor], probed: Iterable[str]
) -> OperatingStatus:
    """Of one member.

    :param monitors: by address, port and protocol. :param probed: addresses that OVN is told to probe.
    """
    if not member.admin_state_up:
        return OFFLINE
    if not monitored(pool):
        return OperatingStatus.NO_MONITOR
    if member.address not in probed:
        return ERROR
    found = monitors.get((member.address, member.protocol_port, transport(pool)))
    return ERROR if found is not None and found.status in ("offline", "error") else ONLINE


def operating_statuses(
    tree: LoadBalancer, monitors: Iterable[Monitor], probed: frozenset[str]
) -> dict[str, OperatingStatus]:
    """Of every resource, by id.

    :param tree: what the rows stand for. :param probed: addresses that OVN is told to probe.
    """
    known = {(one.address, one.number, one.protocol): one for one in monitors}
    found: dict[str, OperatingStatus] = {}
    used = {listener.default_pool_id for listener in tree.listeners if tree.admin_state_up and listener.admin_state_up}
    for pool in tree.pools:
        members = {member.id: member_status(pool, member, known, probed) for member in pool.members}
        found |= members
        found[pool.id] = _of_pool(tuple(members.values())) if pool.admin_state_up and pool.id in used else OFFLINE
        if pool.healthmonitor is not None:
            found[pool.healthmonitor.id] = ONLINE if pool.healthmonitor.admin_state_up else OFFLINE
    for listener in tree.listeners:
        below = [found[listener.default_pool_id]] if listener.default_pool_id else []
        up = tree.admin_state_up and listener.admin_state_up
        found[listener.id] = _rolled(below) if up else OFFLINE
    listeners = [found[one.id] for one in tree.listeners]
    found[tree.id] = _rolled(listeners) if tree.admin_state_up else OFFLINE
    return found


def _of_pool(members: tuple[OperatingStatus, ...]) -> OperatingStatus:
    serving = [status for status in members if status is not OFFLINE]
    if serving and all(status is ERROR for status in serving):
        return ERROR
    return DEGRADED if ERROR in serving else ONLINE


def _rolled(below: Iterable[OperatingStatus]) -> OperatingStatus:
    """What is above the others: in ERROR if any is, DEGRADED if any is."""
    present = set(below)
    return next((status for status in (ERROR, DEGRADED) if status in present), ONLINE)
