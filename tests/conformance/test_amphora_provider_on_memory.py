"""The amphora provider keeps every law of the provider contract, on memory drivers, in each topology."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.memory_cloud import World

from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import CHECKS, ProviderFixture, check_feature, checks_for
from lbdrivers.testing.surroundings import ANYWHERE
from lbdrivers_amphora.provider import FEATURES

AROUND = replace(
    ANYWHERE,
    flavors=({"loadbalancer_topology": "SINGLE", "compute_flavor": "small", "amp_image_tag": "amphora"}, {}),
    availability_zones=({"compute_zone": "west", "management_network": "management"},),
)


def fixture(world: World) -> ProviderFixture:
    return ProviderFixture(make=world.provider, around=AROUND, histories=10)


@pytest.mark.parametrize("topology", ["SINGLE", "ACTIVE_STANDBY"])
@pytest.mark.parametrize("check", checks_for(FEATURES), ids=str)
def test_law(check: Check[ProviderFixture], topology: str) -> None:
    world = World(topology)
    check(fixture(world))
    assert world.left() == []


def test_every_claimed_feature_is_shown() -> None:
    under_test = fixture(World("ACTIVE_STANDBY"))
    by_law = {feature for check in CHECKS for feature in check.proves}
    assert [one for one in sorted(FEATURES - by_law) if not check_feature(under_test, one)] == []
