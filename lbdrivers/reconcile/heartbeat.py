"""Keeps a lease alive while a run is on.

Law: the beat outlives a database that does not answer for a while; it ends with the run, or when the
lease has gone to somebody else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from lbdrivers.errors import TemporaryError

LOG = logging.getLogger(__name__)

#: ``heartbeat(renew, seconds)`` calls ``renew`` every so many seconds while its block runs.
Heartbeat: TypeAlias = Callable[[Callable[[], bool], float], AbstractContextManager[None]]


@contextmanager
def beat_in_thread(renew: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Call ``renew`` from a thread of its own until the block ends or ``renew`` answers False."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
            try:
                if not renew():
                    LOG.warning("the lease was taken over while its run was still on")
                    return
            except TemporaryError as error:
                LOG.warning("a lease could not be renewed, trying again: %s", error.operator)

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
