"""The table of trees, and trees as text and back: parsed once as long as they are worked on.

Law: a load balancer has at most two, the desired one and the applied one, each under the generation that wanted it
first. Trees are frozen, so the same text may share one value. A hit also makes diff cheap, because what
is the very same object has not changed; and what this process wrote it need not parse.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from pydantic import ValidationError
from sqlalchemy import Connection, bindparam, delete, insert, select

from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.store.schema import trees

_ONE = (trees.c.load_balancer_id == bindparam("of_id"), trees.c.generation == bindparam("of_generation"))
_DOCUMENT = select(trees.c.document).where(*_ONE)
_DROP = delete(trees).where(*_ONE)
_PUT = insert(trees)


def document(connection: Connection, load_balancer_id: str, generation: int) -> str:
    """The text of a tree that is there."""
    return str(connection.execute(_DOCUMENT, {"of_id": load_balancer_id, "of_generation": generation}).scalar_one())


def put(connection: Connection, load_balancer_id: str, generation: int, text: str) -> None:
    """Write one that is not there yet."""
    values = {"load_balancer_id": load_balancer_id, "generation": generation, "document": text}
    connection.execute(_PUT, values)


def drop(connection: Connection, load_balancer_id: str, generation: int | None, *needed: int | None) -> None:
    """Forget one, unless it is one of those that are needed."""
    if generation is not None and generation not in needed:
        connection.execute(_DROP, {"of_id": load_balancer_id, "of_generation": generation})


class Trees:
    """The last trees that were read or written; several threads may ask.

    :param most: how many are kept; two of each load balancer are worked on at one time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, LoadBalancer] = OrderedDict()
        self._lock = threading.Lock()

    def write(self, tree: LoadBalancer) -> str:
        """The text of a tree."""
        text = tree.model_dump_json()
        self._keep(text, tree)
        return text

    def read(self, text: str) -> LoadBalancer:
        """The tree of a text.

        :raises PermanentError: when this program does not understand it.
        """
        with self._lock:
            if (found := self._kept.get(text)) is not None:
                self._kept.move_to_end(text)
                return found
        try:
            tree = LoadBalancer.model_validate_json(text)
        except ValidationError as error:
            raise PermanentError(
                "a stored load balancer cannot be read; it was written by another version of lbdrivers",
                f"a stored load balancer cannot be read: {error}",
            ) from error
        self._keep(text, tree)
        return tree

    def _keep(self, text: str, tree: LoadBalancer) -> None:
        with self._lock:
            self._kept[text] = tree
            self._kept.move_to_end(text)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
