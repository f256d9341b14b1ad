"""What a provider does not claim it refuses, before anything is touched; the kit notices who does not."""

from __future__ import annotations

import pytest
from support.memory_cloud import World
from support.memory_fixtures import a_context

from lbdrivers.drivers.provider import Provider
from lbdrivers.errors import PermanentError
from lbdrivers.features import ALL, Feature
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.check_provider import ProviderFixture, check_refusal
from lbdrivers.testing.report import Verdict, examine

MODEST = frozenset({Feature.LISTENER_TCP, Feature.ALGORITHM_ROUND_ROBIN})


class Modest(MemoryProvider):
    """Claims little, and refuses the rest."""

    def features(self) -> frozenset[Feature]:
        return MODEST


class TakesEverything(Modest):
    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        MemoryProvider.apply(_Generous(a_context()), desired, applied)


class RefusesTooLate(Modest):
    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        self._reserve_addresses(desired)
        super().apply(desired, applied)


class _Generous(MemoryProvider):
    """What it is given, it takes."""


def fixture_of(provider: type[MemoryProvider]) -> ProviderFixture:
    context = a_context()
    return ProviderFixture(make=lambda: provider(context))


def test_what_is_not_claimed_is_refused() -> None:
    shown = {feature for feature in ALL - MODEST if check_refusal(fixture_of(Modest), feature)}
    # A tree alone cannot ask for these, or needs surroundings that name something.
    assert ALL - MODEST - shown == {
        Feature.AVAILABILITY_ZONE,
        Feature.FAILOVER,
        Feature.FLAVOR,
        Feature.STATISTICS,
        Feature.VIP_QOS,
        Feature.VIP_SECURITY_GROUPS,
    }


@pytest.mark.parametrize("broken", [TakesEverything, RefusesTooLate])
def test_who_takes_it_is_found(broken: type[MemoryProvider]) -> None:
    with pytest.raises((AssertionError, PermanentError)):
        check_refusal(fixture_of(broken), Feature.L7)


def test_the_report_tells_claimed_from_refused() -> None:
    report = examine(ProviderFixture(make=fixture_of(Modest).make, histories=2))
    assert report.conforms
    assert (report.claimed, report.proved) == (MODEST, MODEST)
    assert {Feature.L7, Feature.LISTENER_UDP} <= report.refused
    skipped = {one.subject for one in report.laws if one.verdict is Verdict.NOT_CLAIMED}
    assert skipped == {
        "check_statistics_are_per_listener",
        "check_failover_keeps_everything",
        "check_failover_of_the_unknown_is_refused",
        "check_flavors_are_judged",
        "check_availability_zones_are_judged",
    }


def test_the_amphora_provider_refuses_what_it_does_not_claim() -> None:
    world = World("SINGLE")
    provider: Provider = world.provider()
    fixture = ProviderFixture(make=world.provider)
    for feature in ALL - provider.features():
        check_refusal(fixture, feature)
    assert world.left() == []
