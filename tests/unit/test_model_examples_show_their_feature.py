"""Every feature that a tree can show has an example that needs it."""

from __future__ import annotations

import pytest

from lbdrivers.features import ALL, Feature, required
from lbdrivers.testing.examples import example, small_tree
from lbdrivers.testing.surroundings import Surroundings, identity

AROUND = Surroundings(
    flavors=({"appliances": 2, "allow_member_sriov": True},),
    availability_zones=({"compute_zone": "here"},),
    qos_policy_id=identity(6),
    security_group_id=identity(7),
)
#: Features that make another one finer, with that one.
REFINED = {
    Feature.PERSISTENCE_GRANULARITY: {Feature.PERSISTENCE_SOURCE_IP},
    Feature.MONITOR_ACROSS_PROTOCOLS: {Feature.MONITOR_TCP},
}
SHOWN_BY_BEHAVIOUR = {Feature.STATISTICS, Feature.FAILOVER}


@pytest.mark.parametrize("feature", sorted(ALL - SHOWN_BY_BEHAVIOUR))
def test_the_example_needs_the_feature(feature: Feature) -> None:
    tree = example(feature, ALL, AROUND)
    assert tree is not None
    assert feature in required(tree)
    basic = required(small_tree(ALL, AROUND))
    refined = REFINED.get(feature, set())
    assert refined <= required(tree)
    assert len(required(tree) - basic - refined - {feature}) <= 2, "beside the feature at most what stands around it"


@pytest.mark.parametrize("feature", sorted({Feature.STATISTICS, Feature.FLAVOR, Feature.MEMBER_SRIOV, Feature.VIP_QOS}))
def test_what_a_tree_cannot_show_here_has_no_example(feature: Feature) -> None:
    assert example(feature, ALL, Surroundings()) is None


def test_sriov_is_refused_even_where_no_flavor_allows_it() -> None:
    tree = example(Feature.MEMBER_SRIOV, ALL - {Feature.MEMBER_SRIOV}, Surroundings())
    assert tree is not None
    assert Feature.MEMBER_SRIOV in required(tree)


def test_the_small_tree_takes_what_there_is() -> None:
    narrow = frozenset({Feature.LISTENER_UDP, Feature.DATAGRAM_SOURCE_IP_PORT})
    assert required(small_tree(narrow, AROUND)) == narrow
