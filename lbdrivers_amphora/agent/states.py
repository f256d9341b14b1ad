"""What HAProxy says of itself, cut to what its applied configuration has.

Law: pure. Servers that were removed at run time and wait for their last connection are still in the
process; they are nobody's members any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.stats import ProcessStatistics
from lbdrivers_amphora.wire.report import ListenerReport, MemberReport, PoolReport, Totals


def servers(configuration: Configuration) -> frozenset[tuple[str, str]]:
    """(backend, server) of every server of a configuration."""
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
        )
        for name, frontend in statistics.frontends.items()
    }


def listener_reports(current: ProcessStatistics, totals: Mapping[str, Totals]) -> dict[str, ListenerReport]:
    """Status words of the current worker with everybody's totals."""
    return {
        name: ListenerReport(frontend.status, totals.get(name, Totals()))
        for name, frontend in current.frontends.items()
    }


def pool_reports(current: ProcessStatistics, applied: Configuration | None) -> dict[str, PoolReport]:
    """Pools with their members; ``applied`` None (a foreign file) leaves nothing out."""
    known = None if applied is None else servers(applied)
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
