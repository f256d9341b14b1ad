"""A control plane in memory: a store, engines of several workers, the amphora provider; and workers that die.

A death is an exception that no handler stops: afterwards nothing of that worker reaches the store, the records
or the cloud any more, so that whatever its ``finally`` blocks try is as if it never was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.memory_cloud import World

from lbdrivers.drivers.context import Progress
from lbdrivers.memory.faults import Hook, nothing
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.reconcile.engine import Engine
from lbdrivers.settings import Settings
from lbdrivers.store.entry import Entry
from lbdrivers.store.store import Store

LEASE = 30.0
#: Rounds for each load balancer after which a worker that still is not done never will be: each is one attempt.
ROUNDS = 12


class Death(BaseException):
    """The worker ends here."""


@dataclass
class Mortal:
    """A worker that dies at its n-th boundary: before or after a step.

    :param boundaries: how many it survives.
    :param faults: what its drivers do besides.
    """

    boundaries: int = 10**9
    faults: Hook = nothing
    after: Hook = nothing
    passed: list[str] = field(default_factory=list)

    @property
    def dead(self) -> bool:
        return len(self.passed) > self.boundaries

    def step(self, progress: Progress) -> None:
        """Told of every step's beginning and end."""
        self.alive()
        when = "before" if progress.state == "started" else "after"
        self.passed.append(f"{when} {progress.step} of {progress.subject}")
        self.alive()

    def alive(self) -> None:
        """:raises Death: if it is dead."""
        if self.dead:
            raise Death

    def before_call(self, verb: str, arguments: tuple[object, ...]) -> None:
        self.alive()
        self.faults(verb, arguments)

    def after_call(self, verb: str, arguments: tuple[object, ...]) -> None:
        self.alive()
        self.after(verb, arguments)


class MortalStore:
    """A store as one worker reaches it: not at all once it is dead."""

    def __init__(self, store: Store, worker: Mortal) -> None:
        self._store, self._worker = store, worker

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._worker.alive()
            return verb(*arguments, **named)

        return call


class Plant:
    """What outlives workers: the store's file, the records, the cloud, the time."""

    def __init__(
        self, folder: Path, topology: str = "ACTIVE_STANDBY", options: dict[tuple[str, str], Any] | None = None
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.world = World(topology, options=options or {})
        self.store = Store(f"sqlite:///{folder / 'store.sqlite'}", now=lambda: self.world.time)
        self._workers = 0

    def copy(self, folder: Path) -> Plant:
        """Another one in the same state; this one goes on by itself."""
        self.store.close()
        folder.mkdir(parents=True)
        for file in self.folder.glob("store.sqlite*"):
            shutil.copy(file, folder / file.name)
        copied = Plant(folder, self.world.topology, self.world.options)
        copied.world.records._records = dict(self.world.records._records)
        copied.world.time = self.world.time
        copied._workers = self._workers
        return copied

    def engine(self, worker: Mortal | None = None, threads: int = 1) -> Engine:
        """The engine of a new worker."""
        worker = worker or Mortal()
        self._workers += 1
        provider = self.world.provider(
            worker.before_call, worker.after_call, threads, worker.step, lambda identity: engine.fence(identity)
        )
        settings = Settings(Path("/nowhere"), "", "amphora", LEASE, retry_initial_seconds=1, retry_maximum_seconds=60)
        engine = Engine(
            MortalStore(self.store, worker),  # type: ignore[arg-type]  # it is one, but for its death
            lambda _name: provider,
            settings,
            now=lambda: self.world.time,
            sleep=self.sleep,
            holder=f"worker {self._workers}",
            heartbeat=no_heartbeat,
            jitter=lambda: 0.0,
        )
        return engine

    def sleep(self, seconds: float) -> None:
        self.world.time += seconds

    def work(self, engine: Engine) -> None:
        """Everything that is wanted, until nothing is or it stays in ERROR: the time of leases and of next attempts
        comes by waiting for it. The law of scheduling is held to after each attempt.

        :raises AssertionError: when that never comes to an end.
        """
        before = {entry.id: entry.attempts for entry in self.store.list()}
        rounds = ROUNDS * max(1, len(before))
        for _ in range(rounds):
            self.expect_scheduled()
            waiting = [entry for entry in self.store.list() if not entry.settled]
            if not waiting:
                return
            tried = all(entry.attempts - before.get(entry.id, 0) > 5 for entry in waiting)
            if tried and all(entry.status is ProvisioningStatus.ERROR for entry in waiting):
                return
            if not engine.run_due():
                moments = [
                    one for entry in waiting for one in (entry.next_attempt, entry.lease and entry.lease.expires)
                ]
                self.world.time = max(self.world.time, min(one for one in moments if one is not None))
        raise AssertionError(f"still not done after {rounds} attempts: {self.store.list()}")

    def expect_scheduled(self) -> None:
        """No object is PENDING without somebody at work on it, or a moment at which somebody will be."""
        due = self.store.due(self.world.time)
        for entry in self.store.list():
            scheduled = entry.lease is not None or entry.next_attempt is not None or entry.id in due
            assert entry.settled or scheduled, f"nobody will ever work on {entry}"
            if entry.status is ProvisioningStatus.ERROR:
                assert entry.cause is not None and entry.next_attempt is not None, f"no cause or next attempt: {entry}"
            if entry.settled:
                assert entry.status is ProvisioningStatus.ACTIVE, f"settled, and {entry.status}"

    def entry(self, load_balancer_id: str) -> Entry | None:
        return self.store.get(load_balancer_id)

    def close(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def no_heartbeat(_renew: Callable[[], bool], _seconds: float) -> AbstractContextManager[None]:
    """No lease is renewed: virtual time passes only where a test lets it."""
    return nullcontext()
