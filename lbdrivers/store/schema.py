"""The tables of the store, as this program wants them.

Law: one place knows table and column names. How a database gets them, revision by revision, is in
``migrations``; a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

#: The newest revision in ``migrations/versions``. Stands here so that a database that has it already
#: is used without alembic being imported, which takes longer than most commands.
REVISION = "0002"

#: A tree of ten thousand members is some megabytes; TEXT of MySQL and MariaDB ends at 64 KiB.
_LONG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

#: Seconds since the epoch, in eight bytes everywhere. MariaDB's FLOAT has four unless told.
_SECONDS = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql", "mariadb")

#: Names differ by case, and a comparison is one of bytes, as in SQLite and PostgreSQL; the default of
#: MySQL and MariaDB would find "Web" for "web". A dialect takes the options of its own name only.
_BYTES: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

metadata = MetaData()

load_balancers = Table(
    "load_balancers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, index=True),
    Column("provider", String(64), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("applied_generation", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("cause", Text),
    Column("cause_operator", Text),
    Column("cause_object_id", String(36)),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt", _SECONDS),
    Column("delete_wanted", Boolean, nullable=False),
    Column("failovers_wanted", Integer, nullable=False),
    Column("failovers_done", Integer, nullable=False),
    Column("holder", String(255)),
    Column("lease_expires", _SECONDS),
    Column("created_at", _SECONDS, nullable=False),
    Column("updated_at", _SECONDS, nullable=False),
    # Which of the trees below is wanted, and which one runs: the generation that wanted it first.
    Column("desired_tree", Integer, nullable=False, server_default="1"),
    Column("applied_tree", Integer),
    **_BYTES,
)

#: What load balancers are made of. Apart from their rows, which are written several times a change, while a
#: tree of ten thousand members is written once.
trees = Table(
    "trees",
    metadata,
    Column("load_balancer_id", String(36), ForeignKey("load_balancers.id", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("document", _LONG_TEXT, nullable=False),
    **_BYTES,
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
    **_BYTES,
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
    **_BYTES,
)
