"""Operations carried out on the replica of the northbound database, inside a transaction.

Law: every row that is changed is verified first, so that the transaction is decided anew when it has changed meanwhile,
or is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbdrivers_ovn.database import Row, Work
from lbdrivers_ovn.difference import (
    HEALTH_CHECK,
    LOAD_BALANCER,
    ROUTER,
    SWITCH,
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
from lbdrivers_ovn.rows import HealthCheckRow, LoadBalancerRow


def perform(at: Work, operations: Iterable[Operation]) -> None:
    """Carry all of them out."""
    verified = set()
    for operation in operations:
        if isinstance(operation, Create):
            _create(at, operation.row)
            continue
        table = operation.table if isinstance(operation, SetColumn | ChangeKeys) else LOAD_BALANCER
        row = at.get(table, operation.uuid)
        if operation.uuid not in verified:
            row.verify("external_ids")
            verified.add(operation.uuid)
        _change(at, row, operation)


def _change(
    at: Work, row: Row, operation: Delete | SetColumn | ChangeKeys | AddCheck | RemoveCheck | Attach | Detach
) -> None:
    match operation:
        case Delete():
            row.delete()
        case SetColumn():
            value = operation.value
            setattr(row, operation.column, value if isinstance(value, str) and value else sorted(value))
        case ChangeKeys():
            for key in operation.gone:
                row.delkey(operation.column, key)
            for key, value in operation.values.items():
                row.setkey(operation.column, key, value)
        case AddCheck():
            row.addvalue("health_check", _insert_check(at, operation.check))
        case RemoveCheck():
            row.delvalue("health_check", at.get(HEALTH_CHECK, operation.check_uuid))
        case Attach() | Detach():
            for place in at.find(operation.table, operation.name):
                change = place.addvalue if isinstance(operation, Attach) else place.delvalue
                change("load_balancer", row)


def _create(at: Work, wanted: LoadBalancerRow) -> None:
    row = at.insert(LOAD_BALANCER)
    row.name = wanted.name
    row.protocol = wanted.balance.protocol or []
    row.selection_fields = sorted(wanted.balance.selection_fields)
    row.options = options(wanted.balance)
    row.vips = dict(wanted.vips)
    row.external_ids = dict(wanted.external_ids)
    row.ip_port_mappings = dict(wanted.ip_port_mappings)
    row.health_check = [_insert_check(at, check) for check in wanted.health_checks]
    for table, places in ((SWITCH, wanted.switches), (ROUTER, wanted.routers)):
        for name in sorted(places):
            for place in at.find(table, name):
                # Two writers that make the same load balancer at once attach it to the same places: so one of
                # them has to look again, and finds the other's row.
                place.verify("load_balancer")
                place.addvalue("load_balancer", row)


def _insert_check(at: Work, check: HealthCheckRow) -> Row:
    row = at.insert(HEALTH_CHECK)
    row.vip = check.vip
    row.options = dict(check.options)
    row.external_ids = dict(check.external_ids)
    return row
