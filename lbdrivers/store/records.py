"""Driver-private records in the database: the lasting form of ``drivers.context.Records``.

Law: every write commits before it returns; all but measurements are compare-and-set on the version.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Row,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import IntegrityError

from lbdrivers.drivers.context import Conflict, Record
from lbdrivers.errors import LeaseLostError
from lbdrivers.store.database import Database, portions
from lbdrivers.store.schema import load_balancers, records

# Statements that each change needs, made once.
_ONE_RECORD = select(records).where(records.c.kind == bindparam("of_kind"), records.c.id == bindparam("of_id"))
_OF_OWNER = (
    select(records)
    .where(records.c.kind == bindparam("of_kind"), records.c.owner == bindparam("of_owner"))
    .order_by(records.c.id)
)
_INSERT = insert(records)
_REPLACE = update(records).where(
    records.c.kind == bindparam("of_kind"),
    records.c.id == bindparam("of_id"),
    records.c.version == bindparam("of_version"),
)
_HELD = (
    select(load_balancers.c.id)
    .where(load_balancers.c.id == bindparam("of_id"), load_balancers.c.holder == bindparam("of_holder"))
    .with_for_update()
)
#: Written out, as a driver that joins many rows to one statement looks for parameters in the rows alone.
_ONE: ColumnElement[int] = literal_column("1", Integer)


class StoredRecords:
    """Implements ``MeasuredRecords`` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, kind: str, record_id: str) -> Record | None:
        """See ``Records.get``."""
        with self._database.read() as connection:
            row = connection.execute(_ONE_RECORD, {"of_kind": kind, "of_id": record_id}).one_or_none()
        return None if row is None else _record(row)

    def put(self, record: Record) -> Record:
        """See ``Records.put``."""
        version = record.version + 1
        values = {"owner": record.owner, "version": version, "data": json.dumps(dict(record.data), sort_keys=True)}
        try:
            with self._write() as connection:
                if record.version == 0:
                    connection.execute(_INSERT, {"kind": record.kind, "id": record.id, **values})
                else:
                    known = {"of_kind": record.kind, "of_id": record.id, "of_version": record.version}
                    written = connection.execute(_REPLACE, known | values)
                    if written.rowcount != 1:
                        raise Conflict(f"the record {record.kind}/{record.id} is no longer at {record.version}")
        except IntegrityError as error:
            raise Conflict(f"the record {record.kind}/{record.id} exists already") from error
        return Record(record.kind, record.id, dict(record.data), record.owner, version)

    def put_all(self, records: Iterable[Record]) -> None:
        """See ``MeasuredRecords.put_all``."""
        # In one order everywhere: two that write the same records wait for each other, and never in a circle.
        rows = [
            {"kind": one.kind, "id": one.id, "owner": one.owner, "version": 1, "data": json.dumps(dict(one.data))}
            for one in sorted(records, key=lambda one: (one.kind, one.id))
        ]
        if not rows:
            return
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                # One statement with all rows in one document: a statement a row takes four times as long.
                connection.execute(_upsert_document(), {"rows": json.dumps(rows)})
            else:
                connection.execute(_upsert(connection.dialect.name), rows)

    def several(self, kind: str, record_ids: Collection[str]) -> tuple[Record, ...]:
        """See ``MeasuredRecords.several``."""
        found: list[Record] = []
        with self._database.read() as connection:
            for some in portions(record_ids):
                query = select(records).where(records.c.kind == kind, records.c.id.in_(some)).order_by(records.c.id)
                found += (_record(row) for row in connection.execute(query))
        return tuple(found)

    def versions(self, kind: str) -> dict[str, tuple[str, int]]:
        """See ``MeasuredRecords.versions``."""
        query = select(records.c.id, records.c.owner, records.c.version).where(records.c.kind == kind)
        with self._database.read() as connection:
            return {identity: (owner, version) for identity, owner, version in connection.execute(query)}

    def remove(self, kind: str, record_id: str) -> None:
        """See ``Records.remove``."""
        with self._write() as connection:
            connection.execute(delete(records).where(records.c.kind == kind, records.c.id == record_id))

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        """See ``Records.list``."""
        query = select(records).where(records.c.kind == kind).order_by(records.c.id)
        with self._database.read() as connection:
            if owner is None:
                found = connection.execute(query)
            else:
                found = connection.execute(_OF_OWNER, {"of_kind": kind, "of_owner": owner})
            return tuple(_record(row) for row in found)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """The transaction of one write."""
        with self._database.write() as connection:
            yield connection


class LeasedRecords(StoredRecords):
    """The same for the holder of a load balancer's lease: each write, and that it still holds it, are one transaction.

    :raises LeaseLostError: from every write, when the lease is the holder's no more.
    """

    def __init__(self, database: Database, load_balancer_id: str, holder: str) -> None:
        super().__init__(database)
        self._load_balancer_id, self._holder = load_balancer_id, holder

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        ours = {"of_id": self._load_balancer_id, "of_holder": self._holder}
        with self._database.write() as connection:
            # Whoever wants the lease waits until this write is committed.
            if connection.execute(_HELD, ours).one_or_none() is None:
                raise LeaseLostError(self._load_balancer_id)
            yield connection


def _upsert(dialect: str) -> Executable:
    """Insert, or overwrite what is there; each database has words of its own for it."""
    if dialect in ("mysql", "mariadb"):
        made = mysql.insert(records)
        return made.on_duplicate_key_update(
            owner=made.inserted.owner, data=made.inserted.data, version=records.c.version + _ONE
        )
    return _overwriting(sqlite.insert(records))


def _overwriting(insertion: Any) -> Executable:
    changed = {"owner": insertion.excluded.owner, "data": insertion.excluded.data}
    found: Executable = insertion.on_conflict_do_update(
        index_elements=[records.c.kind, records.c.id], set_=changed | {"version": records.c.version + _ONE}
    )
    return found


@functools.cache
def _upsert_document() -> Executable:
    from sqlalchemy.dialects import postgresql  # 35 ms, which no command on another database need wait for

    names = ("kind", "id", "owner", "data")
    document = cast(bindparam("rows", type_=Text), postgresql.JSON)
    found = func.json_to_recordset(document).table_valued(*(column(name, Text) for name in names))
    rows = found.render_derived(with_types=True)
    chosen = select(rows.c.kind, rows.c.id, rows.c.owner, _ONE, rows.c.data)
    return _overwriting(postgresql.insert(records).from_select(["kind", "id", "owner", "version", "data"], chosen))


def _record(row: Row[tuple[object, ...]]) -> Record:
    return Record(kind=row.kind, id=row.id, data=json.loads(row.data), owner=row.owner, version=row.version)
