"""The amphora provider keeps the dearest laws of its contract on this host: real agents, HAProxy and keepalived."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.certificates import Authority
from support.local_cloud import AROUND, a_cloud

from lbdrivers.errors import PermanentError, UnsupportedError
from lbdrivers.features import Feature
from lbdrivers.testing import check_provider
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import ProviderFixture, check_feature
from lbdrivers.testing.examples import rebuilt

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


def test_a_flavor_decides_about_the_topology_and_what_this_host_has_not_is_refused() -> None:
    with a_cloud("ACTIVE_STANDBY") as cloud:
        fixture = ProviderFixture(make=cloud.provider, around=AROUND)
        plain = fixture.tree()
        for data in ({"compute_flavor": "large"}, {"amp_image_tag": "newest"}, {"sriov_vip": True}):
            with pytest.raises(UnsupportedError, match=r"large|newest|sriov_vip"):
                cloud.provider().apply(rebuilt(plain, flavor_data=data), None)
        with pytest.raises(UnsupportedError, match="the zone west"):
            cloud.provider().apply(rebuilt(plain, availability_zone_data={"compute_zone": "west"}), None)
        with pytest.raises(PermanentError, match="nowhere"):
            cloud.provider().apply(rebuilt(plain, availability_zone_data={"management_network": "nowhere"}), None)
        assert not any((cloud.site.compute.known(), cloud.site.network.ports(), cloud.provider().known()))
        single = rebuilt(plain, flavor_data={"loadbalancer_topology": "SINGLE"})
        with fixture.applied(single):
            check_provider.expect_whole(fixture, single, "with a flavor")
            assert [one.role for one in fixture.observe(single.id).appliances] == ["STANDALONE"]


@pytest.mark.parametrize("feature", [Feature.LISTENER_TERMINATED_HTTPS, Feature.POOL_TLS])
def test_tls_is_shown_with_certificates_of_this_host(feature: Feature) -> None:
    with a_cloud("SINGLE") as cloud:
        cloud.store_certificate("www", Authority("authority").issue("www.example.com").together)
        assert check_feature(ProviderFixture(make=cloud.provider, around=replace(AROUND, references=("www",))), feature)
