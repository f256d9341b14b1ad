"""Everything that an amphora on this host needs: a site, authorities, the client of the agents, and a provider."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.local_site import LocalSite, a_site

from lbdrivers import registry, settings
from lbdrivers.drivers.amphora import Interface, InterfaceAddress, Vip
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import FixedAddress, MachineRequest, Port, PortRequest
from lbdrivers.model.secret import Secret
from lbdrivers.testing.check_amphora import Booted
from lbdrivers.testing.surroundings import Surroundings, new_id
from lbdrivers_amphora.certificates.local import LocalAuthority
from lbdrivers_amphora.client import RestAmphoraDriver
from lbdrivers_amphora.compute.local import agent_command
from lbdrivers_amphora.flows.steps import CLIENT_CA, CONFIG_FILE, SERVER_CERTIFICATE
from lbdrivers_amphora.provider import AmphoraProvider
from lbdrivers_amphora.wire import agent_config

MANAGEMENT = "b0000000-0000-4000-8000-000000000001"
PUBLIC = "b0000000-0000-4000-8000-000000000002"
PRIVATE = "b0000000-0000-4000-8000-000000000003"

#: What trees may refer to on a site with the packaged networks.
AROUND = Surroundings(
    vip_subnet_id=PUBLIC,
    additional_subnet_id=None,
    member_subnet_ids=(PRIVATE,),
    references=(),
    authority_references=(),
    revocation_references=(),
    member_addresses=("10.211.32.101", "10.211.32.102"),
)


class LocalCloud:
    """The drivers of this host as configuration names them; each object as in a new process.

    :param keys: folder of the authorities and of the configuration, apart from the site's.
    """

    def __init__(self, site: LocalSite, keys: Path, topology: str) -> None:
        self.site = site
        self._records = MemoryRecords()
        self._file = keys / "lbdrivers.conf"
        self._file.write_text(
            f"[lbdrivers]\nstate_path = {keys}\n[local]\npath = {site.site.path}\n"
            f"[controller_worker]\nloadbalancer_topology = {topology}\n"
        )

    def store_certificate(self, name: str, pem: bytes) -> None:
        """Where the local secret store finds it."""
        path = self._file.parent / "secrets" / f"{name}.pem"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(pem)

    def context(self) -> DriverContext:
        return registry.make_context(settings.load((self._file,)), self._records)

    def provider(self) -> AmphoraProvider:
        return AmphoraProvider(self.context())

    def agent_client(self) -> RestAmphoraDriver:
        return RestAmphoraDriver(self.context())

    @contextmanager
    def appliance(self) -> Iterator[Booted]:
        """A machine with its agent, and a port on the VIP's network plugged into it."""
        amphora_id = new_id()
        name, network, authority = f"amphora-{amphora_id}", self.site.network, LocalAuthority(self.context())
        subnet = network.subnet(PUBLIC)
        management, own, shared = f"{name}-management", f"{name}-vrrp", f"{name}-vip"
        try:
            self._port(management, MANAGEMENT)
            port = self._port(own, PUBLIC)
            vip = Vip(_address(self._port(shared, PUBLIC, bound=False)), subnet.cidr, subnet.gateway)
            files = {
                CONFIG_FILE: agent_config.render(agent_config.AgentConfig(amphora_id)).encode(),
                SERVER_CERTIFICATE: authority.issue_server(amphora_id, 3600).pem.reveal(),
                CLIENT_CA: authority.trust().client_ca,
            }
            secrets = {path: Secret(content) for path, content in files.items()}
            machine = self.site.compute.ensure(MachineRequest(name, (management,), secrets))
            self.site.compute.attach(name, own)
            addresses = (InterfaceAddress(_address(port), subnet.cidr, subnet.gateway),)
            yield Booted(
                machine=machine,
                amphora_id=amphora_id,
                interfaces=(Interface(port.mac, network.network(subnet.network_id).mtu, addresses, (vip,)),),
                vip=vip,
                vrrp_address=_address(port),
                new_certificate=lambda: authority.issue_server(amphora_id, 3600).pem,
                agent_configuration=lambda: Secret(
                    agent_config.render(agent_config.AgentConfig(amphora_id, heartbeat_interval=7)).encode()
                ),
            )
        finally:
            self.site.compute.remove(name)
            for one in (management, own, shared):
                network.remove_port(one)

    def kill(self, name: str) -> None:
        """The machine of that name dies as by a power cut."""
        kill(self.site, name)

    def _port(self, name: str, subnet_id: str, bound: bool = True) -> Port:
        network_id = self.site.network.subnet(subnet_id).network_id
        return self.site.network.ensure_port(PortRequest(name, network_id, (FixedAddress(subnet_id),), bound))


def kill(site: LocalSite, name: str) -> None:
    """End process 1 of a machine, and so everything in it."""
    pid = site.site.machine(name).pid()
    assert pid is not None, f"{name} is not running"
    os.kill(pid, signal.SIGKILL)


def _address(port: Port) -> str:
    address = port.fixed[0].address
    assert address is not None
    return address


@contextmanager
def a_cloud(topology: str = "SINGLE") -> Iterator[LocalCloud]:
    """A cloud of its own; that its site leaves nothing is verified."""
    keys = Path(tempfile.mkdtemp(prefix="lbdrivers-keys-"))
    try:
        with a_site(agent_command()) as site:
            yield LocalCloud(site, keys, topology)
    finally:
        shutil.rmtree(keys)
