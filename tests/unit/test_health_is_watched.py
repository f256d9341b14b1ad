"""The memory of a health manager: who counts as heard, what statuses follow, what is left to write."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bundles import listener, member, monitor, pool, tree

from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus as Status
from lbdrivers_amphora.decide.failover import Subject
from lbdrivers_amphora.decide.health import Outline
from lbdrivers_amphora.health.findings import Heard, Operating
from lbdrivers_amphora.health.watch import Expected, Standing, Watch
from lbdrivers_amphora.heartbeat_keys import Way
from lbdrivers_amphora.wire.heartbeat import Header, Heartbeat, ListenerBeat, PoolBeat
from lbdrivers_amphora.wire.report import Totals

FIRST, SECOND = (str(uuid.UUID(int=number)) for number in (1, 2))
TIMEOUT = 60.0
POOL = pool("p", members=(member("m", "192.0.2.1"), member("n", "192.0.2.2")), healthmonitor=monitor())
LISTENER = listener("l", default_pool_id=POOL.id)
TREE = tree((LISTENER,), (POOL,))
ACTIVE = Standing(1, pending=False, busy=False)
M, N = (one.id for one in POOL.members)


def beat(amphora: str = FIRST, sequence: int = 0, m: str = "UP", n: str = "UP", **fields: object) -> Heartbeat:
    said = Heartbeat(
        amphora,
        1,
        sequence,
        {LISTENER.id: ListenerBeat("OPEN", Totals(1, 10, 20, 0, sequence + 1))},
        {f"{POOL.id}:{LISTENER.id}": PoolBeat("UP", {M: m, N: n})},
        holds_vip=amphora == FIRST,
    )
    return replace(said, **fields)


def watching(standing: Standing = ACTIVE, whole: LoadBalancer = TREE) -> Watch:
    made = Watch(TIMEOUT)
    made.expect([Expected(FIRST, whole.id), Expected(SECOND, whole.id)], {whole.id: standing}, 0.0)
    return made


def settle(watch: Watch, now: float, whole: LoadBalancer = TREE) -> dict[str, Status]:
    """Statuses that changed, by object id."""
    for identity in watch.wanting_trees():
        assert identity == whole.id
        watch.look(Outline.of(whole))
    return {name: after for name, (_, after) in watch.settle(now).items()}


def silence(watch: Watch, now: float) -> dict[str, float]:
    return {one.amphora_id: one.silence for one in watch.subjects(now)[0]}


def test_a_steady_fleet_leaves_no_statuses_to_find() -> None:
    watch = watching()
    watch.hear(beat(), 1.0, 1001.0)
    watch.hear(beat(SECOND), 1.0, 1001.0)
    assert settle(watch, 1.0)[TREE.id] is Status.ONLINE
    watch.take_changes()
    watch.hear(beat(sequence=1), 2.0, 1002.0)
    watch.hear(beat(SECOND, sequence=1), 2.0, 1002.0)
    assert watch.waiting == 0
    changes = watch.take_changes()
    assert {one.amphora_id: one.at for one in changes.heard} == {FIRST: 1002.0, SECOND: 1002.0}
    assert changes.operating == ()
    assert watch.take_changes().heard == ()


def test_a_change_is_found_and_left_to_write() -> None:
    watch = watching()
    watch.hear(beat(), 1.0, 1.0)
    settle(watch, 1.0)
    watch.take_changes()
    watch.hear(beat(sequence=1, m="DOWN"), 2.0, 2.0)
    assert settle(watch, 2.0) == {M: Status.ERROR, POOL.id: Status.DEGRADED, TREE.id: Status.DEGRADED}
    (written,) = watch.take_changes().operating
    assert written.statuses[M] is Status.ERROR and written.statuses[N] is Status.ONLINE


def test_who_holds_the_vip_is_believed_until_it_falls_silent() -> None:
    watch = watching()
    watch.hear(beat(), 0.0, 0.0)
    watch.hear(beat(SECOND, m="DOWN"), 0.0, 0.0)
    assert settle(watch, 0.0)[M] is Status.ONLINE
    watch.hear(beat(SECOND, 1, m="DOWN", holds_vip=True), 61.0, 61.0)
    watch.mark_silent([FIRST])
    assert settle(watch, 61.0)[M] is Status.ERROR


def test_without_a_word_on_the_vip_the_graver_status_counts() -> None:
    watch = watching()
    watch.hear(beat(holds_vip=None), 0.0, 0.0)
    watch.hear(beat(SECOND, m="DRAIN", holds_vip=None), 0.0, 0.0)
    assert settle(watch, 0.0)[M] is Status.DRAINING


def test_when_all_fall_silent_it_is_in_error() -> None:
    watch = watching()
    watch.hear(beat(), 0.0, 0.0)
    settle(watch, 0.0)
    watch.mark_silent([FIRST, SECOND])
    assert settle(watch, 100.0)[TREE.id] is Status.ERROR


def test_nobody_was_ever_heard_so_nothing_is_said() -> None:
    watch = watching()
    watch.mark_silent([FIRST, SECOND])
    assert watch.wanting_trees() == () and settle(watch, 100.0) == {}


@pytest.mark.parametrize(
    ("word", "before", "status"),
    [
        ("no check", "UP", Status.NO_MONITOR),
        ("DRAIN", "UP", Status.DRAINING),
        ("MAINT", "UP", Status.OFFLINE),
        ("DOWN 1/2", "UP", Status.ERROR),
        ("UP 2/3", "DOWN", Status.ONLINE),
        ("RESTARTING", "DRAIN", Status.DRAINING),
    ],
)
def test_the_words_of_members(word: str, before: str, status: Status) -> None:
    watch = watching()
    watch.hear(beat(m=before), 0.0, 0.0)
    settle(watch, 0.0)
    watch.hear(beat(sequence=1, m=word), 1.0, 1.0)
    assert settle(watch, 1.0).get(M, Status.DRAINING) is status


def test_one_without_a_monitor_stays_so_when_it_is_missed() -> None:
    watch = watching()
    watch.hear(beat(m="no check"), 0.0, 0.0)
    settle(watch, 0.0)
    watch.hear(beat(sequence=1, pools={f"{POOL.id}:{LISTENER.id}": PoolBeat("UP", {})}), 1.0, 1.0)
    changed = settle(watch, 1.0)
    assert M not in changed and changed[N] is Status.OFFLINE


def test_an_amphora_that_misses_a_listener_does_not_count_as_heard_but_is_listened_to() -> None:
    watch = watching()
    watch.hear(beat(), 0.0, 0.0)
    settle(watch, 0.0)
    watch.hear(beat(sequence=1, listeners={}), 10.0, 10.0)
    assert silence(watch, 10.0)[FIRST] == 10.0
    assert settle(watch, 10.0)[LISTENER.id] is Status.ERROR
    watch.hear(Header(FIRST, 1, 2), 20.0, 20.0)  # life alone says nothing of listeners
    assert silence(watch, 20.0)[FIRST] == 20.0
    watch.hear(beat(sequence=3), 30.0, 30.0)
    assert silence(watch, 30.0)[FIRST] == 0.0


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_a_datagram_listener_that_is_not_told_of_makes_nobody_sick(protocol: str) -> None:
    """The way in which this amphora balances datagrams may have nothing to tell."""
    datagrams = pool("datagrams", protocol=protocol)
    more = listener("more", protocol=protocol, protocol_port=53, default_pool_id=datagrams.id)
    whole = tree((LISTENER, more), (POOL, datagrams))
    watch = watching(whole=whole)
    watch.hear(beat(), 0.0, 0.0)
    settle(watch, 0.0, whole)
    watch.hear(beat(sequence=1), 10.0, 10.0)
    assert silence(watch, 10.0)[FIRST] == 0.0


def test_while_a_change_is_on_its_way_nobody_knows_how_many_listeners_there_should_be() -> None:
    watch = watching(Standing(2, pending=True, busy=True))
    watch.hear(beat(), 0.0, 0.0)
    settle(watch, 0.0)
    watch.hear(beat(sequence=1, listeners={}), 10.0, 10.0)
    assert silence(watch, 10.0)[FIRST] == 0.0


def test_what_is_switched_off_has_no_listeners_to_miss() -> None:
    off = TREE.model_copy(update={"admin_state_up": False})
    watch = watching(whole=off)
    watch.hear(beat(listeners={}, pools={}), 0.0, 0.0)
    assert settle(watch, 0.0, off)[off.id] is Status.OFFLINE
    watch.hear(beat(sequence=1, listeners={}, pools={}), 5.0, 5.0)
    assert silence(watch, 5.0)[FIRST] == 0.0


def test_a_new_generation_is_looked_at() -> None:
    watch = watching()
    watch.hear(beat(), 0.0, 0.0)
    settle(watch, 0.0)
    watch.expect([Expected(FIRST, TREE.id)], {TREE.id: Standing(2, pending=False, busy=False)}, 1.0)
    assert watch.wanting_trees() == (TREE.id,)
    one_listener_less = TREE.model_copy(update={"listeners": ()})
    assert settle(watch, 1.0, one_listener_less) == {}


def test_heartbeats_of_nobody_who_is_expected_leave_no_trace() -> None:
    watch = watching()
    watch.hear(beat(str(uuid.UUID(int=9))), 0.0, 0.0)
    assert watch.take_changes().heard == () and len(watch) == 2


def test_what_could_not_be_written_is_written_later_once() -> None:
    watch = watching()
    watch.hear(beat(), 0.0, 100.0)
    settle(watch, 0.0)
    failed = watch.take_changes()
    watch.hear(beat(sequence=1), 1.0, 101.0)
    watch.give_back(failed)
    changes = watch.take_changes()
    assert [(one.amphora_id, one.at, one.sequence) for one in changes.heard] == [(FIRST, 101.0, 1)]
    assert [one.load_balancer_id for one in changes.operating] == [TREE.id]


def test_another_life_goes_on_with_what_was_written() -> None:
    before = watching()
    before.hear(beat(sequence=4), 0.0, 100.0)
    settle(before, 0.0)
    written = before.take_changes()
    after = watching()
    heard = [Heard.read(one.key, one.owner, one.data()) for one in written.heard]
    operating = [Operating.read(one.key, one.owner, one.data()) for one in written.operating]
    assert (heard, operating) == (list(written.heard), list(written.operating))
    after.restore(heard, operating)
    assert silence(after, 7.0) == {FIRST: 7.0, SECOND: 7.0}
    after.hear(beat(sequence=5), 8.0, 108.0)
    assert settle(after, 8.0) == {}
    (again,) = after.take_changes().heard
    assert again.statistics[LISTENER.id].total_connections == 6


def test_it_counts_from_when_it_was_first_expected_and_zones_come_from_trees() -> None:
    zoned = TREE.model_copy(update={"availability_zone": "north"})
    watch = watching(whole=zoned)
    watch.hear(beat(), 5.0, 5.0)
    settle(watch, 5.0, zoned)
    assert set(watch.subjects(9.0)[0]) == {
        Subject(FIRST, zoned.id, "north", 4.0),
        Subject(SECOND, zoned.id, "north", 9.0, heard=False),
    }


def test_of_those_that_are_heard_no_more_is_told_than_how_many_they_are() -> None:
    watch = watching(whole=TREE.model_copy(update={"availability_zone": "north"}))
    watch.hear(beat(), 5.0, 5.0)
    settle(watch, 5.0, TREE.model_copy(update={"availability_zone": "north"}))
    assert watch.subjects(9.0, beyond=9.0) == ((), {"north": 2})
    (second,), others = watch.subjects(9.0, beyond=5.0)
    assert (second.amphora_id, others) == (SECOND, {"north": 1})


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(-1e9, 1e9)), min_size=1, max_size=12), st.floats(0, 100))
def test_what_the_clock_on_the_wall_says_decides_nothing(beats: list[tuple[float, float]], later: float) -> None:
    watch, now = watching(), 0.0
    for sequence, (gap, wall) in enumerate(beats):
        now += gap
        watch.hear(beat(sequence=sequence), now, wall)
    found = {one.amphora_id: one for one in watch.subjects(now + later)[0]}
    assert found[FIRST].silence == pytest.approx(later) and found[SECOND].silence == pytest.approx(now + later)
    assert settle(watch, now)[TREE.id] is Status.ONLINE
    assert watch.take_changes().heard[0].at == beats[-1][1]


def test_one_that_was_told_what_we_do_not_have_is_not_ours_to_fail_over() -> None:
    watch = watching()
    watch.expect([Expected(FIRST, TREE.id, Way.OTHER), Expected(SECOND, TREE.id)], {TREE.id: ACTIVE}, 1.0)
    assert {one.amphora_id: one.busy for one in watch.subjects(500.0)[0]} == {FIRST: True, SECOND: False}
    assert watch.spoken() == {Way.OTHER: 1, Way.CURRENT: 1}


def test_octavias_form_does_not_open_the_door_to_what_was_heard_in_ours() -> None:
    watch = watching()
    watch.hear(beat(sequence=8), 1.0, 1.0)
    watch.hear(beat(sequence=3, epoch=0), 2.0, 2.0)
    heard = {one.amphora_id: one for one in watch.take_changes().heard}
    assert (heard[FIRST].epoch, heard[FIRST].sequence, heard[FIRST].at) == (1, 8, 2.0)


def test_asking_is_forgotten_when_it_is_heard_again() -> None:
    watch = watching()
    watch.hear(beat(), 0.0, 0.0)
    watch.mark_silent([FIRST])
    watch.mark_asked(FIRST, 70.0)
    assert {one.amphora_id: one.asked for one in watch.subjects(80.0)[0]}[FIRST] == 10.0
    watch.hear(beat(sequence=1), 90.0, 90.0)
    assert {one.amphora_id: one.asked for one in watch.subjects(90.0)[0]}[FIRST] is None
    assert not watch.take_changes().heard[0].silent
