"""A real PostgreSQL goes away under a real health manager, and comes back: nobody is failed over for it, statuses
follow, and who really died meanwhile is found.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.fleet import Fleet, Manager, beat, key_of, manager, name, populate, speaking
from support.servers import Postgresql, mortal_postgresql

from lbdrivers.errors import TemporaryError
from lbdrivers.model.status import OperatingStatus
from lbdrivers.store.store import Store
from lbdrivers_amphora.health.findings import Heard, Operating
from lbdrivers_amphora.wire.heartbeat import seal_own

PAIRS, MEMBERS, TIMEOUT = 5, 2, 2
#: The load balancer whose members go down, the amphora that dies, while the database is away.
ILL, DEAD = 1, 6


@dataclass
class World:
    """A fleet, its health manager, and the database between them and us."""

    server: Postgresql
    store: Store
    target: Manager
    fleet: Fleet
    listening: float
    """Since when the health manager has listened, by the clock that never jumps; at the latest."""
    ill: threading.Event = field(default_factory=threading.Event)

    def statuses(self, number: int) -> set[OperatingStatus]:
        """Of all objects of one load balancer, as they were written down."""
        found = self.store.records.get(Operating.KIND, name("lb", number))
        return set() if found is None else set(Operating.read(found.id, found.owner, found.data).statuses.values())

    def wanted(self) -> set[str]:
        return {entry.id for entry in self.store.list() if entry.failovers_wanted}

    def eventually(self, condition: Callable[[], bool], limit: float = 30.0) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, self.target.said
            time.sleep(0.1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    options = {
        "heartbeat_interval": 1,
        "heartbeat_timeout": TIMEOUT,
        "health_check_interval": 0.2,
        "flush_interval": 0.2,
    }
    ill = threading.Event()
    keys = [key_of(number) for number in range(2 * PAIRS)]

    def say(number: int, turn: int) -> bytes:
        down = number // 2 == ILL and ill.is_set()
        return seal_own(beat(number, MEMBERS, turn, down=down, each=2), keys[number])

    with mortal_postgresql() as server:
        store = Store(server.url)
        try:
            populate(store, 2 * PAIRS, MEMBERS, each=2)
            with (
                manager(server.url, store, tmp_path, options) as target,
                speaking(target.port, 2 * PAIRS, 0.5, say) as fleet,
            ):
                yield World(server, store, target, fleet, time.monotonic(), ill)
        finally:
            store.close()


@contextmanager
def stopped(server: Postgresql) -> Iterator[None]:
    """Nobody is there."""
    server.stop()
    try:
        yield
    finally:
        server.start()


Absence = Callable[[Postgresql], AbstractContextManager[None]]


@pytest.mark.parametrize(
    ("absence", "seconds"),
    [
        pytest.param(stopped, 1.5 * TIMEOUT, id="stopped"),
        pytest.param(stopped, 60.0, id="stopped for a minute", marks=(pytest.mark.long, pytest.mark.timeout(300))),
        pytest.param(
            Postgresql.frozen, 60.0, id="frozen for a minute", marks=(pytest.mark.long, pytest.mark.timeout(300))
        ),
    ],
)
def test_nobody_is_failed_over_and_statuses_come_back(world: World, absence: Absence, seconds: float) -> None:
    world.eventually(lambda: world.statuses(ILL) == {OperatingStatus.ONLINE})
    world.eventually(lambda: len(world.store.records.versions(Heard.KIND)) == 2 * PAIRS)
    # It has listened for a whole timeout, so that it would act.
    time.sleep(max(0.0, world.listening + TIMEOUT + 0.5 - time.monotonic()))

    with absence(world.server):
        world.ill.set()
        world.fleet.fall_silent({DEAD})
        time.sleep(seconds)
    back = time.monotonic()

    world.eventually(lambda: OperatingStatus.ERROR in asked(lambda: world.statuses(ILL)))
    assert OperatingStatus.ERROR not in world.statuses(0)
    # It writes what it has found before it looks who is to be watched, which is when it sees that it was blind.
    world.eventually(lambda: any("the store was out of reach for" in line for line in world.target.said))
    said = "\n".join(world.target.said)
    assert ("the database is away" in said and "the database is back" in said) or absence is Postgresql.frozen
    world.eventually(lambda: world.wanted() == {name("lb", DEAD // 2)})
    assert time.monotonic() - back > TIMEOUT - 0.5, "silence was judged anew"
    world.ill.clear()
    world.eventually(lambda: world.statuses(ILL) == {OperatingStatus.ONLINE})
    assert world.wanted() == {name("lb", DEAD // 2)}
    assert {reason for reason, number in world.target.counts().items() if number} == {"accepted"}
    assert world.target.process.poll() is None


def asked(question: Callable[[], set[OperatingStatus]]) -> set[OperatingStatus]:
    """The answer, or nothing while our own connections are found to be broken."""
    try:
        return question()
    except TemporaryError:
        return set()
