"""The network driver that makes networks in OVN keeps every law of its contract, on a real northbound database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ovn import PRIVATE, PRIVATE_SIX, OvnCloud, identity, ovn_cloud

from lbdrivers.testing.check import Check
from lbdrivers.testing.check_network import CHECKS, NetworkFixture


@pytest.fixture(scope="module")
def cloud() -> Iterator[OvnCloud]:
    with ovn_cloud() as made:
        yield made


@pytest.mark.parametrize("subnet_id", [PRIVATE, PRIVATE_SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_law(check: Check[NetworkFixture], subnet_id: str, cloud: OvnCloud) -> None:
    check(NetworkFixture(make=cloud.network, subnet_id=subnet_id, absent_subnet_id=identity(99)))
    assert not cloud.left()
