"""The memory compute, network, certificate and amphora drivers keep the laws of their contracts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from oslo_config import cfg

from lbdrivers.drivers.amphora import Interface, InterfaceAddress, Vip
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.amphora import MemoryAmphoraDriver
from lbdrivers.memory.certificate import MemoryAuthority
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import FixedAddress, MachineRequest, PortRequest
from lbdrivers.testing import check_amphora, check_certificate, check_compute, check_network
from lbdrivers.testing.check import Check
from lbdrivers.testing.surroundings import identity, new_id


@pytest.fixture
def context() -> DriverContext:
    return DriverContext(cfg.ConfigOpts(), MemoryRecords(), load=lambda _group, _name: None)


@pytest.mark.parametrize("check", check_compute.CHECKS, ids=str)
def test_compute(check: Check[check_compute.ComputeFixture], context: DriverContext) -> None:
    check(
        check_compute.ComputeFixture(
            make=lambda: MemoryCompute(context),
            network=lambda: MemoryNetwork(context),
            management_subnet_id=identity(1),
            member_subnet_id=identity(2),
            kill=MemoryCompute(context).kill,
        )
    )


@pytest.mark.parametrize("check", check_network.CHECKS, ids=str)
def test_network(check: Check[check_network.NetworkFixture], context: DriverContext) -> None:
    check(check_network.NetworkFixture(make=lambda: MemoryNetwork(context), subnet_id=identity(1)))


@pytest.mark.parametrize("check", check_certificate.AUTHORITY_CHECKS, ids=str)
def test_authority(check: Check[check_certificate.AuthorityFixture], context: DriverContext) -> None:
    check(check_certificate.AuthorityFixture(make=lambda: MemoryAuthority(context)))


@pytest.mark.parametrize("check", check_certificate.SECRET_STORE_CHECKS, ids=str)
def test_secret_store(check: Check[check_certificate.SecretStoreFixture], context: DriverContext) -> None:
    check(
        check_certificate.SecretStoreFixture(
            make=lambda: MemoryAuthority(context), reference="memory:www.example.com", absent_reference="nothing"
        )
    )


@pytest.mark.parametrize("check", check_amphora.CHECKS, ids=str)
def test_amphora(check: Check[check_amphora.AmphoraFixture], context: DriverContext) -> None:
    compute, network = MemoryCompute(context), MemoryNetwork(context)

    @contextmanager
    def boot() -> Iterator[check_amphora.Booted]:
        amphora_id = new_id()
        name = f"amphora-{amphora_id}"
        subnet = network.subnet(identity(1))
        fixed = (FixedAddress(subnet.id),)
        port = network.ensure_port(PortRequest(f"{name}-vrrp", subnet.network_id, fixed))
        vip = network.ensure_port(PortRequest(f"{name}-vip", subnet.network_id, fixed, bound=False))
        machine = compute.ensure(MachineRequest(name, (port.name,)))
        own, shared = port.fixed[0].address, vip.fixed[0].address
        assert own is not None and shared is not None
        vips = (Vip(shared, subnet.cidr, subnet.gateway),)
        interface = Interface(port.mac, 1500, (InterfaceAddress(own, subnet.cidr),), vips)

        yield check_amphora.Booted(
            machine=machine,
            amphora_id=amphora_id,
            interfaces=(interface,),
            vip=vips[0],
            vrrp_address=own,
            new_certificate=lambda: MemoryAuthority(context).issue_server(amphora_id, 3600).pem,
        )
        compute.remove(name)

    check(
        check_amphora.AmphoraFixture(
            make=lambda: MemoryAmphoraDriver(context), boot=boot, kill=lambda machine: compute.kill(machine.name)
        )
    )
