"""The OVN provider keeps every law of its contract, on a real northbound database with ovn-northd behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ovn import AROUND, OvnCloud, ovn_cloud

from lbdrivers.features import ALL, Feature
from lbdrivers.testing import machine
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import ProviderFixture, check_feature, check_refusal, checks_for
from lbdrivers_ovn.capabilities import FEATURES

#: What a tree cannot show, or what these surroundings name nothing for.
NOT_SHOWN = {Feature.STATISTICS, Feature.FAILOVER, Feature.FLAVOR, Feature.AVAILABILITY_ZONE} | {
    Feature.VIP_QOS,
    Feature.VIP_SECURITY_GROUPS,
    Feature.LISTENER_TERMINATED_HTTPS,
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[OvnCloud]:
    with ovn_cloud() as made:
        yield made


@pytest.fixture
def fixture(cloud: OvnCloud) -> Iterator[ProviderFixture]:
    """The provider; afterwards nothing of it may be left."""
    yield ProviderFixture(make=cloud.provider, around=AROUND, histories=4)
    assert not cloud.left()


@pytest.mark.parametrize("check", checks_for(FEATURES), ids=str)
def test_law(check: Check[ProviderFixture], fixture: ProviderFixture) -> None:
    check(fixture)


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_a_claimed_feature_is_shown(feature: Feature, fixture: ProviderFixture) -> None:
    assert check_feature(fixture, feature)


@pytest.mark.parametrize("feature", sorted(ALL - FEATURES))
def test_what_is_not_claimed_is_refused(feature: Feature, fixture: ProviderFixture) -> None:
    assert check_refusal(fixture, feature) == (feature not in NOT_SHOWN)


def test_any_order_of_edits_crashes_and_removals(fixture: ProviderFixture) -> None:
    machine.run(fixture, runs=2, steps=10, phases=machine.UNSHRUNK)
