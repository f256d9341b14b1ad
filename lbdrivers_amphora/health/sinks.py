"""Hands statistics on to whoever wants them besides the store (``lbdrivers.statistics``).

Law: a sink that fails is told of, and gets newer ones the next time; it keeps nobody from theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from lbdrivers.drivers.statistics import ListenerStatistics, StatisticsSink
from lbdrivers.errors import DriverError
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.exposure import Metric
from lbdrivers_amphora.health.findings import Heard


@runtime_checkable
class Shown(Protocol):
    """A sink that shows what it took at ``/metrics``."""

    def metrics(self) -> Iterable[Metric]:
        """Made when somebody looks."""
        ...


class Sinks:
    """The sinks of these names, loaded."""

    def __init__(self, context: DaemonContext, names: Sequence[str]) -> None:
        self._sinks: list[StatisticsSink] = [context.drivers.load("lbdrivers.statistics", name) for name in names]
        for sink in self._sinks:
            if isinstance(sink, Shown):
                context.exposure.metrics.append(sink.metrics)

    def send(self, heard: Iterable[Heard]) -> Iterator[str]:
        """Give them what was counted; what went wrong, in words."""
        if not self._sinks:
            return
        measured = tuple(
            ListenerStatistics(one.load_balancer_id, one.amphora_id, listener, totals, one.at)
            for one in heard
            for listener, totals in one.statistics.items()
        )
        for sink in self._sinks:
            try:
                sink.take(measured)
            except DriverError as error:
                yield f"statistics are not taken by {type(sink).__name__}: {error.operator}"
