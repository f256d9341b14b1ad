"""Which addresses ports get, for network drivers that give them out themselves.

Law: pure. A port keeps its addresses for as long as it lives and fits its request; the lowest free address
of a subnet is given next; a conflict names who holds the address.
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from collections.abc import Iterable, Mapping

from lbdrivers.drivers.topology import NamedSubnet, Topology
from lbdrivers.errors import PermanentError
from lbdrivers.model.infra import FixedAddress, Port, PortRequest

#: Ports have UUIDs made of their names, as other networks give out UUIDs.
_PORT_IDS = uuid.UUID("5a1c4f0e-7d0b-5b8e-9a39-6f2d3c1e8b47")


def port_id(name: str) -> str:
    """The id of the port of that name."""
    return str(uuid.uuid5(_PORT_IDS, name))


def settle(topology: Topology, request: PortRequest, present: Iterable[Port]) -> Port:
    """The port as it is to be, out of what is requested and the ports that are there.

    :raises PermanentError: when it is on another network already; and see :func:`choose`.
    """
    network = topology.network(request.network_id)
    for wish in request.fixed:
        subnet = topology.subnet(wish.subnet_id)
        if subnet.value.network_id != network.id:
            raise PermanentError(f"the subnet {subnet.name} is not on the network {network.name}")
    known = {port.name: port for port in present}
    old = known.pop(request.name, None)
    if old is not None and old.network_id != network.id:
        other = topology.network(old.network_id).name
        raise PermanentError(f"port {request.name} is on the network {other} already; remove it first")
    taken = {fixed.address: port.name for port in known.values() for fixed in port.fixed if fixed.address}
    return Port(
        id=port_id(request.name),
        name=request.name,
        network_id=network.id,
        mac=old.mac if old else _free_mac(request.name, {port.mac for port in known.values()}),
        fixed=choose(topology, request.fixed, old.fixed if old else (), taken),
        machine=old.machine if old else None,
        allowed_addresses=request.allowed_addresses,
    )


def choose(
    topology: Topology, wanted: Iterable[FixedAddress], kept: Iterable[FixedAddress], taken: Mapping[str, str]
) -> tuple[FixedAddress, ...]:
    """The addresses that a port gets.

    :param kept: those that it has.
    :param taken: addresses of other ports -> name of the holder.
    :raises PermanentError: when an address is taken, reserved or outside, or a subnet is full.
    """
    wishes = [(topology.subnet(wish.subnet_id), wish.address) for wish in wanted]
    named = {_checked(subnet, address, taken) for subnet, address in wishes if address is not None}
    free = [old for old in kept if old.address not in named]
    used = set(taken) | named
    chosen = []
    for subnet, wish in wishes:
        if wish is not None:
            address = str(ipaddress.ip_address(wish))
        else:
            old = next((old for old in free if old.subnet_id == subnet.value.id and old.address), None)
            if old is not None:
                free.remove(old)
            address = old.address if old is not None and old.address else _lowest(subnet, used)
        used.add(address)
        chosen.append(FixedAddress(subnet.value.id, address))
    return tuple(chosen)


def _checked(subnet: NamedSubnet, text: str, taken: Mapping[str, str]) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise PermanentError(f"{text!r} is not an IP address") from error
    if address not in subnet.range:
        raise PermanentError(f"the address {address} is not in the subnet {subnet.name} ({subnet.value.cidr})")
    if str(address) in subnet.reserved():
        raise PermanentError(f"the address {address} is reserved in the subnet {subnet.name} ({subnet.value.cidr})")
    if str(address) in taken:
        text = f"the address {address} is in use already"
        raise PermanentError(text, f"{text}; port {taken[str(address)]} holds it")
    return str(address)


def _lowest(subnet: NamedSubnet, used: set[str]) -> str:
    reserved = subnet.reserved()
    span = subnet.range
    first = int(span.network_address)
    for number in range(first, first + span.num_addresses):
        address = str(type(span.network_address)(number))
        if address not in used and address not in reserved:
            return address
    raise PermanentError(
        f"the subnet {subnet.name} ({span}) has no free address; remove a port or choose a wider range"
    )


def mac_address(text: str, attempt: int = 0) -> str:
    """A locally administered unicast address (IEEE 802, second bit of the first octet) made of the text."""
    figures = hashlib.sha256((f"{text}#{attempt}" if attempt else text).encode()).hexdigest()
    return "02:" + ":".join(figures[i : i + 2] for i in range(0, 10, 2))


def _free_mac(name: str, used: set[str]) -> str:
    attempt = 0
    while (mac := mac_address(name, attempt)) in used:
        attempt += 1
    return mac
