"""Operating statuses: a pure function of what is wanted and what the amphorae say.

Law: no side effects, no clock; the words are tables. Rules are those of Octavia's health manager: a
listener that should be there and is not is ERROR; a pool that is DOWN is ERROR; a pool with a member in
ERROR is DEGRADED; the load balancer is as bad as its worst part that serves. Of a pair the one that holds
the VIP is believed, as clients meet that one; where nobody says who holds it, the graver word counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lbdrivers.drivers.amphora import ApplianceReport
from lbdrivers.drivers.provider import Statistics
from lbdrivers.model.resources import HealthMonitor, L7Policy, L7Rule, Listener, ListenerProtocol, LoadBalancer
from lbdrivers.model.status import OperatingStatus, worst
from lbdrivers_amphora.wire.heartbeat import Heartbeat, PoolBeat

_O = OperatingStatus
Statuses = Mapping[str, OperatingStatus]
_LISTENER = {"OPEN": _O.ONLINE, "FULL": _O.DEGRADED}
_DATAGRAM = (ListenerProtocol.UDP, ListenerProtocol.SCTP)
_POOL = {"UP": _O.ONLINE, "DOWN": _O.ERROR}
#: beginning of HAProxy's word for a server -> status; None leaves it what it was.
_MEMBER: tuple[tuple[str, OperatingStatus | None], ...] = (
    ("UP", _O.ONLINE),
    ("DOWN", _O.ERROR),
    ("DRAIN", _O.DRAINING),
    ("MAINT", _O.OFFLINE),
    ("no check", _O.NO_MONITOR),
    ("RESTARTING", None),
)


@dataclass(frozen=True)
class View:
    """What one amphora says of states.

    :param listeners: HAProxy's word for each frontend, by listener id.
    :param pools: by "<pool id>:<listener id>".
    :param holds_vip: None when it does not say.
    """

    listeners: Mapping[str, str]
    pools: Mapping[str, PoolBeat] = field(default_factory=dict)
    holds_vip: bool | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """What statuses need to know of a tree; small, as a health manager keeps one of every load balancer.

    :param listeners: (id, admin_state_up).
    :param required: the listeners that a healthy amphora reports. UDP and SCTP listeners are not among them: not
        every way to balance datagrams can tell of them.
    :param pools: (id, member ids).
    :param fixed: statuses that follow from the tree alone: monitors, policies, rules.
    """

    id: str
    admin_state_up: bool
    zone: str | None
    listeners: tuple[tuple[str, bool], ...]
    required: tuple[str, ...]
    pools: tuple[tuple[str, tuple[str, ...]], ...]
    fixed: tuple[tuple[str, OperatingStatus], ...]

    @classmethod
    def of(cls, tree: LoadBalancer) -> Outline:
        policies = [policy for listener in tree.listeners for policy in listener.l7policies]
        switches: list[HealthMonitor | L7Policy | L7Rule] = [*policies]
        switches += [pool.healthmonitor for pool in tree.pools if pool.healthmonitor is not None]
        switches += [rule for policy in policies for rule in policy.rules]
        return cls(
            id=tree.id,
            admin_state_up=tree.admin_state_up,
            zone=tree.availability_zone,
            listeners=tuple((listener.id, listener.admin_state_up) for listener in tree.listeners),
            required=tuple(listener.id for listener in tree.listeners if _is_required(tree, listener)),
            pools=tuple((pool.id, tuple(member.id for member in pool.members)) for pool in tree.pools),
            fixed=tuple((one.id, _O.ONLINE if one.admin_state_up else _O.OFFLINE) for one in switches),
        )

    def ids(self) -> list[str]:
        """Every resource but the load balancer itself."""
        members = [member for _, pool in self.pools for member in pool]
        return [
            *(name for name, _ in self.listeners),
            *(name for name, _ in self.pools),
            *members,
            *(name for name, _ in self.fixed),
        ]


def _is_required(tree: LoadBalancer, listener: Listener) -> bool:
    return tree.admin_state_up and listener.admin_state_up and listener.protocol not in _DATAGRAM


def view_of_report(report: ApplianceReport) -> View:
    """What an amphora said when it was asked."""
    return View(
        {name: status for name, (status, _) in report.listeners.items()},
        {
            name: PoolBeat(pool.status, {member: state.status for member, state in pool.members.items()})
            for name, pool in report.pools.items()
        },
        report.holds_vip,
    )


def view_of_beat(beat: Heartbeat) -> View:
    """What an amphora said by itself."""
    return View({name: listener.status for name, listener in beat.listeners.items()}, beat.pools, beat.holds_vip)


def operating_statuses(tree: LoadBalancer, reports: Iterable[ApplianceReport]) -> dict[str, OperatingStatus]:
    """Operating status of every resource of the tree, by id, out of answers of its amphorae."""
    views = [view_of_report(report) for report in reports]
    # Whoever was asked answers for itself alone: without a holder, the first that answered is as good.
    return statuses(Outline.of(tree), [view for view in views if view.holds_vip] or views[:1])


def statuses(outline: Outline, views: Sequence[View], before: Statuses | None = None) -> dict[str, OperatingStatus]:
    """Operating status of every resource, by id.

    Without any view everything is OFFLINE and the load balancer ERROR.

    :param before: statuses until now, for words that mean "as before".
    """
    if not views:
        overall = _O.ERROR if outline.admin_state_up else _O.OFFLINE
        return dict.fromkeys(outline.ids(), _O.OFFLINE) | {outline.id: overall}
    each = [_one(outline, view, before or {}) for view in [view for view in views if view.holds_vip] or views]
    if len(each) == 1:
        return each[0]
    return {identity: worst(one[identity] for one in each) or status for identity, status in each[0].items()}


def _one(outline: Outline, view: View, before: Statuses) -> dict[str, OperatingStatus]:
    statuses = dict(outline.fixed)
    states = _by_pool(view)
    overall = _O.ONLINE if outline.admin_state_up else _O.OFFLINE
    for pool, members in outline.pools:
        status = statuses[pool] = _pool(members, states.get(pool, ()), statuses, before)
        if status in (_O.ERROR, _O.DEGRADED):
            overall = _worse(overall, status)
    for listener, up in outline.listeners:
        status = statuses[listener] = _listener(view.listeners.get(listener), up and outline.admin_state_up)
        if status in (_O.ERROR, _O.DEGRADED):
            overall = _worse(overall, status)
    statuses[outline.id] = overall
    return statuses


def _by_pool(view: View) -> dict[str, list[PoolBeat]]:
    """A pool is reported once per listener that uses it, as "<pool>:<listener>"."""
    states: dict[str, list[PoolBeat]] = {}
    for key, state in view.pools.items():
        states.setdefault(key.rpartition(":")[0] or key, []).append(state)
    return states


def _worse(one: OperatingStatus, other: OperatingStatus) -> OperatingStatus:
    if one is _O.OFFLINE:
        return one
    return _O.ERROR if _O.ERROR in (one, other) else other


def _listener(word: str | None, up: bool) -> OperatingStatus:
    if word is None:
        return _O.ERROR if up else _O.OFFLINE
    return _LISTENER.get(word, _O.ERROR)


def _pool(
    members: Sequence[str], states: Sequence[PoolBeat], statuses: dict[str, OperatingStatus], before: Statuses
) -> OperatingStatus:
    """Fill in the members; the pool's own status."""
    status = _O.OFFLINE
    for state in states:
        status = _POOL.get(state.status, _O.ERROR) if status is not _O.ERROR else status
    for member in members:
        found = statuses[member] = _member(member, states, before)
        if found is _O.ERROR and status is _O.ONLINE:
            status = _O.DEGRADED
    return status


def _member(member: str, states: Sequence[PoolBeat], before: Statuses) -> OperatingStatus:
    known = before.get(member, _O.OFFLINE)
    for state in states:
        word = state.members.get(member)
        if word is not None:
            found = next((status for beginning, status in _MEMBER if word.startswith(beginning)), _O.ERROR)
            return known if found is None else found
    # A member without a monitor is not looked at, so that it is missed says nothing of it.
    return _O.NO_MONITOR if known is _O.NO_MONITOR else _O.OFFLINE


def is_complete(outline: Outline, view: View, *, pending: bool) -> bool:
    """Whether the amphora reports the listeners that it should: one that misses any is not healthy.

    :param pending: whether a change is on its way; then nobody can tell what it should report.
    """
    return pending or all(listener in view.listeners for listener in outline.required)


def total_statistics(parts: Iterable[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """Sum of several sets of per-listener statistics."""
    total: dict[str, Statistics] = {}
    for part in parts:
        for listener_id, statistics in part.items():
            total[listener_id] = total.get(listener_id, Statistics()) + statistics
    return total
