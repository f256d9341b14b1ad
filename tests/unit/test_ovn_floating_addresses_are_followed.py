"""Floating IPs: of VIPs they are further ways in, of members they are translated where the load balancer needs it."""

from __future__ import annotations

from dataclasses import replace

from support.ovn import identity, listener, member, monitor, pool, tree
from support.ovn_rows import NETWORKS, TOPOLOGY, rows

from lbdrivers_ovn.difference import ChangeKeys, Operation, SetColumn
from lbdrivers_ovn.external_ids import decode
from lbdrivers_ovn.floating import MAC, PORT, USERS, centralised
from lbdrivers_ovn.network.layout import router_name
from lbdrivers_ovn.topology import Translation

ROUTER = router_name(NETWORKS)
VIP = Translation("vip", ROUTER, "172.24.4.9", "10.212.16.100")
MEMBER = Translation("member", ROUTER, "172.24.4.31", "10.212.32.11", "02:00:00:00:00:31", "vm-31")
ONE, OTHER = identity(1), identity(2)
MEMBERS = frozenset({"10.212.32.11"})


def carried_out(one: Translation, operations: tuple[Operation, ...]) -> Translation:
    """The row afterwards."""
    for operation in operations:
        if isinstance(operation, SetColumn):
            one = replace(one, **{operation.column: operation.value})
        else:
            assert isinstance(operation, ChangeKeys)
            left = {key: value for key, value in one.external_ids.items() if key not in operation.gone}
            one = replace(one, external_ids=left | dict(operation.values))
    return one


def run(one: Translation, load_balancer_id: str, members: frozenset[str]) -> Translation:
    """The row after a run of that load balancer; a second run finds nothing to do."""
    after = carried_out(one, tuple(centralised((one,), load_balancer_id, members)))
    assert not tuple(centralised((after,), load_balancer_id, members))
    return after


def test_a_floating_address_is_a_further_way_in() -> None:
    watched = pool(10, [member(31, "10.212.32.11")], healthmonitor=monitor(12))
    desired = tree([watched], [listener(20, 80, 10)])
    (row,) = rows(desired, replace(TOPOLOGY, translations=(VIP,)))
    assert set(row.vips) == {"10.212.16.100:80", "172.24.4.9:80"}
    assert decode(row.external_ids, "row").vip_fip == "172.24.4.9"
    assert {check.vip for check in row.health_checks} == set(row.vips)
    elsewhere = replace(VIP, router="neutron-elsewhere")
    (row,) = rows(desired, replace(TOPOLOGY, translations=(elsewhere,)))
    assert set(row.vips) == {"10.212.16.100:80"}


def test_a_members_translation_moves_to_the_gateway_and_back() -> None:
    central = run(MEMBER, ONE, MEMBERS)
    assert (central.external_mac, central.logical_port) == ("", "")
    assert central.external_ids == {MAC: MEMBER.external_mac, PORT: MEMBER.logical_port, USERS: ONE}
    assert run(central, ONE, frozenset()) == MEMBER


def test_it_comes_back_with_the_last_that_needs_it() -> None:
    both = run(run(MEMBER, ONE, MEMBERS), OTHER, MEMBERS)
    assert both.external_ids[USERS] == f"{ONE},{OTHER}"
    still = run(both, ONE, frozenset())
    assert (still.external_mac, still.external_ids[USERS]) == ("", OTHER)
    assert run(still, OTHER, frozenset()) == MEMBER


def test_what_somebody_has_made_anew_meanwhile_is_theirs() -> None:
    anew = replace(run(MEMBER, ONE, MEMBERS), external_mac="02:00:00:00:00:99", logical_port="vm-99")
    given = run(anew, ONE, frozenset())
    assert (given.external_mac, given.logical_port, given.external_ids) == ("02:00:00:00:00:99", "vm-99", {})


def test_what_the_gateway_translates_anyway_is_left_alone() -> None:
    plain = replace(MEMBER, external_mac="", logical_port="")
    assert run(plain, ONE, MEMBERS) == plain
