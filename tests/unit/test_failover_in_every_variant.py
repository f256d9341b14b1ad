"""Failover: of everything, of one, of the outdated, of the dead; never both of a pair that work at one time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.laws import expect_exactly, held_vip
from support.memory_cloud import World
from support.plant import Mortal, Plant
from support.trials import NEAR

from lbdrivers.drivers.provider import Remedy, ReplacementCause
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.memory.faults import Hook
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers_amphora.decide.replacement import State, rounds
from lbdrivers_amphora.records import Amphora

FAILURE, ADMIN, UPGRADE = ReplacementCause.FAILURE, ReplacementCause.ADMIN, ReplacementCause.UPGRADE
ONE, TWO = "one", "two"

# --- which rounds: pure


@pytest.mark.parametrize(
    ("states", "requested", "expected"),
    [
        ({ONE: "HOLDS_VIP", TWO: "STANDBY"}, {}, [({TWO}, ADMIN), ({ONE}, ADMIN)]),
        ({ONE: "DEAD", TWO: "STANDBY"}, {}, [({ONE}, FAILURE)]),
        ({ONE: "DEAD", TWO: "DEAD"}, {}, [({ONE, TWO}, FAILURE)]),
        ({ONE: "HOLDS_VIP"}, {}, [(set(), FAILURE)]),
        ({}, {}, [(set(), FAILURE)]),
        ({ONE: "HOLDS_VIP", TWO: "STANDBY"}, {ONE: ADMIN}, [({ONE}, ADMIN)]),
        ({ONE: "HOLDS_VIP", TWO: "STANDBY"}, {ONE: FAILURE}, [({ONE}, FAILURE)]),
        ({ONE: "HOLDS_VIP", TWO: "STANDBY"}, {ONE: UPGRADE, TWO: UPGRADE}, [({TWO}, UPGRADE), ({ONE}, UPGRADE)]),
        ({ONE: "HOLDS_VIP", TWO: "DEAD"}, {ONE: ADMIN}, [({TWO}, FAILURE), ({ONE}, ADMIN)]),
        ({ONE: "DEAD", TWO: "STANDBY"}, {ONE: ADMIN}, [({ONE}, ADMIN)]),
        ({ONE: "HOLDS_VIP", TWO: "STANDBY"}, {"gone": ADMIN}, [({TWO}, ADMIN), ({ONE}, ADMIN)]),
    ],
)
def test_rounds(
    states: dict[str, str],
    requested: dict[str, ReplacementCause],
    expected: list[tuple[set[str], ReplacementCause]],
) -> None:
    found = rounds({one: State(state) for one, state in states.items()}, requested, slots=2)
    assert [(set(each.amphorae), each.cause) for each in found] == expected


@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(State)),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(ReplacementCause)),
    st.integers(1, 4),
)
def test_no_round_takes_two_that_work(
    states: dict[str, State], requested: dict[str, ReplacementCause], slots: int
) -> None:
    found = rounds(states, requested, slots)
    working = {one for one, state in states.items() if state is not State.DEAD}
    assert all(len(each.amphorae & working) <= 1 for each in found)
    replaced = [one for each in found for one in each.amphorae]
    assert len(replaced) == len(set(replaced))
    assert states.keys() - working <= set(replaced) <= states.keys()
    asked = working & requested.keys()
    assert asked <= set(replaced)
    if asked or states.keys() - working or len(states) < slots:
        assert working & set(replaced) == asked


# --- on memory


def pair(**options: object) -> World:
    world = World(options={tuple(name.split("__")): value for name, value in options.items()})  # type: ignore[misc]
    world.provider().apply(NEAR, None)
    return world


def amphora(world: World, role: str) -> Amphora:
    return next(one for one in world.ledger.amphorae(NEAR.id) if one.role == role)


def ids(world: World) -> set[str]:
    return {one.id for one in world.ledger.amphorae(NEAR.id)}


@pytest.mark.parametrize("role", ["MASTER", "BACKUP"])
def test_one_amphora_that_still_answers_is_replaced_alone(role: str) -> None:
    world = pair()
    vip, chosen = held_vip(world, NEAR.id), amphora(world, role).id
    world.provider().request_replacement(NEAR.id, frozenset({chosen}), ADMIN)
    world.provider().request_replacement(NEAR.id, frozenset({chosen}), ADMIN)
    before = ids(world)
    world.provider().failover(NEAR.id)
    assert before - ids(world) == {chosen}
    expect_exactly(world, NEAR, vip)
    assert world.ledger.replacements(NEAR.id) == ()


def test_a_stranger_cannot_be_replaced() -> None:
    world = pair()
    with pytest.raises(PermanentError, match="has no amphora nobody; it has"):
        world.provider().request_replacement(NEAR.id, frozenset({"nobody"}), ADMIN)


def test_a_new_image_makes_amphorae_outdated_and_a_rolling_upgrade_replaces_them() -> None:
    world = pair()
    assert world.provider().outdated(NEAR.id) == frozenset()
    world.options = {("controller_worker", "amp_image_tag"): "amphora-2"}
    before = ids(world)
    told = [(one.aspect, one.found, one.wanted, one.remedy) for one in world.provider().deviations(NEAR)]
    assert told == [("image", "the default", "amphora-2", Remedy.UPGRADE)] * 2
    serving: list[int] = []

    def watch(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "remove":
            serving.append(len([one for one in world.cloud.appliances.all() if one.load_balancer is not None]))

    outdated = world.provider().outdated(NEAR.id)
    assert outdated == before
    standby = amphora(world, "BACKUP").id
    world.provider().request_replacement(NEAR.id, outdated, UPGRADE)
    world.provider(watch).failover(NEAR.id)
    assert not before & ids(world)
    assert {one.image for one in world.ledger.amphorae(NEAR.id)} == {"amphora-2"}
    assert all(count >= 3 for count in serving), "an amphora was removed before its replacement served"
    first = min(world.ledger.gone(), key=lambda gone: gone.since)
    assert first.id == standby or len({gone.since for gone in world.ledger.gone()}) == 1
    expect_exactly(world, NEAR)


def full(verb: str, _arguments: tuple[object, ...]) -> None:
    if verb == "ensure":
        raise PermanentError("no valid host was found")


def test_without_capacity_the_old_ones_keep_serving() -> None:
    world = pair()
    before, machines = world.ledger.amphorae(NEAR.id), world.machines().keys()
    appliances = world.cloud.appliances.all()
    with pytest.raises(PermanentError, match="no valid host"):
        world.provider(full).failover(NEAR.id)
    assert world.machines().keys() == machines
    assert [one for one in world.cloud.appliances.all() if one.machine in machines] == list(appliances)
    assert [one for one in world.ledger.amphorae(NEAR.id) if one.id in {old.id for old in before}] == list(before)
    world.provider().failover(NEAR.id)
    expect_exactly(world, NEAR)


def test_one_in_error_can_be_failed_over(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    engine = plant.engine()
    engine.submit(NEAR)
    plant.work(engine)
    plant.world.kill(amphora(plant.world, "MASTER").machine)
    broken = plant.engine(Mortal(faults=full))
    broken.failover(NEAR.id)
    broken.run(NEAR.id)
    entry = plant.entry(NEAR.id)
    assert entry is not None and entry.status is ProvisioningStatus.ERROR
    assert entry.cause is not None and entry.cause.user == "no valid host was found"
    plant.engine().failover(NEAR.id)
    plant.work(plant.engine())
    entry = plant.entry(NEAR.id)
    assert entry is not None and entry.status is ProvisioningStatus.ACTIVE
    expect_exactly(plant.world, NEAR)


def test_the_engine_passes_on_which_appliance_and_why(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    engine = plant.engine()
    engine.submit(NEAR)
    plant.work(engine)
    chosen = amphora(plant.world, "MASTER").id
    engine.failover(NEAR.id, frozenset({chosen}), FAILURE)
    assert [(one.amphora_id, one.cause) for one in plant.world.ledger.replacements(NEAR.id)] == [(chosen, FAILURE)]
    plant.work(engine)
    assert chosen not in ids(plant.world)
    expect_exactly(plant.world, NEAR)


def when(verb: str, act: Callable[[], None]) -> Hook:
    """Does something once, at the first call of the verb."""
    todo = [act]

    def hook(called: str, _arguments: tuple[object, ...]) -> None:
        if called == verb and todo:
            todo.pop()()

    return hook


def test_a_vip_port_that_somebody_removed_comes_back_with_its_addresses() -> None:
    world = pair()
    vip = held_vip(world, NEAR.id)
    world.cloud.ports.remove(f"octavia-lb-{NEAR.id}")
    for key, owner in world.cloud.addresses.items():
        if owner == f"octavia-lb-{NEAR.id}":
            world.cloud.addresses.remove(key)
    world.provider().failover(NEAR.id)
    expect_exactly(world, NEAR, vip)


def test_one_that_dies_while_the_other_is_replaced_is_replaced_by_the_next_run() -> None:
    world = pair()
    master = amphora(world, "MASTER")
    world.kill(amphora(world, "BACKUP").machine)
    with pytest.raises(TemporaryError):
        world.provider(when("issue_server", lambda: world.kill(master.machine))).failover(NEAR.id)
    world.provider().failover(NEAR.id)
    assert master.id not in ids(world)
    expect_exactly(world, NEAR)
