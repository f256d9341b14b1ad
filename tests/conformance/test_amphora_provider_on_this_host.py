"""The amphora provider keeps the dearest laws of its contract on this host: real agents, HAProxy and keepalived."""

from __future__ import annotations

import pytest
from support.local_cloud import AROUND, a_cloud

from lbdrivers.testing import check_provider
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import ProviderFixture

#: The others are proved on memory drivers; these are the ones where daemons could tell another story.
LAWS = (
    check_provider.check_apply_twice_changes_nothing,
    check_provider.check_edits_are_followed,
    check_provider.check_observe_changes_nothing,
    check_provider.check_remove_leaves_nothing,
    check_provider.check_statistics_are_per_listener,
    check_provider.check_failover_keeps_everything,
)


@pytest.mark.parametrize("topology", ["SINGLE", "ACTIVE_STANDBY"])
@pytest.mark.parametrize("check", [one for one in check_provider.CHECKS if one.function in LAWS], ids=str)
def test_law(check: Check[ProviderFixture], topology: str) -> None:
    with a_cloud(topology) as cloud:
        check(ProviderFixture(make=cloud.provider, around=AROUND))
        left = (
            cloud.site.compute.known(),
            cloud.site.network.ports(),
            cloud.site.processes(),
            cloud.provider().known(),
        )
        assert not any(left)
