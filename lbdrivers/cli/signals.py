"""How a command that runs for long is told to end.

Law: the first signal asks it to finish what it has begun; the second ends it at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """An event that the first signal sets."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        # Not from here: the handler runs in the very thread that may be inside the event, with its lock.
        threading.Thread(target=stop.set).start()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
