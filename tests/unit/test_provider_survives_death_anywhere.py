"""The amphora provider dies at every boundary of every driver call and record write; the next one goes on.

Exhaustive: every state of the world that a death can leave is tried with every way to go on; deaths at
boundaries without a write between them leave the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from support import bundles
from support.laws import expect_exactly, expect_no_orphan, held_vip
from support.memory_cloud import World

from lbdrivers.drivers.context import Record
from lbdrivers.drivers.provider import Provider
from lbdrivers.errors import DriverError
from lbdrivers.memory.cloud import StoredAppliance
from lbdrivers.memory.faults import Hook
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.records import AmphoraStatus

#: A verb with everything that it is called with.
Act = Callable[[Provider], None]


class Death(BaseException):
    """The process ends here: no handler runs, or if one does, it reaches nothing any more."""


class Mortal:
    """The hooks of a process that dies at its n-th boundary; whatever it tries afterwards fails."""

    def __init__(self, boundaries: int) -> None:
        self.boundaries = boundaries
        self.calls: list[str] = []

    def before(self, verb: str, _arguments: tuple[object, ...]) -> None:
        self._pass(f"before {verb}")

    def after(self, verb: str, _arguments: tuple[object, ...]) -> None:
        self._pass(f"after {verb}")

    def _pass(self, boundary: str) -> None:
        if len(self.calls) > self.boundaries:
            raise Death
        self.calls.append(boundary)
        if len(self.calls) > self.boundaries:
            raise Death

    @property
    def dead(self) -> bool:
        return len(self.calls) > self.boundaries


class CountedRecords(MemoryRecords):
    """Records that count their writes: the same count in the same run is the same state."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def put(self, record: Record) -> Record:
        self.writes += 1
        return super().put(record)

    def remove(self, kind: str, record_id: str) -> None:
        self.writes += 1
        super().remove(kind, record_id)

    def copy(self) -> CountedRecords:
        copied = CountedRecords()
        copied._records = dict(self._records)
        return copied


HERE, THERE, ELSEWHERE = (bundles.ident(f"subnet {name}") for name in ("here", "there", "elsewhere"))


def tree(*subnets: str) -> LoadBalancer:
    members = tuple(bundles.member(f"member {n}", f"192.0.2.{n + 1}", subnet_id=one) for n, one in enumerate(subnets))
    pool = bundles.pool(members=members)
    return bundles.tree((bundles.listener(default_pool_id=pool.id),), (pool,), name="web")


OLD, NEW = tree(HERE, THERE), tree(HERE, ELSEWHERE)


def apply(desired: LoadBalancer, applied: LoadBalancer | None) -> Act:
    return lambda provider: provider.apply(desired, applied)


def remove(provider: Provider) -> None:
    provider.remove(OLD.id)


def failover(provider: Provider) -> None:
    provider.failover(OLD.id)


def a_master_dies(world: World) -> None:
    world.kill(next(one.machine for one in world.ledger.amphorae(OLD.id) if one.role in ("MASTER", "STANDALONE")))


def the_master_falls_silent(world: World) -> None:
    """Its machine runs, but its agent is gone."""
    name = next(one.machine for one in world.ledger.amphorae(OLD.id) if one.role in ("MASTER", "STANDALONE"))

    def stranger(old: StoredAppliance | None) -> StoredAppliance:
        assert old is not None
        return replace(old, amphora_id="nobody", load_balancer=None)

    world.cloud.appliances.change(name, stranger)


@dataclass(frozen=True)
class Scenario:
    """A verb that is interrupted, and the ways in which the next process goes on.

    :param existing: whether ``OLD`` is applied before.
    :param recoveries: name -> verb, and the tree that must be there afterwards; None: nothing.
    """

    verb: Act
    recoveries: dict[str, tuple[Act, LoadBalancer | None]]
    existing: bool = True
    prepare: Callable[[World], None] = lambda _world: None


GONE = {"remove": (remove, None)}
SCENARIOS = {
    "create": Scenario(apply(OLD, None), {"again": (apply(OLD, None), OLD), **GONE}, existing=False),
    "update": Scenario(
        apply(NEW, OLD),
        {"again": (apply(NEW, OLD), NEW), "back": (apply(OLD, OLD), OLD), **GONE},
    ),
    "failover": Scenario(failover, {"again": (failover, OLD), "apply": (apply(OLD, OLD), OLD), **GONE}),
    "failover of the dead": Scenario(
        failover, {"again": (failover, OLD), "apply": (apply(OLD, OLD), OLD), **GONE}, prepare=a_master_dies
    ),
    "failover of the silent": Scenario(failover, {"again": (failover, OLD), **GONE}, prepare=the_master_falls_silent),
    "delete": Scenario(remove, {**GONE, "apply": (apply(OLD, None), OLD)}),
}


def world_of(scenario: Scenario, topology: str) -> World:
    world = World(topology, CountedRecords())
    if scenario.existing:
        world.provider().apply(OLD, None)
        scenario.prepare(world)
    return world


def copy_of(world: World) -> World:
    assert isinstance(world.records, CountedRecords)
    return World(world.topology, world.records.copy())


def recover(world: World, scenario: Scenario) -> Iterator[str]:
    """Go on after a death in each of the scenario's ways; what went wrong."""
    vip = held_vip(world, OLD.id)
    for recovery, (act, wanted) in scenario.recoveries.items():
        after = copy_of(world)
        try:
            expect_no_orphan(after)
            act(after.provider(workers=1))
            if wanted is None:
                assert after.left() == []
            else:
                expect_exactly(after, wanted, vip)
        except (AssertionError, DriverError) as error:
            yield f"then {recovery}: {type(error).__name__}: {str(error)[:400]}"


#: A pair does all that one alone does; only in a failover is one alone another thing.
CASES = [*((name, "ACTIVE_STANDBY") for name in SCENARIOS), ("failover", "SINGLE"), ("failover of the dead", "SINGLE")]


@pytest.mark.parametrize(("name", "topology"), CASES)
def test_death_at_each_boundary(name: str, topology: str, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = SCENARIOS[name]
    before = world_of(scenario, topology)
    calls, states = boundaries(scenario, before)
    failures: list[str] = []
    for boundary in states:
        world, mortal = copy_of(before), Mortal(boundary)
        with pytest.raises(Death):
            scenario.verb(world.provider(mortal.before, mortal.after, workers=1))
        assert mortal.calls == calls[: boundary + 1], "the order of calls changes from run to run"
        failures += [f"{boundary} {calls[boundary]}, {failure}" for failure in recover(world, scenario)]
    with capsys.disabled():
        cases = len(states) * len(scenario.recoveries)
        print(f"\n{name}, {topology}: {len(calls)} boundaries, {len(states)} states, {cases} recoveries", end="")
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)


def boundaries(scenario: Scenario, before: World) -> tuple[list[str], list[int]]:
    """All boundaries of the whole verb, and of those that meet one state of the world the first each."""
    world, whole, writes = copy_of(before), Mortal(10**9), list[int]()
    records = world.records
    assert isinstance(records, CountedRecords)

    def counted(hook: Hook) -> Hook:
        def counting(verb: str, arguments: tuple[object, ...]) -> None:
            writes.append(records.writes)
            hook(verb, arguments)

        return counting

    scenario.verb(world.provider(counted(whole.before), counted(whole.after), workers=1))
    return whole.calls, [n for n, count in enumerate(writes) if count not in writes[:n]]


@pytest.mark.parametrize("name", ["create", "update", "failover"])
def test_death_while_amphorae_are_worked_on_side_by_side(name: str) -> None:
    scenario = SCENARIOS[name]
    before = world_of(scenario, "ACTIVE_STANDBY")
    for boundary in range(5, 80, 8):
        world, mortal = copy_of(before), Mortal(boundary)
        with pytest.raises(Death):
            scenario.verb(world.provider(mortal.before, mortal.after))
        assert [f"{boundary} {mortal.calls[boundary]}, {failure}" for failure in recover(world, scenario)] == []


def test_an_apply_after_a_dead_failover_never_goes_back_to_the_silent() -> None:
    """An apply alone cannot help a silent amphora; but once its replacement serves, it needs no help."""
    scenario = SCENARIOS["failover of the silent"]
    before = world_of(scenario, "ACTIVE_STANDBY")
    helped = 0
    for boundary in boundaries(scenario, before)[1]:
        world, mortal = copy_of(before), Mortal(boundary)
        with pytest.raises(Death):
            scenario.verb(world.provider(mortal.before, mortal.after, workers=1))
        if sum(one.status is AmphoraStatus.ALLOCATED for one in world.ledger.amphorae(OLD.id)) > 1 and not any(
            one.status is AmphoraStatus.PENDING_DELETE for one in world.ledger.amphorae(OLD.id)
        ):
            continue  # the silent one still counts as serving
        world.provider(workers=1).apply(OLD, OLD)
        expect_exactly(world, OLD, ())
        helped += 1
    assert helped > 5
