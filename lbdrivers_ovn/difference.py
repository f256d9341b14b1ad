"""What has to be written so that the rows that are there become those that are wanted.

Law: pure. ``difference(rows, rows)`` is empty. Columns of sets and maps are changed by member and key, so that what
others have put there stays. A row that can be changed is never made anew: connections through it live on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from lbdrivers_ovn.external_ids import MEMBER_STATUS, decode, encode_statuses
from lbdrivers_ovn.rows import Balance, HealthCheckRow, LoadBalancerRow

LOAD_BALANCER = "Load_Balancer"
HEALTH_CHECK = "Load_Balancer_Health_Check"
SWITCH = "Logical_Switch"
ROUTER = "Logical_Router"
#: The key of ``options`` that a Balance has.
AFFINITY = "affinity_timeout"


@dataclass(frozen=True)
class Create:
    """Insert a Load_Balancer, with its health checks, and attach it."""

    row: LoadBalancerRow


@dataclass(frozen=True)
class Delete:
    """Delete the Load_Balancer; its health checks and every reference to it go with it."""

    uuid: str


@dataclass(frozen=True)
class SetColumn:
    """Write a whole column. ``value`` is text or a set of texts; an empty text clears an optional column."""

    table: str
    uuid: str
    column: str
    value: str | frozenset[str]


@dataclass(frozen=True)
class ChangeKeys:
    """Write keys of a map column, and take others out of it."""

    table: str
    uuid: str
    column: str
    values: Mapping[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AddCheck:
    """Insert a health check and give it to the Load_Balancer."""

    uuid: str
    check: HealthCheckRow


@dataclass(frozen=True)
class RemoveCheck:
    """Take a health check from the Load_Balancer; without an owner it ceases to exist."""

    uuid: str
    check_uuid: str


@dataclass(frozen=True)
class Attach:
    """Let the switch or router of that name refer to the Load_Balancer."""

    uuid: str
    table: str
    name: str


@dataclass(frozen=True)
class Detach:
    """Let the switch or router of that name refer to it no more."""

    uuid: str
    table: str
    name: str


Operation: TypeAlias = Create | Delete | SetColumn | ChangeKeys | AddCheck | RemoveCheck | Attach | Detach


def difference(present: Iterable[LoadBalancerRow], wanted: Iterable[LoadBalancerRow]) -> tuple[Operation, ...]:
    """The operations, all for one transaction; empty when nothing differs.

    :param present: every row of one load balancer, with UUIDs.
    """
    return tuple(_operations(tuple(present), tuple(wanted)))


def _operations(present: tuple[LoadBalancerRow, ...], wanted: tuple[LoadBalancerRow, ...]) -> Iterator[Operation]:
    pairs, surplus = matched(present, wanted)
    for row in surplus:
        yield Delete(row.uuid)
    for old, new in pairs:
        if old is None:
            yield Create(new)
        else:
            yield from _changed(old, new)


def matched(
    present: tuple[LoadBalancerRow, ...], wanted: tuple[LoadBalancerRow, ...]
) -> tuple[list[tuple[LoadBalancerRow | None, LoadBalancerRow]], list[LoadBalancerRow]]:
    """Which present row becomes which wanted one, the likest first; and the rows that nothing becomes."""
    free = sorted(present, key=lambda row: row.uuid)
    found: dict[int, LoadBalancerRow] = {}
    for alike in (_same_balance, _same_protocol, _any):
        for number, row in enumerate(wanted):
            if number not in found:
                choice = next((one for one in free if alike(one.balance, row.balance)), None)
                if choice is not None:
                    found[number] = choice
                    free.remove(choice)
    return [(found.get(number), row) for number, row in enumerate(wanted)], free


def _same_balance(one: Balance, other: Balance) -> bool:
    return one == other


def _same_protocol(one: Balance, other: Balance) -> bool:
    return one.protocol == other.protocol


def _any(one: Balance, other: Balance) -> bool:
    """A row may become anything as long as it has no protocol yet, or needs none any more."""
    return not one.protocol or not other.protocol


def _changed(old: LoadBalancerRow, new: LoadBalancerRow) -> Iterator[Operation]:
    uuid = old.uuid
    if old.balance.protocol != new.balance.protocol:
        yield SetColumn(LOAD_BALANCER, uuid, "protocol", new.balance.protocol)
    if old.balance.selection_fields != new.balance.selection_fields:
        yield SetColumn(LOAD_BALANCER, uuid, "selection_fields", new.balance.selection_fields)
    for column, before, after in (
        ("options", options(old.balance), options(new.balance)),
        ("external_ids", old.external_ids, new.external_ids),
        ("vips", old.vips, new.vips),
        ("ip_port_mappings", old.ip_port_mappings, new.ip_port_mappings),
    ):
        yield from _keys(LOAD_BALANCER, uuid, column, before, after)
    yield from _checks(old, new)
    for table, has, wants in ((SWITCH, old.switches, new.switches), (ROUTER, old.routers, new.routers)):
        yield from (Attach(uuid, table, name) for name in sorted(wants - has))
        yield from (Detach(uuid, table, name) for name in sorted(has - wants))


def _keys(
    table: str, uuid: str, column: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Operation]:
    values = {key: value for key, value in after.items() if before.get(key) != value}
    gone = frozenset(before.keys() - after.keys())
    if values or gone:
        yield ChangeKeys(table, uuid, column, values, gone)


def _checks(old: LoadBalancerRow, new: LoadBalancerRow) -> Iterator[Operation]:
    present: dict[tuple[str, str, str, str], HealthCheckRow] = {}
    for check in old.health_checks:
        if check.key in present:  # two writers have made it at once
            yield RemoveCheck(old.uuid, check.uuid)
        else:
            present[check.key] = check
    for check in new.health_checks:
        same = present.pop(check.key, None)
        if same is None:
            yield AddCheck(old.uuid, check)
        else:
            yield from _keys(HEALTH_CHECK, same.uuid, "options", same.options, check.options)
            yield from _keys(HEALTH_CHECK, same.uuid, "external_ids", same.external_ids, check.external_ids)
    for check in present.values():
        yield RemoveCheck(old.uuid, check.uuid)


def recorded(present: Iterable[LoadBalancerRow], statuses: Mapping[str, str]) -> Iterator[Operation]:
    """What has to be written so that the rows say these statuses of their members; others keep theirs."""
    for row in present:
        old = decode(row.external_ids, f"Load_Balancer {row.name}").member_statuses
        new = {member: statuses.get(member, status) for member, status in old.items()}
        if new != old:
            values = {MEMBER_STATUS: encode_statuses(new)}
            yield ChangeKeys(LOAD_BALANCER, row.uuid, "external_ids", values)


def told(operation: Operation) -> str:
    """What the operation does, for people."""
    match operation:
        case Create(row):
            return f"make a row for {row.balance.protocol or 'any protocol'}"
        case Delete():
            return "remove a row"
        case AddCheck(_, check):
            return f"add a health check of {check.vip or 'nothing yet'}"
        case RemoveCheck():
            return "remove a health check"
        case Attach(_, table, name) | Detach(_, table, name):
            verb = "attach to" if isinstance(operation, Attach) else "detach from"
            return f"{verb} the {table.removeprefix('Logical_').lower()} {name}"
        case _:
            return f"change {operation.column} of a {operation.table}"


def options(each: Balance) -> dict[str, str]:
    """The keys of the options column that are ours."""
    return {} if each.affinity_timeout is None else {AFFINITY: str(each.affinity_timeout)}
