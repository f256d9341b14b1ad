"""A stateful machine: edits, deletes, failovers, dying amphorae, failing drivers and dying workers, in any order.

The memory cloud keeps the books. After every step: nobody waits for nothing, nothing exists without a record,
every VIP is where it was. In the end, with drivers that work and a worker that lives, everything is as wanted.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import bundles
from support.laws import expect_all, expect_no_orphan
from support.plant import LEASE, Death, Mortal, Plant
from support.trials import tree

from lbdrivers.drivers.context import Progress
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.memory.faults import Hook, nothing
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.examples import rebuilt

IDS = tuple(bundles.ident(f"load balancer {n}") for n in (1, 2))
SUBNETS = tuple(bundles.ident(f"subnet {name}") for name in ("here", "there"))
#: Trees that follow each other: other networks, other members, another listener.
SHAPES = (
    tree(),
    tree(SUBNETS[0]),
    tree(SUBNETS[1]),
    tree(*SUBNETS),
    tree(SUBNETS[0], SUBNETS[0]),
    rebuilt(tree(SUBNETS[0]), admin_state_up=False),
)


def fails(number: int, error: Exception) -> Hook:
    """The n-th call of the worker's drivers fails."""
    calls = itertools.count()

    def hook(verb: str, _arguments: tuple[object, ...]) -> None:
        if not verb.startswith(("put ", "remove amphora")) and next(calls) == number:
            raise error

    return hook


class Interrupted(Mortal):
    """A worker beside which another one works at one of its boundaries."""

    def __init__(self, plant: Plant, boundary: int) -> None:
        super().__init__()
        self._plant, self._boundary = plant, boundary

    def step(self, progress: Progress) -> None:
        super().step(progress)
        if len(self.passed) == self._boundary:
            self._plant.engine().run_due()


class Operations(RuleBasedStateMachine):
    """Rules and laws."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        # The same history takes the same way each time: the order of ids decides who is looked at first.
        numbers = itertools.count(1)
        self.patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=next(numbers)))
        self.folder = tempfile.TemporaryDirectory(prefix="lbdrivers-plant-")
        self.plant = Plant(Path(self.folder.name) / "plant")
        self.vips: dict[str, tuple[str, ...]] = {}

    @initialize(shape=st.sampled_from(SHAPES))
    def begin(self, shape: LoadBalancer) -> None:
        """There is one that works from the start."""
        self.submit(IDS[0], shape)
        self.works()

    # -- wishes

    @rule(identity=st.sampled_from(IDS), shape=st.sampled_from(SHAPES))
    def submit(self, identity: str, shape: LoadBalancer) -> None:
        """Another tree is wanted; of one that is being deleted none can be."""
        entry = self.plant.entry(identity)
        if entry is None or not entry.delete_wanted:
            self.plant.engine().submit(_named(identity, shape))

    @rule(identity=st.sampled_from(IDS))
    def delete(self, identity: str) -> None:
        """It is wanted no more."""
        self.plant.engine().delete(identity)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), single=st.booleans())
    def failover(self, data: st.DataObject, single: bool) -> None:
        """All of it, or one amphora."""
        identity = data.draw(st.sampled_from(self.living()))
        amphorae = sorted(one.id for one in self.plant.world.ledger.amphorae(identity))
        chosen = frozenset({data.draw(st.sampled_from(amphorae))}) if single and amphorae else frozenset()
        self.plant.engine().failover(identity, chosen)

    @rule(identity=st.sampled_from(IDS))
    def maintain(self, identity: str) -> None:
        """Certificates are looked at; what is dead may keep it from succeeding."""
        self.plant.engine().maintain(identity)

    # -- misfortunes

    @precondition(lambda self: self.plant.world.machines())
    @rule(data=st.data())
    def a_machine_dies(self, data: st.DataObject) -> None:
        """As by a power cut."""
        self.plant.world.kill(data.draw(st.sampled_from(sorted(self.plant.world.machines()))))

    @precondition(lambda self: self.plant.world.cloud.appliances.ids())
    @rule(data=st.data())
    def an_agent_falls_silent(self, data: st.DataObject) -> None:
        """Its machine goes on."""
        self.plant.world.silence(data.draw(st.sampled_from(sorted(self.plant.world.cloud.appliances.ids()))))

    @rule(seconds=st.sampled_from((1.0, LEASE + 1, 100.0, 20 * 86400.0)))
    def time_passes(self, seconds: float) -> None:
        """Leases lapse, attempts come due, certificates age."""
        self.plant.world.time += seconds

    # -- workers

    @rule()
    def works(self) -> None:
        """A worker does what is due."""
        self.plant.engine().run_due()

    @rule(boundary=st.integers(0, 40))
    def dies_at_work(self, boundary: int) -> None:
        """A worker dies before or after one of its steps."""
        with contextlib.suppress(Death):
            self.plant.engine(Mortal(boundary)).run_due()

    @rule(call=st.integers(0, 80), done=st.booleans(), final=st.booleans())
    def is_let_down(self, call: int, done: bool, final: bool) -> None:
        """A driver fails under a worker, before it did what it was asked for, or after."""
        hook = fails(call, PermanentError("no quota") if final else TemporaryError("connection reset"))
        self.plant.engine(Mortal(faults=nothing if done else hook, after=hook if done else nothing)).run_due()

    @rule(boundary=st.integers(1, 30))
    def two_work_at_once(self, boundary: int) -> None:
        """A second worker looks for work while the first is in the middle of its own."""
        self.plant.engine(Interrupted(self.plant, boundary)).run_due()

    # -- laws

    def living(self) -> list[str]:
        """Ids of load balancers that are not being deleted."""
        return [entry.id for entry in self.plant.store.list() if not entry.delete_wanted]

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """No object is PENDING without a lease or an attempt to come."""
        self.plant.expect_scheduled()

    @invariant()
    def nothing_exists_without_a_record(self) -> None:
        """And every VIP is where it was."""
        expect_no_orphan(self.plant.world)
        held = {one.id: one.vip_addresses for one in self.plant.world.ledger.balancers() if one.vip_addresses}
        for identity in self.vips.keys() & held.keys():
            assert held[identity] == self.vips[identity]
        self.vips = {identity: held[identity] for identity in held}

    def teardown(self) -> None:
        """Everything works again: all comes to be as it is wanted, and goes when it is not."""
        try:
            self._end_well()
        finally:
            self.patch.undo()
            self.plant.close()
            self.folder.cleanup()

    def _end_well(self) -> None:
        self.plant.world.time += LEASE + 100
        self.plant.work(self.plant.engine())
        for identity in self.living():
            self.plant.engine().failover(identity)  # what is silent or dead, nobody else has seen yet
        self.plant.work(self.plant.engine())
        for identity in self.living():
            self.plant.engine().maintain(identity)
        entries = self.plant.store.list()
        for entry in entries:
            assert entry.settled and entry.lease is None and entry.cause is None, entry
        expect_all(self.plant.world, [(entry.desired, self.vips.get(entry.id, ())) for entry in entries])
        for entry in entries:
            self.plant.engine().delete(entry.id)
        self.plant.work(self.plant.engine())
        assert self.plant.world.left() == []


def _named(identity: str, shape: LoadBalancer) -> LoadBalancer:
    """The shape as a load balancer of that id, with ids of its own throughout."""
    number = IDS.index(identity) + 1
    text = shape.model_dump_json()
    for resource in {one.id for _, one in shape.walk()}:
        text = text.replace(resource, bundles.ident(f"{resource} of {number}"))
    return rebuilt(LoadBalancer.model_validate_json(text), id=identity, name=f"web-{number}")


def _run(examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Operations, settings=chosen)


def test_a_few_histories() -> None:
    _run(examples=10, steps=15)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_histories() -> None:
    _run(examples=400, steps=30)
