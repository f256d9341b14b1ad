"""A command that was killed does not make the next one wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import TemporaryError
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.heartbeat import beat_in_thread
from lbdrivers.reconcile.holder import is_dead, own_holder
from lbdrivers.reconcile.outcome import Done, Retry
from lbdrivers.settings import Settings
from lbdrivers.store.store import Store
from lbdrivers.testing.surroundings import identity

#: So long that a test which waited for expiry would run into its time limit.
LEASE = 10_000.0

HOLD = """
import sys, time
from lbdrivers.reconcile.holder import own_holder
from lbdrivers.store.store import Store
assert Store(sys.argv[1]).acquire(sys.argv[2], own_holder(), time.time(), float(sys.argv[3]))
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holding(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease; killed at the end."""
    command = [sys.executable, "-c", HOLD, url, identity(1), str(LEASE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def make_engine(store: Store) -> Engine:
    context = DriverContext(cfg.ConfigOpts(), store.records, load=lambda _group, _name: None)
    settings = Settings(Path("/nowhere"), "", "memory", LEASE, 1, 60)
    return Engine(store, lambda _name: MemoryProvider(context), settings)


def test_the_lease_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = Store(url)
    engine = make_engine(store)
    engine.submit(LoadBalancer(id=identity(1), vip_subnet_id=identity(7)))
    with holding(url) as process:
        assert isinstance(engine.run(identity(1)), Retry), "it is alive, so it is left alone"
        process.send_signal(signal.SIGKILL)
        # Not waited for on purpose: a process that is dead but still in the table is dead.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert engine.run(identity(1)) == Done()


def test_only_proof_makes_a_holder_dead() -> None:
    mine = own_holder()
    host, boot, namespace, pid, start, part = mine.split("/")
    assert own_holder() != mine
    assert not is_dead(mine)
    assert is_dead("/".join((host, boot, namespace, pid, "1", part))), "the pid is in use by a younger process"
    assert is_dead("/".join((host, boot, namespace, "4194305", start, part))), "above the highest pid of Linux"
    assert not is_dead("/".join((host, "other-boot", namespace, "4194305", start, part)))
    assert not is_dead("/".join((host, boot, "pid:[1]", "4194305", start, part)))
    for nonsense in ("", "worker", "a/b/c/d/e/f", "/////"):
        assert not is_dead(nonsense)


def test_the_heartbeat_outlives_a_database_that_is_away_and_ends_when_the_lease_is_lost() -> None:
    beats: list[int] = []

    def renew() -> bool:
        beats.append(len(beats))
        if len(beats) == 2:
            raise TemporaryError("away")
        return len(beats) < 4

    with beat_in_thread(renew, 0.001):
        limit = time.monotonic() + 30
        while len(beats) < 4 and time.monotonic() < limit:
            time.sleep(0.001)
    assert len(beats) == 4
