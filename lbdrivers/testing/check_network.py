"""The laws of the network contract (``lbdrivers.drivers.network``), one function each."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lbdrivers.drivers.network import Network
from lbdrivers.model.infra import FixedAddress, Port, PortRequest
from lbdrivers.testing.check import Check, Patience, expect, refused
from lbdrivers.testing.surroundings import new_id


@dataclass(frozen=True)
class NetworkFixture:
    """A network driver under test.

    :param make: a new driver object on the same backend, each time; as after a restart.
    :param subnet_id: a subnet with some free addresses.
    :param absent_subnet_id: id of no subnet; None for a backend where every id has one.
    """

    make: Callable[[], Network]
    subnet_id: str
    absent_subnet_id: str | None = None
    patience: Patience = field(default_factory=Patience)

    def request(self, name: str, address: str | None = None, allowed: tuple[str, ...] = ()) -> PortRequest:
        """A port on the subnet."""
        network_id = self.make().subnet(self.subnet_id).network_id
        return PortRequest(name, network_id, (FixedAddress(self.subnet_id, address),), allowed_addresses=allowed)

    def ensure(self, request: PortRequest) -> Port:
        """Ensure the port, as patiently as the engine."""
        return self.patience.settled("ensure_port", lambda: self.make().ensure_port(request))

    def remove(self, name: str) -> None:
        """Remove the port, as patiently as the engine."""
        self.patience.settled("remove_port", lambda: self.make().remove_port(name))

    @contextmanager
    def port(self, address: str | None = None, allowed: tuple[str, ...] = ()) -> Iterator[Port]:
        """A port for as long as the block runs."""
        name = f"kit-{new_id()}"
        try:
            yield self.ensure(self.request(name, address, allowed))
        finally:
            self.remove(name)


def check_subnets_and_networks_agree(fixture: NetworkFixture) -> None:
    """A subnet names its network, which lists it; range, gateway and MTU make sense; asking changes nothing."""
    network = fixture.make()
    subnet = network.subnet(fixture.subnet_id)
    around = network.network(subnet.network_id)
    expect(subnet.id == fixture.subnet_id, "subnet() gave another subnet")
    expect(subnet in around.subnets, "the subnet's network does not list it")
    cidr = ipaddress.ip_network(subnet.cidr)
    expect(str(cidr) == subnet.cidr, f"the CIDR {subnet.cidr} is not in canonical spelling")
    if subnet.gateway is not None:
        expect(ipaddress.ip_address(subnet.gateway) in cidr, "the gateway is outside the subnet")
    expect(around.mtu >= 576, f"no IPv4 network has an MTU of {around.mtu} (RFC 791)")
    expect(fixture.make().subnet(fixture.subnet_id) == subnet, "the subnet is another one when asked again")


def check_the_absent_is_no_error(fixture: NetworkFixture) -> None:
    """An absent port is None, and removing it is success; an absent subnet is a PermanentError."""
    network, name = fixture.make(), f"kit-{new_id()}"
    for _ in range(2):
        expect(network.port(name) is None, "port() gives a port that nobody made")
        fixture.remove(name)
    absent = fixture.absent_subnet_id
    if absent is not None:
        refused("an absent subnet", lambda: network.subnet(absent))


def check_a_port_gets_a_free_address(fixture: NetworkFixture) -> None:
    """Ports get addresses in their subnet that nobody else has, the gateway neither, and MACs of their own."""
    subnet = fixture.make().subnet(fixture.subnet_id)
    with fixture.port() as one, fixture.port() as other:
        addresses = [port.address_in(subnet.id) for port in (one, other)]
        for address in addresses:
            inside = address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(subnet.cidr)
            expect(inside, f"the address {address} is outside the subnet {subnet.cidr}")
        expect(len({*addresses, subnet.gateway}) == 3, "two ports, or a port and the gateway, share an address")
        expect(one.mac != other.mac and one.id != other.id, "two ports share a MAC or an id")
        expect(one.machine is None, "a new port is plugged into a machine")


def check_ensuring_again_changes_nothing(fixture: NetworkFixture) -> None:
    """The same request gives the same port, by whichever object; port() finds it by name and by id."""
    with fixture.port() as port:
        again = fixture.ensure(fixture.request(port.name))
        expect(again == port, "ensuring a port again changed it")
        expect(fixture.make().port(port.name) == port, "port() does not find it by its name")
        expect(fixture.make().port(port.id) == port, "port() does not find it by its id")
        expect([one for one in fixture.make().ports() if one.name == port.name] == [port], "ports() does not list it")


def check_a_wanted_address_is_given_or_refused(fixture: NetworkFixture) -> None:
    """A wanted address that is free is given; a taken one and one outside the subnet are refused."""
    with fixture.port() as port:
        address = port.address_in(fixture.subnet_id)
    with fixture.port(address) as port:
        expect(port.address_in(fixture.subnet_id) == address, f"the port did not get the wanted address {address}")
        name = f"kit-{new_id()}"
        try:
            refused("an address that is taken", lambda: fixture.ensure(fixture.request(name, address)))
            outside = "192.0.2.1" if ":" not in (address or "") else "2001:db8:ffff::1"
            refused("an address outside the subnet", lambda: fixture.ensure(fixture.request(name, outside)))
        finally:
            fixture.remove(name)


def check_addresses_stay(fixture: NetworkFixture) -> None:
    """A port keeps its address and MAC for life; allowed addresses become those that are wanted."""
    with fixture.port(allowed=("198.51.100.1",)) as port:
        expect(port.allowed_addresses == ("198.51.100.1",), "the allowed address was not taken over")
        for allowed in (("198.51.100.2", "198.51.100.3"), ()):
            changed = fixture.ensure(fixture.request(port.name, allowed=allowed))
            expect(set(changed.allowed_addresses) == set(allowed), f"allowed addresses are not {allowed}")
            same = (changed.id, changed.mac, changed.fixed) == (port.id, port.mac, port.fixed)
            expect(same, "changing the allowed addresses changed the port")


def check_remove_frees_the_address(fixture: NetworkFixture) -> None:
    """After remove the port is gone and its address can be had by another; removing again is success."""
    with fixture.port() as port:
        for _ in range(2):
            fixture.remove(port.name)
            expect(fixture.make().port(port.name) is None, "port() still gives what was removed")
            expect(port.name not in {one.name for one in fixture.make().ports()}, "ports() still lists it")
        address = port.address_in(fixture.subnet_id)
        with fixture.port(address) as next_one:
            expect(next_one.address_in(fixture.subnet_id) == address, "the freed address was not given again")


CHECKS: tuple[Check[NetworkFixture], ...] = (
    Check(check_subnets_and_networks_agree),
    Check(check_the_absent_is_no_error),
    Check(check_a_port_gets_a_free_address),
    Check(check_ensuring_again_changes_nothing),
    Check(check_a_wanted_address_is_given_or_refused),
    Check(check_addresses_stay),
    Check(check_remove_frees_the_address),
)
