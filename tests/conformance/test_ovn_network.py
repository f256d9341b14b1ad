"""The network driver that makes networks in OVN keeps every law of its contract, on a real northbound database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.ovn import PRIVATE, PRIVATE_SIX, OvnCloud, identity, ovn_cloud

from lbdrivers.model.infra import FixedAddress, PortRequest
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_network import CHECKS, NetworkFixture
from lbdrivers_ovn.network.driver import OvnNetwork


@pytest.fixture(scope="module")
def cloud() -> Iterator[OvnCloud]:
    with ovn_cloud() as made:
        yield made


@pytest.mark.parametrize("subnet_id", [PRIVATE, PRIVATE_SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_law(check: Check[NetworkFixture], subnet_id: str, cloud: OvnCloud) -> None:
    check(NetworkFixture(make=cloud.network, subnet_id=subnet_id, absent_subnet_id=identity(99)))
    assert not cloud.left()


def test_what_the_file_gets_later_is_wired_to_the_router_that_is_there(cloud: OvnCloud, tmp_path: Path) -> None:
    """A network before the others, and a subnet on one of them: the next port makes both, on the same router."""
    entries = {
        "net": {"id": identity(1), "name": "net", "subnets": [_subnet(11, "10.9.1.0/24", "10.9.1.1")]},
        "other": {"id": identity(2), "name": "other", "subnets": [_subnet(12, "10.9.2.0/24", "10.9.2.1")]},
        "first": {"id": identity(3), "name": "first", "subnets": [_subnet(13, "10.9.3.0/24", "10.9.3.1")]},
    }
    file = tmp_path / "networks.yaml"

    def ensured(number: int, subnet_number: int, *names_of: str) -> OvnNetwork:
        file.write_text(yaml.safe_dump({"networks": [entries[name] for name in names_of]}))
        network = replace(cloud, options=f"networks_file = {file}\n").network()
        subnet = network.subnet(identity(subnet_number))
        network.ensure_port(PortRequest(f"p{number}", subnet.network_id, (FixedAddress(subnet.id),)))
        return network

    def router() -> str:
        return cloud.ovn.nbctl("--bare", "--columns=_uuid", "list", "Logical_Router")

    ensured(1, 11, "net", "other")
    before = router()
    entries["other"]["subnets"].append(_subnet(14, "fd00:9:2::/64", "fd00:9:2::1"))
    network = ensured(2, 14, "first", "net", "other")
    assert router() == before
    listed = cloud.ovn.nbctl("--bare", "--columns=networks", "list", "Logical_Router_Port").split()
    assert set(listed) == {"10.9.1.1/24", "10.9.2.1/24", "fd00:9:2::1/64", "10.9.3.1/24"}
    ends = cloud.ovn.nbctl("--bare", "--columns=external_ids", "find", "Logical_Switch_Port", "type=router")
    assert "neutron:cidrs=10.9.2.1/24 fd00:9:2::1/64" in ends
    ensured(2, 14, "first", "net", "other")
    for number in (1, 2):
        network.remove_port(f"p{number}")
    assert not cloud.left()


def _subnet(number: int, cidr: str, gateway: str) -> dict[str, str]:
    return {"id": identity(number), "name": f"subnet-{number}", "cidr": cidr, "gateway": gateway}
