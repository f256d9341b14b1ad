"""The stateful machine passes the memory provider, and finds what a course of steps shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.provider import Observation
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing import machine
from lbdrivers.testing.check import Patience
from lbdrivers.testing.check_provider import ProviderFixture


class IsTiredOfFailovers(MemoryProvider):
    """After a failover it takes no change any more."""

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        held = self.cloud.load_balancers.get(desired.id)
        if held is not None and held.replacements and applied is not None:
            return  # "nothing has changed since"
        super().apply(desired, applied)


class MovesTheVipInTheEnd(MemoryProvider):
    """A second failover brings the VIP to another address."""

    def observe(self, load_balancer_id: str) -> Observation:
        seen = super().observe(load_balancer_id)
        held = self.cloud.load_balancers.get(load_balancer_id)
        if held is not None and held.replacements >= 2:
            return replace(seen, vip_addresses=tuple("203.0.113.9" for _ in seen.vip_addresses))
        return seen


class RemovesTheOther(MemoryProvider):
    """Removing one of two load balancers removes both."""

    def remove(self, load_balancer_id: str) -> None:
        for known in self.known():
            super().remove(known)


def fixture_of(provider: type[MemoryProvider]) -> ProviderFixture:
    context = DriverContext(cfg.ConfigOpts(), MemoryRecords(), load=lambda _group, _name: None)
    return ProviderFixture(make=lambda: provider(context), patience=Patience(0.0))


def test_the_memory_provider_passes() -> None:
    machine.run(fixture_of(MemoryProvider), runs=10, steps=12)


@pytest.mark.parametrize("broken", [IsTiredOfFailovers, MovesTheVipInTheEnd, RemovesTheOther])
def test_what_a_course_of_steps_shows_is_found(broken: type[MemoryProvider]) -> None:
    with pytest.raises(AssertionError):
        machine.run(fixture_of(broken), runs=300, steps=10, derandomize=True, phases=machine.UNSHRUNK)
