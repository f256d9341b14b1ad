"""The statistics sink ``log``: one line for each listener of each amphora that was heard.

Law: lines of the logger ``lbdrivers.statistics``, level INFO, in one form that a program can read.
"""

from __future__ import annotations

import logging

from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.drivers.statistics import ListenerStatistics

_LOG = logging.getLogger("lbdrivers.statistics")
_FORM = (
    "load_balancer=%s listener=%s appliance=%s active_connections=%d bytes_in=%d bytes_out=%d request_errors=%d "
    "total_connections=%d requests=%d"
)


class LogSink:
    """See :class:`lbdrivers.drivers.statistics.StatisticsSink`."""

    contract = CONTRACT

    def __init__(self, context: DriverContext) -> None:
        del context
        # Who asks for lines wants to see them, whatever else is logged.
        _LOG.setLevel(logging.INFO)

    def take(self, measured: tuple[ListenerStatistics, ...]) -> None:
        """Write them."""
        for one in measured:
            t = one.totals
            counted = (t.active_connections, t.bytes_in, t.bytes_out, t.request_errors, t.total_connections)
            _LOG.info(_FORM, one.load_balancer_id, one.listener_id, one.appliance_id, *counted, t.requests)
