"""The index of object ids: which load balancer has an object of that id.

Law: an id stands in one tree at one time; what a tree has no more is free for others at once.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.store.schema import objects


def owner_of(connection: Connection, object_id: str) -> str | None:
    """Id of the load balancer whose tree has an object of that id, or None."""
    found = connection.execute(select(objects.c.load_balancer_id).where(objects.c.id == object_id)).scalar()
    return None if found is None else str(found)


def replace(connection: Connection, old: LoadBalancer | None, new: LoadBalancer) -> None:
    """Take the ids of ``new`` in and those that only ``old`` has out; None: nothing is there.

    :raises PermanentError: when another load balancer has one of them.
    """
    before = set() if old is None else _identities(old)
    after = _identities(new)
    if gone := before - after:
        rows = [{"gone": identity} for identity, _ in gone]
        connection.execute(delete(objects).where(objects.c.id == bindparam("gone")), rows)
    _add(connection, new.id, after - before)


def forget(connection: Connection, load_balancer_id: str) -> None:
    """Take out whatever the load balancer has."""
    connection.execute(delete(objects).where(objects.c.load_balancer_id == load_balancer_id))


def _identities(tree: LoadBalancer) -> set[tuple[str, str]]:
    return {(resource.id, kind) for kind, resource in tree.walk()}


def _add(connection: Connection, load_balancer_id: str, identities: set[tuple[str, str]]) -> None:
    # In one order everywhere: two that insert the same ids wait for each other, and never in a circle.
    rows = [{"id": one, "kind": kind, "load_balancer_id": load_balancer_id} for one, kind in sorted(identities)]
    if not rows:
        return
    try:
        connection.execute(insert(objects), rows)
    except IntegrityError as error:
        raise PermanentError(
            f"an id in the load balancer {load_balancer_id} is used in another one already; "
            "give each resource an id of its own",
            str(error.orig),
        ) from error
