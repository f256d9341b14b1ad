"""How a database gets the tables of ``store.schema``, and how it follows when they change.

Law: a database is at a revision that this program knows, or it is refused before anything is written;
one process at a time brings it further, in one transaction where the server can. A new revision is a
new file in ``versions``, written so that running it twice does no harm. An empty database gets the
newest tables at once, from ``store.schema``; a test proves that both ways lead to the same tables.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select, text

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.store.schema import REVISION, load_balancers, metadata

# Alembic's own table; it finds it by this name and needs this column.
_STAMP = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

#: Any number will do as long as no other program takes it on the same database: "lbdr" in ASCII.
_LOCK_NUMBER = 0x6C626472
#: Seconds to wait for another process that migrates.
_LOCK_SECONDS = 60

# Alembic keeps what it works on in module globals (`alembic.op`, `alembic.context`), so two threads
# of one process must take turns.
_ALEMBIC = threading.Lock()


def is_current(connection: Connection) -> bool:
    """Whether the database has the tables of this program already."""
    return _revision(connection) == REVISION


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest revision; one that is there already is left alone.

    A database that was made before there were revisions (layout 1) is taken over with all that is in it.

    :param connection: with no transaction begun; what is done is committed at the end. What cannot be
        rolled back (tables of MariaDB) can be repeated.
    :raises PermanentError: when the database is of a newer program, which this one does not understand.
    :raises TemporaryError: when another process has been migrating it for a minute.
    """
    with _alone(connection):
        _adopt(connection)
        found = _revision(connection)
        if found is None and not inspect(connection).has_table(load_balancers.name):
            metadata.create_all(connection)
            _stamp(connection, REVISION)
        elif found != REVISION:
            _migrate(connection, found)
        connection.commit()  # before others get their turn


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_STAMP.name):
        return None
    return connection.execute(select(_STAMP.c.version_num)).scalar()


def _stamp(connection: Connection, revision: str) -> None:
    _STAMP.create(connection, checkfirst=True)
    connection.execute(insert(_STAMP).values(version_num=revision))


def _adopt(connection: Connection) -> None:
    """A database from before there were revisions has a mark of its own; it gets a stamp instead."""
    if not inspect(connection).has_table("schema_version"):
        return
    found = connection.execute(text("SELECT version FROM schema_version")).scalar()
    if found not in (None, 1):
        raise _unknown(f"layout {found}")
    if found == 1 and _revision(connection) is None:
        _stamp(connection, "0001")
    connection.execute(text("DROP TABLE schema_version"))


def _migrate(connection: Connection, found: str | None, wanted: str = REVISION) -> None:
    # Imported here: the import takes longer than most commands, and most databases are current.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    # In alembic's own configuration a percent sign begins an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _ALEMBIC:
        if found is not None:
            try:
                ScriptDirectory.from_config(config).get_revision(found)
            except CommandError as error:
                raise _unknown(f"revision {found}") from error
        command.upgrade(config, wanted)


def _unknown(what: str) -> PermanentError:
    return PermanentError(
        f"the database has {what}, this program knows revision {REVISION}; use a matching version of lbdrivers"
    )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """No other process migrates this database meanwhile."""
    if connection.dialect.name == "postgresql":
        # Given back by the server when the transaction ends, however it ends.
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        yield
    elif connection.dialect.name in ("mysql", "mariadb"):
        # Such locks are the server's, not the database's, so the name has the database in it.
        name = {"name": f"lbdrivers {connection.engine.url.database}"[:64]}
        taken = connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), name | {"seconds": _LOCK_SECONDS})
        if taken.scalar() != 1:
            raise TemporaryError("the database is being migrated by somebody else; try again later")
        try:
            yield
        finally:
            connection.execute(text("DO RELEASE_LOCK(:name)"), name)
    else:  # SQLite: the transaction has the only write lock there is
        yield
