"""The store: what is wanted of every load balancer, what was done, and who is at it.

Laws: a change is one transaction, loading a load balancer one SELECT; a write for a run is
compare-and-set on its lease, so that one whose lease was taken over changes nothing; a generation
never goes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus, may_follow
from lbdrivers.settings.scale import DEFAULT_POOL, PoolSettings
from lbdrivers.store import objects, rows, trees
from lbdrivers.store.database import Database, portions
from lbdrivers.store.entry import Cause, Entry, pending_status
from lbdrivers.store.records import LeasedRecords, StoredRecords
from lbdrivers.store.schema import load_balancers, records
from lbdrivers.store.schema import trees as tree_table
from lbdrivers.store.trees import Trees

_T = load_balancers.c

#: Parsed trees that are kept: two of each load balancer that is worked on at one time.
_KEPT_TREES = 64
#: Bytes that are kept of a cause: less than TEXT of MariaDB holds, more than anybody reads.
_LONGEST_CAUSE = 60_000
#: What a new wish does to the waiting after a failure: it ends.
_DUE_AT_ONCE: Mapping[str, int | None] = MappingProxyType({"attempts": 0, "next_attempt": None})


class Store:
    """Desired trees, statuses, leases and driver-private records in a database.

    :param url: SQLAlchemy URL; made at first use.
    :param now: seconds since the epoch, for the two timestamps of an entry.
    :param pool: connections to a database server.
    """

    def __init__(self, url: str, now: Callable[[], float] = time.time, *, pool: PoolSettings = DEFAULT_POOL) -> None:
        self._database = Database(url, pool)
        self._now = now
        self.records = StoredRecords(self._database)
        self._trees = Trees(_KEPT_TREES)

    def migrate(self) -> None:
        """Make or change the tables now; otherwise the first use does.

        :raises PermanentError: when the database belongs to a newer program.
        """
        self._database.migrate()

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    # -- what is wanted ---------------------------------------------------------------------------

    def submit(self, tree: LoadBalancer, provider: str) -> int:
        """Make the tree the desired one, at once and whole; equal to the desired one, it is no change.

        An entry that waits after a failure is due at once afterwards.

        :returns: the generation that wants it.
        :raises PermanentError: when the load balancer is being deleted or belongs to another
            provider, or an id in the tree is in use elsewhere.
        """
        try:
            return self._submit(tree, provider)
        except IntegrityError:
            # Another process made it between our looking and our writing: now there is something to lock.
            return self._submit(tree, provider)

    def _submit(self, tree: LoadBalancer, provider: str) -> int:
        with self._database.write() as connection:
            row = rows.lock(connection, tree.id)
            if row is None:
                return self._create(connection, tree, provider)
            if row.delete_wanted:
                raise PermanentError(f"the load balancer {tree.id} is being deleted; wait until it is gone")
            if row.provider != provider:
                raise PermanentError(
                    f"the load balancer {tree.id} belongs to the provider {row.provider}, not to {provider}; "
                    "delete it and create it anew to change that"
                )
            return self._change(connection, row, tree)

    def _create(self, connection: Connection, tree: LoadBalancer, provider: str) -> int:
        now = self._now()
        connection.execute(
            insert(load_balancers).values(
                id=tree.id,
                name=tree.name,
                provider=provider,
                generation=1,
                applied_generation=0,
                desired_tree=1,
                status=ProvisioningStatus.PENDING_CREATE.value,
                attempts=0,
                delete_wanted=False,
                failovers_wanted=0,
                failovers_done=0,
                created_at=now,
                updated_at=now,
            )
        )
        trees.put(connection, tree.id, 1, self._trees.write(tree))
        objects.replace(connection, None, tree)
        return 1

    def _change(self, connection: Connection, row: Row[Any], tree: LoadBalancer) -> int:
        text, before = self._trees.write(tree), trees.document(connection, tree.id, row.desired_tree)
        if text == before:
            if row.next_attempt is not None:
                self._wish(connection, row, {})
            return int(row.generation)
        objects.replace(connection, self._trees.read(before), tree)
        generation = int(row.generation) + 1
        trees.put(connection, tree.id, generation, text)
        trees.drop(connection, tree.id, row.desired_tree, row.applied_tree)
        self._wish(connection, row, {"name": tree.name, "generation": generation, "desired_tree": generation})
        return generation

    def request_apply(self, load_balancer_id: str) -> None:
        """Want the desired tree carried out once more, as what runs has drifted from it.

        :raises PermanentError: when it is not there, or is being deleted.
        """
        self._request(load_balancer_id, lambda row: {"generation": row.generation + 1})

    def request_delete(self, load_balancer_id: str) -> None:
        """Want the load balancer gone; wanted already, or not there, is success."""
        with self._database.write() as connection:
            row = rows.lock(connection, load_balancer_id)
            if row is not None:
                self._wish(connection, row, {"delete_wanted": True})

    def request_failover(self, load_balancer_id: str) -> None:
        """Want the load balancer brought back to full redundancy; several requests before a run are one.

        :raises PermanentError: when it is not there, or is being deleted.
        """
        self._request(load_balancer_id, lambda row: {"failovers_wanted": row.failovers_wanted + 1})

    def _request(self, load_balancer_id: str, wish: Callable[[Row[Any]], dict[str, Any]]) -> None:
        with self._database.write() as connection:
            row = rows.lock(connection, load_balancer_id)
            if row is None:
                raise PermanentError(f"there is no load balancer {load_balancer_id}")
            if row.delete_wanted:
                raise PermanentError(f"the load balancer {load_balancer_id} is being deleted")
            self._wish(connection, row, wish(row))

    def _wish(self, connection: Connection, row: Row[Any], values: Mapping[str, Any]) -> None:
        """Write what is wanted besides; it is due at once."""
        wanted = {**values, **_DUE_AT_ONCE, "updated_at": self._now()}
        deleting = wanted.get("delete_wanted", False)
        status = pending_status(applied_generation=row.applied_generation, delete_wanted=deleting)
        wanted["status"] = _next_status(row, status)
        rows.write(connection, row.id, wanted)

    # -- what there is ----------------------------------------------------------------------------

    def get(self, id_or_name: str) -> Entry | None:
        """The entry of that id, else of that name, or None.

        :raises PermanentError: when several have the name.
        """
        if not id_or_name:
            return None
        wanted, exact = or_(_T.id == id_or_name, _T.name == id_or_name), _T.id == id_or_name
        with self._database.read() as connection:
            # The one of that id first. One has two rows at most, so a third is another's.
            found = connection.execute(rows.WITH_TREES.where(wanted).order_by(exact.desc(), _T.id).limit(3)).all()
        of_first = [row for row in found if row.id == found[0].id]
        if len(of_first) < len(found) and found[0].id != id_or_name:
            raise PermanentError(f"several load balancers have the name {id_or_name}; give the id of one")
        return self._entry(of_first) if of_first else None

    def list(self) -> tuple[Entry, ...]:
        """Every entry, by name and id."""
        with self._database.read() as connection:
            found = connection.execute(rows.WITH_TREES.order_by(_T.name, _T.id)).all()
        return tuple(self._entry(list(of_one)) for _, of_one in groupby(found, key=lambda row: row.id))

    def standings(self, load_balancer_ids: Collection[str] | None = None) -> dict[str, tuple[int, ProvisioningStatus]]:
        """Wanted generation and status of every load balancer, by id: what has changed without reading any tree.

        :param load_balancer_ids: of these alone, as far as there are any.
        """
        query = select(_T.id, _T.generation, _T.status)
        if load_balancer_ids is None:
            queries = [query]
        else:
            queries = [query.where(_T.id.in_(some)) for some in portions(load_balancer_ids)]
        with self._database.read() as connection:
            found = [row for one in queries for row in connection.execute(one)]
        return {identity: (generation, ProvisioningStatus(status)) for identity, generation, status in found}

    def desired(self, load_balancer_ids: Collection[str]) -> tuple[LoadBalancer, ...]:
        """The wanted trees of these, of those that there are."""
        wanted = select(tree_table.c.document).join(
            load_balancers, (tree_table.c.load_balancer_id == _T.id) & (tree_table.c.generation == _T.desired_tree)
        )
        queries = [wanted.where(_T.id.in_(some)) for some in portions(load_balancer_ids)]
        with self._database.read() as connection:
            return tuple(self._trees.read(text) for one in queries for text in connection.execute(one).scalars())

    def owner_of(self, object_id: str) -> str | None:
        """Id of the load balancer whose desired tree has an object of that id, or None."""
        with self._database.read() as connection:
            return objects.owner_of(connection, object_id)

    def due(self, now: float) -> tuple[str, ...]:
        """Ids of those with work left, whose time has come and on which nobody is, longest waiting first."""
        work = or_(_T.delete_wanted, _T.failovers_wanted > _T.failovers_done, _T.generation > _T.applied_generation)
        ripe = or_(_T.next_attempt.is_(None), _T.next_attempt <= now)
        free = or_(_T.holder.is_(None), _T.lease_expires <= now)
        with self._database.read() as connection:
            query = select(_T.id).where(work, ripe, free).order_by(_T.updated_at, _T.id)
            return tuple(connection.execute(query).scalars())

    # -- who is at it -----------------------------------------------------------------------------

    def acquire(
        self, load_balancer_id: str, holder: str, now: float, seconds: float, instead_of: str | None = None
    ) -> Entry | None:
        """Take the lease if it is free, has expired, or is held by ``instead_of`` (a holder known to be dead).

        :returns: the entry as it is from here on, one in ERROR PENDING again; None when the lease is not to be had.
        """
        with self._database.write() as connection:
            asked = {"of_id": load_balancer_id, "of_now": now, "of_dead": instead_of}
            row = connection.execute(rows.FREE, asked).one_or_none()
            if row is None:
                return None
            values: dict[str, Any] = {"holder": holder, "lease_expires": now + seconds}
            if row.status == ProvisioningStatus.ERROR:
                # Nothing is in ERROR without work left: a failure leaves undone what it failed at.
                pending = pending_status(applied_generation=row.applied_generation, delete_wanted=row.delete_wanted)
                values["status"] = pending.value
            rows.write(connection, load_balancer_id, values)
            desired, applied = self._read_tree(connection, row, row.desired_tree), None
            if row.applied_tree == row.desired_tree:
                applied = desired
            elif row.applied_tree is not None:
                applied = self._read_tree(connection, row, row.applied_tree)
        return rows.entry(row, desired, applied, values)

    def renew(self, load_balancer_id: str, holder: str, now: float, seconds: float) -> bool:
        """Prolong the holder's lease; False when it is the holder's no more."""
        with self._database.write() as connection:
            values = {"of_id": load_balancer_id, "of_holder": holder, "lease_expires": now + seconds}
            return connection.execute(rows.WRITE_HELD, values).rowcount == 1

    def release(self, load_balancer_id: str, holder: str) -> ProvisioningStatus | None:
        """Give the lease back; None when it is the holder's no more.

        :returns: the status of the moment: ACTIVE when nothing is left to do.
        """
        with self._database.write() as connection:
            row = rows.lock_held(connection, load_balancer_id, holder)
            if row is None:
                return None
            rows.write(connection, load_balancer_id, {"holder": None, "lease_expires": None})
        return ProvisioningStatus(row.status)

    def records_under(self, load_balancer_id: str, holder: str) -> LeasedRecords:
        """The drivers' records, for as long as the lease is the holder's."""
        return LeasedRecords(self._database, load_balancer_id, holder)

    # -- what was done ----------------------------------------------------------------------------

    def finish_apply(self, seen: Entry, holder: str) -> Entry | None:
        """Note that the desired tree of the entry is what runs; it is ACTIVE when nothing else is left.

        :param seen: what the run worked from.
        :returns: the entry as it is now; None when the lease is the holder's no more.
        """
        with self._database.write() as connection:
            row = rows.lock_held(connection, seen.id, holder)
            if row is None:
                return None
            # The tree need not travel again, unless it was replaced meanwhile.
            applied = row.desired_tree
            if row.desired_tree > seen.generation:
                applied = seen.generation
                if row.applied_tree != applied:
                    trees.put(connection, seen.id, applied, self._trees.write(seen.desired))
            values = {"applied_generation": seen.generation, "applied_tree": applied}
            newest = self._note_success(connection, row, seen, values, seen.desired)
            trees.drop(connection, seen.id, row.applied_tree, applied, row.desired_tree)
        return newest

    def finish_failover(self, seen: Entry, holder: str) -> Entry | None:
        """Note that the requests of the entry are served; see ``finish_apply``."""
        with self._database.write() as connection:
            row = rows.lock_held(connection, seen.id, holder)
            if row is None:
                return None
            return self._note_success(connection, row, seen, {"failovers_done": seen.failovers_wanted}, seen.applied)

    def finish_remove(self, load_balancer_id: str, holder: str) -> bool:
        """Forget the load balancer and its drivers' records; False when the lease is the holder's no more."""
        with self._database.write() as connection:
            if rows.lock_held(connection, load_balancer_id, holder) is None:
                return False
            connection.execute(delete(records).where(records.c.owner == load_balancer_id))
            objects.forget(connection, load_balancer_id)
            connection.execute(delete(load_balancers).where(_T.id == load_balancer_id))
        return True

    def finish_failure(
        self, seen: Entry, holder: str, cause: Cause, status: ProvisioningStatus, next_attempt: float
    ) -> Entry | None:
        """Note that a run failed and when to try again.

        :param seen: the entry that the run worked from. If more was asked for since, the failure
            speaks of an older wish: nothing is written, and the newer one stays due at once.
        :returns: the entry as it is now; None when the lease is the holder's no more.
        """
        with self._database.write() as connection:
            row = rows.lock_held(connection, seen.id, holder)
            if row is None:
                return None
            values: dict[str, Any] = {}
            wishes = (row.generation, bool(row.delete_wanted), row.failovers_wanted)
            if wishes == (seen.generation, seen.delete_wanted, seen.failovers_wanted):
                values = {
                    "cause": _storable(cause.user),
                    "cause_operator": _storable(cause.operator),
                    "cause_object_id": (cause.object_id or "")[:36] or None,
                    "status": _next_status(row, status),
                    "attempts": row.attempts + 1,
                    "next_attempt": next_attempt,
                    "updated_at": self._now(),
                }
                rows.write(connection, seen.id, values)
            applied = None if row.applied_tree is None else self._read_tree(connection, row, row.applied_tree)
            return rows.entry(row, self._newest(connection, row, seen), applied, values)

    def _note_success(
        self,
        connection: Connection,
        row: Row[Any],
        seen: Entry,
        values: Mapping[str, Any],
        applied: LoadBalancer | None,
    ) -> Entry:
        generation = values.get("applied_generation", row.applied_generation)
        failovers = values.get("failovers_done", row.failovers_done)
        settled = not row.delete_wanted and row.generation <= generation and row.failovers_wanted <= failovers
        status = ProvisioningStatus.ACTIVE
        if not settled:
            status = pending_status(applied_generation=generation, delete_wanted=row.delete_wanted)
        changed = {**values, "cause": None, "cause_operator": None, "cause_object_id": None, **_DUE_AT_ONCE}
        changed |= {"status": _next_status(row, status), "updated_at": self._now()}
        rows.write(connection, seen.id, changed)
        return rows.entry(row, self._newest(connection, row, seen), applied, changed)

    def _newest(self, connection: Connection, row: Row[Any], seen: Entry) -> LoadBalancer:
        """The desired tree, read when it has changed since."""
        return (
            seen.desired if row.desired_tree <= seen.generation else self._read_tree(connection, row, row.desired_tree)
        )

    def _read_tree(self, connection: Connection, row: Row[Any], generation: int) -> LoadBalancer:
        return self._trees.read(trees.document(connection, row.id, generation))

    def _entry(self, found: Sequence[Row[Any]]) -> Entry:
        """The entry of all the rows that ``rows.WITH_TREES`` has of a load balancer."""
        by_generation = {row.tree: self._trees.read(row.document) for row in found}
        row = found[0]
        return rows.entry(row, by_generation[row.desired_tree], by_generation.get(row.applied_tree))


def _storable(text: str) -> str:
    """Words of a daemon or a driver as every database takes them: no NUL (PostgreSQL), no lone
    surrogates (UTF-8), at most the 64 KiB that TEXT has in MariaDB."""
    clean = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")
    return clean[:_LONGEST_CAUSE].decode("utf-8", "ignore")


def _next_status(row: Row[Any], status: ProvisioningStatus) -> str:
    """The word to write; what the table of transitions does not have is a bug here, not an input."""
    assert may_follow(ProvisioningStatus(row.status), status), f"{row.status} -> {status}"
    return status.value
