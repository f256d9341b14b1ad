"""The database behind the store: connections, transactions, and SQLite's manners.

Law: a write transaction takes its lock at its beginning, so that what it has read is still true when
it writes. What the database throws becomes a TemporaryError: it may be back later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lbdrivers.errors import InvalidInput, Problem, TemporaryError
from lbdrivers.store import schema

#: Milliseconds that SQLite waits for another writer. A transaction of ours takes a few; this bears
#: a hundred of them in a row on a slow disk.
BUSY_MILLISECONDS = 10_000


class Database:
    """Transactions on the database of a URL; its tables are made when it is first used."""

    def __init__(self, url: str) -> None:
        self._engine, self._file = _open(url)
        self._reader = self._engine.execution_options(lbdrivers_reads=True)
        self._prepared = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; it sees one state of the database throughout."""
        self._prepare()
        with _translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; commits at the end of the block."""
        self._prepare()
        with _translated(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection. The database can still be used: it opens new ones."""
        self._engine.dispose()

    def _prepare(self) -> None:
        if self._prepared:
            return
        if self._file is not None:
            _make_private(self._file)
        with _translated(), self._engine.begin() as connection:
            schema.prepare(connection)
        self._prepared = True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeoutError) as error:
        raise TemporaryError("the database does not answer", f"the database does not answer: {error}") from error


def _open(text: str) -> tuple[Engine, Path | None]:
    """The engine for a URL, and the file where it is SQLite."""
    try:
        url = make_url(text)
        if url.get_backend_name() != "sqlite":
            # pool_pre_ping: a server's restart costs one query, not one failed run.
            return create_engine(url, pool_pre_ping=True), None
        if not url.database or url.database == ":memory:":
            remedy = "name a file, such as sqlite:////var/lib/lbdrivers/lbdrivers.sqlite"
            raise InvalidInput((Problem("[database] connection", text, "is SQLite without a file", remedy),))
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise InvalidInput((Problem("[database] connection", "", f"cannot be used: {error}"),)) from error
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine, Path(url.database)


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control begins too late for a read-then-write; see _begin_sqlite.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_MILLISECONDS}",
        "journal_mode=WAL",
        # With WAL, NORMAL loses nothing when a process dies; a power cut may undo the last moments,
        # after which a new run finds what exists by its names.
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


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
