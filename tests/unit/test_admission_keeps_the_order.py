"""Many want to build and to fail over: no limit is exceeded, the urgent go first, the dead keep nobody waiting."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory_cloud import World, configuration
from support.trials import NEAR, tree

from lbdrivers.drivers.provider import ReplacementCause
from lbdrivers.errors import TemporaryError
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.surroundings import identity
from lbdrivers_amphora.admission import Admission
from lbdrivers_amphora.decide.admission import (
    CREATE_PRIORITY,
    PRIORITIES,
    Queue,
    Starts,
    ask,
    is_admitted,
    leave,
    next_start,
    started,
)
from lbdrivers_amphora.settings import read

PATIENCE, HOLD = 20.0, 120.0
FAILOVER, ADMIN = PRIORITIES[ReplacementCause.FAILURE], PRIORITIES[ReplacementCause.ADMIN]


def asked(queue: Queue, *wishes: tuple[str, int], now: float = 0.0, limit: int = 1) -> Queue:
    for amphora_id, priority in wishes:
        queue = ask(queue, amphora_id, priority, now, limit, PATIENCE, HOLD)
    return queue


def admitted(queue: Queue) -> set[str]:
    return {build.amphora_id for build in queue if build.admitted}


def test_failovers_go_before_creations_and_those_before_what_an_administrator_asks_for() -> None:
    assert FAILOVER < CREATE_PRIORITY < ADMIN
    queue = asked((), ("first", CREATE_PRIORITY))
    queue = asked(queue, ("admin", ADMIN), ("create", CREATE_PRIORITY), ("dead", FAILOVER), now=1.0)
    assert admitted(queue) == {"first"}
    for expected in ("dead", "create", "admin"):
        queue = leave(queue, next(iter(admitted(queue))))
        for name, priority in (("admin", ADMIN), ("create", CREATE_PRIORITY), ("dead", FAILOVER)):
            if any(build.amphora_id == name for build in queue):
                queue = asked(queue, (name, priority), now=2.0)
        assert admitted(queue) == {expected}


def test_who_asked_first_goes_first_among_equals() -> None:
    queue = asked(asked((), ("running", 40)), ("late", 40), now=2.0)
    queue = asked(queue, ("early", 40), now=1.0)
    queue = leave(queue, "running")
    assert not is_admitted(asked(queue, ("late", 40), now=3.0), "late")
    assert is_admitted(asked(queue, ("early", 40), now=3.0), "early")


def test_the_dead_keep_nobody_waiting() -> None:
    queue = asked((), ("building", 40), ("waiting", 20))
    later = HOLD + 1
    assert not is_admitted(asked(queue, ("new", 80), now=HOLD - 1), "new")
    assert is_admitted(asked(queue, ("new", 80), now=later), "new")


def test_asking_again_is_heard_and_keeps_the_place() -> None:
    queue = asked((), ("one", 40))
    again = asked(queue, ("one", 40), now=HOLD - 1)
    assert admitted(again) == {"one"}
    assert not is_admitted(asked(again, ("two", 20), now=HOLD + 1), "two")


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from((20, 40, 80)), st.booleans(), st.floats(0, 200)),
        max_size=40,
    ),
    st.integers(1, 3),
)
def test_no_more_are_built_than_the_limit_allows(events: list[tuple[str, int, bool, float]], limit: int) -> None:
    queue, now = Queue(), 0.0
    for name, priority, leaves, pause in events:
        now += pause
        queue = leave(queue, name) if leaves else asked(queue, (name, priority), now=now, limit=limit)
        assert len(admitted(queue)) <= limit
        living = [build for build in queue if build.until > now]
        waiting = [build for build in living if not build.admitted]
        if not leaves and waiting and not is_admitted(queue, name):
            free = limit - len([build for build in living if build.admitted])
            assert free < len(waiting), "it waits although there is room for all that wait"


def test_without_a_limit_nothing_is_written() -> None:
    world = World()
    world.provider().apply(NEAR, None)
    assert world.records.list("amphora-admission") == ()


def admission(world: World, **options: float) -> Admission:
    made = configuration()
    for name, value in options.items():
        made.set_override(name, value, "health_manager" if name.startswith("failover") else "haproxy_amphora")
    return Admission(world.context(), read(made))


def test_who_is_not_admitted_in_time_fails_for_now() -> None:
    world = World()
    options = {"build_rate_limit": 1, "build_active_retries": 3, "build_retry_interval": 2.0}
    admission(world, **options).enter_build("one", 40)
    began = world.time
    with pytest.raises(TemporaryError, match="waits for its turn"):
        admission(world, **options).enter_build("two", 40)
    assert world.time - began == 6.0
    admission(world, **options).leave_build("one")
    admission(world, **options).enter_build("two", 40)


def test_several_workers_share_one_limit() -> None:
    """Real threads on one set of records: at no moment more are in than may be."""
    world = World()
    inside, most, lock = 0, 0, threading.Lock()
    pause = threading.Event()

    def work(number: int) -> None:
        nonlocal inside, most
        context = replace(world.context(), sleep=lambda _seconds: pause.wait(0.001), now=lambda: 0.0)
        made = configuration()
        made.set_override("build_rate_limit", 2, "haproxy_amphora")
        mine = Admission(context, read(made))
        for round_ in range(5):
            mine.enter_build(f"{number}-{round_}", 40)
            with lock:
                inside += 1
                most = max(most, inside)
            pause.wait(0.001)
            with lock:
                inside -= 1
            mine.leave_build(f"{number}-{round_}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, inside) == (2, 0)


def test_a_pair_is_built_one_after_the_other_where_one_slot_is_all_there_is() -> None:
    options = {("haproxy_amphora", "build_rate_limit"): 1, ("haproxy_amphora", "build_retry_interval"): 0.01}
    world = World(options=options)
    world.provider(workers=1).apply(NEAR, None)
    world.provider(workers=8).failover(NEAR.id)
    assert [record.data["builds"] for record in world.records.list("amphora-admission") if record.id == "builds"] == [
        []
    ]
    world.provider().remove(NEAR.id)
    assert world.left() == []


# --- failovers


def moments(domains: Iterable[str], rate: float, domain_rate: float, now: float = 100.0) -> list[float]:
    starts, found = Starts(), []
    for domain in domains:
        moment = next_start(starts, (domain,), now, rate, domain_rate)
        starts = started(starts, (domain,), moment, now, domain_rate)
        found.append(moment - now)
    return found


def test_failovers_keep_their_distance() -> None:
    assert moments("aaaa", rate=2, domain_rate=0) == [0.0, 0.5, 1.0, 1.5]
    assert moments("aaaa", rate=0, domain_rate=1) == [0.0, 1.0, 2.0, 3.0]
    assert moments("aabb", rate=0, domain_rate=1) == [0.0, 1.0, 0.0, 1.0]
    assert moments("aaaa", rate=0, domain_rate=0) == [0.0] * 4


@given(st.lists(st.sampled_from("abc"), max_size=20), st.floats(0.1, 10), st.floats(0.1, 10))
def test_neither_limit_is_exceeded(domains: list[str], rate: float, domain_rate: float) -> None:
    found = moments(domains, rate, domain_rate)
    ordered = sorted(found)
    assert all(later - earlier >= 1 / rate - 1e-6 for earlier, later in itertools.pairwise(ordered))
    for domain in set(domains):
        own = [moment for moment, one in zip(found, domains, strict=True) if one == domain]
        assert all(later - earlier >= 1 / domain_rate - 1e-6 for earlier, later in itertools.pairwise(own))


def test_many_failovers_at_once_are_spread_over_time() -> None:
    world = World(options={("health_manager", "failover_rate_per_zone"): 0.5})
    trees = [rebuilt(tree(), id=identity(number)) for number in range(100, 104)]
    for one in trees:
        world.provider().apply(one, None)
    for one in trees:
        world.kill(world.ledger.amphorae(one.id)[0].machine)
    began = world.time
    for one in trees:
        world.provider().failover(one.id)
    assert 6.0 <= world.time - began < 8.0


def test_one_whose_turn_is_far_away_fails_for_now_and_is_told_when() -> None:
    world = World()
    slow = {"failover_rate": 0.001, "build_active_retries": 1, "build_retry_interval": 1.0}
    admission(world, **slow).start_failover(("zone",))
    with pytest.raises(TemporaryError) as caught:
        admission(world, **slow).start_failover(("zone",))
    assert caught.value.retry_after == pytest.approx(1000.0)
