"""Whether there is more to do than can be done: by how full the batches are.

Law: pure but for what it remembers. A batch that is full means that more was waiting; several in a row mean
that it does not become less.
"""

from __future__ import annotations

from lbdrivers_amphora.health.receiver import BATCH

#: Full batches in a row that begin, and batches below half that end an overload.
_BEGIN, _END = 16, 4


class Load:
    """Watches batches. ``changed`` says whether the last one has changed the verdict."""

    def __init__(self) -> None:
        self.shedding = False
        self.changed = False
        self._full = 0
        self._calm = 0

    def note(self, received: int) -> bool:
        """Whether to shed what can wait, after a batch of so many datagrams."""
        self._full = self._full + 1 if received >= BATCH else 0
        self._calm = self._calm + 1 if received < BATCH // 2 else 0
        verdict = self._calm < _END if self.shedding else self._full >= _BEGIN
        self.changed, self.shedding = verdict is not self.shedding, verdict
        return verdict
