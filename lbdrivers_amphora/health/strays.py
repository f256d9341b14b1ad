"""Looks after amphorae that speak although no record names them: tells of them, and has what is ours removed.

Law: decided is in ``decide/zombies.py``. Nothing is removed of which no record says that it was removed before, and
nothing twice while it goes on speaking; cloud calls keep neither receiving nor writing waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from lbdrivers.errors import DriverError
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers_amphora.decide.failover import Policy
from lbdrivers_amphora.decide.zombies import Strangers
from lbdrivers_amphora.health import words
from lbdrivers_amphora.health.journal import Journal
from lbdrivers_amphora.health.words import Word
from lbdrivers_amphora.provider import AmphoraProvider


class Strays:
    """Those that are known now.

    :param workers: what removes; None: nothing is removed from here, people are told how.
    """

    def __init__(
        self,
        context: DaemonContext,
        journal: Journal,
        policy: Policy,
        workers: Executor | None,
        say: Callable[[Iterable[Word]], None],
    ) -> None:
        self._context = context
        self._journal = journal
        self._policy = policy
        self._workers = None if policy.dry_run else workers
        self._say = say
        self._lock = threading.Lock()
        self._strangers = Strangers()
        self._told: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._told)

    def note(self, names: Iterable[str], now: float) -> None:
        """These have spoken with a key of ours, and are not watched; may be called by any thread."""
        with self._lock:
            self._strangers = self._strangers.note(names, now)

    def look(self, now: float) -> None:
        """After the records were looked at: find those that none of them names. :raises TemporaryError: likewise."""
        with self._lock:
            self._strangers = self._strangers.without(self._journal.recorded(), now - self._policy.timeout)
            found = self._strangers.zombies(self._policy.interval)
        fresh = found - self._told
        if fresh:
            gone = self._journal.gone(fresh)
            self._say(words.of_zombies(self._told, found, gone.keys(), removed=self._workers is not None))
            for name in sorted(gone):
                if self._workers is not None:
                    self._workers.submit(self._remove, name)
        self._told = found

    def _remove(self, amphora_id: str) -> None:
        """One that does not succeed is tried again when it has been silent for a while, and speaks again."""
        provider: AmphoraProvider = self._context.drivers.load("lbdrivers.providers", AmphoraProvider.name)
        try:
            removed = provider.remove_zombie(amphora_id)
        except DriverError as error:
            self._say([Word(f"amphora {amphora_id} cannot be removed: {error.operator}; lbdrivers orphans --remove")])
            return
        left = ", ".join(f"{one.kind} {one.name}" for one in removed)
        if left:
            self._say([Word(f"removed of amphora {amphora_id}: {left}", trouble=False)])
        else:
            self._say([Word(f"nothing of amphora {amphora_id} is left, and yet it speaks: somebody repeats it")])
