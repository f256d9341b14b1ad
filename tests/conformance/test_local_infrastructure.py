"""The drivers of this host keep the laws of their contracts: real boxes, links, keys, agents and daemons."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.local_cloud import MANAGEMENT, PRIVATE, a_cloud, kill
from support.local_site import a_site

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.testing import check_amphora, check_certificate, check_compute, check_network
from lbdrivers.testing.check import Check
from lbdrivers.testing.surroundings import new_id
from lbdrivers_amphora.certificates.local import LocalAuthority
from lbdrivers_amphora.compute.local import LocalCompute
from lbdrivers_amphora.network.local import LocalNetwork


@pytest.mark.parametrize("check", check_compute.CHECKS, ids=str)
def test_compute(check: Check[check_compute.ComputeFixture]) -> None:
    with a_site() as site:
        check(
            check_compute.ComputeFixture(
                make=lambda: LocalCompute(site.context, ("/bin/sleep", "100000")),
                network=lambda: LocalNetwork(site.context),
                management_subnet_id=MANAGEMENT,
                member_subnet_id=PRIVATE,
                kill=lambda name: kill(site, name),
            )
        )


@pytest.mark.parametrize("check", check_network.CHECKS, ids=str)
def test_network(check: Check[check_network.NetworkFixture]) -> None:
    with a_site() as site:
        fixture = check_network.NetworkFixture(lambda: LocalNetwork(site.context), PRIVATE, absent_subnet_id=new_id())
        check(fixture)


@pytest.mark.parametrize("check", check_certificate.AUTHORITY_CHECKS, ids=str)
def test_authority(check: Check[check_certificate.AuthorityFixture], tmp_path: Path) -> None:
    context = DriverContext(settings.load(state_path=tmp_path), MemoryRecords(), lambda _group, _name: None)
    check(check_certificate.AuthorityFixture(make=lambda: LocalAuthority(context)))


@pytest.mark.parametrize("check", check_amphora.CHECKS, ids=str)
def test_amphora(check: Check[check_amphora.AmphoraFixture]) -> None:
    with a_cloud() as cloud:
        check(
            check_amphora.AmphoraFixture(
                make=cloud.agent_client, boot=cloud.appliance, kill=lambda machine: cloud.kill(machine.name)
            )
        )
