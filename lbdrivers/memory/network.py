"""Networks, subnets and ports without wires; see ``lbdrivers.drivers.network`` for the laws.

Any subnet or network id works: one that nobody defined comes into being when it is asked for, with an
id and a range that follow from the asked id alone. Until its first port such a subnet still fits
itself to what is wanted of it: the network of the port, the range around its address. So any valid
tree finds a place here; ``define`` makes subnets that are what they are.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.memory.cloud import Cloud, StoredSubnet, derived_id
from lbdrivers.memory.faults import Faults
from lbdrivers.model.infra import FixedAddress, Network, Port, PortRequest, Subnet

#: As large as Ethernet's usual payload, in bytes.
_MTU = 1500


class MemoryNetwork:
    """Implements ``Network`` on the memory cloud."""

    contract = 1

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._faults = faults or Faults()

    def define(self, subnet: Subnet) -> None:
        """Make a subnet as given, or change one."""
        self.cloud.subnets.change(subnet.id, lambda _old: StoredSubnet(subnet, on_demand=False))

    def subnet(self, subnet_id: str) -> Subnet:
        """See ``Network.subnet``."""
        with self._faults.around("subnet", subnet_id):
            return self._subnet(subnet_id).subnet

    def network(self, network_id: str) -> Network:
        """See ``Network.network``."""
        with self._faults.around("network", network_id):
            if not self._subnets_of(network_id):
                first = derived_id("subnet", network_id)
                made = Subnet(first, network_id, *_range_for(first))
                self.cloud.subnets.change(first, lambda old: old or StoredSubnet(made, on_demand=True))
            return Network(network_id, f"memory-{network_id[:8]}", _MTU, self._subnets_of(network_id))

    def port(self, name: str) -> Port | None:
        """See ``Network.port``."""
        with self._faults.around("port", name):
            return self._find(name)

    def ensure_port(self, request: PortRequest) -> Port:
        """See ``Network.ensure_port``."""
        with self._faults.around("ensure_port", request):
            for fixed in request.fixed:
                self._settle(request, fixed)
            return self._ensure(request)

    def remove_port(self, name: str) -> None:
        """See ``Network.remove_port``."""
        with self._faults.around("remove_port", name):
            found = self._find(name)
            self.cloud.ports.remove(found.name if found is not None else name)
            self._release(found.name if found is not None else name, keep=())

    def ports(self) -> tuple[Port, ...]:
        """See ``Network.ports``."""
        with self._faults.around("ports"):
            return self.cloud.ports.all()

    def _find(self, name: str) -> Port | None:
        return self.cloud.ports.get(name) or next((one for one in self.cloud.ports.all() if one.id == name), None)

    def _subnets_of(self, network_id: str) -> tuple[Subnet, ...]:
        return tuple(one.subnet for one in self.cloud.subnets.all() if one.subnet.network_id == network_id)

    def _subnet(self, subnet_id: str) -> StoredSubnet:
        made = Subnet(subnet_id, derived_id("network", subnet_id), *_range_for(subnet_id))
        return self.cloud.subnets.change(subnet_id, lambda old: old or StoredSubnet(made, on_demand=True))

    def _settle(self, request: PortRequest, fixed: FixedAddress) -> None:
        """Fit an on-demand subnet without ports to its first one; check any other."""
        stored = self._subnet(fixed.subnet_id)
        in_use = any(one.subnet_id == fixed.subnet_id for port in self.cloud.ports.all() for one in port.fixed)
        if stored.on_demand and not in_use:
            fitting = replace(stored.subnet, network_id=request.network_id)
            if fixed.address is not None and not _contains(fitting.cidr, fixed.address):
                cidr, gateway = _range_around(fixed.address)
                fitting = replace(fitting, cidr=cidr, gateway=gateway)
            stored = self.cloud.subnets.change(fixed.subnet_id, lambda _old: StoredSubnet(fitting, on_demand=True))
        if stored.subnet.network_id != request.network_id:
            raise PermanentError(
                f"the subnet {fixed.subnet_id} is on the network {stored.subnet.network_id}, "
                f"not on {request.network_id}"
            )
        if fixed.address is not None and not _contains(stored.subnet.cidr, fixed.address):
            raise PermanentError(f"the address {fixed.address} is outside its subnet {stored.subnet.cidr}")

    def _ensure(self, request: PortRequest) -> Port:
        old = self.cloud.ports.get(request.name)
        kept = list(old.fixed) if old is not None else []
        fixed: list[FixedAddress] = []
        for want in request.fixed:
            fits = next((have for have in kept if _fits(have, want)), None)
            if fits is not None:
                kept.remove(fits)
            fixed.append(fits or self._claimed(request.name, want, fixed))

        def wanted(port: Port | None) -> Port:
            return Port(
                id=derived_id("port", request.name),
                name=request.name,
                network_id=request.network_id,
                mac=_mac(request.name),
                fixed=tuple(fixed),
                machine=port.machine if port is not None else None,
                allowed_addresses=request.allowed_addresses,
            )

        port = self.cloud.ports.change(request.name, wanted)
        self._release(request.name, keep=port.fixed)
        return port

    def _claimed(self, name: str, want: FixedAddress, fixed: list[FixedAddress]) -> FixedAddress:
        """The wanted address, or a free one, claimed for the port: of two who ask at once one gets it."""
        subnet = self._subnet(want.subnet_id).subnet
        has = {one.address for one in fixed if one.subnet_id == subnet.id}
        if want.address is not None:
            address = str(ipaddress.ip_address(want.address))
            if address in has or not self._claim(name, subnet.id, address):
                raise PermanentError(f"the address {address} is taken")
            return FixedAddress(subnet.id, address)
        # What this very port claimed before a crash is not taken for it.
        taken = {key for key, owner in self.cloud.addresses.items() if owner != name}
        for address in _usable(subnet):
            free = address not in has and f"{subnet.id}/{address}" not in taken
            if free and self._claim(name, subnet.id, address):
                return FixedAddress(subnet.id, address)
        raise PermanentError(f"the subnet {subnet.id} ({subnet.cidr}) is full")

    def _claim(self, name: str, subnet_id: str, address: str) -> bool:
        return self.cloud.addresses.change(f"{subnet_id}/{address}", lambda owner: owner or name) == name

    def _release(self, name: str, keep: tuple[FixedAddress, ...]) -> None:
        kept = {f"{one.subnet_id}/{one.address}" for one in keep}
        for key, owner in self.cloud.addresses.items():
            if owner == name and key not in kept:
                self.cloud.addresses.remove(key)


def _fits(have: FixedAddress, want: FixedAddress) -> bool:
    return have.subnet_id == want.subnet_id and want.address in (None, have.address)


def _contains(cidr: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


def _usable(subnet: Subnet) -> Iterator[str]:
    return (str(host) for host in ipaddress.ip_network(subnet.cidr).hosts() if str(host) != subnet.gateway)


def _range_for(subnet_id: str) -> tuple[str, str]:
    """CIDR and gateway that follow from the id: a /24 of 10.0.0.0/8."""
    digest = hashlib.sha256(subnet_id.encode()).digest()
    return f"10.{digest[0]}.{digest[1]}.0/24", f"10.{digest[0]}.{digest[1]}.1"


def _range_around(address: str) -> tuple[str, str | None]:
    """CIDR and gateway of the usual subnet that has the address: a /24, for IPv6 a /64."""
    prefix = 24 if ipaddress.ip_address(address).version == 4 else 64
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    gateway = str(network[1])
    return str(network), gateway if gateway != str(ipaddress.ip_address(address)) else None


def _mac(name: str) -> str:
    """A locally administered address (second-lowest bit of the first octet) that follows from the name."""
    digest = hashlib.sha256(name.encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0xFA, 0x16, 0x3E, *digest[:3]))
