"""The statistics sink ``prometheus``: the statistics of every listener, at the health manager's ``/metrics``.

Law: per listener, summed over its amphorae; a load balancer that is not heard for an hour is shown no more.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.drivers.provider import Statistics
from lbdrivers.drivers.statistics import ListenerStatistics
from lbdrivers.reconcile.exposure import Metric

#: Seconds after which what was heard is shown no more.
_KEPT = 3600.0
#: field of the statistics -> text, whether it only grows.
_FIELDS = {
    "active_connections": ("Connections that are open now.", False),
    "bytes_in": ("Bytes that clients sent.", True),
    "bytes_out": ("Bytes that clients got.", True),
    "request_errors": ("Requests that could not be understood.", True),
    "total_connections": ("Connections since the creation.", True),
    "requests": ("HTTP requests since the creation.", True),
}


class PrometheusSink:
    """See :class:`lbdrivers.drivers.statistics.StatisticsSink`."""

    contract = CONTRACT

    def __init__(self, context: DriverContext) -> None:
        self._now = context.now
        self._known: dict[tuple[str, str, str], ListenerStatistics] = {}

    def take(self, measured: tuple[ListenerStatistics, ...]) -> None:
        """Keep the newest of each."""
        known = dict(self._known)
        for one in measured:
            known[one.load_balancer_id, one.listener_id, one.appliance_id] = one
        oldest = self._now() - _KEPT
        self._known = {key: one for key, one in known.items() if one.at >= oldest}

    def metrics(self) -> Iterable[Metric]:
        """One metric a field."""
        totals: dict[tuple[str, str], Statistics] = {}
        for (balancer, listener, _), one in self._known.items():
            totals[balancer, listener] = totals.get((balancer, listener), Statistics()) + one.totals
        for name, (text, grows) in _FIELDS.items():
            values = [(key, float(getattr(one, name))) for key, one in totals.items()]
            yield Metric(f"listener_{name}", text, values, ("load_balancer", "listener"), counter=grows)
