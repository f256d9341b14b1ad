"""Rates out of totals that are looked at again and again.

Law: pure; times are arguments. A rate is the difference of two measurements by the time between them, not between
two looks: where appliances speak by themselves, what has not been measured anew since the last look is no news.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbdrivers.drivers.provider import Observation, Statistics
from lbdrivers.store.entry import Entry

#: Seconds over which a rate is taken at least, where measurements are closer: steady enough to be read.
SPAN = 3.0
#: How many looks a trend goes back.
TREND = 60


@dataclass(frozen=True)
class Rates:
    """What happens in a second."""

    connections: float = 0.0
    bytes_in: float = 0.0
    bytes_out: float = 0.0
    request_errors: float = 0.0
    requests: float = 0.0

    def __add__(self, other: Rates) -> Rates:
        return Rates(
            self.connections + other.connections,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.request_errors + other.request_errors,
            self.requests + other.requests,
        )


@dataclass(frozen=True)
class Series:
    """Measurements of one thing, oldest first, as far back as rates need them.

    :param points: (when it was measured, totals), by one clock, whichever it is.
    :param looked: when the newest one was first seen, by the looker's clock, which never jumps.
    """

    points: tuple[tuple[float, Statistics], ...] = ()
    looked: float = 0.0

    def note(self, measured: float, totals: Statistics, looked: float) -> Series:
        """With one more look. Totals that fell, or a clock that was set back, begin anew."""
        if not self.points:
            return Series(((measured, totals),), looked)
        last, before = self.points[-1]
        if measured == last:
            return self
        if measured < last or _fell(before, totals):
            return Series(((measured, totals),), looked)
        points = (*self.points, (measured, totals))
        while len(points) > 2 and measured - points[1][0] >= SPAN:
            points = points[1:]
        return Series(points, looked)

    def rates(self, now: float) -> Rates | None:
        """By the newest measurements; None before there are two, or when they are older than a next one would be.

        :param now: by the looker's clock.
        """
        if len(self.points) < 2:
            return None
        (begin, before), (end, after) = self.points[0], self.points[-1]
        span = end - begin
        if now - self.looked > 2 * span + SPAN:
            return None
        return Rates(
            (after.total_connections - before.total_connections) / span,
            (after.bytes_in - before.bytes_in) / span,
            (after.bytes_out - before.bytes_out) / span,
            (after.request_errors - before.request_errors) / span,
            (after.requests - before.requests) / span,
        )


def _fell(before: Statistics, after: Statistics) -> bool:
    return (
        after.total_connections < before.total_connections
        or after.bytes_in < before.bytes_in
        or after.bytes_out < before.bytes_out
        or after.request_errors < before.request_errors
        or after.requests < before.requests
    )


@dataclass(frozen=True)
class Reading:
    """One load balancer at one look.

    :param observation: None when its provider could not be asked.
    :param rates: None while they are not known; ``appliances`` by id likewise.
    :param trend: connections a second at the last looks, the newest one last.
    """

    entry: Entry
    observation: Observation | None
    rates: Rates | None = None
    appliances: Mapping[str, Rates | None] = field(default_factory=dict)
    trend: tuple[float, ...] = ()

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return 0 if self.observation is None else _total(self.observation).active_connections


@dataclass(frozen=True)
class Meter:
    """Every load balancer and appliance with its measurements."""

    series: Mapping[str, Series] = field(default_factory=dict)
    trends: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def look(
        self, entries: Iterable[Entry], observations: Mapping[str, Observation | None], now: float
    ) -> tuple[Meter, tuple[Reading, ...]]:
        """The meter after a look, and what it reads then.

        :param now: by a clock that never jumps.
        """
        series: dict[str, Series] = {}
        trends: dict[str, tuple[float, ...]] = {}
        readings = []
        for entry in entries:
            observation = observations.get(entry.id)
            if observation is None:  # what it was is not forgotten by one look that failed
                kept = self.series.get(entry.id)
                series |= {} if kept is None else {entry.id: kept}
                trends[entry.id] = self.trends.get(entry.id, ())
                readings.append(Reading(entry, None, trend=trends[entry.id]))
                continue
            for one in observation.appliances:
                measured = now if one.heard_at is None else one.heard_at
                series[one.id] = self.series.get(one.id, Series()).note(measured, one.statistics, now)
            series[entry.id] = self.series.get(entry.id, Series()).note(now, _total(observation), now)
            found = {one.id: series[one.id].rates(now) for one in observation.appliances}
            rates = series[entry.id].rates(now)
            if any(one.heard_at is not None for one in observation.appliances):
                known = [one for one in found.values() if one is not None]
                rates = sum(known, Rates()) if known else None
            trend = self.trends.get(entry.id, ())
            if rates is not None:
                trend = (*trend, rates.connections)[-TREND:]
            trends[entry.id] = trend
            readings.append(Reading(entry, observation, rates, found, trend))
        return Meter(series, trends), tuple(readings)


def _total(observation: Observation) -> Statistics:
    return sum(observation.statistics.values(), Statistics())
