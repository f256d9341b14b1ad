"""The state of one run: what is wanted, the amphorae concerned, and the drivers.

Law: everything here can be computed again from the records and the cloud; a run that dies leaves
nothing behind that only it knew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from lbdrivers.drivers.amphora import AmphoraDriver, Bundle, Interface, InterfaceAddress, Peer, TlsFiles, Vip
from lbdrivers.drivers.certificate import Authority
from lbdrivers.drivers.compute import Compute
from lbdrivers.drivers.context import DriverContext, Fence
from lbdrivers.drivers.network import Network
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import Machine, MachineRequest, Nic, Port, Subnet
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.admission import Admission
from lbdrivers_amphora.decide.addressing import member_subnets, wanted_nics
from lbdrivers_amphora.decide.admission import CREATE_PRIORITY
from lbdrivers_amphora.decide.profiles import AmphoraFlavor, AmphoraZone, Wishes
from lbdrivers_amphora.flows.recipe import Subject
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import Amphora, Balancer
from lbdrivers_amphora.settings import AmphoraSettings


class Drivers:
    """The four drivers that a provider works with, each loaded when it is first needed.

    What speaks to agents is large; it is loaded while the first machine boots.

    :raises DriverError: on access, for a driver that cannot be loaded.
    """

    def __init__(self, load: Callable[[str, str], Any], settings: AmphoraSettings) -> None:
        self._load = load
        self._settings = settings

    @cached_property
    def compute(self) -> Compute:
        """Makes machines."""
        return cast(Compute, self._load("lbdrivers.compute", self._settings.compute_driver))

    @cached_property
    def network(self) -> Network:
        """Makes ports."""
        return cast(Network, self._load("lbdrivers.networks", self._settings.network_driver))

    @cached_property
    def amphora(self) -> AmphoraDriver:
        """Speaks to agents."""
        return cast(AmphoraDriver, self._load("lbdrivers.amphora", self._settings.amphora_driver))

    @cached_property
    def authority(self) -> Authority:
        """Issues the certificates of agents and controllers."""
        return cast(Authority, self._load("lbdrivers.certificates", self._settings.certificate_driver))


@dataclass
class Work:
    """One run for one load balancer. Steps of different amphorae touch only their own entries.

    :param fence: keeps the run out when its load balancer is another run's; the ledger writes through it.
    :param tls: the certificate files that the wanted tree needs.
    :param build_priority: of its builds among those of others; the lower, the sooner.
    """

    context: DriverContext
    settings: AmphoraSettings
    drivers: Drivers
    ledger: Ledger
    fence: Fence
    balancer: Balancer
    tree: LoadBalancer | None
    built: tuple[Amphora, ...] = ()
    kept: tuple[Amphora, ...] = ()
    removed: tuple[Amphora, ...] = ()
    tls: TlsFiles = field(default_factory=TlsFiles)
    build_priority: int = CREATE_PRIORITY
    mildness: dict[str, Mildness] = field(default_factory=dict)
    _amphorae: dict[str, Amphora] = field(default_factory=dict)
    _subnets: dict[str, Subnet] = field(default_factory=dict)
    _vip: tuple[Nic, tuple[Vip, ...]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._amphorae = {a.id: a for a in (*self.built, *self.kept, *self.removed)}

    def machine_request(self, amphora: Amphora) -> MachineRequest:
        """The kind of machine that the amphora would be booted as now, without files."""
        request = self.wishes.machine(amphora.machine, (amphora.management_port,))
        return replace(request, image=request.image or self.settings.image)

    @property
    def admission(self) -> Admission:
        """Who may build now."""
        return Admission(self.context, self.settings)

    def label(self, subject: str) -> str:
        """How people call a subject: an amphora by its role and the beginning of its id."""
        if not subject:
            return f"load balancer {self.balancer.name or self.balancer.id}"
        amphora = self.amphora(subject)
        return f"amphora {amphora.id[:8]} {amphora.role}"

    @property
    def desired(self) -> LoadBalancer:
        """The wanted tree. :raises RuntimeError: in a run that has none (a removal)."""
        if self.tree is None:
            raise RuntimeError("this run has no wanted tree")
        return self.tree

    @property
    def wishes(self) -> Wishes:
        """What the wanted tree's flavor and zone ask for; without a tree, nothing."""
        return Wishes(AmphoraFlavor(), AmphoraZone()) if self.tree is None else Wishes.of(self.tree)

    @property
    def management_networks(self) -> tuple[str, ...]:
        """Networks on which agents are reached: the zone's, or those that the settings name."""
        own = self.wishes.zone.management_network
        return (own,) if own is not None else self.settings.management_networks

    def subjects(self, subject: Subject) -> tuple[str, ...]:
        """Amphora ids (or "" for the load balancer) that a stage is for."""
        chosen = {
            Subject.BUILT: self.built,
            Subject.KEPT: self.kept,
            Subject.SERVING: (*self.built, *self.kept),
            Subject.REMOVED: self.removed,
        }
        if subject is Subject.LOAD_BALANCER:
            return ("",)
        return tuple(amphora.id for amphora in chosen[subject])

    def amphora(self, amphora_id: str) -> Amphora:
        """The amphora as it is known now."""
        return self._amphorae[amphora_id]

    def update(self, amphora: Amphora) -> None:
        """Commit a change of an amphora's record."""
        self.ledger.save_amphora(amphora)
        with self._lock:
            self._amphorae[amphora.id] = amphora

    def change_balancer(self, change: Callable[[Balancer], Mapping[str, Any]]) -> None:
        """Commit a change of the load balancer's record; steps of several amphorae may ask at once."""
        with self._lock:
            self.balancer = self.balancer.model_copy(update=dict(change(self.balancer)))
            self.ledger.save_balancer(self.balancer)

    def subnet(self, subnet_id: str) -> Subnet:
        """The subnet, asked for once in a run."""
        with self._lock:
            found = self._subnets.get(subnet_id)
        if found is None:
            found = self.drivers.network.subnet(subnet_id)
            with self._lock:
                self._subnets[subnet_id] = found
        return found

    def set_vip(self, port: Port) -> None:
        """Take over where the VIP port is and what addresses it has; the primary VIP comes first."""
        fixed = [(f.subnet_id, f.address) for f in port.fixed if f.address is not None]
        vips = [_vip(self.subnet(subnet_id), address) for subnet_id, address in fixed]
        ordered = (*vips[:1], *sorted(vips[1:], key=lambda vip: vip.address))
        self._vip = (Nic(port.network_id, tuple(subnet_id for subnet_id, _ in fixed)), ordered)

    @property
    def vip(self) -> tuple[Nic, tuple[Vip, ...]]:
        """The VIPs' network with their subnets, and the VIPs. Reserved by an earlier step."""
        if self._vip is None:
            port = self.drivers.network.port(self.balancer.vip_port)
            if port is None:
                raise TemporaryError("the VIP's port is not there yet", f"no port {self.balancer.vip_port}")
            self.set_vip(port)
        if self._vip is None:
            raise RuntimeError("set_vip left no VIP")
        return self._vip

    def nics(self) -> tuple[Nic, ...]:
        """The NICs that each amphora should have, the VIP's first."""
        subnets = member_subnets(self.desired)
        return wanted_nics(self.vip[0], subnets, {subnet: self.subnet(subnet).network_id for subnet in subnets})

    def port_name(self, amphora: Amphora, nic: Nic) -> str:
        """Name of the amphora's port for that NIC."""
        if nic.network_id == self.vip[0].network_id:
            return amphora.vrrp_port
        return amphora.member_port(nic.network_id)

    def interface(self, nic: Nic, port: Port) -> Interface:
        """How the appliance has to set the port up."""
        vip_nic, vips = self.vip
        addresses = []
        for fixed in port.fixed:
            if fixed.address is not None:
                subnet = self.subnet(fixed.subnet_id)
                addresses.append(InterfaceAddress(fixed.address, subnet.cidr, subnet.gateway, subnet.host_routes))
        mtu = self.drivers.network.network(nic.network_id).mtu
        return Interface(port.mac, mtu, tuple(addresses), vips if nic.network_id == vip_nic.network_id else ())

    def machine(self, amphora: Amphora) -> Machine:
        """The amphora's machine. :raises TemporaryError: when it is not there."""
        machine = self.drivers.compute.find(amphora.machine)
        if machine is None:
            raise TemporaryError("an amphora's machine is missing", f"no machine {amphora.machine}")
        return machine

    def bundle(self, amphora_id: str) -> Bundle:
        """The whole desired configuration of one appliance."""
        serving = sorted((self._amphorae[i] for i in self.subjects(Subject.SERVING)), key=lambda a: (-a.priority, a.id))
        peers = []
        for amphora in serving:
            if amphora.vrrp_address is None:
                raise PermanentError("an amphora has no VRRP address", f"record of amphora {amphora.id}")
            peers.append(Peer(amphora.id, amphora.vrrp_address, amphora.role, amphora.priority))
        password = self.balancer.vrrp_password
        return Bundle(
            load_balancer=self.desired,
            amphora_id=amphora_id,
            topology=self.balancer.topology,
            peers=tuple(peers),
            vips=self.vip[1],
            timers=self.settings.timers,
            options=self.settings.traffic,
            tls=self.tls,
            vrrp_password=None if password is None else Secret(password.encode()),
        )


def _vip(subnet: Subnet, address: str) -> Vip:
    return Vip(address, subnet.cidr, subnet.gateway, subnet.host_routes)
