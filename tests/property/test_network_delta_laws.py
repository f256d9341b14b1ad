"""Laws of the network delta: see lbdrivers_amphora/decide/addressing.py."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from lbdrivers.model.infra import Delta, Nic
from lbdrivers.model.resources import Algorithm, LoadBalancer, Member, Pool, PoolProtocol
from lbdrivers_amphora.decide.addressing import apply_delta, delta, member_subnets, same_networks, wanted_nics

NETWORKS = [f"network-{number}" for number in range(5)]
#: two subnets on each network; the first network is the VIP's.
SUBNETS = {f"{network}-subnet-{letter}": network for network in NETWORKS for letter in "ab"}
VIP = Nic(NETWORKS[0], (f"{NETWORKS[0]}-subnet-a",))
MANAGEMENT = frozenset({"network-management"})

subnets = st.lists(st.sampled_from(sorted(SUBNETS)), max_size=8)


def normal(nics: tuple[Nic, ...]) -> dict[str, frozenset[str]]:
    return {nic.network_id: frozenset(nic.subnet_ids) for nic in nics}


def tree(member_subnet_ids: list[str | None]) -> LoadBalancer:
    members = tuple(
        Member(
            id=str(uuid.UUID(int=number + 1)),
            address=f"10.0.{number // 200}.{number % 200 + 1}",
            protocol_port=80,
            subnet_id=subnet and str(uuid.uuid5(uuid.NAMESPACE_DNS, subnet)),
        )
        for number, subnet in enumerate(member_subnet_ids)
    )
    pool = Pool(
        id=str(uuid.UUID(int=999)),
        protocol=PoolProtocol.HTTP,
        lb_algorithm=Algorithm.ROUND_ROBIN,
        members=members,
    )
    return LoadBalancer(id=str(uuid.UUID(int=1000)), vip_subnet_id=str(uuid.UUID(int=1001)), pools=(pool,))


@given(subnets, subnets)
def test_applying_a_delta_and_computing_again_gives_nothing(before: list[str], after: list[str]) -> None:
    plugged = wanted_nics(VIP, before, SUBNETS)
    wanted = wanted_nics(VIP, after, SUBNETS)
    result = apply_delta(plugged, delta(wanted, plugged, MANAGEMENT))
    assert normal(result) == normal(wanted)
    assert not delta(wanted, result, MANAGEMENT)


@given(subnets, st.permutations(range(8)))
def test_the_order_of_members_does_not_matter(members: list[str], order: list[int]) -> None:
    shuffled = [members[index] for index in order if index < len(members)]
    assert wanted_nics(VIP, members, SUBNETS) == wanted_nics(VIP, shuffled, SUBNETS)


@given(subnets)
def test_the_vip_network_is_never_unplugged(members: list[str]) -> None:
    plugged = wanted_nics(VIP, members, SUBNETS)
    change = delta(wanted_nics(VIP, [], SUBNETS), plugged, MANAGEMENT)
    assert VIP.network_id not in {nic.network_id for nic in change.delete_nics}
    assert not any(c.subnet_id in VIP.subnet_ids for c in change.delete_subnets)


@given(subnets, st.sampled_from(NETWORKS[1:]))
def test_removing_the_last_member_of_a_network_gives_exactly_one_unplug(members: list[str], network: str) -> None:
    without = [subnet for subnet in members if SUBNETS[subnet] != network]
    plugged = wanted_nics(VIP, [*without, f"{network}-subnet-a"], SUBNETS)
    change = delta(wanted_nics(VIP, without, SUBNETS), plugged, MANAGEMENT)
    assert [nic.network_id for nic in change.delete_nics] == [network]
    assert not (change.add_nics or change.add_subnets or change.delete_subnets)


@given(subnets, st.sampled_from(NETWORKS))
def test_a_second_subnet_on_a_plugged_network_adds_only_a_subnet(members: list[str], network: str) -> None:
    only_a = [*(s for s in members if SUBNETS[s] != network), f"{network}-subnet-a"]
    plugged = wanted_nics(VIP, only_a, SUBNETS)
    change = delta(wanted_nics(VIP, [*only_a, f"{network}-subnet-b"], SUBNETS), plugged, MANAGEMENT)
    assert not change.add_nics
    assert not change.delete_nics
    assert [(c.network_id, c.subnet_id) for c in change.add_subnets] == [(network, f"{network}-subnet-b")]


@given(subnets)
def test_management_networks_never_appear(members: list[str]) -> None:
    wanted = wanted_nics(VIP, members, SUBNETS)
    plugged = (*wanted, Nic("network-management", ("network-management-subnet",)))
    assert delta(wanted, plugged, MANAGEMENT) == Delta()


@given(subnets, subnets)
def test_with_one_subnet_per_network_it_equals_plain_set_algebra(before: list[str], after: list[str]) -> None:
    """The founding documents' rule: delete = actual - desired, add = desired - actual, by network."""
    only = {subnet: network for subnet, network in SUBNETS.items() if subnet.endswith("-a")}
    before, after = [s for s in before if s in only], [s for s in after if s in only]
    change = delta(wanted_nics(VIP, after, only), wanted_nics(VIP, before, only), MANAGEMENT)
    actual = {VIP.network_id, *(only[s] for s in before)}
    desired = {VIP.network_id, *(only[s] for s in after)}
    assert {nic.network_id for nic in change.add_nics} == desired - actual
    assert {nic.network_id for nic in change.delete_nics} == actual - desired
    assert not (change.add_subnets or change.delete_subnets)


@given(st.lists(st.one_of(st.none(), st.sampled_from(sorted(SUBNETS))), max_size=8))
def test_members_without_a_subnet_change_nothing(members: list[str | None]) -> None:
    named = [subnet for subnet in members if subnet is not None]
    assert member_subnets(tree(members)) == member_subnets(tree(list(named)))
    assert same_networks(tree(members), tree(list(named)))
