"""Driver-private records in the database: the lasting form of ``drivers.context.Records``.

Law: every write is compare-and-set on the version and commits before it returns.
"""

from __future__ import annotations

import json

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from lbdrivers.drivers.context import Conflict, Record
from lbdrivers.store.database import Database
from lbdrivers.store.schema import records


class StoredRecords:
    """Implements ``Records`` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, kind: str, record_id: str) -> Record | None:
        """See ``Records.get``."""
        query = select(records).where(records.c.kind == kind, records.c.id == record_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _record(row)

    def put(self, record: Record) -> Record:
        """See ``Records.put``."""
        version = record.version + 1
        values = {"owner": record.owner, "version": version, "data": json.dumps(dict(record.data), sort_keys=True)}
        try:
            with self._database.write() as connection:
                if record.version == 0:
                    connection.execute(insert(records).values(kind=record.kind, id=record.id, **values))
                else:
                    written = connection.execute(
                        update(records)
                        .where(records.c.kind == record.kind, records.c.id == record.id)
                        .where(records.c.version == record.version)
                        .values(**values)
                    )
                    if written.rowcount != 1:
                        raise Conflict(f"the record {record.kind}/{record.id} is no longer at {record.version}")
        except IntegrityError as error:
            raise Conflict(f"the record {record.kind}/{record.id} exists already") from error
        return Record(record.kind, record.id, dict(record.data), record.owner, version)

    def remove(self, kind: str, record_id: str) -> None:
        """See ``Records.remove``."""
        with self._database.write() as connection:
            connection.execute(delete(records).where(records.c.kind == kind, records.c.id == record_id))

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        """See ``Records.list``."""
        query = select(records).where(records.c.kind == kind).order_by(records.c.id)
        if owner is not None:
            query = query.where(records.c.owner == owner)
        with self._database.read() as connection:
            return tuple(_record(row) for row in connection.execute(query))


def _record(row: Row[tuple[object, ...]]) -> Record:
    return Record(kind=row.kind, id=row.id, data=json.loads(row.data), owner=row.owner, version=row.version)
