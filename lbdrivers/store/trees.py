"""Trees as text, and back: parsed once as long as they are worked on.

Law: trees are frozen, so the same text may share one value. A hit also makes diff cheap, because what
is the very same object has not changed; and what this process wrote it need not parse.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from pydantic import ValidationError

from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import LoadBalancer


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
