"""Drift: in what the rows that are there differ from those that the applied tree stands for.

Law: pure. What has drifted is what an apply would write; each deviation says what is there and what ought to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lbdrivers.drivers.provider import Deviation, Remedy
from lbdrivers.model.infra import Port
from lbdrivers_ovn.difference import (
    LOAD_BALANCER,
    AddCheck,
    Attach,
    ChangeKeys,
    Create,
    Delete,
    Detach,
    Operation,
    RemoveCheck,
    SetColumn,
    options,
)
from lbdrivers_ovn.rows import LoadBalancerRow

NONE, THERE = "none", "there"
#: So much of a value is shown.
_SHOWN = 80


def row_deviations(
    subject: str, present: Iterable[LoadBalancerRow], operations: Iterable[Operation]
) -> Iterator[Deviation]:
    """Of the rows.

    :param present: those that are there. :param operations: what would make them those that are wanted.
    """
    rows = {row.uuid: row for row in present}
    for operation in operations:
        for aspect, wanted, found in _told(rows, operation):
            yield deviation(subject, aspect, wanted, found)


def port_deviations(subject: str, address: str, port_id: str, port: Port | None) -> Iterator[Deviation]:
    """Of the port that reserves a VIP; None when there is none."""
    if port is None:
        yield deviation(subject, f"port {port_id}", address, NONE)
    elif address not in (held := [one.address or "" for one in port.fixed]):
        yield deviation(subject, "VIP", ", ".join(held), address)


def deviation(subject: str, aspect: str, wanted: str, found: str) -> Deviation:
    """One that another apply mends."""
    return Deviation(subject, aspect, _short(wanted), _short(found), Remedy.APPLY)


def _told(rows: Mapping[str, LoadBalancerRow], operation: Operation) -> Iterator[tuple[str, str, str]]:
    """Aspect, what is wanted and what is there."""
    if isinstance(operation, Create):
        yield _row(operation.row), THERE, NONE
        return
    where = _where(rows, operation)
    match operation:
        case Delete():
            yield where, NONE, THERE
        case AddCheck():
            yield f"{where}, health check of {operation.check.vip or 'nothing yet'}", THERE, NONE
        case RemoveCheck():
            vips = {one.uuid: one.vip for one in rows[operation.uuid].health_checks}
            yield f"{where}, health check of {vips[operation.check_uuid] or 'nothing'}", NONE, THERE
        case Attach(_, table, name):
            yield f"{where}, {table} {name}", "refers to it", "does not"
        case Detach(_, table, name):
            yield f"{where}, {table} {name}", "does not refer to it", "does"
        case SetColumn(_, _, column, value):
            wanted = value if isinstance(value, str) else ", ".join(sorted(value))
            yield f"{where}, {column}", wanted or NONE, _column(rows, operation)
        case ChangeKeys(_, _, column):
            held = _keys(rows, operation)
            for key, value in sorted(operation.values.items()):
                yield f"{where}, {column} {key}", value, held.get(key, NONE)
            for key in sorted(operation.gone):
                yield f"{where}, {column} {key}", NONE, held.get(key, THERE)


def _row(row: LoadBalancerRow) -> str:
    return f"row for {row.balance.protocol or 'any protocol'}"


def _where(rows: Mapping[str, LoadBalancerRow], operation: Operation) -> str:
    """The row that is changed. Health checks are called by their own VIP, NAT rows by their UUID."""
    if isinstance(operation, SetColumn | ChangeKeys) and operation.table != LOAD_BALANCER:
        check = next((one for row in rows.values() for one in row.health_checks if one.uuid == operation.uuid), None)
        return f"{operation.table} {operation.uuid if check is None else check.vip}"
    assert not isinstance(operation, Create)
    return _row(rows[operation.uuid])


def _column(rows: Mapping[str, LoadBalancerRow], operation: SetColumn) -> str:
    row = rows.get(operation.uuid)
    if row is None:
        return "something else"
    if operation.column == "protocol":
        return row.balance.protocol or NONE
    return ", ".join(sorted(row.balance.selection_fields)) or NONE


def _keys(rows: Mapping[str, LoadBalancerRow], operation: ChangeKeys) -> Mapping[str, str]:
    """The map that is changed, as it is."""
    checks = (one for row in rows.values() for one in row.health_checks)
    if (row := rows.get(operation.uuid)) is not None:
        columns = {
            "options": options(row.balance),
            "external_ids": row.external_ids,
            "vips": row.vips,
            "ip_port_mappings": row.ip_port_mappings,
        }
        return columns[operation.column]
    if (check := next((one for one in checks if one.uuid == operation.uuid), None)) is not None:
        return check.options if operation.column == "options" else check.external_ids
    return {}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
