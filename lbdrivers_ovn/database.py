"""A connection to a database of OVN: with ``wire`` the place that knows ovsdbapp and ovs.

Law: the connection is made at first use, and kept; a server that goes away is found again, with growing waits, by the
library itself. Work runs in the connection's own thread, as one transaction: what it reads is what it writes
upon, and where a row that it verified has changed meanwhile it runs again on what is there then. Errors become
TemporaryError: a database that does not answer may answer later.
"""

from __future__ import annotations

import threading
import time
import uuid as uuids
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from ovs.db import data, idl, types
from ovs.stream import Stream
from ovsdbapp import exceptions
from ovsdbapp.backend.ovs_idl import connection, idlutils, transaction

from lbdrivers.errors import DriverError, TemporaryError
from lbdrivers_ovn.settings import DatabaseSettings
from lbdrivers_ovn.wire import QuickSession, fetch_schema

T = TypeVar("T")
#: A row of the replica; columns are attributes.
Row: TypeAlias = Any
Listener: TypeAlias = Callable[[str, str, Row, Row | None], None]
#: Seconds for the first connection. Later ones are the library's business; a run should fail soon, to be told.
_FIRST_CONTACT = 5.0
#: How often a change is tried that the server refuses.
_ATTEMPTS = 3


class Work:
    """What one transaction does: reads the replica by ``rows`` and ``find``, writes by ``insert`` and rows' methods."""

    def __init__(self, tables: Mapping[str, Any], txn: Any) -> None:
        self._tables = tables
        self._txn = txn

    def rows(self, table: str) -> Iterator[Row]:
        """Every row of the table."""
        return iter(list(self._tables[table].rows.values()))

    def find(self, table: str, name: str) -> tuple[Row, ...]:
        """Rows of that name, in a table that has an index of names."""
        return tuple(idlutils.index_lookup_all(self._tables[table], name=name))

    def get(self, table: str, uuid: str) -> Row:
        """The row of that UUID. :raises KeyError: when there is none."""
        return self._tables[table].rows[uuids.UUID(uuid)]

    def insert(self, table: str) -> Row:
        """A new row."""
        return self._txn.insert(self._tables[table])

    def round_trip(self) -> None:
        """Have the transaction sent, whatever is in it: the server sends all earlier changes before it answers."""
        self._txn.add_op({"op": "comment", "comment": ""})

    @staticmethod
    def refers(row: Row, column: str, uuid: str) -> bool:
        """Whether a column of references has that one; without making rows of the others, which may be many."""
        return data.Atom(types.UuidType, uuids.UUID(uuid)) in row._data[column].values

    def has_column(self, table: str, column: str) -> bool:
        """Whether the server's schema has the column; older ones lack some."""
        return column in self._tables[table].columns


def concerns(columns: Sequence[str] | None, old: Row | None) -> bool:
    """Whether what a listener is told concerns one of these columns; None: any, as every new row and every lost one."""
    return old is None or columns is None or any(hasattr(old, column) for column in columns)


class Database:
    """One database. Cheap until it is used; safe from any thread.

    :param schema: its name, such as OVN_Northbound.
    :param tables: table -> columns that are wanted of it; what the server lacks is left out.
    :param indexed: tables whose rows are looked up by name.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        schema: str,
        tables: Mapping[str, Sequence[str]],
        indexed: Sequence[str] = (),
        listener: Listener | None = None,
    ) -> None:
        self._settings = settings
        self._schema = schema
        self._wanted = tables
        self._indexed = indexed
        self._listeners = [listener] if listener is not None else []
        self._lock = threading.Lock()
        self._connection: Any = None
        #: Transactions that changed something, since the connection was made.
        self.transactions = 0

    def run(self, work: Callable[[Work], T]) -> T:
        """Do the work in one transaction; nothing is sent when it writes nothing.

        :raises TemporaryError: when the database does not answer or refuses; what ``work`` raises passes.
        """
        value, written = self._committed(work)
        self.transactions += written
        return value

    def look(self, work: Callable[[Work], T]) -> T:
        """Do work that only reads, on all that anybody had written when it was called.

        The replica follows the server a moment behind; a round trip brings everything that is on its way.

        :raises TemporaryError: when the database does not answer; what ``work`` raises passes.
        """
        self._committed(Work.round_trip)
        return self._committed(work)[0]

    def _committed(self, work: Callable[[Work], T]) -> tuple[T, bool]:
        """What came of the work, and whether it wrote anything."""
        deadline = time.monotonic() + self._settings.timeout
        for _ in range(_ATTEMPTS):
            established = self._established()
            command = _Command(established, work)
            bundle = transaction.Transaction(
                established, established.connection, timeout=self._settings.timeout, check_error=True, log_errors=False
            )
            bundle.add(command)
            try:
                bundle.commit()
            except DriverError:
                raise
            except RuntimeError as error:
                # The library has one error for all. Out of time, a further attempt would only wait as long again.
                if time.monotonic() >= deadline or not established.idl.current:
                    raise self._unreachable(error) from error
                # Somebody else has just inserted a row of that name: on a second look it is there.
                refusal = error
            except (exceptions.OvsdbAppException, OSError) as error:
                raise self._unreachable(error) from error
            else:
                return command.value, command.written
        raise TemporaryError(
            "OVN's database refuses a change", f"{self._schema} at {self._settings.remote}: {refusal}"
        ) from refusal

    def subscribe(self, listener: Listener) -> None:
        """Tell somebody more of every change: the event ("create", "update", "delete"), the table, the row, and for
        updates a row with the old values of what has changed. It is called in the connection's thread."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Give the connection back; the next use makes another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _established(self) -> _Established:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            found: _Established = self._connection
            return found

    def _connect(self) -> _Established:
        tls, timeout = self._settings.tls, min(self._settings.timeout, _FIRST_CONTACT)
        if tls.private_key:
            Stream.ssl_set_private_key_file(tls.private_key)
            Stream.ssl_set_certificate_file(tls.certificate)
            Stream.ssl_set_ca_cert_file(tls.authority)
        schema = fetch_schema(self._settings.remote, self._schema, timeout)
        helper = idl.SchemaHelper(schema_json=schema)
        known = schema["tables"]
        for table, columns in self._wanted.items():
            if table in known:
                helper.register_columns(table, [one for one in columns if one in known[table]["columns"]])
        replica = _Replica(self._settings.remote, helper, self._settings.probe_interval, self._listeners)
        for table in self._indexed:
            replica.tables[table].rows.index_create(idlutils.index_name("name")).add_columns("name")
        try:
            return _Established(replica, timeout)
        except exceptions.OvsdbAppException as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> TemporaryError:
        # The text of the library's own time-outs cannot be had: to make it fails.
        words = ", ".join(map(str, error.args)) or type(error).__name__
        return TemporaryError("OVN's database does not answer", f"{self._schema} at {self._settings.remote}: {words}")


class _Replica(connection.OvsdbIdl):  # type: ignore[misc] # the library has no types
    """The library's replica, that tells of changes."""

    _session: Any

    def __init__(self, remote: str, helper: Any, probe_interval: int, listeners: Sequence[Listener]) -> None:
        super().__init__(remote, helper, probe_interval=probe_interval)
        self._session = QuickSession.instead_of(self._session)
        self._listeners = listeners

    def notify(self, event: str, row: Row, updates: Row | None = None) -> None:
        """See the library: called in the connection's thread."""
        for tell in self._listeners:
            tell(event, row._table.name, row, updates)

    @property
    def current(self) -> bool:
        """Whether the replica follows the database right now."""
        return bool(self._session.is_connected()) and self.state == idl.Idl.IDL_S_MONITORING


class _Established:
    """A connection that stands, and its thread; in the form in which transactions want it."""

    def __init__(self, replica: _Replica, timeout: float) -> None:
        self.idl = replica
        self.connection = connection.Connection(replica, timeout)
        self.connection.start()
        # The thread must not outlive what nobody can use any more.
        self._end = weakref.finalize(self, _stop, self.connection)
        self._end.atexit = False  # a daemon thread ends with the process, and must not hold it up

    def close(self) -> None:
        self._end()


def _stop(established: Any) -> None:
    """Let the connection's thread end, without waiting for it: it may be that thread that finds nobody needs it."""
    established.is_running = False
    established.txns.alert_notify()


class _Command(Generic[T]):
    """Work in the form of a command of the library."""

    def __init__(self, established: _Established, work: Callable[[Work], T]) -> None:
        self._idl = established.idl
        self._work = work
        self.value: T
        self.result = None
        self.written = False

    def run_idl(self, txn: Any) -> None:
        if not self._idl.current:
            raise TemporaryError("OVN's database does not answer", "the connection is being made anew", retry_after=1.0)
        self.value = self._work(Work(self._idl.tables, txn))

    def post_commit(self, _txn: Any) -> None:
        self.written = True
