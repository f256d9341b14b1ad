"""A whole fleet, the real command, PostgreSQL: nothing is lost, exactly the dead are reported, in time, and when most
fall silent at once nobody is failed over. The same law for a small fleet in a hurry and for one as it is in a cloud.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.fleet import Fleet, Manager, manager, name, populate, sealed, speaking
from support.servers import database

from lbdrivers.store.store import Store
from lbdrivers_amphora.health.findings import Heard, Operating

#: Share that falls silent at once, beyond any breaker.
MOST = 0.6


@dataclass(frozen=True)
class Case:
    """A fleet of pairs. Times in seconds.

    :param steady: how long nothing happens but heartbeats; :param blind: how long most are silent.
    :param slack: how long after the timeout a death is reported at the latest.
    :param busy: share of a core that the health manager may use; None: no word on it nor on being held up, as the
        machine may be at work for others.
    """

    size: int
    interval: float
    timeout: int
    steady: float
    dead: int
    blind: float
    slack: float
    busy: float | None


SMALL = Case(size=80, interval=1.0, timeout=2, steady=1.0, dead=4, blind=1.0, slack=15.0, busy=None)
LARGE = Case(size=20_000, interval=10.0, timeout=60, steady=300.0, dead=200, blind=100.0, slack=2.0, busy=0.5)


@pytest.fixture(
    params=[
        pytest.param(SMALL, id="small"),
        pytest.param(LARGE, id="large", marks=(pytest.mark.long, pytest.mark.timeout(1800))),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def watched(case: Case, tmp_path: Path, postgresql_server: str) -> Iterator[tuple[Manager, Fleet]]:
    """The fleet, all heard once, and who watches it."""
    options = {
        "heartbeat_interval": int(case.interval),
        "heartbeat_timeout": case.timeout,
        "health_check_interval": min(1.0, case.timeout / 6),
        "flush_interval": min(1.0, case.timeout / 6),
    }
    with database(postgresql_server) as url:
        store = Store(url)
        try:
            populate(store, case.size, members=2, each=2)
            with (
                manager(url, store, tmp_path, options) as made,
                speaking(made.port, case.size, case.interval, sealed(2, each=2)) as fleet,
            ):
                eventually(lambda: len(store.records.versions(Heard.KIND)) == case.size, 3 * case.interval + 120)
                eventually(lambda: len(store.records.versions(Operating.KIND)) == case.size // 2, 300)
                yield made, fleet
        finally:
            store.close()


def eventually(condition: Callable[[], bool], limit: float) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(min(1.0, limit / 100))


class Reports:
    """Whose failover the health manager has reported, and when that was seen."""

    def __init__(self, source: Manager) -> None:
        self._source = source
        self._read = 0
        self.at: dict[str, float] = {}

    def look(self) -> None:
        lines = self._source.said
        for line in lines[self._read :]:
            if line.endswith("is silent: failover"):
                self.at.setdefault(line.split()[1], time.monotonic())
        self._read = len(lines)


def test_a_fleet(case: Case, watched: tuple[Manager, Fleet]) -> None:
    target, fleet = watched
    reports = Reports(target)

    nothing_is_lost(case, target, fleet)  # when they have been silent, it has listened for a whole timeout

    pairs = range(0, case.size // 2, case.size // 2 // case.dead)[: case.dead]
    dead = {2 * pair + place % 2 for place, pair in enumerate(pairs)}
    fleet.fall_silent(dead)
    deadline = max(fleet.last[number] for number in dead) + case.timeout + case.slack
    while time.monotonic() < deadline + 1 and len(reports.at) < case.dead:
        reports.look()
        time.sleep(0.05)
    took = [reports.at[name("amphora", number)] - fleet.last[number] for number in dead]
    print(f"\nreported after {min(took):.2f} to {max(took):.2f} s of silence, timeout {case.timeout} s")
    assert reports.at.keys() == {name("amphora", number) for number in dead}
    assert case.timeout <= min(took) and max(took) <= case.timeout + case.slack
    wanted = {name("lb", number // 2) for number in dead}
    assert wishes(target.store) == wanted

    cpu, began = target.cpu(), time.monotonic()
    fleet.fall_silent(range(int(MOST * case.size)))
    eventually(lambda: any("breaker open" in line for line in target.said), case.timeout + 30)
    time.sleep(case.blind)
    reports.look()
    share = (target.cpu() - cpu) / (time.monotonic() - began)
    print(f"with {MOST:.0%} silent: {share:.0%} of a core, {target.memory():.0f} MB at most")
    assert len(reports.at) == case.dead and wishes(target.store) == wanted

    fleet.speak()
    # They come back in turn; it closes after a whole timeout in which no more than is usual were overdue.
    limit = case.interval + case.timeout + 30
    eventually(lambda: any("breaker closed" in line for line in target.said), limit)
    reports.look()
    assert len(reports.at) == case.dead and wishes(target.store) == wanted


def nothing_is_lost(case: Case, target: Manager, fleet: Fleet) -> None:
    """Every heartbeat of a steady fleet is taken, at a price that is bounded."""
    early = dropped(target)  # some may have come before it knew whom to expect
    cpu, began, sent = target.cpu(), time.monotonic(), fleet.total
    # A single sample falls into a look at all records, or between two: it says nothing of growth.
    first, second = (peak(target, case.steady / 2) for _ in range(2))
    seconds, count = time.monotonic() - began, fleet.total - sent
    share, grown = (target.cpu() - cpu) / seconds, second - first
    print(
        f"\n{case.size} amphorae, {count / seconds:.0f} heartbeats/s for {seconds:.0f} s: {share:.1%} of a core,",
        end=" ",
    )
    print(f"{second:.0f} MB in the second half ({grown:+.1f} MB to the first), {target.memory():.0f} MB at most")
    if case.busy is not None:
        assert share < case.busy
        assert grown < 0.1 * first
        assert not any("held up" in line for line in target.said)
        assert count / seconds == pytest.approx(case.size / case.interval, rel=0.02)
    total = fleet.total
    eventually(lambda: target.counts()["accepted"] + sum(early.values()) >= total, 10)
    assert dropped(target) == early
    assert not any("no room" in line for line in target.said)


def dropped(target: Manager) -> dict[str, int]:
    """Datagrams that did not count, by reason."""
    return {reason: number for reason, number in target.counts().items() if reason != "accepted" and number}


def peak(target: Manager, seconds: float) -> float:
    """The largest resident size that is seen meanwhile, in MB."""
    end, largest = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        largest = max(largest, target.memory("VmRSS"))
        time.sleep(min(0.2, seconds / 10))
    return largest


def wishes(store: Store) -> set[str]:
    """Load balancers whose failover is wanted."""
    return {entry.id for entry in store.list() if entry.failovers_wanted}
