"""A worker: takes work as long as there is some, waits when there is none, ends when it is told to.

Law: the store says what there is to do, and the engine's lease who does it; a jobboard only spreads
the work. When the board does not answer, a worker takes what is due from the store instead; when the
store does not answer, it waits. One that is told to stop finishes what it has begun and begins nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lbdrivers.errors import DriverError, TemporaryError
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import Done, Failed, Outcome
from lbdrivers.store.entry import Cause
from lbdrivers.store.store import Store

if TYPE_CHECKING:
    from lbdrivers.reconcile.jobs import Board  # brings taskflow, which few workers need

LOG = logging.getLogger(__name__)


class Worker:
    """Works on one load balancer at a time; run as many as there shall be at once, in processes of their own.

    :param engine: does the work; its holder name is this worker's alone.
    :param board: where jobs are; None: all work is taken from the store.
    :param poll_seconds: wait before looking again after nothing was found.
    :param now: seconds since the epoch.
    :param report: told of every run that ended, with its outcome.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        board: Board | None,
        poll_seconds: float,
        *,
        now: Callable[[], float] = time.time,
        report: Callable[[str, Outcome], None] = lambda _identity, _outcome: None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._board = board
        self._poll_seconds = poll_seconds
        self._now = now
        self._report = report

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set.

        :raises DriverError: when the database or the jobboard can never be used as configured.
        """
        ready = False
        while not stop.is_set():
            try:
                if not ready:  # a database of another program ends it here, before any job is claimed
                    self._store.migrate()
                    ready = True
                worked = self._work_through(stop)
            except TemporaryError as error:  # of the store
                LOG.warning("waiting: %s", error.operator)
                worked = False
            if not worked:
                stop.wait(self._poll_seconds)

    def _work_through(self, stop: threading.Event) -> bool:
        """Everything that can be done now. :returns: whether anything was, so that looking again pays."""
        if self._board is None:
            return self._take_due(stop)
        try:
            # What is due without a job (a retry, a lost post) gets one.
            if due := self._store.due(self._now()):
                self._board.post(*due)
            return self._take_jobs(self._board, stop)
        except TemporaryError as error:
            LOG.warning("going on without jobs: %s", error.operator)
            return self._take_due(stop)

    def _take_jobs(self, board: Board, stop: threading.Event) -> bool:
        worked = False
        for job in board.waiting():
            if stop.is_set():
                break
            done = False
            with board.claim(job) as ours:
                if ours:
                    done = self._run(job.load_balancer_id)
            worked = worked or done
            # Whoever wished for more while our job was still on the board has not posted another one.
            if done and self._is_due_again(job.load_balancer_id):
                board.post(job.load_balancer_id)
        return worked

    def _take_due(self, stop: threading.Event) -> bool:
        worked = False
        for load_balancer_id in self._store.due(self._now()):
            if stop.is_set():
                break
            worked = self._run(load_balancer_id) or worked
        return worked

    def _run(self, load_balancer_id: str) -> bool:
        """:returns: whether it came to its end; False: looking again at once would not help."""
        try:
            outcome = self._engine.run(load_balancer_id)
        except DriverError as error:  # such as a stored tree that this program cannot read
            outcome = Failed(Cause(error.user, error.operator))
        self._report(load_balancer_id, outcome)
        return isinstance(outcome, Done)

    def _is_due_again(self, load_balancer_id: str) -> bool:
        entry = self._store.get(load_balancer_id)
        return entry is not None and not entry.settled and entry.next_attempt is None and entry.lease is None
