"""What a long-running part of a driver is given: a daemon beside the engine, such as a health manager.

Law: it is a callable in the entry-point group ``lbdrivers.daemons``; it works until ``stop`` is set and then
returns. It writes no statuses of load balancers: what it wants done it asks the engine for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lbdrivers.drivers.context import DriverContext
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.exposure import Exposure
from lbdrivers.store.store import Store


@dataclass(frozen=True)
class DaemonContext:
    """Everything that a daemon may use.

    :param drivers: as drivers are given it; ``load`` gives others.
    :param stop: set when it shall end.
    :param say: one line for people; :param complain: one about what is wrong.
    :param exposure: where the daemon puts what others may see of it.
    """

    drivers: DriverContext
    store: Store
    engine: Engine
    stop: threading.Event
    say: Callable[[str], None]
    complain: Callable[[str], None]
    exposure: Exposure = field(default_factory=Exposure)


class Daemon(Protocol):
    """Works until it is told to stop."""

    def __call__(self, context: DaemonContext) -> None:
        """:raises DriverError: when it can never work as configured."""
        ...
