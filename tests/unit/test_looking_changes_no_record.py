"""Who only looks has no lease: what it remembers of statistics gets in no run's way."""

from __future__ import annotations

import pytest
from support import bundles
from support.memory_cloud import World
from support.trials import NEAR, master

from lbdrivers.drivers.provider import Statistics
from lbdrivers_amphora.records import Amphora, AmphoraStatus

TOTALS = {bundles.ident("listener"): Statistics(0, 1, 2, 3, 4)}


@pytest.fixture
def world() -> World:
    made = World()
    made.provider().apply(NEAR, None)
    return made


def holder(world: World) -> Amphora:
    return next(one for one in world.ledger.amphorae(NEAR.id) if one.machine == master(world))


def test_statistics_go_into_the_record_as_it_is_now(world: World) -> None:
    going = holder(world).model_copy(update={"status": AmphoraStatus.PENDING_DELETE})
    world.ledger.save_amphora(going)
    world.ledger.save_statistics(going.id, TOTALS)
    assert holder(world) == going.model_copy(update={"statistics": TOTALS})


def test_an_amphora_that_is_forgotten_does_not_come_back(world: World) -> None:
    gone = holder(world)
    world.ledger.forget_amphora(gone.id, world.time)
    world.ledger.save_statistics(gone.id, TOTALS)
    assert gone.id not in {one.id for one in world.ledger.amphorae(NEAR.id)}


def test_an_observation_during_a_failover_brings_nothing_back(world: World) -> None:
    """It asks the agents while the run writes: whoever is replaced stays replaced."""
    before = {one.id for one in world.ledger.amphorae(NEAR.id)}
    replaced = []

    def fail_over_once(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "report" and not replaced:
            replaced.append(verb)
            world.provider().failover(NEAR.id)

    world.provider(before=fail_over_once, workers=1).observe(NEAR.id)
    now = world.ledger.amphorae(NEAR.id)
    assert {one.status for one in now} == {AmphoraStatus.ALLOCATED}
    assert len(now) == 2 and not before & {one.id for one in now}
