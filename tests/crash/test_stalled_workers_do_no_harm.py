"""A worker stalls past its lease at any call of a driver and at any write, another one finishes, and the first goes on.

It begins nothing more and writes nothing; what the call made in which it stalled is gone or put right at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.laws import expect_exactly, expect_no_orphan, held_vip
from support.plant import LEASE, Mortal, Plant
from support.trials import (
    BOTH,
    NEAR,
    SCENARIOS,
    Trial,
    expect_no_failure,
    maintains,
    wants,
    wants_delete,
    wants_failover,
)

from lbdrivers.errors import TemporaryError
from lbdrivers.memory.faults import Hook
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import Done, Retry


@dataclass
class Stall:
    """Before and after each call of a driver is a moment; at one of them the worker stalls.

    :param meanwhile: what happens until it goes on.
    :param did: what it called when it had gone on.
    """

    moment: int
    meanwhile: Callable[[], None]
    moments: int = 0
    where: str = ""
    did: list[str] = field(default_factory=list)

    def worker(self, others: Hook) -> Mortal:
        def before(verb: str, arguments: tuple[object, ...]) -> None:
            others(verb, arguments)
            if self.where:
                self.did.append(verb)
            self._pass(f"before {verb}")

        return Mortal(faults=before, after=lambda verb, _arguments: self._pass(f"after {verb}"))

    def _pass(self, where: str) -> None:
        if self.moments == self.moment:
            self.where = where
            self.meanwhile()
        self.moments += 1


@dataclass(frozen=True)
class Successor:
    """What the other one is asked for, and the tree that must run in the end; None: none."""

    wish: Callable[[Engine], None]
    wanted: LoadBalancer | None


def successors(trial: Trial) -> dict[str, Successor]:
    """All that could be asked for meanwhile."""
    scenario = trial.scenario
    same = Successor(lambda _engine: None, scenario.wanted)
    if scenario.wanted is None:
        return {"the same": same}
    found = {"the same": same, "delete": Successor(wants_delete, None), "edit": Successor(wants(BOTH), BOTH)}
    if scenario.before is not None:
        found["failover"] = Successor(wants_failover, scenario.wanted)
    return found


def stalls_at(trial: Trial, moment: int, name: str) -> Iterator[str]:
    """One case. What went wrong."""
    plant, successor = trial.plant(), successors(trial)[name]

    def meanwhile() -> None:
        plant.world.time += LEASE + 1
        other = plant.engine()
        successor.wish(other)
        plant.work(other)

    stall = Stall(moment, meanwhile)
    try:
        vip = held_vip(plant.world, NEAR.id)
        trial.die(plant, stall.worker(trial.scenario.faults()))
        plant.expect_scheduled()
        expect_no_orphan(plant.world)
        plant.work(plant.engine())
        if trial.scenario.wish is maintains:
            maintains(plant.engine())  # who maintains goes round: what it was kept from is due the next time
        expect(plant, successor.wanted, vip)
    except AssertionError as error:
        yield f"{name}, stalled {stall.where}, then {stall.did}: {str(error)[:600]}"
    finally:
        plant.close()


def expect(plant: Plant, wanted: LoadBalancer | None, vip: tuple[str, ...]) -> None:
    entry = plant.entry(NEAR.id)
    if wanted is None:
        assert (entry, plant.world.left()) == (None, [])
        return
    assert entry is not None and entry.settled and entry.lease is None and entry.cause is None
    expect_exactly(plant.world, wanted, vip)


#: A prime, so that all kinds of moments are met.
STRIDE = 71


@pytest.mark.parametrize("name", SCENARIOS)
def test_stalls_sampled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _stall(name, tmp_path, capsys, STRIDE)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_stall_at_every_moment(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _stall(name, tmp_path, capsys, 1)


def _stall(name: str, folder: Path, capsys: pytest.CaptureFixture[str], stride: int) -> None:
    trial = Trial(SCENARIOS[name], folder)
    plant, counted = trial.plant(), Stall(-1, lambda: None)
    trial.die(plant, counted.worker(trial.scenario.faults()))
    plant.close()
    cases = [(moment, kind) for moment in range(counted.moments) for kind in successors(trial)][::stride]
    expect_no_failure(f"{name}, stalls", cases, lambda case: stalls_at(trial, *case), capsys)


def test_whoever_stalled_while_it_waited_for_an_agent_waits_no_longer(tmp_path: Path) -> None:
    plant, stalls = Plant(tmp_path / "plant"), iter((True,))

    def stall(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "facts" and next(stalls, False):
            plant.world.time += LEASE + 1
            plant.work(plant.engine())
            raise TemporaryError("an amphora does not answer")

    engine = plant.engine(Mortal(faults=stall))
    engine.submit(NEAR)
    outcome = engine.run(NEAR.id)
    assert plant.world.time < 1_700_000_000 + 2 * LEASE, "it waits as long as a machine may take to boot"
    assert isinstance(outcome, Done | Retry)
    plant.work(plant.engine())
    expect_exactly(plant.world, NEAR)
    plant.close()
