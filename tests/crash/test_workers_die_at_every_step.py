"""A worker dies before and after every step of every recipe, inside taking back, too, and so may its successor.

Whatever it leaves, a new worker comes to one of two ends: everything is as it was wanted, or it is in ERROR with
a cause and a next attempt; never a double, an orphan, a lost address or a lease that somebody dead holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.laws import expect_no_orphan, held_vip
from support.plant import Death, Mortal
from support.trials import NEAR, SCENARIOS, Trial, expect_no_failure


def dies_at(trial: Trial, boundary: int, *successors: int) -> Iterator[str]:
    """One case: the worker dies at its boundary, each successor at its own, the last one lives. What went wrong."""
    plant = trial.plant()
    told = [str(boundary)]
    try:
        vip = held_vip(plant.world, NEAR.id)
        worker = Mortal(boundary, trial.scenario.faults())
        with pytest.raises(Death):
            trial.die(plant, worker)
        told[0] = worker.passed[-1]
        for successor in successors:
            plant.expect_scheduled()
            expect_no_orphan(plant.world)
            worker = Mortal(successor)
            try:
                trial.succeed(plant, worker)
            except Death:
                told.append(worker.passed[-1])
            else:
                break  # it had less to do than it could survive
            vip = vip or held_vip(plant.world, NEAR.id)
        plant.expect_scheduled()
        expect_no_orphan(plant.world)
        vip = vip or held_vip(plant.world, NEAR.id)
        trial.succeed(plant)
        trial.expect_whole(plant, vip)
    except AssertionError as error:
        yield f"{', then '.join(told)}: {str(error)[:600]}"
    finally:
        plant.close()


#: Of the deaths, and of the pairs of deaths, those that ``make test`` tries: every so manieth.
STRIDE, STRIDE_OF_PAIRS = 3, 97


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_before_and_after_steps_sampled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _once(name, tmp_path, capsys, STRIDE)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_death_before_and_after_each_step(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _once(name, tmp_path, capsys, 1)


def _once(name: str, folder: Path, capsys: pytest.CaptureFixture[str], stride: int) -> None:
    trial = Trial(SCENARIOS[name], folder)
    boundaries = trial.whole()
    assert len(boundaries) >= 4
    assert all(text.startswith("before") for text in boundaries[::2])
    # After a step is before the next one: the same state, tried once.
    cases = (*range(0, len(boundaries), 2 * stride), len(boundaries) - 1)
    title = f"{name}, {len(boundaries)} boundaries"
    expect_no_failure(title, cases, lambda n: dies_at(trial, n), capsys)


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_twice_in_a_row_sampled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _twice(name, tmp_path, capsys, STRIDE_OF_PAIRS)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SCENARIOS)
def test_death_twice_in_a_row(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _twice(name, tmp_path, capsys, 1)


def _twice(name: str, folder: Path, capsys: pytest.CaptureFixture[str], stride: int) -> None:
    trial = Trial(SCENARIOS[name], folder)
    first = len(trial.whole())
    # After a step is before the next one: the same state. A successor takes up what is there and does the rest.
    pairs = [(one, other) for one in range(0, first, 2) for other in range(0, first + 8, 2)][::stride]
    expect_no_failure(f"{name}, twice", pairs, lambda pair: dies_at(trial, *pair), capsys)
