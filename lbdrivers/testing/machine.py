"""A stateful machine: any provider beside the memory reference, through edits, crashes and failovers.

Law: after every step the provider under test shows what the reference shows: the same load balancers,
and of each the same resources, the same number of addresses, and the VIP that it had from the start.

    machine_for(ProviderFixture(make=...)) -> a Hypothesis state machine class, for
    ``hypothesis.stateful.run_state_machine_as_test`` or, as its ``TestCase``, for unittest and pytest.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.provider import Observation, Provider
from lbdrivers.features import Feature
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.check import expect
from lbdrivers.testing.check_provider import ProviderFixture, expect_whole
from lbdrivers.testing.edits import edits
from lbdrivers.testing.strategies import trees

#: Load balancers that one run has at a time; few, so that steps meet.
_MOST = 2
#: For slow backends: what was found is told as it was found, not searched for a shorter way there.
UNSHRUNK = (Phase.explicit, Phase.generate)


class ProviderMachine(RuleBasedStateMachine):
    """Rules and invariants; ``machine_for`` binds it to a provider."""

    fixture: ProviderFixture

    def __init__(self) -> None:
        super().__init__()
        context = DriverContext(cfg.ConfigOpts(), MemoryRecords(), load=lambda _group, _name: None)
        self.reference = MemoryProvider(context)
        self.provider: Provider = self.fixture.make()
        self.wanted: dict[str, LoadBalancer] = {}
        self.applied: dict[str, LoadBalancer] = {}
        self.addresses: dict[str, tuple[str, ...]] = {}
        self.made: set[str] = set()
        #: Whether this provider object has done anything: only then is it worth losing.
        self.used = False

    def _chosen(self, data: st.DataObject, among: dict[str, LoadBalancer]) -> str:
        return data.draw(st.sampled_from(sorted(among)))

    def _apply(self, load_balancer_id: str, hint: LoadBalancer | None) -> None:
        tree = self.wanted[load_balancer_id]
        self.made.add(load_balancer_id)
        self.reference.apply(tree, self.applied.get(load_balancer_id))
        self.fixture.apply(self.provider, tree, hint)
        self.applied[load_balancer_id] = tree
        self.used = True

    def _edit(self, load_balancer_id: str, data: st.DataObject) -> None:
        old = self.wanted[load_balancer_id]
        self.wanted[load_balancer_id] = data.draw(edits(old, self.provider.features(), self.fixture.around))

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """There is one load balancer from the start."""
        self.submit(data)

    @precondition(lambda self: len(self.wanted) < _MOST)
    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        """A new tree is wanted, and applied."""
        tree = data.draw(trees(self.provider.features(), self.fixture.around))
        if tree.id not in self.wanted:
            self.wanted[tree.id] = tree
            self._apply(tree.id, None)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), at_once=st.sampled_from((True, True, False)))
    def edit(self, data: st.DataObject, at_once: bool) -> None:
        """Another tree is wanted; unless it is applied at once, a later edit may overtake it."""
        chosen = self._chosen(data, self.wanted)
        self._edit(chosen, data)
        if at_once:
            self._apply(chosen, self.applied.get(chosen))

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), hinted=st.booleans())
    def apply(self, data: st.DataObject, hinted: bool) -> None:
        """What is wanted is applied, be it the first time or again, with the hint or without."""
        chosen = self._chosen(data, self.wanted)
        self._apply(chosen, self.applied.get(chosen) if hinted else None)

    @precondition(lambda self: self.applied and Feature.FAILOVER in self.provider.features())
    @rule(data=st.data(), edited=st.booleans())
    def failover(self, data: st.DataObject, edited: bool) -> None:
        """Its appliances are replaced, perhaps while an edit waits."""
        chosen = self._chosen(data, self.applied)
        self.reference.failover(chosen)
        self.fixture.patience.settled("failover", lambda: self.provider.failover(chosen))
        self.used = True
        if edited:
            self._edit(chosen, data)
            self._apply(chosen, self.applied[chosen])

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), times=st.integers(1, 2))
    def remove(self, data: st.DataObject, times: int) -> None:
        """It is removed, perhaps twice."""
        chosen = self._chosen(data, self.wanted)
        for _ in range(times):
            self.reference.remove(chosen)
            self.fixture.patience.settled("remove", lambda: self.provider.remove(chosen))
        for remembered in (self.wanted, self.applied):
            del remembered[chosen]
        self.addresses.pop(chosen, None)

    @precondition(lambda self: self.used)
    @rule()
    def crash(self) -> None:
        """The process ends and another one begins: a new provider object on the same backend."""
        self.provider = self.fixture.make()
        self.used = False

    @invariant()
    def the_same_is_known(self) -> None:
        """known() lists what the reference knows."""
        known = self.fixture.patience.settled("known", self.provider.known) & self.made
        expect(known == self.reference.known(), f"known() has {sorted(known)}, not {sorted(self.reference.known())}")

    @invariant()
    def the_same_is_shown(self) -> None:
        """Every load balancer is shown whole, what was removed is not, and the VIP is the one that it had."""
        for load_balancer_id in self.made:
            reference = self.reference.observe(load_balancer_id)
            seen = self._seen(load_balancer_id)
            expect(seen.exists == reference.exists, f"observe says {seen.exists}, the reference {reference.exists}")
            expect(set(seen.operating) == set(reference.operating), "the statuses are of other resources")
            before = self.addresses.setdefault(load_balancer_id, seen.vip_addresses) if seen.exists else ()
            kept = len(seen.vip_addresses) != len(before) or seen.vip_addresses == before
            expect(kept, f"the VIP has moved from {before} to {seen.vip_addresses}")

    def _seen(self, load_balancer_id: str) -> Observation:
        tree = self.applied.get(load_balancer_id)
        if tree is None:
            return self.fixture.observe(load_balancer_id, self.provider)
        return expect_whole(self.fixture, tree, "after these steps")

    def teardown(self) -> None:
        """Leave nothing behind."""
        for load_balancer_id in self.made:
            self.fixture.remove(load_balancer_id)


def machine_for(fixture: ProviderFixture) -> type[ProviderMachine]:
    """The machine for one provider."""
    return type("BoundMachine", (ProviderMachine,), {"fixture": fixture})


def run(fixture: ProviderFixture, *, runs: int = 20, steps: int = 20, **more: Any) -> None:
    """Let the machine run.

    :param runs: how many; each begins with nothing. :param steps: the most of one run.
    :param more: further settings of Hypothesis.
    :raises AssertionError: with the shortest steps found that show the breach.
    """
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **{"database": None, **more},
    )
    run_state_machine_as_test(machine_for(fixture), settings=chosen)
