"""The database behind the store: SQLite, PostgreSQL or MariaDB; connections and transactions.

Law: what a write transaction has read is still true when it writes: SQLite's takes its lock at its
beginning, on a server it reads ``for update``. What the database throws becomes a TemporaryError, as it
may be back later; a value that it will never take is a PermanentError.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lbdrivers.errors import InvalidInput, PermanentError, Problem, TemporaryError
from lbdrivers.settings.scale import DEFAULT_POOL, PoolSettings
from lbdrivers.store import migrations

#: Milliseconds that SQLite waits for another writer. A transaction of ours takes a few; this bears
#: a hundred of them in a row on a slow disk.
BUSY_MILLISECONDS = 10_000

#: Servers that are tested, with the driver for each and the extra that installs it. A URL without a
#: driver means this one; SQLAlchemy's own choices are drivers that need a compiler.
_SERVERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "postgresql": ("psycopg", "postgresql"),
        "mariadb": ("pymysql", "mariadb"),
        "mysql": ("pymysql", "mariadb"),
    }
)


#: Rows that one statement asks for by their ids.
_AT_ONCE = 500


def portions(ids: Collection[str]) -> Iterator[Sequence[str]]:
    """All of the ids, in order, in portions that fit into a statement."""
    ordered = sorted(set(ids))
    for begin in range(0, len(ordered), _AT_ONCE):
        yield ordered[begin : begin + _AT_ONCE]


class Database:
    """Transactions on the database of a URL; its tables are made when it is first used.

    :param pool: how many connections to a server are kept; a file needs no such care.
    """

    def __init__(self, url: str, pool: PoolSettings = DEFAULT_POOL) -> None:
        self._engine, self._file = _open(url, pool)
        self._reader = self._engine.execution_options(lbdrivers_reads=True)
        self._prepared = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; each statement sees one state of the database."""
        self._prepare()
        with _translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; commits at the end of the block. What it reads to decide by, it reads for update."""
        self._prepare()
        with _translated(), self._engine.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Make or change the tables now, see ``migrations.upgrade``; otherwise the first use does.

        Current ones are left alone, so nobody waits for a lock.
        """
        if self._file is not None:
            _make_private(self._file)
        with _translated():
            with self._reader.connect() as connection:
                current = migrations.is_current(connection)
            if not current:
                with self._engine.connect() as connection:
                    migrations.upgrade(connection)
        self._prepared = True

    def close(self) -> None:
        """Close every connection. The database can still be used: it opens new ones."""
        self._engine.dispose()

    def _prepare(self) -> None:
        if not self._prepared:
            self.migrate()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DataError as error:
        raise PermanentError(
            "the database cannot hold a value", f"the database cannot hold a value: {error}"
        ) from error
    except (DBAPIError, PoolTimeoutError) as error:
        raise TemporaryError("the database does not answer", f"the database does not answer: {error}") from error


def _open(text: str, pool: PoolSettings) -> tuple[Engine, Path | None]:
    """The engine for a URL, and the file where it is SQLite."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise _refused(f"cannot be used: {error}", "write it as SQLAlchemy has it: sqlite:////folder/file") from error
    if url.get_backend_name() == "sqlite":
        return _open_file(url)
    driver, extra = _SERVERS.get(url.get_backend_name(), ("", ""))
    if driver and "+" not in url.drivername:
        url = url.set(drivername=f"{url.drivername}+{driver}")
    remedy = f"install it: pip install 'lbdrivers[{extra}]'" if extra else f"choose of sqlite, {', '.join(_SERVERS)}"
    try:
        return create_engine(
            url,
            # A server's restart costs one query, not one failed run.
            pool_pre_ping=True,
            pool_size=pool.size,
            max_overflow=pool.overflow,
            pool_timeout=pool.timeout_seconds,
            pool_recycle=pool.recycle_seconds,
            # Each transaction locks the one row that it decides by. MariaDB's default would lock the
            # gaps between rows as well, and two that create load balancers would stop each other.
            isolation_level="READ COMMITTED",
        ), None
    except (ArgumentError, ImportError) as error:
        raise _refused(f"cannot be used: {error}", remedy) from error


def _open_file(url: URL) -> tuple[Engine, Path]:
    if not url.database or url.database == ":memory:":
        raise _refused("is SQLite without a file", "name a file, such as sqlite:////var/lib/lbdrivers/lbdrivers.sqlite")
    engine = create_engine(url)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine, Path(url.database)


def _refused(message: str, remedy: str) -> InvalidInput:
    """The value is not told: a URL may have a password in it."""
    return InvalidInput((Problem("[database] connection", "", message, remedy),))


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control begins too late for a read-then-write; see _begin_sqlite.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    _switch_to_wal(connection)
    for pragma in (
        # With WAL, NORMAL loses nothing when a process dies; a power cut may undo the last moments,
        # after which a new run finds what exists by its names.
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _switch_to_wal(connection: Any) -> None:
    """While another process does the same, SQLite refuses at once, whatever the busy timeout."""
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("lbdrivers_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _make_private(file: Path) -> None:
    """Folder 0700 when it is made here, file 0600: trees and records are nobody else's business."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        remedy = "choose a folder that you can write to"
        raise InvalidInput(
            (Problem("[database] connection", str(file), f"cannot be made: {error}", remedy),)
        ) from error
