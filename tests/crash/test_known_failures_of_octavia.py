"""What operators of Octavia have met, case by case: each ends with everything as wanted, or gone, and nothing stuck.

Further cases have tests of their own: a worker killed in a create, a delete of what is half-created, a pair with
both dead (``test_workers_die_at_every_step.py``); no compute capacity, one in ERROR, a VIP port that somebody
removed (``test_failover_in_every_variant.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import bundles
from support.laws import expect_exactly, held_vip
from support.plant import LEASE, Mortal, Plant
from support.trials import BOTH, HERE, NEAR, tree, wants, wants_delete, wants_failover

from lbdrivers.document import parse
from lbdrivers.drivers.context import Progress
from lbdrivers.errors import InvalidInput, TemporaryError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import Done
from lbdrivers.testing.examples import rebuilt


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path / "plant")
    yield made
    made.close()


def running(plant: Plant, desired: LoadBalancer = NEAR) -> None:
    plant.engine().submit(desired)
    plant.work(plant.engine())


class Meanwhile(Mortal):
    """A worker at one of whose boundaries somebody else does something."""

    def __init__(self, boundary: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._boundary, self._act = boundary, act

    def step(self, progress: Progress) -> None:
        super().step(progress)
        if len(self.passed) - 1 == self._boundary:
            self._act()


def boundaries(folder: Path, before: LoadBalancer | None, wish: Callable[[Engine], None]) -> int:
    """How many there are in a run that nobody disturbs."""
    plant, worker = Plant(folder / "counted"), Mortal()
    if before is not None:
        running(plant, before)
    engine = plant.engine(worker)
    wish(engine)
    engine.run_due()
    plant.close()
    return len(worker.passed)


# --- the database


class Outage:
    """The database answers nobody for a while: neither the store nor the records of drivers."""

    def __init__(self, plant: Plant, call: int) -> None:
        self._plant, self._call = plant, call
        self._calls, self._until = itertools.count(), 0.0

    def hook(self, verb: str, _arguments: tuple[object, ...]) -> None:
        """At the n-th write it begins; it lasts for a minute."""
        if not verb.startswith(("put ", "remove amphora")):
            return
        if next(self._calls) == self._call:
            self._until = self._plant.world.time + 60
        self.check()

    def check(self) -> None:
        """:raises TemporaryError: while it lasts."""
        if self._plant.world.time < self._until:
            raise TemporaryError("the database does not answer")


class DarkStore:
    """The store during an outage."""

    def __init__(self, store: object, outage: Outage) -> None:
        self._store, self._outage = store, outage

    def __getattr__(self, name: str) -> object:
        self._outage.check()
        return getattr(self._store, name)


@pytest.mark.parametrize("call", range(0, 20, 3))
@pytest.mark.parametrize("wish", [wants(NEAR), wants_failover, wants_delete], ids=["create", "failover", "delete"])
def test_the_database_is_gone_for_a_minute_in_the_middle(
    plant: Plant, wish: Callable[[Engine], None], call: int
) -> None:
    creating = wish not in (wants_failover, wants_delete)
    if not creating:
        running(plant)
    vip = held_vip(plant.world, NEAR.id)
    outage = Outage(plant, call)
    engine = plant.engine(Mortal(faults=outage.hook))
    wish(engine)
    engine._store = DarkStore(engine._store, outage)  # type: ignore[assignment]  # a store that goes dark
    engine.run(NEAR.id)
    plant.world.time += 61 + LEASE
    plant.work(plant.engine())
    entry = plant.entry(NEAR.id)
    if wish is wants_delete:
        assert entry is None and plant.world.left() == []
        return
    assert entry is not None and entry.status is ProvisioningStatus.ACTIVE and entry.lease is None
    expect_exactly(plant.world, NEAR, vip)


# --- appliances


def test_agents_fall_silent_while_they_are_built(tmp_path: Path) -> None:
    """Whose machines go on: they serve nobody yet, so that nobody would miss them and have them failed over."""
    for boundary in range(0, boundaries(tmp_path, None, wants(NEAR)), 3):
        plant = Plant(tmp_path / f"at-{boundary}")

        def silence(plant: Plant = plant) -> None:
            for machine in plant.world.cloud.appliances.ids():
                plant.world.silence(machine)

        engine = plant.engine(Meanwhile(boundary, silence))
        engine.submit(NEAR)
        engine.run(NEAR.id)
        serving = (entry := plant.entry(NEAR.id)) is not None and entry.settled
        plant.work(plant.engine())
        if serving:  # it was too late to see it
            plant.engine().failover(NEAR.id)
            plant.work(plant.engine())
        entry = plant.entry(NEAR.id)
        assert entry is not None and entry.settled and entry.cause is None, (boundary, entry)
        expect_exactly(plant.world, NEAR)
        plant.close()


# --- several wishes at once


def test_delete_while_create_runs(tmp_path: Path) -> None:
    for boundary in range(boundaries(tmp_path, None, wants(NEAR))):
        plant = Plant(tmp_path / f"at-{boundary}")
        other = plant.engine()
        engine = plant.engine(Meanwhile(boundary, lambda other=other: other.delete(NEAR.id)))  # type: ignore[misc]
        engine.submit(NEAR)
        assert isinstance(engine.run(NEAR.id), Done), boundary
        assert plant.entry(NEAR.id) is None, boundary
        assert plant.world.left() == [], boundary
        plant.close()


def test_the_last_member_of_a_network_is_removed_during_a_failover(tmp_path: Path) -> None:
    for boundary in range(0, boundaries(tmp_path, BOTH, wants_failover), 3):
        plant = Plant(tmp_path / f"at-{boundary}")
        running(plant, BOTH)
        vip, other = held_vip(plant.world, NEAR.id), plant.engine()
        engine = plant.engine(Meanwhile(boundary, lambda other=other: other.submit(NEAR)))  # type: ignore[misc]
        wants_failover(engine)
        engine.run_due()
        plant.work(plant.engine())
        entry = plant.entry(NEAR.id)
        assert entry is not None and entry.settled and entry.applied == NEAR
        expect_exactly(plant.world, NEAR, vip)
        plant.close()


def test_hundreds_of_edits_while_a_run_is_on_are_one_more_pass(plant: Plant) -> None:
    running(plant)
    other = plant.engine()

    def edit() -> None:
        for number in range(200):
            other.submit(tree(*[HERE] * (number % 3 + 1)))

    worker = Meanwhile(2, edit)
    engine = plant.engine(worker)
    engine.submit(BOTH)
    assert isinstance(engine.run(NEAR.id), Done)
    entry = plant.entry(NEAR.id)
    assert entry is not None and entry.settled and entry.generation == entry.applied_generation >= 200
    expect_exactly(plant.world, entry.desired)
    assert len(worker.passed) < 60


# --- inputs


def test_a_duplicate_member_is_refused_before_anything_is_written(plant: Plant) -> None:
    running(plant)
    before = plant.store.list()
    text = f"""
loadbalancer:
  id: {NEAR.id}
  name: web
  vip_subnet_id: {NEAR.vip_subnet_id}
  pools:
    - name: pool
      protocol: HTTP
      lb_algorithm: ROUND_ROBIN
      members:
        - {{address: 192.0.2.1, protocol_port: 80}}
        - {{address: 192.0.2.1, protocol_port: 80}}
"""
    with pytest.raises(InvalidInput, match=r"members\[1\]"):
        parse(text, "web.yaml")
    assert plant.store.list() == before
    expect_exactly(plant.world, NEAR)


# --- secrets


def secrets_are_away(verb: str, _arguments: tuple[object, ...]) -> None:
    if verb in ("tls_container", "secret"):
        raise TemporaryError("the secret store does not answer")


def test_the_secret_store_is_down_at_delete(plant: Plant) -> None:
    """Of a load balancer that was applied with a certificate."""
    running(plant)
    reference = "memory:www.example.com"
    https = bundles.listener(port=443, protocol="TERMINATED_HTTPS", default_tls_container_ref=reference)
    secured = rebuilt(NEAR, listeners=(https,))
    balancer = plant.world.ledger.balancer(NEAR.id)
    assert balancer is not None
    plant.world.ledger.save_balancer(balancer.model_copy(update={"tree": secured.model_dump_json()}))
    worker = Mortal(faults=secrets_are_away)
    with pytest.raises(TemporaryError, match="secret store"):
        plant.world.provider(worker.before_call).failover(NEAR.id)
    engine = plant.engine(worker)
    engine.delete(NEAR.id)
    assert isinstance(engine.run(NEAR.id), Done)
    assert plant.entry(NEAR.id) is None
    assert plant.world.left() == []
