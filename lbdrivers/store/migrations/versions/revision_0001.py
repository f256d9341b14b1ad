"""The first layout: load balancers, their objects, drivers' records.

Every statement can be run again: MariaDB commits each one by itself, so a process that dies here
leaves some of them done.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_SECONDS = sa.Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql", "mariadb")
_BYTES = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Make the three tables."""
    _make_load_balancers()
    op.create_table(
        "objects",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column(
            "load_balancer_id", sa.String(36), sa.ForeignKey("load_balancers.id", ondelete="CASCADE"), nullable=False
        ),
        if_not_exists=True,
        **_BYTES,
    )
    op.create_index("ix_objects_load_balancer_id", "objects", ["load_balancer_id"], if_not_exists=True)
    op.create_table(
        "records",
        sa.Column("kind", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("owner", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", _LONG_TEXT, nullable=False),
        if_not_exists=True,
        **_BYTES,
    )
    op.create_index("records_owner", "records", ["owner"], if_not_exists=True)


def _make_load_balancers() -> None:
    op.create_table(
        "load_balancers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("desired", _LONG_TEXT, nullable=False),
        sa.Column("applied_generation", sa.Integer, nullable=False),
        sa.Column("applied", _LONG_TEXT),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("cause_operator", sa.Text),
        sa.Column("cause_object_id", sa.String(36)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt", _SECONDS),
        sa.Column("delete_wanted", sa.Boolean, nullable=False),
        sa.Column("failovers_wanted", sa.Integer, nullable=False),
        sa.Column("failovers_done", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(255)),
        sa.Column("lease_expires", _SECONDS),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("updated_at", _SECONDS, nullable=False),
        if_not_exists=True,
        **_BYTES,
    )
    op.create_index("ix_load_balancers_name", "load_balancers", ["name"], if_not_exists=True)
