"""Every call of a driver fails in every way, once or for good: the laws of a death hold of a failure, too.

After each attempt there is a cause and a next attempt, or it has converged; once the fault is gone, it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.laws import expect_no_orphan, held_vip
from support.plant import Mortal, Plant
from support.trials import NEAR, SCENARIOS, Trial, expect_no_failure

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.memory.faults import Hook
from lbdrivers.model.status import ProvisioningStatus

#: Verbs of records, not of drivers: a record that cannot be written is a death, which other tests have.
RECORDS = ("put ", "remove amphora")


@dataclass
class Fault:
    """One way in which the n-th call of a run fails. ``lasting``: and every later call of the same verb.

    :param before: what happens instead of the call; ``after``: what its caller is told although it was done.
    """

    number: int
    lasting: bool = False
    before: Exception | None = None
    after: Exception | None = None
    seconds: float = 0.0
    calls: list[str] = field(default_factory=list)
    hit: str = ""

    def worker(self, plant: Plant, others: Hook) -> Mortal:
        """A worker whose drivers have this fault, and the others of its scenario."""

        def before(verb: str, arguments: tuple[object, ...]) -> None:
            if verb.startswith(RECORDS):
                return
            others(verb, arguments)
            self.calls.append(verb)
            if len(self.calls) - 1 == self.number:
                self.hit = verb
            if self._strikes(verb):
                plant.world.time += self.seconds
                if self.before is not None:
                    raise self.before

        def after(verb: str, _arguments: tuple[object, ...]) -> None:
            if self.after is not None and self._strikes(verb):
                raise self.after

        return Mortal(faults=before, after=after)

    def _strikes(self, verb: str) -> bool:
        return len(self.calls) - 1 == self.number or (self.lasting and verb == self.hit)


FAULTS: dict[str, Callable[[int], Fault]] = {
    "error": lambda n: Fault(n, before=PermanentError("no quota")),
    "temporary error": lambda n: Fault(n, before=TemporaryError("busy")),
    "timeout": lambda n: Fault(n, before=TemporaryError("no answer in 120 s"), seconds=120),
    "done, reported as an error": lambda n: Fault(n, after=PermanentError("HTTP 500")),
    "done, reported as temporary": lambda n: Fault(n, after=TemporaryError("connection reset")),
    "slow": lambda n: Fault(n, seconds=20),
    "error from now on": lambda n: Fault(n, lasting=True, before=PermanentError("no quota")),
    "temporary from now on": lambda n: Fault(n, lasting=True, before=TemporaryError("down")),
}


def struck(trial: Trial, kind: str, number: int) -> Iterator[str]:
    """One case. What went wrong."""
    plant = trial.plant()
    fault = FAULTS[kind](number)
    try:
        vip = held_vip(plant.world, NEAR.id)
        trial.die(plant, fault.worker(plant, trial.scenario.faults()))
        _expect_told(plant)
        vip = vip or held_vip(plant.world, NEAR.id)
        trial.succeed(plant)
        trial.expect_whole(plant, vip)
    except AssertionError as error:
        yield f"{kind} at call {number}, {fault.hit}: {str(error)[:600]}"
    finally:
        plant.close()


def _expect_told(plant: Plant) -> None:
    """Nobody is at it any more: it is done, or there is a cause and a moment of the next attempt."""
    plant.expect_scheduled()
    expect_no_orphan(plant.world)
    entry = plant.entry(NEAR.id)
    if entry is None or entry.settled:
        return
    assert entry.lease is None
    assert entry.cause is not None and entry.next_attempt is not None, entry
    assert entry.status in (ProvisioningStatus.ERROR, *_PENDING)


_PENDING = (
    ProvisioningStatus.PENDING_CREATE,
    ProvisioningStatus.PENDING_UPDATE,
    ProvisioningStatus.PENDING_DELETE,
)


def cases(trial: Trial) -> list[tuple[str, int]]:
    """Every fault at every call."""
    plant, counted = trial.plant(), Fault(-1)
    trial.die(plant, counted.worker(plant, trial.scenario.faults()))
    plant.close()
    return [(kind, number) for kind in FAULTS for number in range(len(counted.calls))]


def _strike(name: str, folder: Path, capsys: pytest.CaptureFixture[str], stride: int) -> None:
    trial = Trial(SCENARIOS[name], folder)
    expect_no_failure(f"{name}, driver faults", cases(trial)[::stride], lambda case: struck(trial, *case), capsys)


#: A prime, so that every verb meets every kind of fault in one scenario or another.
STRIDE = 107


@pytest.mark.parametrize("name", SCENARIOS)
def test_faults_sampled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _strike(name, tmp_path, capsys, STRIDE)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_fault_at_every_call(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _strike(name, tmp_path, capsys, 1)
