"""The memory of a health manager: who goes is forgotten, what an earlier life wrote is taken up, headers count."""

from __future__ import annotations

import uuid

from support.bundles import listener, tree

from lbdrivers.model.status import OperatingStatus
from lbdrivers_amphora.decide.counting import Counted
from lbdrivers_amphora.decide.health import Outline
from lbdrivers_amphora.health.findings import Heard, Operating
from lbdrivers_amphora.health.watch import Expected, Standing, Watch
from lbdrivers_amphora.wire.heartbeat import Header, Heartbeat, ListenerBeat
from lbdrivers_amphora.wire.report import Totals

FIRST, SECOND, STRANGER = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
LISTENER = listener("l")
TREE = tree((LISTENER,))
ACTIVE = Standing(1, pending=False, busy=False)
BOTH = (Expected(FIRST, TREE.id), Expected(SECOND, TREE.id))


def watching() -> Watch:
    made = Watch(60.0)
    made.expect(BOTH, {TREE.id: ACTIVE}, 0.0)
    return made


def beat(amphora: str = FIRST, *, whole: bool = True, status: str = "OPEN") -> Heartbeat:
    listeners = {LISTENER.id: ListenerBeat(status, Totals())} if whole else {}
    return Heartbeat(amphora, 1, 0, listeners, {}, holds_vip=True)


def seen(watch: Watch) -> dict[str, bool]:
    return {one.amphora_id: one.heard for one in watch.subjects(10.0)[0]}


def test_who_is_expected_no_more_is_forgotten_with_what_was_heard() -> None:
    watch = watching()
    watch.hear(beat(), 1.0, 1.0)
    watch.expect(BOTH[1:], {TREE.id: ACTIVE}, 2.0)
    assert (len(watch), seen(watch)) == (1, {SECOND: False})
    assert watch.take_changes().heard == ()
    watch.expect((), {}, 3.0)
    assert (len(watch), watch.waiting, watch.wanting_trees()) == (0, 0, ())


def test_one_that_is_another_load_balancers_now_counts_there() -> None:
    watch = watching()
    watch.expect((Expected(FIRST, "other"), BOTH[1]), {TREE.id: ACTIVE, "other": ACTIVE}, 1.0)
    assert {one.load_balancer_id for one in watch.subjects(1.0)[0] if one.amphora_id == FIRST} == {"other"}


def test_strangers_leave_no_trace() -> None:
    watch = watching()
    watch.hear(beat(STRANGER), 1.0, 1.0)
    watch.heard_elsewhere(Heard(STRANGER, TREE.id, 5.0), 1.0)
    watch.restore((Heard(STRANGER, TREE.id, 5.0),), (Operating("unknown", {}),))
    watch.look(Outline.of(tree(id=STRANGER)))
    assert (seen(watch), watch.take_changes().heard) == ({FIRST: False, SECOND: False}, ())


def test_what_was_written_is_taken_up_and_nobody_counts_as_heard_by_it() -> None:
    watch = watching()
    counted = {LISTENER.id: Counted(Totals(0, 5, 5, 0, 1), Totals(0, 7, 7, 0, 2))}
    watch.restore(
        (Heard(FIRST, TREE.id, 900.0, 3, 8, silent=True, counted=counted),),
        (Operating(TREE.id, {TREE.id: OperatingStatus.ERROR}),),
    )
    assert seen(watch) == {FIRST: False, SECOND: False}
    watch.hear(beat(), 1.0, 901.0)
    watch.look(Outline.of(TREE))
    changed = watch.settle(1.0)
    assert changed[TREE.id] == (OperatingStatus.ERROR, OperatingStatus.ONLINE)
    (heard,) = watch.take_changes().heard
    assert (heard.at, heard.silent, heard.counted[LISTENER.id].statistics.bytes_in) == (901.0, False, 12)


def test_a_header_alone_says_that_one_lives_as_long_as_it_was_whole() -> None:
    watch = watching()
    watch.hear(Header(FIRST, 1, 0), 1.0, 1.0)
    watch.hear(beat(SECOND), 1.0, 1.0)
    watch.look(Outline.of(TREE))
    watch.hear(beat(SECOND, whole=False), 2.0, 2.0)
    assert watch.incomplete == {SECOND}
    watch.hear(Header(SECOND, 1, 1), 3.0, 3.0)
    silences = {one.amphora_id: one.silence for one in watch.subjects(10.0)[0]}
    assert silences == {FIRST: 9.0, SECOND: 9.0}


def test_what_could_not_be_written_is_left_to_write() -> None:
    watch = watching()
    watch.hear(beat(), 1.0, 1.0)
    watch.look(Outline.of(TREE))
    watch.settle(1.0)
    changes = watch.take_changes()
    assert watch.take_changes().heard == ()
    watch.give_back(changes)
    assert watch.take_changes() == changes


def test_a_listener_that_is_full_is_found_again() -> None:
    watch = watching()
    watch.hear(beat(), 1.0, 1.0)
    watch.look(Outline.of(TREE))
    watch.settle(1.0)
    watch.hear(beat(), 2.0, 2.0)
    assert watch.waiting == 0
    watch.hear(beat(status="FULL"), 3.0, 3.0)
    assert watch.waiting == 1


def test_who_was_heard_elsewhere_is_not_silent() -> None:
    watch = watching()
    watch.heard_elsewhere(Heard(FIRST, TREE.id, 5.0), 8.0)
    watch.heard_elsewhere(Heard(FIRST, TREE.id, 5.0), 9.0)
    watch.heard_elsewhere(Heard(SECOND, TREE.id, 5.0, silent=True), 9.0)
    assert {one.amphora_id: one.silence for one in watch.subjects(10.0)[0]} == {FIRST: 2.0, SECOND: 10.0}
