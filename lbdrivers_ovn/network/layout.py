"""Networks, routers and ports as rows of the northbound database.

Law: pure. Names follow from ids, as Neutron makes them; what is ours has an external_id that says so, and everything
that can be read back of a port is in one of them.
"""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from lbdrivers.drivers.addresses import mac_address
from lbdrivers.drivers.topology import Topology
from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.infra import Port, PortRequest
from lbdrivers_ovn import names

#: external_ids of switches and routers that this driver made.
MADE = "lbdrivers:made"
#: external_ids of a port that this driver made: the port, as JSON.
PORT = "lbdrivers:port"
_PORT = TypeAdapter(Port)
#: UUIDs of what is made for subnets and networks follow from theirs.
_IDS = uuid.UUID("0c8f4b1e-3f52-5f0a-9d0c-6a1f5b7f2e11")


@dataclass(frozen=True)
class RouterPort:
    """The router's interface on a network, and the switch's end of it.

    :param addresses: with their prefix lengths.
    """

    name: str
    switch: str
    switch_port: str
    mac: str
    addresses: tuple[str, ...]


def router_name(topology: Topology) -> str:
    """The one router; its id follows from the first network's."""
    return names.switch(str(uuid.uuid5(_IDS, topology.networks[0].id)))


def router_ports(topology: Topology) -> tuple[RouterPort, ...]:
    """An interface on every network that has a gateway."""
    found = []
    for network in topology.networks:
        gateways = [
            f"{subnet.gateway}/{ipaddress.ip_network(subnet.cidr).prefixlen}"
            for subnet in network.subnets
            if subnet.gateway is not None
        ]
        if gateways:
            end = str(uuid.uuid5(_IDS, f"router port {network.id}"))
            mac = mac_address(f"router {network.id}")
            found.append(RouterPort(f"lrp-{end}", names.switch(network.id), end, mac, tuple(gateways)))
    return tuple(found)


def port_columns(port: Port, request: PortRequest, topology: Topology) -> Mapping[str, object]:
    """The columns of a port's row. One that is never plugged has no addresses in it: OVN would answer for them."""
    addresses = [one.address for one in port.fixed if one.address is not None]
    prefixes = [ipaddress.ip_network(topology.subnet(one.subnet_id).value.cidr).prefixlen for one in port.fixed]
    external_ids = {
        PORT: json.dumps(_PORT.dump_python(port, mode="json")),
        "neutron:port_name": port.name,
        "neutron:network_name": names.switch(port.network_id),
        "neutron:cidrs": " ".join(f"{one}/{length}" for one, length in zip(addresses, prefixes, strict=True)),
    }
    return {
        "name": port.id,
        "addresses": [" ".join((port.mac, *addresses))] if request.bound else [],
        "external_ids": external_ids,
    }


def port_of(name: str, external_ids: Mapping[str, str]) -> Port:
    """The port of a row. :raises InvalidInput: when it cannot be read."""
    try:
        return _PORT.validate_python(json.loads(external_ids[PORT]))
    except (ValueError, ValidationError) as error:
        path, remedy = f"Logical_Switch_Port {name} external_ids:{PORT}", "remove the port, or restore it"
        raise InvalidInput((Problem(path, external_ids[PORT][:120], "is no port", remedy),)) from error
