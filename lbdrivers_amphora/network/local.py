"""The network driver of the embedded site: ports on bridges of this very host.

Law: nothing outside the site's folder and namespaces is touched. Networks are those of the networks
file; a port is a file, and a cable once a machine has it.
"""

from __future__ import annotations

import functools

from lbdrivers.drivers.context import DriverContext
from lbdrivers.model.infra import Network, Port, PortRequest, Subnet
from lbdrivers_amphora.site.fabric import Fabric
from lbdrivers_amphora.site.place import Site
from lbdrivers_amphora.site.ports import PortBook


class LocalNetwork:
    """See :class:`lbdrivers.drivers.network.Network`. Networks and subnets go by id or name."""

    contract = 1

    def __init__(self, context: DriverContext) -> None:
        self._context = context

    @functools.cached_property
    def site(self) -> Site:
        """The site that the configuration names."""
        return Site.of(self._context.configuration)

    @property
    def _book(self) -> PortBook:
        return PortBook(self.site)

    def networks(self) -> tuple[Network, ...]:
        """Every network of the site, for people who choose one."""
        return self.site.topology.networks

    def controller_address(self, network_id: str) -> str | None:
        """The controller's own address on the network, where heartbeats are sent to; None if it has none."""
        network = self.site.topology.network(network_id)
        subnets = self.site.topology.subnets_of(network.id)
        return next((subnet.controller_address for subnet in subnets if subnet.controller_address), None)

    def vantage(self) -> str:
        """Path of the network namespace in which the controller's addresses are; made if need be."""
        with self.site.locked() as lock:
            return f"/proc/{Fabric(self.site).ensure(lock)}/ns/net"

    def subnet(self, subnet_id: str) -> Subnet:
        """The subnet. :raises PermanentError: naming those that there are."""
        return self.site.topology.subnet(subnet_id).value

    def network(self, network_id: str) -> Network:
        """The network. :raises PermanentError: naming those that there are."""
        return self.site.topology.network(network_id)

    def port(self, name: str) -> Port | None:
        """The port of that name or id, or None."""
        return self._book.get(name)

    def ensure_port(self, request: PortRequest) -> Port:
        """Make the port exist as requested; an unbound one merely reserves its addresses.

        :raises PermanentError: when an address is taken, reserved or outside, or a subnet is full.
        """
        with self.site.locked():
            return self._book.ensure(request)

    def remove_port(self, name: str) -> None:
        """Unplug and remove the port; absent is success."""
        port = self._book.get(name)
        if port is not None:
            with self.site.locked() as lock:
                Fabric(self.site).unplug(lock, port)
                self._book.remove(port.name)
        self.site.release_if_unused()

    def ports(self) -> tuple[Port, ...]:
        """Every port of the site, by name."""
        return self._book.all()
