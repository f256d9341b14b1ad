"""Housekeeping: every load balancer is maintained, one that cannot be keeps nobody waiting, orphans are told once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lbdrivers import registry, settings
from lbdrivers.drivers.provider import Orphan
from lbdrivers.errors import TemporaryError
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.housekeeping import Housekeeper
from lbdrivers.store.store import Store
from lbdrivers.testing.surroundings import identity


class Caring(MemoryProvider):
    """Maintains all but the second, and has an orphan."""

    def __init__(self, context) -> None:
        super().__init__(context)
        self.maintained: list[str] = []
        self.tended = 0
        self.trouble: TemporaryError | None = None

    def tend(self) -> None:
        self.tended += 1
        if self.trouble is not None:
            raise self.trouble

    def maintain(self, load_balancer_id: str) -> None:
        if load_balancer_id == identity(2):
            raise TemporaryError("not now", "its agent is away")
        self.maintained.append(load_balancer_id)

    def deviations(self, applied: LoadBalancer):
        return ()

    def orphans(self):
        return (Orphan("machine", "amphora-x", "removed an hour ago"),)

    def remove_orphans(self):
        raise AssertionError("nobody asked for that")


@pytest.fixture
def world(tmp_path: Path):
    configuration = settings.load(state_path=tmp_path)
    store = Store(settings.read(configuration).database)
    drivers = registry.make_context(configuration, store.records)
    provider = Caring(drivers)
    context = registry.make_context(configuration, store.records)
    object.__setattr__(context, "load", lambda _group, _name: provider)
    engine = Engine(store, lambda _name: provider, settings.read(configuration))
    for number in (1, 2, 3):
        tree = LoadBalancer(id=identity(number), vip_subnet_id=identity(7))
        engine.submit(tree)
        engine.run(tree.id)
    said: list[str] = []
    complained: list[str] = []
    made = DaemonContext(context, store, engine, threading.Event(), said.append, complained.append)
    yield made, provider, said, complained
    store.close()


def test_a_round(world) -> None:
    context, provider, said, complained = world
    housekeeper = Housekeeper(context)
    housekeeper.one_round()
    assert provider.maintained == [identity(1), identity(3)]
    assert said == ["2 of 3 load balancers are maintained"]
    told = [f"{identity(2)} is not maintained: its agent is away"]
    told.append("the machine amphora-x belongs to nothing; removed an hour ago")
    assert complained == told
    housekeeper.one_round()
    assert complained == told  # what is known already is not told again
    health = context.exposure.health()
    assert health.healthy and health.details["failing"] == {identity(2): "its agent is away"}
    metrics = {metric.name: dict(metric.values) for make in context.exposure.metrics for metric in make()}
    assert metrics["maintenances"] == {("done",): 4, ("failed",): 2}


def test_a_load_balancer_that_the_store_does_not_know_is_told(world) -> None:
    context, provider, _, complained = world
    provider.apply(LoadBalancer(id=identity(9), vip_subnet_id=identity(7)), None)
    Housekeeper(context).one_round()
    assert f"the load balancer {identity(9)} belongs to nothing" in complained
    assert not any(identity(3) in one for one in complained)


def test_providers_look_after_their_stock_once_a_round(world) -> None:
    context, provider, _, complained = world
    housekeeper = Housekeeper(context)
    housekeeper.one_round()
    assert provider.tended == 1
    complained.clear()
    provider.trouble = TemporaryError("no", "no capacity")
    housekeeper.one_round()
    assert "the provider amphora is not looked after: no capacity" in complained
    assert provider.maintained == [identity(1), identity(3)] * 2


def test_the_default_provider_is_looked_after_before_its_first_load_balancer(world) -> None:
    context, provider, _, _ = world
    for number in (1, 2, 3):
        context.engine.delete(identity(number))
        context.engine.run(identity(number))
    Housekeeper(context).one_round()
    assert (provider.tended, provider.maintained) == (1, [])


def test_it_ends_when_it_is_told(world) -> None:
    context, _, said, _ = world
    thread = threading.Thread(target=Housekeeper(context).serve)
    thread.start()
    try:
        deadline = threading.Event()
        for _ in range(200):
            if said:
                break
            deadline.wait(0.05)
        assert said
    finally:
        context.stop.set()
        thread.join(10)
    assert not thread.is_alive()
