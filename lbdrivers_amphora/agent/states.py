"""What HAProxy says of itself, cut to what its applied configuration has.

Law: pure. Servers that were removed at run time and wait for their last connection are still in the
process; they are nobody's members any more.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.stats import ProcessStatistics
from lbdrivers_amphora.wire.report import ListenerReport, MemberReport, PoolReport, Totals

#: (backend, server).
Servers = frozenset[tuple[str, str]]
#: Configurations whose servers are remembered; an appliance seldom has more than one load balancer.
_REMEMBERED = 8


@functools.lru_cache(maxsize=_REMEMBERED)
def servers(text: bytes) -> Servers | None:
    """Every server of the text of a configuration; None when the text is not one of ours.

    Remembered, as every heartbeat asks it of a text that seldom changes.
    """
    try:
        configuration = parse(text.decode())
    except ValueError:
        return None
    return frozenset(
        (str(backend.name), str(server.name)) for backend in configuration.backends for server in backend.servers
    )


def counted(statistics: ProcessStatistics) -> dict[str, Totals]:
    """One worker's counters by listener."""
    return {
        name: Totals(
            active_connections=frontend.active_connections,
            bytes_in=frontend.bytes_in,
            bytes_out=frontend.bytes_out,
            request_errors=frontend.request_errors,
            total_connections=frontend.total_connections,
            requests=frontend.requests,
        )
        for name, frontend in statistics.frontends.items()
    }


def listener_reports(current: ProcessStatistics, totals: Mapping[str, Totals]) -> dict[str, ListenerReport]:
    """Status words of the current worker with everybody's totals."""
    return {
        name: ListenerReport(frontend.status, totals.get(name, Totals()))
        for name, frontend in current.frontends.items()
    }


def pool_reports(current: ProcessStatistics, known: Servers | None) -> dict[str, PoolReport]:
    """Pools with those of their members that are known; None, as of a foreign file, leaves nothing out."""
    return {
        name: PoolReport(
            backend.status,
            {
                server: MemberReport(state.status, state.check)
                for server, state in backend.servers.items()
                if known is None or (name, server) in known
            },
        )
        for name, backend in current.backends.items()
    }
