"""The warm pool: filled to its size, taken first, by one each, whole after any death."""

from __future__ import annotations

from typing import Any

import pytest
from support.laws import expect_exactly, expect_no_orphan
from support.memory_cloud import World
from support.plant import Death, Mortal
from support.trials import NEAR

from lbdrivers.errors import PermanentError
from lbdrivers.memory.faults import Hook
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.surroundings import identity
from lbdrivers_amphora.records import Amphora, AmphoraStatus

SIZE = ("house_keeping", "spare_amphora_pool_size")
DAY = 86400.0


def warm(size: int = 2, topology: str = "ACTIVE_STANDBY") -> World:
    world = World(topology, options={SIZE: size})
    world.provider().tend()
    return world


def spares(world: World) -> list[Amphora]:
    return [one for one in world.ledger.spares() if one.status is AmphoraStatus.READY]


class Counting:
    """Counts the calls of each verb."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, verb: str, _arguments: tuple[object, ...]) -> None:
        self.calls.append(verb)


def test_there_is_none_unless_it_is_asked_for() -> None:
    world = World()
    world.provider().tend()
    assert world.left() == []


def test_it_is_filled_to_its_size_and_stays_so() -> None:
    world = warm(3)
    assert len(spares(world)) == len(world.machines()) == 3
    counting = Counting()
    world.provider(counting).tend()
    assert "ensure" not in counting.calls
    assert world.provider().orphans() == ()


def test_whoever_builds_takes_from_it_first() -> None:
    world = warm(3)
    waiting, counting = world.machines().keys(), Counting()
    world.provider(counting).apply(NEAR, None)
    assert "ensure" not in counting.calls, "a machine was booted although one waited"
    assert {one.machine for one in world.ledger.amphorae(NEAR.id)} <= waiting
    assert len(spares(world)) == 1
    world.provider().tend()
    assert len(spares(world)) == 3


@pytest.mark.parametrize("topology", ["SINGLE", "ACTIVE_STANDBY"])
def test_what_was_taken_is_like_any_other(topology: str) -> None:
    world = warm(2, topology)
    world.provider().apply(NEAR, None)
    world.options = {}
    world.provider().tend()
    expect_exactly(world, NEAR)
    world.provider().remove(NEAR.id)
    assert world.left() == []


def test_a_failover_takes_from_it() -> None:
    world = warm(3)
    world.provider().apply(NEAR, None)
    world.kill(world.ledger.amphorae(NEAR.id)[0].machine)
    last, counting = spares(world)[0], Counting()
    world.provider(counting).failover(NEAR.id)
    assert last.id in {one.id for one in world.ledger.amphorae(NEAR.id)}
    assert "ensure" not in counting.calls


def test_one_that_would_not_fit_is_left() -> None:
    world = warm(2)
    big = rebuilt(NEAR, flavor_id=identity(9), flavor_data=ProviderData({"compute_flavor": "big"}))
    world.provider().apply(big, None)
    assert len(spares(world)) == 2
    assert {one.flavor for one in world.ledger.amphorae(NEAR.id)} == {"big"}


@pytest.mark.parametrize(
    "options",
    [{SIZE: 1}, {SIZE: 0}, {SIZE: 2, ("controller_worker", "amp_image_tag"): "new"}],
    ids=["too many", "none wanted", "outdated"],
)
def test_what_is_too_many_or_outdated_goes(options: dict[tuple[str, str], Any]) -> None:
    world = warm(2)
    before = {one.id for one in spares(world)}
    world.options = options
    world.provider().tend()
    now = {one.id for one in spares(world)}
    assert len(now) == len(world.machines()) == options[SIZE]
    assert bool(now & before) is (options[SIZE] == 1)


def test_the_dead_and_those_whose_certificates_end_are_replaced() -> None:
    world = warm(2)
    dead, old = spares(world)
    world.kill(dead.machine)
    world.provider().tend()
    assert dead.id not in {one.id for one in spares(world)} and len(spares(world)) == 2
    world.time += 20 * DAY
    counting = Counting()
    world.provider(counting).apply(NEAR, None)
    assert "ensure" in counting.calls, "a spare was taken whose certificate is about to end"
    world.provider().tend()
    assert old.id not in {one.id for one in spares(world)} and len(spares(world)) == 2


def test_of_two_that_want_one_spare_one_gets_it() -> None:
    world = warm(1, "SINGLE")
    (spare,) = spares(world)
    taken = [spare.model_copy(update={"load_balancer_id": identity(n)}) for n in (1, 2)]
    assert [world.ledger.take(spare, one) for one in taken] == [True, False]


def test_one_worker_fills_at_a_time() -> None:
    world = World(options={SIZE: 2})

    def meanwhile(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "ensure":
            world.provider().tend()

    world.provider(meanwhile, workers=1).tend()
    assert len(spares(world)) == len(world.machines()) == 2


def refused(verb: str, _arguments: tuple[object, ...]) -> None:
    if verb == "ensure":
        raise PermanentError("no quota")


def test_a_refusal_leaves_nothing_but_what_goes_on_later() -> None:
    world = World(options={SIZE: 2})
    with pytest.raises(PermanentError):
        world.provider(refused).tend()
    expect_no_orphan(world)
    assert world.machines() == {}
    world.provider().tend()
    assert len(spares(world)) == 2


def _died(world: World, boundary: int, act: str) -> bool:
    """Whether a worker that fills the pool, or takes from it, died at this boundary."""
    worker = Mortal(boundary)
    hooks: tuple[Hook, Hook] = (worker.before_call, worker.after_call)
    provider = world.provider(*hooks, workers=1, report=worker.step)
    try:
        provider.tend() if act == "fill" else provider.apply(NEAR, None)
    except Death:
        return True
    return False


@pytest.mark.parametrize("act", ["fill", "take"])
def test_death_at_each_step(act: str) -> None:
    boundary, died = 0, True
    while died:
        world = World(options={SIZE: 3}) if act == "fill" else warm(3)
        died = _died(world, boundary, act)
        expect_no_orphan(world)
        world.time += 1000
        world.provider().tend()
        assert len(spares(world)) == 3
        world.provider().apply(NEAR, None)
        world.options = {}
        world.provider().tend()
        expect_exactly(world, NEAR)
        boundary += 1
    assert boundary > 6
