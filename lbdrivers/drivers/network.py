"""The network contract: subnets and networks as they are, ports as they are wanted.

Law: the name of a port is its identity, chosen by the caller before anything exists. A port keeps
its addresses for as long as it lives.
"""

from __future__ import annotations

from typing import Protocol

from lbdrivers.model.infra import Network as NetworkValue
from lbdrivers.model.infra import Port, PortRequest, Subnet


class Network(Protocol):
    """Finds networks and subnets, keeps ports. Every verb is idempotent."""

    contract: int

    def subnet(self, subnet_id: str) -> Subnet:
        """:raises PermanentError: when there is no such subnet; it names those that there are."""
        ...

    def network(self, network_id: str) -> NetworkValue:
        """:raises PermanentError: when there is no such network."""
        ...

    def port(self, name: str) -> Port | None:
        """The port of that name (or id), or None."""
        ...

    def ensure_port(self, request: PortRequest) -> Port:
        """Make the port exist with the wanted subnets and allowed addresses; addresses that it
        has already are kept where they fit.

        :raises PermanentError: when a wanted address is taken or outside its subnet, or a subnet is full.
        """
        ...

    def remove_port(self, name: str) -> None:
        """Remove the port and free its addresses; absent is success."""
        ...

    def ports(self) -> tuple[Port, ...]:
        """Every port that this driver holds, by name."""
        ...
