"""The network driver ``ovn``: logical switches, a router and ports, made in the northbound database itself.

Law: networks are those of the networks file. They come into being with their first port and go with the last one; what
this driver did not make, it neither changes nor removes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from lbdrivers.drivers.addresses import port_id, settle
from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.drivers.topology import Topology, load
from lbdrivers.model.infra import Network, Port, PortRequest, Subnet
from lbdrivers_ovn import names
from lbdrivers_ovn.database import Row, Work
from lbdrivers_ovn.network import layout
from lbdrivers_ovn.northbound import Northbound
from lbdrivers_ovn.settings import read

_PORTS = "Logical_Switch_Port"
_ROUTER_PORTS = "Logical_Router_Port"


class OvnNetwork:
    """See :class:`lbdrivers.drivers.network.Network`. Networks and subnets go by id or name."""

    contract = CONTRACT

    def __init__(self, context: DriverContext) -> None:
        self._settings = read(context.configuration)
        self.northbound = Northbound(self._settings.northbound)

    @functools.cached_property
    def _topology(self) -> Topology:
        return load(self._settings.networks_file, "[ovn] networks_file")

    def networks(self) -> tuple[Network, ...]:
        """Every network of the file, for people who choose one."""
        return self._topology.networks

    def subnet(self, subnet_id: str) -> Subnet:
        """The subnet. :raises PermanentError: naming those that there are."""
        return self._topology.subnet(subnet_id).value

    def network(self, network_id: str) -> Network:
        """The network. :raises PermanentError: naming those that there are."""
        return self._topology.network(network_id)

    def port(self, name: str) -> Port | None:
        """The port of that name or id, or None."""
        return self.northbound.database.look(lambda at: _find(at, name))

    def ensure_port(self, request: PortRequest) -> Port:
        """Make the port exist as requested, and the networks with it.

        :raises PermanentError: when an address is taken, reserved or outside, or a subnet is full.
        """
        topology = self._topology

        def work(at: Work) -> Port:
            old = _find(at, request.name)
            if old is not None and settle(topology, request, [old]) == old:
                return old
            port = settle(topology, request, _ports(at))
            _ensure_networks(at, topology)
            _write(at, port, request, topology)
            return port

        return self.northbound.database.run(work)

    def remove_port(self, name: str) -> None:
        """Remove the port, and the networks with the last one; absent is success."""

        def work(at: Work) -> None:
            port = _find(at, name)
            if port is None:
                return
            (row,) = at.find(_PORTS, port.id)
            for switch in at.find("Logical_Switch", names.switch(port.network_id)):
                switch.verify("ports")  # somebody may be adding one, which keeps the networks
                switch.delvalue("ports", row)
            row.delete()
            if {one.name for one in _ports(at)} <= {port.name}:
                _remove_networks(at)

        self.northbound.database.run(work)

    def ports(self) -> tuple[Port, ...]:
        """Every port that this driver made, by name."""
        return self.northbound.database.look(lambda at: tuple(sorted(_ports(at), key=lambda port: port.name)))


def _find(at: Work, key: str) -> Port | None:
    for name in (port_id(key), key):
        for row in at.find(_PORTS, name):
            if layout.PORT in row.external_ids:
                return layout.port_of(row.name, row.external_ids)
    return None


def _ports(at: Work) -> Iterator[Port]:
    for row in at.rows(_PORTS):
        external_ids = row.external_ids
        if layout.PORT in external_ids:
            yield layout.port_of(row.name, external_ids)


def _ensure_networks(at: Work, topology: Topology) -> None:
    for network in topology.networks:
        if not at.find("Logical_Switch", names.switch(network.id)):
            switch = at.insert("Logical_Switch")
            switch.name = names.switch(network.id)
            switch.external_ids = {
                layout.MADE: "network",
                "neutron:network_name": network.name,
                "neutron:mtu": str(network.mtu),
            }
    if ends := layout.router_ports(topology):
        router = _ensure_router(at, topology)
        for end in ends:
            _ensure_interface(at, router, end)


def _ensure_router(at: Work, topology: Topology) -> Row:
    """The router that this driver made, or made now; by its mark, as the file may have another first network by now."""
    for row in at.rows("Logical_Router"):
        if layout.MADE in row.external_ids:
            return row
    router = at.insert("Logical_Router")
    router.name = layout.router_name(topology)
    router.external_ids = {layout.MADE: "router"}
    return router


def _ensure_interface(at: Work, router: Row, end: layout.RouterPort) -> None:
    """The router's interface and the switch's end of it, also where the file got a network or a subnet later."""
    present = at.find(_ROUTER_PORTS, end.name)
    if not present:
        port = at.insert(_ROUTER_PORTS)
        port.name, port.mac, port.networks = end.name, end.mac, list(end.addresses)
        port.external_ids = {"neutron:network_name": end.switch}
        router.addvalue("ports", port)
    elif set(present[0].networks) != set(end.addresses):
        present[0].networks = list(end.addresses)
    # By these, other controllers of the same layout find routers.
    external_ids = {
        "neutron:device_owner": "network:router_interface",
        "neutron:cidrs": " ".join(end.addresses),
    }
    ends = at.find(_PORTS, end.switch_port)
    if not ends:
        peer = at.insert(_PORTS)
        peer.name, peer.type, peer.addresses = end.switch_port, "router", ["router"]
        peer.options, peer.external_ids = {"router-port": end.name}, external_ids
        _switch(at, end.switch).addvalue("ports", peer)
    elif ends[0].external_ids != external_ids:
        ends[0].external_ids = external_ids


def _switch(at: Work, name: str) -> Row:
    """The switch, be it one of this very transaction, which no index has yet."""
    return next(row for row in at.rows("Logical_Switch") if row.name == name)


def _write(at: Work, port: Port, request: PortRequest, topology: Topology) -> None:
    columns = layout.port_columns(port, request, topology)
    present = at.find(_PORTS, port.id)
    row = present[0] if present else at.insert(_PORTS)
    for column, value in columns.items():
        setattr(row, column, value)
    if not present:
        switch = _switch(at, names.switch(port.network_id))
        switch.verify("ports")  # of two writers the later one sees the other's addresses
        switch.addvalue("ports", row)


def _remove_networks(at: Work) -> None:
    for table in ("Logical_Router", "Logical_Switch"):
        for row in at.rows(table):
            if layout.MADE in row.external_ids:
                row.delete()
