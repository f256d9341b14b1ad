"""What a process of Octavia's works with when it uses a provider of ours.

Law: opened at first use, once a process: Octavia makes a driver for every request, and forks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache

from oslo_config import cfg

from lbdrivers import registry, settings
from lbdrivers.drivers.provider import Provider
from lbdrivers.octavia.settings import OctaviaSettings, files
from lbdrivers.octavia.settings import read as read_ours
from lbdrivers.reconcile.engine import Engine
from lbdrivers.store.store import Store


class Session:
    """Store, engine and providers of one configuration.

    :param now: seconds since the epoch.
    """

    def __init__(self, configuration: cfg.ConfigOpts, now: Callable[[], float] = time.time) -> None:
        core = settings.read(configuration)
        self.settings: OctaviaSettings = read_ours(configuration)
        self.now = now
        self.store = Store(core.database)
        self.context = registry.make_context(
            configuration, self.store.records, fence=lambda identity: self.engine.fence(identity)
        )
        self.engine = Engine(self.store, self.provider, core, now=now)

    def provider(self, name: str) -> Provider:
        """The provider of that name, one instance a session. :raises PermanentError: see ``registry.load``."""
        provider: Provider = self.context.load(registry.PROVIDERS, name)
        return provider

    def close(self) -> None:
        """Give back what was opened."""
        self.store.close()


def current() -> Session:
    """This process's session. :raises InvalidInput: when its configuration cannot be read."""
    return _of_process(os.getpid())


@lru_cache(maxsize=1)
def _of_process(_pid: int) -> Session:
    """A child after a fork asks under another pid, and gets connections of its own."""
    return Session(settings.load(files()))
