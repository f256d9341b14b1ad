"""What an appliance reports of its datagrams, in the words that HAProxy uses of connections.

Law: pure. The health of a load balancer is judged from these words, whoever they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lbdrivers_amphora.nftables.ir import Configuration, Member, Pool, Service
from lbdrivers_amphora.nftables.rules import flow_marks
from lbdrivers_amphora.wire.report import ListenerReport, MemberReport, PoolReport, Totals


def listener_reports(
    configuration: Configuration, totals: Mapping[str, Totals], flows: Mapping[int, int]
) -> dict[str, ListenerReport]:
    """Listeners with their totals.

    :param flows: how many flows there are now, by mark.
    """
    active: dict[str, int] = {}
    for (listener_id, _), mark in flow_marks(configuration).items():
        active[listener_id] = active.get(listener_id, 0) + flows.get(mark, 0)
    return {
        service.listener_id: _listener(service, totals, active.get(service.listener_id, 0))
        for service in configuration.services
    }


def _listener(service: Service, totals: Mapping[str, Totals], active: int) -> ListenerReport:
    full = service.limit is not None and active >= service.limit
    counted = totals.get(service.listener_id, Totals())
    return ListenerReport("FULL" if full else "OPEN", replace(counted, active_connections=active))


def pool_reports(
    configuration: Configuration, down: frozenset[str], details: Mapping[str, str]
) -> dict[str, PoolReport]:
    """Pools with their members, by "<pool>:<listener>".

    :param details: what the last probe of a member said.
    """
    return {
        f"{service.pool.id}:{service.listener_id}": _pool(service.pool, down, details)
        for service in configuration.services
        if service.pool is not None
    }


def _pool(pool: Pool, down: frozenset[str], details: Mapping[str, str]) -> PoolReport:
    """DOWN when probes say so of all its members that are switched on."""
    enabled = [member.id for member in pool.members if member.enabled]
    dead = pool.monitor is not None and bool(enabled) and all(one in down for one in enabled)
    members = {
        member.id: MemberReport(_word(member, pool, down), details.get(member.id, "")) for member in pool.members
    }
    return PoolReport("DOWN" if dead else "UP", members)


def _word(member: Member, pool: Pool, down: frozenset[str]) -> str:
    if not member.enabled:
        return "MAINT"
    if pool.monitor is not None and member.id in down:
        return "DOWN"
    if member.weight == 0:
        return "DRAIN"
    return "no check" if pool.monitor is None else "UP"
