"""What fails for good is taken back, what fails for now stays for the next run, and the gravest failure is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from support import bundles
from support.memory_cloud import World

from lbdrivers.drivers.amphora import Bundle, Role
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.memory.faults import Hook
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.records import AmphoraStatus

POOL = bundles.pool(members=(bundles.member("one"),))
TREE = bundles.tree((bundles.listener(default_pool_id=POOL.id),), (POOL,), name="web")


def fails(verb: str, error: Exception) -> Hook:
    def hook(called: str, _arguments: tuple[object, ...]) -> None:
        if called == verb:
            raise error

    return hook


def each_fails(errors: dict[Role, Exception]) -> Hook:
    """Every amphora's own failure of configure, none before all have come so far."""
    together = threading.Barrier(len(errors), timeout=20)

    def hook(called: str, arguments: tuple[object, ...]) -> None:
        if called == "configure":
            bundle = arguments[1]
            assert isinstance(bundle, Bundle)
            together.wait()
            raise errors[bundle.own.role]

    return hook


def applied(world: World, desired: LoadBalancer = TREE) -> None:
    world.provider().apply(desired, None)


def ids(world: World) -> set[str]:
    return {one.id for one in world.ledger.amphorae(TREE.id)}


def vip(world: World) -> tuple[str, ...]:
    return tuple(fixed.address or "" for fixed in world.ports()[f"octavia-lb-{TREE.id}"].fixed)


@pytest.mark.parametrize("workers", [1, 8])
def test_a_create_that_fails_for_good_takes_its_machines_back(workers: int) -> None:
    world = World()
    with pytest.raises(PermanentError, match="no such option"):
        world.provider(fails("configure", PermanentError("no such option")), workers=workers).apply(TREE, None)
    assert world.machines() == {}
    assert {one.status for one in world.ledger.amphorae(TREE.id)} == {AmphoraStatus.PENDING_CREATE}
    begun, address = ids(world), vip(world)
    applied(world)
    assert ids(world) == begun
    assert vip(world) == address
    world.provider().remove(TREE.id)
    assert world.left() == []


@pytest.mark.parametrize("workers", [1, 8])
def test_a_create_that_fails_for_now_leaves_its_machines_to_the_next_run(workers: int) -> None:
    world = World()
    with pytest.raises(TemporaryError, match="busy"):
        world.provider(fails("configure", TemporaryError("busy")), workers=workers).apply(TREE, None)
    booted = world.machines()
    assert len(booted) >= 1
    applied(world)
    assert booted.items() <= world.machines().items()
    assert len(world.machines()) == 2


def test_an_agent_that_never_answers_is_given_up_after_its_time() -> None:
    world = World()
    begun = world.time
    with pytest.raises(TemporaryError, match="no answer"):
        world.provider(fails("facts", TemporaryError("no answer"))).apply(TREE, None)
    assert 60 <= world.time - begun < 70 * 2  # both wait on the one clock


@pytest.mark.parametrize(
    ("master", "backup", "gravest"),
    [
        (TemporaryError("busy"), PermanentError("refused"), PermanentError),
        (PermanentError("refused"), TemporaryError("busy"), PermanentError),
        (ValueError("a defect"), PermanentError("refused"), ValueError),
        (TemporaryError("busy"), ValueError("a defect"), ValueError),
        (TemporaryError("busy"), TemporaryError("slow"), TemporaryError),
    ],
    ids=str,
)
def test_of_several_failures_the_gravest_is_told_and_the_others_are_noted(
    master: Exception, backup: Exception, gravest: type[Exception]
) -> None:
    world = World()
    with pytest.raises(gravest) as caught:
        world.provider(each_fails({Role.MASTER: master, Role.BACKUP: backup})).apply(TREE, None)
    other = {str(master), str(backup)} - {str(caught.value)}
    assert caught.value.__notes__ == [f"also: {text}" for text in other]
    assert bool(world.machines()) is not any(isinstance(one, PermanentError) for one in (master, backup))


@pytest.mark.parametrize("workers", [1, 8])
def test_a_failure_to_take_back_hides_nothing(workers: int) -> None:
    world = World()

    def hook(called: str, arguments: tuple[object, ...]) -> None:
        fails("configure", PermanentError("no such option"))(called, arguments)
        fails("remove", TemporaryError("the cloud is down"))(called, arguments)

    with pytest.raises(PermanentError, match="no such option") as caught:
        world.provider(hook, workers=workers).apply(TREE, None)
    assert any("the cloud is down" in note for note in caught.value.__notes__)
    applied(world)
    assert len(world.machines()) == 2


def after_one_died(world: World) -> str:
    """A pair of which the backup is dead; name of the machine that lives."""
    applied(world)
    machines = {one.role: one.machine for one in world.ledger.amphorae(TREE.id)}
    world.kill(machines[Role.BACKUP])
    return machines[Role.MASTER]


def test_who_serves_is_never_taken_back() -> None:
    world = World()
    alive = after_one_died(world)
    before = world.cloud.appliances.get(alive)
    with pytest.raises(PermanentError, match="no such option"):
        world.provider(fails("configure", PermanentError("no such option"))).apply(TREE, TREE)
    assert alive in world.machines()
    assert world.cloud.appliances.get(alive) == before


@pytest.mark.parametrize("verb", ["apply", "failover"])
def test_a_pair_that_died_whole_comes_back_at_its_address(verb: str) -> None:
    world = World()
    applied(world)
    address, dead = vip(world), ids(world)
    for name in world.machines():
        world.kill(name)
    act: dict[str, Callable[[], None]] = {
        "apply": lambda: world.provider().apply(TREE, TREE),
        "failover": lambda: world.provider().failover(TREE.id),
    }
    act[verb]()
    assert vip(world) == address
    assert len(ids(world)) == 2
    assert not ids(world) & dead
    assert world.machines().keys() == {one.machine for one in world.ledger.amphorae(TREE.id)}


def test_steps_are_told_as_they_go() -> None:
    world = World("SINGLE")
    with pytest.raises(PermanentError):
        world.provider(fails("configure", PermanentError("no"))).apply(TREE, None)
    states = [(one.step, one.state) for one in world.told]
    assert ("boot machine", "started") in states
    assert ("boot machine", "done") in states
    assert states[-3:] == [
        ("configure", "failed"),
        ("take back: boot machine", "started"),
        ("take back: boot machine", "done"),
    ]


@pytest.mark.parametrize("workers", [1, 8])
def test_a_replacement_that_serves_stays_when_its_forerunner_cannot_be_removed(workers: int) -> None:
    world = World()
    after_one_died(world)
    with pytest.raises(PermanentError, match="locked"):
        world.provider(fails("remove_port", PermanentError("locked")), workers=workers).failover(TREE.id)
    serving = {one.machine for one in world.ledger.amphorae(TREE.id) if one.status is AmphoraStatus.ALLOCATED}
    assert len(serving) == 2
    assert serving <= world.machines().keys()
    applied(world)
    assert world.machines().keys() == serving
