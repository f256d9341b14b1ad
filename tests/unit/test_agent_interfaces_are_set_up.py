"""Interface files say what the amphora agent's do, and the difference touches only what is ours."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.agent.interfaces import (
    LOOPBACK,
    Address,
    InterfaceFile,
    InterfaceRoute,
    Present,
    SourceRule,
    backend_interface,
    difference,
    parse,
    render,
    vip_interface,
)
from lbdrivers_amphora.wire.plugging import FixedIp, PlugNetwork, Route, VipAddress, VipNetwork

_ROUTE = Route("10.9.0.0/16", "10.0.0.254")
_VIP = VipAddress("10.0.0.100", "10.0.0.0/24", "10.0.0.1", (_ROUTE,))
_SIX = VipAddress("fd00::1", "fd00::/64")
_NETWORK = VipNetwork((_VIP, _SIX), "10.0.0.11", 1450)


def test_an_amphora_alone_owns_its_vips() -> None:
    file = vip_interface("eth1", _NETWORK, owns_vip=True)
    assert json.loads(render(file)) == {
        "name": "eth1",
        "if_type": "vip",
        "mtu": 1450,
        "addresses": [
            {"address": "10.0.0.11", "prefixlen": 24},
            {"address": "10.0.0.100", "prefixlen": 32, "octavia_owned": True},
            {"address": "fd00::1", "prefixlen": 128, "octavia_owned": True},
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gateway": "10.0.0.1", "flags": ["onlink"]},
            {"dst": "0.0.0.0/0", "gateway": "10.0.0.1", "flags": ["onlink"], "table": 1},
            {"dst": "10.0.0.0/24", "scope": "link"},
            {"dst": "10.0.0.0/24", "scope": "link", "prefsrc": "10.0.0.100", "table": 1},
            {"dst": "10.9.0.0/16", "gateway": "10.0.0.254", "flags": ["onlink"]},
            {"dst": "10.9.0.0/16", "gateway": "10.0.0.254", "flags": ["onlink"], "table": 1},
            {"dst": "fd00::/64", "scope": "link"},
            {"dst": "fd00::/64", "scope": "link", "prefsrc": "fd00::1", "table": 1},
        ],
        "rules": [
            {"src": "10.0.0.100", "src_len": 32, "table": 1},
            {"src": "fd00::1", "src_len": 128, "table": 1},
        ],
        "scripts": {"up": [], "down": []},
        "is_sriov": False,
    }


def test_in_a_pair_keepalived_owns_vips_tables_and_rules() -> None:
    file = vip_interface("eth1", _NETWORK, owns_vip=False)
    assert [entry.owned for entry in file.addresses] == [None, False, False]
    assert file.rules == ()
    assert {route.table for route in file.routes if route.gateway != "10.0.0.254"} == {254}
    assert file.vips == ("10.0.0.100", "fd00::1")


def test_a_member_network_has_no_default_route() -> None:
    fixed = (FixedIp("10.1.0.5", "10.1.0.0/24", "10.1.0.1", (Route("10.8.0.0/16", "10.1.0.9"),)),)
    file = backend_interface("eth2", PlugNetwork("02:00:00:00:00:01", fixed))
    assert file.addresses == (Address("10.1.0.5", 24),)
    assert file.routes == (InterfaceRoute("10.8.0.0/16", "10.1.0.9", onlink=True),)
    assert file.rules == ()


def test_without_addresses_the_network_gives_them() -> None:
    file = backend_interface("eth2", PlugNetwork("02:00:00:00:00:01"))
    assert file.automatic
    assert parse(render(file)) == file


def test_files_are_read_back() -> None:
    for owns in (True, False):
        file = vip_interface("eth1", _NETWORK, (FixedIp("10.0.1.5", "10.0.1.0/24", "10.0.1.1"),), owns_vip=owns)
        assert parse(render(file)) == file
    assert parse(render(LOOPBACK)) == LOOPBACK


def test_an_address_of_somebody_else_is_neither_added_nor_deleted() -> None:
    file = InterfaceFile("eth1", "vip", (Address("10.0.0.11", 24), Address("10.0.0.100", 32, owned=False)))
    with_it = Present((Address("10.0.0.100", 32), Address("10.0.0.99", 24)))
    changes = difference(file, with_it)
    assert changes.add_addresses == (Address("10.0.0.11", 24),)
    assert changes.delete_addresses == (Address("10.0.0.99", 24),)
    assert difference(file, Present()).add_addresses == (Address("10.0.0.11", 24),)


def test_rules_belong_to_vips_alone() -> None:
    stranger = Present(rules=(SourceRule("10.0.0.7", 32, 7),))
    assert difference(InterfaceFile("eth2", "backend"), stranger).delete_rules == ()
    assert difference(InterfaceFile("eth1", "vip"), stranger).delete_rules == stranger.rules


def test_routes_on_the_link_come_first() -> None:
    changes = difference(vip_interface("eth1", _NETWORK, owns_vip=True), Present())
    links = [route.link for route in changes.add_routes]
    assert links == sorted(links, reverse=True)


_ADDRESSES = st.builds(Address, st.ip_addresses(v=4).map(str), st.integers(8, 32), st.sampled_from([None, True]))
_ROUTES = st.builds(
    InterfaceRoute, st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "192.168.0.0/16"]), st.sampled_from([None, "10.0.0.1"])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_ADDRESSES, max_size=4), st.lists(_ROUTES, max_size=3), st.lists(_ADDRESSES, max_size=4))
def test_after_the_difference_nothing_is_left_to_do(
    addresses: list[Address], routes: list[InterfaceRoute], there: list[Address]
) -> None:
    file = InterfaceFile("eth1", "vip", tuple(addresses), tuple(routes))
    present = Present(tuple(there))
    changes = difference(file, present)
    gone = {(entry.address, entry.prefix) for entry in changes.delete_addresses}
    kept = tuple(entry for entry in there if (entry.address, entry.prefix) not in gone)
    after = Present(kept + changes.add_addresses, changes.add_routes, changes.add_rules)
    again = difference(file, after)
    assert not any(
        (again.add_addresses, again.delete_addresses, again.add_routes, again.delete_routes, again.add_rules)
    )
