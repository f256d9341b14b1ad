"""The tables of the store, and how a database gets them.

Law: one place knows table and column names. ``VERSION`` counts layouts; a database of a newer one is
refused, so that an old program never writes into what it does not understand.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
)
from sqlalchemy.dialects import mysql

from lbdrivers.errors import PermanentError

#: Layout of the tables. A change of layout raises it and brings a migration.
VERSION = 1

#: A tree of ten thousand members is some megabytes; TEXT of MySQL and MariaDB ends at 64 KiB.
_LONG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

load_balancers = Table(
    "load_balancers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, index=True),
    Column("provider", String(64), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("desired", _LONG_TEXT, nullable=False),
    Column("applied_generation", Integer, nullable=False),
    Column("applied", _LONG_TEXT),
    Column("status", String(16), nullable=False),
    Column("cause", Text),
    Column("cause_operator", Text),
    Column("cause_object_id", String(36)),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt", Float(53)),
    Column("delete_wanted", Boolean, nullable=False),
    Column("failovers_wanted", Integer, nullable=False),
    Column("failovers_done", Integer, nullable=False),
    Column("holder", String(255)),
    Column("lease_expires", Float(53)),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
)

#: Which load balancer an object belongs to; also keeps an id from being used by two of them.
objects = Table(
    "objects",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column(
        "load_balancer_id",
        String(36),
        ForeignKey("load_balancers.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
)

records = Table(
    "records",
    metadata,
    Column("kind", String(64), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("owner", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("data", _LONG_TEXT, nullable=False),
    Index("records_owner", "owner"),
)


def prepare(connection: Connection) -> None:
    """Make the tables where there are none.

    :raises PermanentError: when the database has a layout that this program does not know.
    """
    metadata.create_all(connection)
    found = connection.execute(select(schema_version.c.version)).scalar()
    if found is None:
        connection.execute(insert(schema_version).values(version=VERSION))
    elif found != VERSION:
        raise PermanentError(
            f"the database has layout {found}, this program knows layout {VERSION}; use a matching version of lbdrivers"
        )
