"""Fixtures of the kit on memory drivers, each class of which can be replaced by a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from oslo_config import cfg
from support.certificates import Authority

from lbdrivers.drivers.amphora import Interface, InterfaceAddress, Vip
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.amphora import MemoryAmphoraDriver
from lbdrivers.memory.certificate import MemoryAuthority
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.memory.secret_store import MemorySecretStore
from lbdrivers.model.infra import FixedAddress, MachineRequest, PortRequest
from lbdrivers.model.secret import Secret
from lbdrivers.testing.check import Patience
from lbdrivers.testing.check_amphora import AmphoraFixture, Booted
from lbdrivers.testing.check_certificate import AuthorityFixture, SecretStoreFixture
from lbdrivers.testing.check_compute import ComputeFixture
from lbdrivers.testing.check_network import NetworkFixture
from lbdrivers.testing.surroundings import identity, new_id

IMPATIENT = Patience(0.0, sleep=lambda _seconds: None)


def a_context() -> DriverContext:
    """An empty memory cloud."""
    return DriverContext(cfg.ConfigOpts(), MemoryRecords(), load=lambda _group, _name: None)


def compute_fixture(driver: type[MemoryCompute], context: DriverContext) -> ComputeFixture:
    return ComputeFixture(
        make=lambda: driver(context),
        network=lambda: MemoryNetwork(context),
        management_subnet_id=identity(1),
        member_subnet_id=identity(2),
        kill=MemoryCompute(context).kill,
        patience=IMPATIENT,
    )


def network_fixture(
    driver: type[MemoryNetwork], context: DriverContext, absent_subnet_id: str | None = None
) -> NetworkFixture:
    return NetworkFixture(lambda: driver(context), identity(1), absent_subnet_id, IMPATIENT)


def authority_fixture(driver: type[MemoryAuthority], context: DriverContext) -> AuthorityFixture:
    return AuthorityFixture(lambda: driver(context), IMPATIENT)


def secret_store_fixture(driver: type[MemorySecretStore], context: DriverContext) -> SecretStoreFixture:
    store, root = MemorySecretStore(context), Authority("root")
    upper = Authority("upper", root)
    lower = Authority("lower", upper)
    chained = lower.issue("chained.example.com")
    chained = replace(chained, chain=(lower.certificate, upper.certificate))
    store.store("encrypted", root.issue("encrypted.example.com").container("encrypted", b"a passphrase"))
    store.store("chained", chained.container("chained"))
    store.store_secret("plain", Secret(root.pem))
    return SecretStoreFixture(
        make=lambda: driver(context),
        reference="memory:www.example.com",
        absent_reference="nothing",
        encrypted_reference="encrypted",
        chained_reference="chained",
        plain_reference="plain",
        plain=root.pem,
        patience=IMPATIENT,
    )


def amphora_fixture(driver: type[MemoryAmphoraDriver], context: DriverContext) -> AmphoraFixture:
    compute, network = MemoryCompute(context), MemoryNetwork(context)

    @contextmanager
    def boot() -> Iterator[Booted]:
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
        try:
            yield Booted(
                machine=machine,
                amphora_id=amphora_id,
                interfaces=(Interface(port.mac, 1500, (InterfaceAddress(own, subnet.cidr),), vips),),
                vip=vips[0],
                vrrp_address=own,
                new_certificate=lambda: MemoryAuthority(context).issue_server(amphora_id, 3600).pem,
                agent_configuration=lambda: Secret(f"[amphora_agent]\namphora_id = {amphora_id}\n".encode()),
            )
        finally:
            compute.remove(name)

    return AmphoraFixture(lambda: driver(context), boot, lambda machine: compute.kill(machine.name), patience=IMPATIENT)
