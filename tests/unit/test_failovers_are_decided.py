"""Who is failed over, and when nobody is: see lbdrivers_amphora/decide/failover.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.decide.failover import EVERYWHERE, Memory, Observer, Policy, Subject, Trip, decide

POLICY = Policy(timeout=60, grace=120, retry=300, share=0.2, least=5)
LISTENED = Observer(listening=60.0)


def amphorae(number: int, zone: str = "", silence: float = 1.0, first: int = 0) -> list[Subject]:
    return [Subject(f"{zone}{n}", f"lb-{zone}{n // 2}", zone, silence) for n in range(first, first + number)]


def test_one_that_is_silent_is_failed_over() -> None:
    subjects = [*amphorae(9), Subject("x", "lb", "", 61)]
    assert decide(POLICY, LISTENED, subjects).failovers == ("x",)
    assert decide(POLICY, LISTENED, [*amphorae(9), Subject("x", "lb", "", 60)]).failovers == ()


def test_the_longest_silent_comes_first() -> None:
    subjects = [*amphorae(9), Subject("a", "1", "", 70), Subject("b", "2", "", 90)]
    assert decide(POLICY, LISTENED, subjects).failovers == ("b", "a")


@pytest.mark.parametrize(
    ("change", "failed_over"),
    [
        pytest.param({"busy": True}, False, id="somebody is at it"),
        pytest.param({"asked": 299.0}, False, id="asked for a moment ago"),
        pytest.param({"asked": 300.0}, True, id="asked for long ago, in vain"),
        pytest.param({"heard": False, "silence": 179.0}, False, id="never heard: it may still boot"),
        pytest.param({"heard": False, "silence": 181.0}, True, id="never heard, for too long"),
    ],
)
def test_who_is_waited_for(change: dict[str, object], failed_over: bool) -> None:
    silent = replace(Subject("x", "lb", "", 100), **change)
    assert decide(POLICY, LISTENED, [*amphorae(9), silent]).failovers == (("x",) if failed_over else ())


def test_who_has_not_listened_for_a_whole_timeout_decides_nothing() -> None:
    decision = decide(POLICY, Observer(listening=59.9), [*amphorae(9), Subject("x", "lb", "", 1000)])
    assert decision.failovers == () and decision.silent == ("x",) and "has listened for" in decision.blind


@pytest.mark.parametrize("number", [2, 3, 50])
def test_who_hears_nobody_at_all_is_blind(number: int) -> None:
    decision = decide(POLICY, LISTENED, amphorae(number, silence=100))
    assert decision.failovers == () and "hears nobody" in decision.blind


def test_the_only_one_may_well_be_dead() -> None:
    assert decide(POLICY, LISTENED, amphorae(1, silence=100)).failovers == ("0",)


def test_the_other_of_a_pair_may_die_while_the_first_is_replaced() -> None:
    first, second = amphorae(2, silence=100)
    assert decide(POLICY, LISTENED, [replace(first, asked=5.0), second]).failovers == ("1",)


def test_one_that_is_being_replaced_does_not_make_all_others_dead() -> None:
    first, *others = amphorae(4, silence=100)
    assert "hears nobody" in decide(POLICY, LISTENED, [replace(first, asked=400.0), *others]).blind


def test_many_at_once_open_the_breaker() -> None:
    subjects = [*amphorae(79), *amphorae(21, silence=100, first=79)]
    decision = decide(POLICY, LISTENED, subjects)
    assert decision.failovers == () and decision.open == {EVERYWHERE: "21 of 100 amphorae are silent"}
    assert len(decision.silent) == 21
    fewer = [*amphorae(80), *amphorae(20, silence=100, first=80)]
    assert len(decide(POLICY, LISTENED, fewer).failovers) == 20


@settings(deadline=None, max_examples=50)
@given(st.integers(10, 60), st.floats(0.25, 1.0), st.sampled_from((3, 6, 30)), st.floats(0, 1), st.data())
def test_of_those_that_fall_silent_together_none_is_failed_over(
    number: int, part: float, intervals: int, begin: float, data: st.DataObject
) -> None:
    """They speak in turn, so the first one is found silent when the last one was heard almost an interval later."""
    policy = replace(POLICY, timeout=intervals * 10.0, interval=10.0)
    gone = frozenset(data.draw(st.permutations(range(number)))[: max(policy.least, int(part * number))])

    def subject(n: int, now: float) -> Subject:
        phase = policy.interval * n / number
        until = 0.0 if n in gone else now
        last = phase + policy.interval * ((until - phase) // policy.interval)
        return Subject(str(n), f"lb {n}", "", now - last)

    memory = None
    for tick in range(int(policy.timeout) - 15, int(policy.timeout) + 15):
        subjects = [subject(n, begin + tick) for n in range(number)]
        decision = decide(policy, LISTENED, subjects, memory, begin + tick)
        assert decision.failovers == () and set(decision.silent) <= set(map(str, gone))
        memory = decision.memory


@pytest.mark.parametrize("number", [4, 40])
def test_while_they_come_back_in_turn_nobody_is_failed_over(number: int) -> None:
    """The last one speaks an interval after the first; for so long it is not the only one that is silent."""
    memory, blind = None, 0
    for tick in range(200):
        heard = int(number * (tick - 50) / POLICY.interval)  # the network is back after 50 s
        subjects = [*amphorae(max(0, min(heard, number))), *amphorae(max(0, number - max(0, heard)), "", 70.0 + tick)]
        decision = decide(POLICY, LISTENED, subjects, memory, float(tick))
        assert decision.failovers == ()
        memory, blind = decision.memory, blind + bool(decision.blind or decision.open)
    assert 60 <= blind < 130
    dead = [*amphorae(number), Subject("x", "lb", "", 61)]
    assert decide(POLICY, LISTENED, dead, memory, 200.0).failovers == ("x",)


def test_one_that_misses_a_heartbeat_opens_no_breaker() -> None:
    policy = replace(POLICY, timeout=20.0, interval=10.0)
    lagging = amphorae(90, silence=12.0)
    assert decide(policy, LISTENED, [*lagging, *amphorae(10, silence=21.0, first=90)]).open == {}


def test_a_few_of_a_small_site_may_die_together() -> None:
    assert len(decide(POLICY, LISTENED, [*amphorae(2), *amphorae(4, silence=100, first=2)]).failovers) == 4


def test_a_zone_has_a_breaker_of_its_own() -> None:
    dark = [*amphorae(4, "dark"), *amphorae(6, "dark", 100, first=4)]
    bright = [*amphorae(99, "bright"), *amphorae(1, "bright", 100, first=99)]
    decision = decide(POLICY, LISTENED, [*dark, *bright])
    assert decision.failovers == ("bright99",)
    assert decision.open == {"dark": "6 of 10 amphorae are silent"}


def test_octavias_threshold_counts_heads() -> None:
    policy = replace(POLICY, threshold=3)
    assert len(decide(policy, LISTENED, [*amphorae(98), *amphorae(2, silence=100, first=98)]).failovers) == 2
    assert EVERYWHERE in decide(policy, LISTENED, [*amphorae(97), *amphorae(3, silence=100, first=97)]).open


def test_a_dry_run_reports_and_asks_for_nothing() -> None:
    decision = decide(replace(POLICY, dry_run=True), LISTENED, [*amphorae(9), Subject("x", "lb", "", 100)])
    assert decision.failovers == () and decision.silent == ("x",)


subjects = st.lists(
    st.builds(
        Subject,
        st.uuids().map(str),
        st.just("lb"),
        st.sampled_from(("", "a", "b")),
        st.floats(0, 500),
        st.booleans(),
        st.none() | st.floats(0, 500),
        st.booleans(),
    ),
    max_size=60,
    unique_by=lambda one: one.amphora_id,
)


@given(subjects, st.floats(0, 200))
def test_laws(known: list[Subject], listening: float) -> None:
    """Only the silent are failed over; nobody by who is blind; never more than a breaker lets pass."""
    decision = decide(POLICY, Observer(listening), known)
    by_id = {one.amphora_id: one for one in known}
    assert set(decision.failovers) <= set(decision.silent)
    assert all(by_id[name].silence > POLICY.timeout for name in decision.silent)
    assert not (decision.blind and decision.failovers)
    assert len(decision.failovers) <= max(POLICY.least - 1, POLICY.share * len(known))
    assert not any(by_id[name].zone in decision.open or by_id[name].busy for name in decision.failovers)


@given(subjects, st.floats(0, 200), st.booleans())
def test_of_those_that_are_not_overdue_their_number_is_enough(
    known: list[Subject], listening: float, tripped: bool
) -> None:
    """Of a fleet nearly all have just been heard; what is decided does not need each of them."""
    known = [replace(one, heard=True, asked=None) if one.silence <= POLICY.overdue else one for one in known]
    memory = Memory({EVERYWHERE: Trip(70.0, "as many as that")} if tripped else {})
    quiet = [one for one in known if one.silence > POLICY.overdue]
    others = Counter(one.zone for one in known if one.silence <= POLICY.overdue)
    observer = Observer(listening)
    assert decide(POLICY, observer, quiet, memory, 100.0, others) == decide(POLICY, observer, known, memory, 100.0)
