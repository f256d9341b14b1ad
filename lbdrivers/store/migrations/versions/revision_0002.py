"""Trees get a table of their own: rows of load balancers are written at each lease, their trees are not.

Every statement can be run again, see revision 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_BYTES = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
#: Column that had a tree -> the column that had its generation, and the one that refers to it from now on.
_MOVED = {"desired": ("generation", "desired_tree"), "applied": ("applied_generation", "applied_tree")}


def upgrade() -> None:
    """Move desired and applied trees."""
    op.create_table(
        "trees",
        sa.Column(
            "load_balancer_id",
            sa.String(36),
            sa.ForeignKey("load_balancers.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", _LONG_TEXT, nullable=False),
        if_not_exists=True,
        **_BYTES,
    )
    found = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("load_balancers")}
    if "desired_tree" not in found:
        # A default, as SQLite adds no column without one that may not be empty.
        op.add_column("load_balancers", sa.Column("desired_tree", sa.Integer, nullable=False, server_default="1"))
    if "applied_tree" not in found:
        op.add_column("load_balancers", sa.Column("applied_tree", sa.Integer))
    for column, (generation, reference) in _MOVED.items():
        if column in found:
            _move(column, generation, reference)


def _move(column: str, generation: str, reference: str) -> None:
    # Where both are of one generation the tree is one; what an interrupted try has moved is there, too.
    op.execute(
        f"INSERT INTO trees (load_balancer_id, generation, document) "  # noqa: S608 - names from the table above
        f"SELECT id, {generation}, {column} FROM load_balancers WHERE {column} IS NOT NULL AND NOT EXISTS "
        f"(SELECT 1 FROM trees WHERE trees.load_balancer_id = load_balancers.id AND trees.generation = {generation})"
    )
    op.execute(f"UPDATE load_balancers SET {reference} = {generation} WHERE {column} IS NOT NULL")  # noqa: S608
    op.drop_column("load_balancers", column)
