"""Totals of listeners go on over reloads, crashes and silent workers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.agent.totals import Counters, parse, parse_or_empty, render
from lbdrivers_amphora.wire.report import Totals


def _worker(connections: int, active: int = 0) -> dict[str, Totals]:
    return {"l": Totals(active_connections=active, total_connections=connections)}


def test_a_worker_that_is_gone_counts_on() -> None:
    counters = Counters().observed({"1-1": _worker(5, active=2)}, ())
    assert counters.totals() == {"l": Totals(2, 0, 0, 0, 5)}
    counters = counters.observed({"2-2": _worker(1)}, ())
    assert counters.totals() == {"l": Totals(total_connections=6)}


def test_a_silent_worker_does_not_count_twice() -> None:
    counters = Counters().observed({"1-1": _worker(5)}, ())
    counters = counters.observed({"2-2": _worker(1)}, {"1-1"})
    counters = counters.observed({"1-1": _worker(7), "2-2": _worker(1)}, {"1-1", "2-2"})
    assert counters.totals() == {"l": Totals(total_connections=8)}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_totals_are_the_sum_of_all_that_was_counted(steps: list[tuple[int, bool]]) -> None:
    counters, worker, counted, expected = Counters(), 0, 0, 0
    for more, reload in steps:
        if reload:
            worker, counted = worker + 1, 0
        counted, expected = counted + more, expected + more
        counters = counters.observed({f"{worker}-0": _worker(counted)}, ())
        assert counters.totals()["l"].total_connections == expected
        assert parse(render({"lb": counters})) == {"lb": counters}


def test_another_programs_file_starts_at_zero() -> None:
    # Octavia's agent keeps its last absolute values under the same name.
    assert parse_or_empty(b'{"6485d9e0": {"bin": 1, "bout": 2, "ereq": 0, "stot": 3}}') in (
        {},
        {"6485d9e0": Counters()},
    )
    assert parse_or_empty(b"not json") == {}
    assert parse_or_empty(None) == {}


def _counted(value: int) -> dict[str, Totals]:
    return {"l": Totals(bytes_in=value)}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["go on", "begin anew", "go away"])), max_size=30))
def test_counters_of_the_kernel_go_on_over_new_rules(steps: list[tuple[int, str]]) -> None:
    counters, counted, expected = Counters(), 0, 0
    for more, event in steps:
        if event == "go away":
            counters, counted = counters.measured({}), 0
        elif event == "begin anew":
            # Unnoticed where it counted as much again before anybody looked; it never falls.
            counters, counted = counters.measured(_counted(counted)).measured(_counted(0)), 0
        counted, expected = counted + more, expected + more
        counters = counters.measured(_counted(counted))
        assert counters.totals()["l"].bytes_in == expected
