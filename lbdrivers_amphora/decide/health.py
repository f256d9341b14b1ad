"""Operating statuses: a pure function of what is wanted and what the amphorae report.

Law: no side effects, no clock. Rules are those of Octavia's health manager (features of the v2
API): a listener that should be there and is not is ERROR; a pool that is DOWN is ERROR; a pool
with a member in ERROR is DEGRADED; the load balancer is as bad as its worst part that serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbdrivers.drivers.amphora import ApplianceReport, PoolState
from lbdrivers.drivers.provider import Statistics
from lbdrivers.model.resources import Listener, LoadBalancer, Member, Pool
from lbdrivers.model.status import OperatingStatus

_O = OperatingStatus
_LISTENER = {"OPEN": _O.ONLINE, "FULL": _O.DEGRADED}
_POOL = {"UP": _O.ONLINE, "DOWN": _O.ERROR}
#: beginning of HAProxy's word for a server -> status.
_MEMBER = (
    ("UP", _O.ONLINE),
    ("DOWN", _O.ERROR),
    ("DRAIN", _O.DRAINING),
    ("MAINT", _O.OFFLINE),
    ("no check", _O.NO_MONITOR),
)


def operating_statuses(tree: LoadBalancer, reports: Iterable[ApplianceReport]) -> dict[str, OperatingStatus]:
    """Operating status of every resource of the tree, by id.

    The amphora that holds the VIP is believed; without one, the first that answered; without any,
    everything is OFFLINE and the load balancer ERROR.
    """
    report = _authority(reports)
    statuses: dict[str, OperatingStatus] = {}
    if report is None:
        for _, resource in tree.walk():
            statuses[resource.id] = _O.OFFLINE
        statuses[tree.id] = _O.ERROR if tree.admin_state_up else _O.OFFLINE
        return statuses
    states = _by_pool(report)
    overall = _O.ONLINE if tree.admin_state_up else _O.OFFLINE
    for pool in tree.pools:
        status = _pool(pool, states.get(pool.id, ()), statuses)
        if status in (_O.ERROR, _O.DEGRADED):
            overall = _worse(overall, status)
    for listener in tree.listeners:
        status = _listener(tree, listener, report)
        statuses[listener.id] = status
        if status in (_O.ERROR, _O.DEGRADED):
            overall = _worse(overall, status)
        for policy in listener.l7policies:
            statuses[policy.id] = _administrative(policy.admin_state_up)
            statuses.update((rule.id, _administrative(rule.admin_state_up)) for rule in policy.rules)
    statuses[tree.id] = overall
    return statuses


def _authority(reports: Iterable[ApplianceReport]) -> ApplianceReport | None:
    found = list(reports)
    return next((report for report in found if report.holds_vip), found[0] if found else None)


def _by_pool(report: ApplianceReport) -> dict[str, list[PoolState]]:
    """A pool is reported once per listener that uses it, as "<pool>:<listener>"."""
    states: dict[str, list[PoolState]] = {}
    for key, state in report.pools.items():
        states.setdefault(key.rpartition(":")[0] or key, []).append(state)
    return states


def _administrative(up: bool) -> OperatingStatus:
    return _O.ONLINE if up else _O.OFFLINE


def _worse(one: OperatingStatus, other: OperatingStatus) -> OperatingStatus:
    if one is _O.OFFLINE:
        return one
    return _O.ERROR if _O.ERROR in (one, other) else other


def _listener(tree: LoadBalancer, listener: Listener, report: ApplianceReport) -> OperatingStatus:
    reported = report.listeners.get(listener.id)
    if reported is None:
        return _O.ERROR if listener.admin_state_up and tree.admin_state_up else _O.OFFLINE
    return _LISTENER.get(reported[0], _O.ERROR)


def _pool(pool: Pool, states: Iterable[PoolState], statuses: dict[str, OperatingStatus]) -> OperatingStatus:
    """Fill in the pool, its monitor and its members; the pool's status is returned as well."""
    states = list(states)
    status = _O.OFFLINE
    for state in states:
        status = _POOL.get(state.status, _O.ERROR) if status is not _O.ERROR else status
    for member in pool.members:
        statuses[member.id] = _member(member, states)
        if statuses[member.id] is _O.ERROR and status is _O.ONLINE:
            status = _O.DEGRADED
    if pool.healthmonitor is not None:
        statuses[pool.healthmonitor.id] = _administrative(pool.healthmonitor.admin_state_up)
    statuses[pool.id] = status
    return status


def _member(member: Member, states: Iterable[PoolState]) -> OperatingStatus:
    for state in states:
        reported = state.members.get(member.id)
        if reported is not None:
            return next((s for word, s in _MEMBER if reported.status.startswith(word)), _O.ERROR)
    return _O.OFFLINE


def total_statistics(parts: Iterable[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """Sum of several sets of per-listener statistics."""
    total: dict[str, Statistics] = {}
    for part in parts:
        for listener_id, statistics in part.items():
            total[listener_id] = total.get(listener_id, Statistics()) + statistics
    return total
