"""Rows of load balancers: the statements on them, and what a row says.

Law: a transaction that may write a row has locked it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select, update

from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.store.entry import Cause, Entry, Lease
from lbdrivers.store.schema import load_balancers, trees

_T = load_balancers.c

#: What an entry has as its row has it.
_AS_THEY_ARE = (
    *("id", "name", "provider", "generation", "applied_generation", "attempts", "next_attempt"),
    *("failovers_wanted", "failovers_done", "created_at", "updated_at"),
)

# Statements that each change needs, made once: to make them takes longer than SQLite to carry them out.
#: Each load balancer once for each of its trees.
WITH_TREES = select(load_balancers, trees.c.generation.label("tree"), trees.c.document).join(
    trees, trees.c.load_balancer_id == _T.id
)
#: Read in a transaction that may write it: nobody else writes it until then. Its trees are read after that, as
#: PostgreSQL shows whoever has waited for a row the others as they were before.
_LOCKED = select(load_balancers).where(_T.id == bindparam("of_id")).with_for_update()
_HELD = _LOCKED.where(_T.holder == bindparam("of_holder"))
FREE = _LOCKED.where(
    or_(_T.holder.is_(None), _T.lease_expires <= bindparam("of_now"), _T.holder == bindparam("of_dead"))
)
_WRITE = update(load_balancers).where(_T.id == bindparam("of_id"))
WRITE_HELD = _WRITE.where(_T.holder == bindparam("of_holder"))


def entry(
    row: Row[Any],
    desired: LoadBalancer,
    applied: LoadBalancer | None,
    changed: Mapping[str, Any] = MappingProxyType({}),
) -> Entry:
    """What a row says, with its trees.

    :param changed: columns that were written since it was read.
    """
    values = {**row._mapping, **changed}
    cause = values["cause"]
    return Entry(
        desired=desired,
        applied=applied,
        status=ProvisioningStatus(values["status"]),
        cause=None if cause is None else Cause(cause, values["cause_operator"], values["cause_object_id"]),
        delete_wanted=bool(values["delete_wanted"]),
        lease=None if values["holder"] is None else Lease(values["holder"], values["lease_expires"]),
        **{name: values[name] for name in _AS_THEY_ARE},
    )


def lock(connection: Connection, load_balancer_id: str) -> Row[Any] | None:
    """The row of a load balancer, or None."""
    return connection.execute(_LOCKED, {"of_id": load_balancer_id}).one_or_none()


def lock_held(connection: Connection, load_balancer_id: str, holder: str) -> Row[Any] | None:
    """The row as long as its lease is the holder's."""
    return connection.execute(_HELD, {"of_id": load_balancer_id, "of_holder": holder}).one_or_none()


def write(connection: Connection, load_balancer_id: str, values: Mapping[str, Any]) -> None:
    """Change columns of a row that this transaction has locked."""
    connection.execute(_WRITE, {"of_id": load_balancer_id, **values})
