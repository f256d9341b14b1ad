"""Trees and rows of the OVN provider stand for each other; what is asked for twice is one state."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ovn import AROUND
from support.ovn_rows import TOPOLOGY, place, rows

from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.strategies import trees
from lbdrivers_ovn.capabilities import FEATURES
from lbdrivers_ovn.difference import difference
from lbdrivers_ovn.external_ids import Content, ListenerEntry, MemberEntry, PoolEntry, decode, encode
from lbdrivers_ovn.interpret import canonical, interpret
from lbdrivers_ovn.rows import LoadBalancerRow
from lbdrivers_ovn.translate import translate, transport

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
TREES = trees(FEATURES, AROUND)


def stored(found: tuple[LoadBalancerRow, ...]) -> tuple[LoadBalancerRow, ...]:
    """The rows as a database gives them back: with UUIDs."""
    return tuple(replace(row, uuid=f"row-{number}") for number, row in enumerate(found))


@settings(suppress_health_check=_SLOW)
@given(TREES)
def test_rows_give_the_tree_back(tree: LoadBalancer) -> None:
    around = place(tree)
    additional = tuple(vip.subnet.id for vip in around.vips[1:])
    assert interpret(rows(tree), around.vips[0].subnet.id, additional) == canonical(tree, around)


@settings(suppress_health_check=_SLOW)
@given(TREES)
def test_what_is_there_needs_nothing(tree: LoadBalancer) -> None:
    assert not difference(stored(rows(tree)), rows(tree))


@settings(suppress_health_check=_SLOW)
@given(TREES)
def test_there_is_a_row_for_each_way_to_balance_and_at_least_one(tree: LoadBalancer) -> None:
    found = rows(tree)
    balances = [row.balance for row in found]
    assert len(balances) == len(set(balances)) >= 1
    wanted = {one.protocol.transport.lower() for one in tree.listeners} | {transport(pool) for pool in tree.pools}
    assert {row.balance.protocol for row in found} == (wanted or {""})


@settings(suppress_health_check=_SLOW)
@given(TREES)
def test_clients_reach_members_of_their_family_that_are_up(tree: LoadBalancer) -> None:
    up = {
        f"{member.address}:{member.protocol_port}"
        for pool in tree.pools
        for member in pool.members
        if member.admin_state_up
    }
    for row in rows(tree):
        assert tree.admin_state_up or not row.vips
        for vip, targets in row.vips.items():
            assert targets
            for target in targets.split(","):
                assert target.startswith("[") == vip.startswith("[")
                assert target in up


@settings(suppress_health_check=_SLOW)
@given(TREES)
def test_a_row_counts_every_vip_and_each_of_its_members_but_no_provider_network(tree: LoadBalancer) -> None:
    provider = next(iter(sorted(TOPOLOGY.switches)))
    beside = replace(TOPOLOGY, provider_switches=frozenset({provider}))
    around = place(tree)
    placed = {member.id for pool in tree.pools for member in pool.members if around.subnet_of(member) is not None}
    for topology in (TOPOLOGY, beside):
        for row in translate(tree, around, topology, {}):
            content = decode(row.external_ids, "row")
            references = content.switch_references
            members = {member.id for pool in content.pools for member in pool.members}
            assert all(count > 0 for count in references.values())
            assert references.keys() <= row.switches
            if topology is TOPOLOGY:
                assert sum(references.values()) == 1 + len(tree.additional_vips) + len(members & placed)
            else:
                assert provider not in row.switches | references.keys()


IDS = st.uuids().map(str)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
MEMBERS = st.builds(MemberEntry, IDS, ADDRESSES, st.integers(1, 65535), st.one_of(IDS, st.just("")))
POOLS = st.lists(
    st.builds(PoolEntry, IDS, st.lists(MEMBERS, max_size=4).map(tuple), st.booleans()),
    max_size=3,
    unique_by=lambda one: one.id,
)
LISTENERS = st.lists(
    st.builds(ListenerEntry, IDS, st.integers(1, 65535), st.none() | IDS, st.booleans()),
    max_size=3,
    unique_by=lambda one: one.id,
)


@given(
    st.builds(
        Content,
        vip=ADDRESSES,
        vip_port_id=IDS,
        enabled=st.booleans(),
        additional_vips=st.lists(ADDRESSES, max_size=2).map(tuple),
        additional_vip_port_ids=st.lists(IDS, max_size=2).map(tuple),
        vip_fip=st.just("") | ADDRESSES,
        additional_vip_fips=st.lists(ADDRESSES, max_size=2).map(tuple),
        switch_references=st.dictionaries(IDS.map("neutron-{}".format), st.integers(1, 9), max_size=3),
        routers=st.lists(IDS.map("neutron-{}".format), max_size=2).map(tuple),
        listeners=LISTENERS.map(lambda found: tuple(sorted(found, key=lambda one: one.id))),
        pools=POOLS.map(lambda found: tuple(sorted(found, key=lambda one: one.id))),
        member_statuses=st.dictionaries(IDS, st.sampled_from(["ONLINE", "OFFLINE", "ERROR", "NO_MONITOR"]), max_size=3),
        monitors=st.lists(IDS, max_size=2).map(tuple),
    )
)
def test_the_layout_gives_back_what_it_was_given(content: Content) -> None:
    assert decode(encode(content), "row") == content
    assert all(
        str(ipaddress.ip_address(member.address)) == member.address for pool in content.pools for member in pool.members
    )
