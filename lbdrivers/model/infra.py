"""What compute and network drivers speak of: machines, ports, subnets, networks and the delta.

Law: plain frozen values without behaviour that reaches outside. Addresses are canonical text
(``ipaddress`` spelling), ids are whatever the cloud uses, names are deterministic and ours.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from lbdrivers.model.secret import Secret


@dataclass(frozen=True)
class HostRoute:
    """A route that a subnet hands to its guests: ``destination`` (CIDR) by ``nexthop``."""

    destination: str
    nexthop: str


@dataclass(frozen=True)
class Subnet:
    """A range of addresses on a network; ``gateway`` is None when it has none."""

    id: str
    network_id: str
    cidr: str
    gateway: str | None = None
    host_routes: tuple[HostRoute, ...] = ()


@dataclass(frozen=True)
class Network:
    """A layer-2 segment with its subnets; ``mtu`` in bytes."""

    id: str
    name: str
    mtu: int
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True)
class FixedAddress:
    """An address of a port; in a request ``address`` None means "any free one of the subnet"."""

    subnet_id: str
    address: str | None = None


@dataclass(frozen=True)
class PortRequest:
    """The whole desired state of a port. Its ``name`` is its identity (deterministic, ours).

    :param bound: False for a VIP port: it reserves addresses and is never plugged into a machine.
    :param allowed_addresses: further addresses that may be used behind the port (the VIPs).
    """

    name: str
    network_id: str
    fixed: tuple[FixedAddress, ...]
    bound: bool = True
    allowed_addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """A port as it exists. ``machine`` is the name of the machine it is plugged into, or None."""

    id: str
    name: str
    network_id: str
    mac: str
    fixed: tuple[FixedAddress, ...]
    machine: str | None = None
    allowed_addresses: tuple[str, ...] = ()

    def address_in(self, subnet_id: str) -> str | None:
        """The port's first address in the subnet, or None."""
        return next((f.address for f in self.fixed if f.subnet_id == subnet_id), None)


class MachineStatus(enum.StrEnum):
    """What compute says of a machine; whether its agent answers is another question."""

    BUILDING = "BUILDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


@dataclass(frozen=True)
class MachineRequest:
    """The whole desired state of a machine. Its ``name`` is its identity (deterministic, ours).

    :param ports: names of the ports that it has from the start (the management port), in order.
    :param files: absolute path inside the machine -> content, written before anything starts.
    :param group: anti-affinity group, or None.
    :param flavor: compute flavor, in the driver's own terms, or None for its default.
    :param image: tag of the image to boot from, or None for the driver's default.
    :param zone: availability zone, or None.
    """

    name: str
    ports: tuple[str, ...]
    files: Mapping[str, Secret] = field(default_factory=dict)
    group: str | None = None
    flavor: str | None = None
    zone: str | None = None
    image: str | None = None


@dataclass(frozen=True)
class Machine:
    """A machine as it exists.

    :param address: management address, None until it is known.
    :param vantage: path of the network namespace from which ``address`` is reached; None means
        the caller's own. Only machines on this very host need it.
    """

    id: str
    name: str
    status: MachineStatus
    address: str | None = None
    vantage: str | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Nic:
    """One network interface of an amphora, as wanted: a network and the subnets used on it."""

    network_id: str
    subnet_ids: tuple[str, ...]


@dataclass(frozen=True)
class SubnetChange:
    """A subnet to add to or to take from the NIC on its network."""

    network_id: str
    subnet_id: str


@dataclass(frozen=True)
class Delta:
    """What has to be plugged and unplugged so that an amphora reaches its members."""

    add_nics: tuple[Nic, ...] = ()
    delete_nics: tuple[Nic, ...] = ()
    add_subnets: tuple[SubnetChange, ...] = ()
    delete_subnets: tuple[SubnetChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add_nics or self.delete_nics or self.add_subnets or self.delete_subnets)
