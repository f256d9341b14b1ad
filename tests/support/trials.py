"""Every recipe of the amphora provider under way, as a table, and one case of it after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from support import bundles
from support.laws import expect_exactly
from support.memory_cloud import World
from support.plant import LEASE, Mortal, Plant

from lbdrivers.drivers.amphora import Bundle
from lbdrivers.drivers.provider import ReplacementCause
from lbdrivers.errors import PermanentError
from lbdrivers.memory.faults import Hook, nothing
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.engine import Engine

Case = TypeVar("Case")
HERE, THERE = (bundles.ident(f"subnet {name}") for name in ("here", "there"))


def tree(*subnets: str) -> LoadBalancer:
    members = tuple(bundles.member(f"member {n}", f"192.0.2.{n + 1}", subnet_id=one) for n, one in enumerate(subnets))
    pool = bundles.pool(members=members)
    return bundles.tree((bundles.listener(default_pool_id=pool.id),), (pool,), name="web", provider="amphora")


NEAR, FAR, BOTH = tree(HERE), tree(THERE), tree(HERE, THERE)
MORE = bundles.tree(
    (bundles.listener(default_pool_id=bundles.ident("pool")), bundles.listener("other", 81)),
    NEAR.pools,
    name="web",
    provider="amphora",
)


def wants(desired: LoadBalancer) -> Callable[[Engine], None]:
    def wish(engine: Engine) -> None:
        engine.submit(desired)

    return wish


def wants_failover(engine: Engine) -> None:
    engine.failover(NEAR.id)


def wants_delete(engine: Engine) -> None:
    engine.delete(NEAR.id)


def maintains(engine: Engine) -> None:
    engine.maintain(NEAR.id)


def master(world: World) -> str:
    return next(one.machine for one in world.ledger.amphorae(NEAR.id) if one.role in ("MASTER", "STANDALONE"))


def the_master_is_dead(plant: Plant) -> None:
    plant.world.kill(master(plant.world))


def all_are_dead(plant: Plant) -> None:
    for name in plant.world.machines():
        plant.world.kill(name)


def certificates_are_old(plant: Plant) -> None:
    plant.world.time += 20 * 86400


def the_master_is_to_be_replaced(plant: Plant) -> None:
    """As an administrator asks for it."""
    chosen = master(plant.world).removeprefix("amphora-")
    plant.world.provider().request_replacement(NEAR.id, frozenset({chosen}), ReplacementCause.ADMIN)


def undisturbed(_plant: Plant) -> None:
    pass


def refused(verb: str, after: int) -> Hook:
    """From its n-th call on, the verb is refused for good, and what was done is taken back."""
    calls = []

    def hook(called: str, arguments: tuple[object, ...]) -> None:
        if called == verb and (verb != "configure" or isinstance(arguments[1], Bundle)):
            calls.append(called)
            if len(calls) >= after:
                raise PermanentError("no such option")

    return hook


@dataclass(frozen=True)
class Scenario:
    """One recipe under way.

    :param before: tree that runs already, or None.
    :param wish: what is asked for; a maintenance does its work at once.
    :param wanted: tree that must run in the end; None: nothing must be left.
    :param faults: makes the fault of the worker that dies; its successors have none.
    """

    wish: Callable[[Engine], None]
    wanted: LoadBalancer | None
    before: LoadBalancer | None = NEAR
    topology: str = "ACTIVE_STANDBY"
    prepare: Callable[[Plant], None] = undisturbed
    faults: Callable[[], Hook] = lambda: nothing


SCENARIOS = {
    "create SINGLE": Scenario(wants(NEAR), NEAR, before=None, topology="SINGLE"),
    "create a pair": Scenario(wants(NEAR), NEAR, before=None),
    "create, refused and taken back": Scenario(wants(NEAR), NEAR, before=None, faults=lambda: refused("configure", 2)),
    "configure": Scenario(wants(MORE), MORE),
    "plug a network": Scenario(wants(BOTH), BOTH),
    "unplug a network": Scenario(wants(NEAR), NEAR, before=BOTH),
    "plug one network and unplug another": Scenario(wants(FAR), FAR),
    "update that rebuilds": Scenario(wants(FAR), FAR, prepare=the_master_is_dead),
    "update, refused and taken back": Scenario(
        wants(FAR), FAR, prepare=the_master_is_dead, faults=lambda: refused("configure", 1)
    ),
    "failover of a healthy pair": Scenario(wants_failover, NEAR),
    "failover of SINGLE": Scenario(wants_failover, NEAR, topology="SINGLE"),
    "failover of the dead": Scenario(wants_failover, NEAR, prepare=the_master_is_dead),
    "failover of both": Scenario(wants_failover, NEAR, prepare=all_are_dead),
    "failover, refused and taken back": Scenario(
        wants_failover, NEAR, prepare=all_are_dead, faults=lambda: refused("configure", 2)
    ),
    "failover of one": Scenario(wants_failover, NEAR, prepare=the_master_is_to_be_replaced),
    "renew certificates": Scenario(maintains, NEAR, prepare=certificates_are_old),
    "delete": Scenario(wants_delete, None),
}


@dataclass
class Trial:
    """One scenario in a folder of its own; each case begins with a copy of its beginning."""

    scenario: Scenario
    folder: Path
    cases: int = 0

    def __post_init__(self) -> None:
        self.beginning = Plant(self.folder / "beginning", self.scenario.topology)
        if self.scenario.before is not None:
            engine = self.beginning.engine()
            engine.submit(self.scenario.before)
            self.beginning.work(engine)
        self.scenario.prepare(self.beginning)

    def whole(self) -> list[str]:
        """Every boundary of a worker that lives."""
        plant, worker = self.plant(), Mortal(faults=self.scenario.faults())
        self.die(plant, worker)
        plant.close()
        return worker.passed

    def plant(self) -> Plant:
        self.cases += 1
        return self.beginning.copy(self.folder / f"case-{self.cases}")

    def die(self, plant: Plant, worker: Mortal) -> None:
        """The worker does what the scenario asks for, once, and dies on the way if it has to."""
        engine = plant.engine(worker)
        self.scenario.wish(engine)
        engine.run_due()

    def succeed(self, plant: Plant, worker: Mortal | None = None) -> None:
        """A new worker, after the time of the dead one's lease."""
        plant.world.time += LEASE + 1
        engine = plant.engine(worker)
        if self.scenario.wish is maintains:
            maintains(engine)
        plant.work(engine)

    def expect_whole(self, plant: Plant, vip: tuple[str, ...]) -> None:
        wanted = self.scenario.wanted
        entry = plant.entry(NEAR.id)
        if wanted is None:
            assert entry is None
            assert plant.world.left() == []
            return
        assert entry is not None and entry.settled and entry.lease is None and entry.cause is None
        assert entry.applied == wanted
        expect_exactly(plant.world, wanted, vip)


def expect_no_failure(
    title: str, cases: Sequence[Case], attempt: Callable[[Case], Iterator[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Try every case; how many there were is printed.

    :param attempt: tries one; what went wrong.
    :raises AssertionError: with all that went wrong in any of them.
    """
    failures = [failure for case in cases for failure in attempt(case)]
    with capsys.disabled():
        print(f"\n{title}: {len(cases)} cases", end="")
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)
