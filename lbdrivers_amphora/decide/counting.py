"""Statistics out of heartbeats: totals that never fall, whatever is lost, repeated or begun anew.

Law: pure. Where an amphora says totals, the newest heartbeat makes good for every one that was lost; a
total that is smaller than before has begun anew, and what was counted until then stays. Where it says
deltas (Octavia's form), they are added, and a lost datagram is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from lbdrivers.drivers.provider import Statistics
from lbdrivers_amphora.wire.heartbeat import Heartbeat
from lbdrivers_amphora.wire.report import Totals

#: Listeners that are reported no more and whose totals are kept: more than anybody deletes from one load balancer.
_MOST_GONE = 1000


@dataclass(frozen=True, slots=True)
class Counted:
    """One listener on one amphora.

    :param base: what was counted before the amphora's counters began anew.
    :param last: its newest totals.
    """

    base: Totals = field(default_factory=Totals)
    last: Totals = field(default_factory=Totals)

    @property
    def statistics(self) -> Statistics:
        """The totals since the amphora's creation."""
        total = self.base + self.last
        return Statistics(
            total.active_connections,
            total.bytes_in,
            total.bytes_out,
            total.request_errors,
            total.total_connections,
            total.requests,
        )


def count(before: Counted, counters: Totals, *, deltas: bool) -> Counted:
    """The listener after a heartbeat with these counters."""
    if deltas:
        earlier = replace(before.last, active_connections=0)
        return replace(before, last=earlier + counters)
    if _began_anew(before.last, counters):
        return Counted(before.base + replace(before.last, active_connections=0), counters)
    return replace(before, last=counters)


def _began_anew(last: Totals, now: Totals) -> bool:
    """Whether a total fell that every agent tells; one that tells no requests any more has not begun anew."""
    return (
        now.total_connections < last.total_connections
        or now.bytes_in < last.bytes_in
        or now.bytes_out < last.bytes_out
        or now.request_errors < last.request_errors
    )


def count_all(before: Mapping[str, Counted], beat: Heartbeat) -> dict[str, Counted]:
    """Every listener of an amphora after a heartbeat; one that is reported no more keeps what it had, at rest."""
    gone = [name for name in before if name not in beat.listeners]
    # Whoever calls its listeners otherwise each time must not fill our memory.
    counted = {name: _at_rest(before[name]) for name in gone[:_MOST_GONE]}
    for name, listener in beat.listeners.items():
        counted[name] = count(before.get(name, Counted()), listener.counters, deltas=beat.deltas)
    return counted


def _at_rest(one: Counted) -> Counted:
    return replace(one, last=replace(one.last, active_connections=0)) if one.last.active_connections else one


def latest(parts: Iterable[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """What is known of one amphora out of several accounts of it: totals only grow, so the larger is the newer.

    Active connections are those of the first account.
    """
    found: dict[str, Statistics] = {}
    for part in parts:
        for listener, statistics in part.items():
            known = found.get(listener)
            found[listener] = statistics if known is None else _larger(known, statistics)
    return found


def _larger(one: Statistics, other: Statistics) -> Statistics:
    names = [entry.name for entry in fields(Statistics) if entry.name != "active_connections"]
    return replace(one, **{name: max(getattr(one, name), getattr(other, name)) for name in names})
