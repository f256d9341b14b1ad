"""The site's ports: one small file each, and the rule by which addresses are given out.

Law: a port keeps its addresses for as long as it lives and fits its request; the lowest free address
of a subnet is given next; a conflict names who holds the address. ``choose`` is pure; ``PortBook``
writes under the site's lock.
"""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lbdrivers.errors import InvalidInput, PermanentError, Problem
from lbdrivers.model.infra import FixedAddress, Port, PortRequest
from lbdrivers_amphora.site.files import private_folder, write_atomically
from lbdrivers_amphora.site.links import mac_address
from lbdrivers_amphora.site.place import Site, file_name
from lbdrivers_amphora.site.topology import LocalSubnet, Topology

#: Ports have UUIDs made of their names, as other networks give out UUIDs.
_PORT_IDS = uuid.UUID("5a1c4f0e-7d0b-5b8e-9a39-6f2d3c1e8b47")
_PORT = TypeAdapter(Port)


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


def _checked(subnet: LocalSubnet, text: str, taken: Mapping[str, str]) -> str:
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


def _lowest(subnet: LocalSubnet, used: set[str]) -> str:
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


class PortBook:
    """The ports of a site. Its writing methods must be called under the site's lock."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def get(self, key: str) -> Port | None:
        """The port of that name or id, or None."""
        try:
            return self._read(self._path(key))
        except FileNotFoundError:
            return next((port for port in self.all() if port.id == key), None)

    def all(self) -> tuple[Port, ...]:
        """Every port, by name."""
        ports = []
        for path in sorted(self._site.ports.glob("[!.]*.json")):
            try:
                ports.append(self._read(path))
            except FileNotFoundError:  # removed since the listing
                continue
        return tuple(ports)

    def of(self, machine: str) -> tuple[Port, ...]:
        """The ports plugged into the machine, by name."""
        return tuple(port for port in self.all() if port.machine == machine)

    def ensure(self, request: PortRequest) -> Port:
        """Make the port be as requested. :raises PermanentError: see :func:`choose`."""
        topology = self._site.topology
        network = topology.network(request.network_id)
        for wish in request.fixed:
            subnet = topology.subnet(wish.subnet_id)
            if subnet.value.network_id != network.id:
                raise PermanentError(f"the subnet {subnet.name} is not on the network {network.name}")
        known = {port.name: port for port in self.all()}
        old = known.pop(request.name, None)
        if old is not None and old.network_id != network.id:
            other = topology.network(old.network_id).name
            raise PermanentError(f"port {request.name} is on the network {other} already; remove it first")
        taken = {fixed.address: port.name for port in known.values() for fixed in port.fixed if fixed.address}
        port = Port(
            id=str(uuid.uuid5(_PORT_IDS, request.name)),
            name=request.name,
            network_id=network.id,
            mac=old.mac if old else _free_mac(request.name, {port.mac for port in known.values()}),
            fixed=choose(topology, request.fixed, old.fixed if old else (), taken),
            machine=old.machine if old else None,
            allowed_addresses=request.allowed_addresses,
        )
        if port != old:
            self.write(port)
        return port

    def write(self, port: Port) -> None:
        """Write the port's file."""
        private_folder(self._site.ports)
        write_atomically(self._path(port.name), _PORT.dump_json(port, indent=1))

    def plugged(self, port: Port, machine: str | None) -> Port:
        """Write down into which machine the port is plugged; None for none."""
        changed = replace(port, machine=machine)
        if changed != port:
            self.write(changed)
        return changed

    def remove(self, name: str) -> None:
        """Forget the port; absent is success."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._site.ports / f"{file_name(name)}.json"

    def _read(self, path: Path) -> Port:
        try:
            return _PORT.validate_python(json.loads(path.read_bytes()))
        except (ValueError, ValidationError) as error:
            problem = Problem(str(path), "", f"is not a port's file: {error}", "remove the file, or restore it")
            raise InvalidInput((problem,)) from error


def _free_mac(name: str, used: set[str]) -> str:
    attempt = 0
    while (mac := mac_address(name, attempt)) in used:
        attempt += 1
    return mac
