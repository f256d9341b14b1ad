"""Ports of drivers that make their own networks: the addresses and the MAC that each gets, or why it gets none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbdrivers.drivers.addresses import mac_address, settle
from lbdrivers.drivers.topology import parse
from lbdrivers.errors import PermanentError
from lbdrivers.model.infra import FixedAddress, PortRequest

FRONT, BACK, SMALL = (f"b0000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
NETWORKS = parse(
    {
        "networks": [
            {
                "id": "a0000000-0000-4000-8000-000000000001",
                "name": "front",
                "subnets": [{"id": FRONT, "name": "front", "cidr": "192.0.2.0/28", "gateway": "192.0.2.1"}],
            },
            {
                "id": "a0000000-0000-4000-8000-000000000002",
                "name": "back",
                "subnets": [
                    {"id": BACK, "name": "back", "cidr": "198.51.100.0/24"},
                    {"id": SMALL, "name": "small", "cidr": "203.0.113.0/30"},
                ],
            },
        ]
    },
    "networks.yaml",
)


def asked(*fixed: FixedAddress, name: str = "port", network: str = "front") -> PortRequest:
    return PortRequest(name, network, fixed)


def test_the_lowest_free_address_is_given_and_kept() -> None:
    first = settle(NETWORKS, asked(FixedAddress(FRONT), name="first"), ())
    second = settle(NETWORKS, asked(FixedAddress(FRONT), name="second"), (first,))
    assert [one.fixed[0].address for one in (first, second)] == ["192.0.2.2", "192.0.2.3"]
    assert settle(NETWORKS, asked(FixedAddress(FRONT), name="second"), (second,)) == second
    assert first.mac != second.mac


def test_a_mac_that_somebody_has_is_not_given_again() -> None:
    other = replace(settle(NETWORKS, asked(FixedAddress(FRONT), name="other"), ()), mac=mac_address("port"))
    assert settle(NETWORKS, asked(FixedAddress(FRONT)), (other,)).mac == mac_address("port", 1)


def test_a_port_moves_to_no_other_network() -> None:
    there = settle(NETWORKS, asked(FixedAddress(FRONT)), ())
    with pytest.raises(PermanentError, match="port port is on the network front already; remove it first"):
        settle(NETWORKS, asked(FixedAddress(BACK), network="back"), (there,))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (asked(FixedAddress(BACK)), "the subnet back is not on the network front"),
        (asked(FixedAddress(FRONT, "nowhere")), "'nowhere' is not an IP address"),
        (asked(FixedAddress(FRONT, "192.0.2.77")), r"192.0.2.77 is not in the subnet front \(192.0.2.0/28\)"),
        (asked(FixedAddress(FRONT, "192.0.2.1")), "192.0.2.1 is reserved"),
        (asked(FixedAddress(FRONT, "192.0.2.2")), "192.0.2.2 is in use already"),
        (asked(network="nowhere"), "there is no network 'nowhere' on this site; there are: front"),
    ],
)
def test_what_cannot_be_given_is_refused_with_the_reason(request_: PortRequest, words: str) -> None:
    holder = settle(NETWORKS, asked(FixedAddress(FRONT, "192.0.2.2"), name="holder"), ())
    with pytest.raises(PermanentError, match=words) as caught:
        settle(NETWORKS, request_, (holder,))
    if "in use" in words:
        assert "port holder holds it" in caught.value.operator


def test_a_full_subnet_says_so() -> None:
    ports = [settle(NETWORKS, asked(FixedAddress(SMALL), name="0", network="back"), ())]
    with pytest.raises(PermanentError, match=r"the subnet small \(203.0.113.0/30\) has no free address"):
        for number in range(1, 5):
            ports.append(settle(NETWORKS, asked(FixedAddress(SMALL), name=str(number), network="back"), ports))
    assert 1 <= len(ports) <= 2
