"""Which addresses a port gets: pure, so it is tried out with thousands of wishes."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers.drivers.addresses import choose, mac_address
from lbdrivers.drivers.topology import Topology, parse
from lbdrivers.errors import PermanentError
from lbdrivers.model.infra import FixedAddress

FOUR, SIX = "21111111-1111-4111-8111-111111111111", "31111111-1111-4111-8111-111111111111"
TOPOLOGY: Topology = parse(
    {
        "networks": [
            {
                "id": "11111111-1111-4111-8111-111111111111",
                "name": "net",
                "subnets": [
                    {
                        "id": FOUR,
                        "name": "four",
                        "cidr": "192.0.2.0/28",
                        "gateway": "192.0.2.1",
                        "controller_address": "192.0.2.2",
                    },
                    {"id": SIX, "name": "six", "cidr": "2001:db8::/64"},
                ],
            }
        ]
    },
    "test",
)
FREE = [f"192.0.2.{i}" for i in range(3, 15)]


def fixed(*addresses: str | None) -> tuple[FixedAddress, ...]:
    return tuple(FixedAddress(FOUR, address) for address in addresses)


def test_the_lowest_free_address_is_next() -> None:
    assert choose(TOPOLOGY, fixed(None), (), {}) == fixed("192.0.2.3")
    assert choose(TOPOLOGY, fixed(None, None), (), {"192.0.2.4": "x"}) == fixed("192.0.2.3", "192.0.2.5")
    assert choose(TOPOLOGY, [FixedAddress("six")], (), {}) == (FixedAddress(SIX, "2001:db8::1"),)


def test_what_a_port_has_it_keeps() -> None:
    assert choose(TOPOLOGY, fixed(None), fixed("192.0.2.9"), {}) == fixed("192.0.2.9")
    assert choose(TOPOLOGY, fixed(None, "192.0.2.9"), fixed("192.0.2.9"), {}) == fixed("192.0.2.3", "192.0.2.9")
    assert choose(TOPOLOGY, fixed("192.0.2.4"), fixed("192.0.2.9"), {}) == fixed("192.0.2.4")
    assert choose(TOPOLOGY, (), fixed("192.0.2.9"), {}) == ()


def test_an_address_is_spelled_canonically() -> None:
    wish = FixedAddress(SIX, "2001:DB8:0::00ff")
    assert choose(TOPOLOGY, [wish], (), {}) == (FixedAddress(SIX, "2001:db8::ff"),)
    with pytest.raises(PermanentError, match="in use"):
        choose(TOPOLOGY, [wish], (), {"2001:db8::ff": "holder"})


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("192.0.2.0", "reserved"),
        ("192.0.2.15", "reserved"),
        ("192.0.2.1", "reserved"),
        ("192.0.2.2", "reserved"),
        ("192.0.3.4", "not in the subnet four"),
        ("2001:db8::5", "not in the subnet four"),
        ("192.0.2.8", "in use"),
        ("somewhere", "not an IP address"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(address: str, why: str) -> None:
    with pytest.raises(PermanentError, match=why) as caught:
        choose(TOPOLOGY, fixed(address), (), {"192.0.2.8": "the-holder"})
    assert ("the-holder" in caught.value.operator) == (why == "in use")


def test_a_full_subnet_is_named() -> None:
    with pytest.raises(PermanentError, match=r"subnet four .* no free address"):
        choose(TOPOLOGY, fixed(None), (), dict.fromkeys(FREE, "x"))


@settings(max_examples=200)
@given(
    wishes=st.lists(st.none() | st.sampled_from(FREE), max_size=5, unique_by=lambda a: a or object()),
    kept=st.lists(st.sampled_from(FREE), max_size=4, unique=True),
    others=st.sets(st.sampled_from(FREE), max_size=3),
)
def test_laws(wishes: list[str | None], kept: list[str], others: set[str]) -> None:
    own = [address for address in kept if address not in others]
    taken = {address: "other" for address in others if address not in wishes}
    chosen = choose(TOPOLOGY, fixed(*wishes), fixed(*own), taken)
    addresses = [c.address for c in chosen]
    assert len(set(addresses)) == len(addresses) == len(wishes)
    assert not set(addresses) & set(taken)
    assert all(wish in (None, got) for wish, got in zip(wishes, addresses, strict=True))
    assert all(ipaddress.ip_address(str(a)) in ipaddress.ip_network("192.0.2.0/28") for a in addresses)
    # Asked again, nothing moves.
    assert choose(TOPOLOGY, fixed(*wishes), chosen, taken) == chosen
    # As many of its own addresses as there are open wishes stay with it.
    stay = [address for address in own if address not in wishes][: wishes.count(None)]
    assert set(stay) <= set(addresses)


@given(st.text(max_size=50))
def test_macs_are_locally_administered_and_unicast(name: str) -> None:
    mac = mac_address(name)
    assert mac == mac_address(name) != mac_address(name, 1)
    assert int(mac[:2], 16) & 3 == 2
    assert len(mac) == 17
