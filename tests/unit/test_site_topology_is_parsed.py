"""The networks file: typed networks, or an error that names place, value and remedy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lbdrivers.drivers import topology
from lbdrivers.errors import InvalidInput, PermanentError
from lbdrivers_amphora.site.settings import PACKAGED_NETWORKS

PACKAGED: dict[str, Any] = yaml.safe_load(PACKAGED_NETWORKS.read_text())


def test_the_packaged_networks() -> None:
    parsed = topology.load(PACKAGED_NETWORKS, "[local] networks_file")
    assert [network.name for network in parsed.networks] == ["management", "public", "private"]
    assert all(network.mtu == 1500 and len(network.subnets) == 1 for network in parsed.networks)
    for network in parsed.networks:
        assert parsed.network(network.id) is parsed.network(network.name) is network
        subnet = network.subnets[0]
        assert parsed.subnet(subnet.id).value is parsed.subnet(f"{network.name}-subnet").value is subnet
        assert subnet.gateway is None
    assert parsed.subnet("management-subnet").controller_address == "10.211.0.1"
    assert parsed.subnet("public-subnet").reserved() == {"10.211.16.0", "10.211.31.255"}
    assert "10.211.0.1" in parsed.subnet("management-subnet").reserved()


def test_what_is_not_there_is_refused_with_what_is() -> None:
    parsed = topology.load(PACKAGED_NETWORKS, "[local] networks_file")
    with pytest.raises(PermanentError, match=r"'other'.*management.*public.*private"):
        parsed.network("other")
    with pytest.raises(PermanentError, match=r"'other'.*public-subnet.*10\.211\.16\.0/20"):
        parsed.subnet("other")


def changed(path: str, value: object) -> dict[str, Any]:
    document: Any = copy.deepcopy(PACKAGED)
    place = document
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return dict(document)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("networks.0.mtu", "many", r"networks\[0\]\.mtu: .*'many'"),
        ("networks.0.mtu", 10, r"networks\[0\]\.mtu"),
        ("networks.1.id", "no-uuid", r"networks\[1\]\.id"),
        ("networks.1.name", None, r"networks\[1\]\.name: Field required"),
        ("networks.1.colour", "red", r"networks\[1\]\.colour"),
        ("networks.1.name", "management", r"networks\[1\]\.name: is the name of networks\[0\] already .*management"),
        ("networks.2.subnets.0.cidr", "10.211.16.128/25", r"networks\[2\]\.subnets\[0\]\.cidr: overlaps networks\[1\]"),
        ("networks.2.subnets.0.cidr", "10.1.2.3/8", r"host bits"),
        (
            "networks.0.subnets.0.gateway",
            "192.0.2.1",
            r"subnets\[0\]\.gateway: is not in 10\.211\.0\.0/20 .*192\.0\.2\.1",
        ),
        ("networks.0.subnets.0.controller_address", "192.0.2.1", r"subnets\[0\]\.controller_address: is not in"),
        ("networks", [], r"networks: .*at least 1"),
    ],
)
def test_what_is_wrong_is_named(path: str, value: object, expected: str) -> None:
    with pytest.raises(InvalidInput, match=expected) as caught:
        topology.parse(changed(path, value), "networks.yaml")
    assert all(problem.path.startswith("networks.yaml") and problem.remedy for problem in caught.value.problems)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    for content in (None, "a: [", "- just a list"):
        file = tmp_path / "networks.yaml"
        if content is not None:
            file.write_text(content)
        with pytest.raises(InvalidInput, match=r"networks\.yaml"):
            topology.load(file, "[local] networks_file")
