"""What a tree finds in its networks: VIPs that are reserved, subnets, and where health checks come from.

Law: speaks to the network driver alone, so that any driver of networks will do. A VIP's port that its owner has
brought is used as it is, never changed, never removed; ports of ours have names that follow from ids.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count

from lbdrivers.drivers.network import Network
from lbdrivers.errors import PermanentError
from lbdrivers.model.infra import FixedAddress, Port, PortRequest, Subnet
from lbdrivers.model.resources import AdditionalVip, LoadBalancer, Member
from lbdrivers.model.values import family
from lbdrivers_ovn import names
from lbdrivers_ovn.translate import Place, Vip, monitored

#: So many numbers of additional VIPs may be free before one that is taken: a tree that loses the first of its
#: additional VIPs leaves such a gap.
_GAP = 2


class Places:
    """Asks a network driver on behalf of trees."""

    def __init__(self, network: Network) -> None:
        self._network = network
        # A subnet stays what it is for as long as it lives, and each is asked for at every change.
        self._subnet = functools.lru_cache(maxsize=4096)(network.subnet)

    def reserved(
        self, tree: LoadBalancer, held: Iterable[str] = (), addresses: tuple[str, ...] = ()
    ) -> tuple[Vip, ...]:
        """The VIPs, each with a port: made where there is none yet, in the order of the tree.

        :param held: ids of ports that the load balancer has for additional VIPs, as far as is known.
        :param addresses: its VIPs by now. A port that somebody has removed is made again with the one that it had.
        :raises PermanentError: when an address cannot be had, or the VIP would have to move.
        """
        primary = self._primary(tree, addresses)
        if not tree.additional_vips:
            return (primary,)
        ports = self._additional_ports(tree.id, held)
        by_subnet = {port.fixed[0].subnet_id: port for port in ports if port.fixed}
        numbers = _free_numbers(ports, tree.id)
        found = [primary]
        for vip in tree.additional_vips:
            subnet = self._subnet(vip.subnet_id)
            port = by_subnet.get(vip.subnet_id)
            name = port.name if port is not None else names.additional_vip_port(tree.id, next(numbers))
            wish = vip.ip_address or (_first(subnet, addresses[1:]) if port is None else None)
            found.append(self._vip(self._ensured(name, subnet, wish), subnet))
        return tuple(found)

    def released(self, tree: LoadBalancer, held: Iterable[str]) -> None:
        """Remove ports of additional VIPs that the tree has no more; ``held`` as above."""
        wanted = {vip.subnet_id for vip in tree.additional_vips}
        for port in self._additional_ports(tree.id, held):
            if not port.fixed or port.fixed[0].subnet_id not in wanted:
                self._network.remove_port(port.name)

    def remove(self, load_balancer_id: str, held: Iterable[str]) -> None:
        """Remove every VIP port of ours; absent is success. ``held`` as above."""
        for port in self._additional_ports(load_balancer_id, held):
            self._network.remove_port(port.name)
        self._network.remove_port(names.vip_port(load_balancer_id))

    def is_reserved(self, load_balancer_id: str) -> bool:
        """Whether the load balancer has a VIP port of ours."""
        return self._network.port(names.vip_port(load_balancer_id)) is not None

    def known(self) -> frozenset[str]:
        """Ids of load balancers that have VIP ports of ours."""
        found = (names.load_balancer_of(port.name) for port in self._network.ports())
        return frozenset(one for one in found if one is not None)

    def place(self, tree: LoadBalancer, vips: tuple[Vip, ...]) -> Place:
        """All that the tree finds; ports for health checks are made where there are none yet."""
        place = self._without_monitors(tree, vips)
        return replace(place, monitor_addresses=self.monitor_addresses(probed_subnets(tree, place)))

    def _without_monitors(self, tree: LoadBalancer, vips: tuple[Vip, ...]) -> Place:
        members = (member.subnet_id for pool in tree.pools for member in pool.members)
        return Place(vips, {one: self._subnet(one) for one in dict.fromkeys(members) if one is not None})

    def monitor_addresses(self, subnets: Iterable[Subnet]) -> dict[str, str]:
        """Where health checks of these subnets come from, by subnet id; ports are made where there are none yet."""
        return {one.id: self._monitor_address(one) for one in subnets}

    def idle_monitors(
        self, used: Callable[[], frozenset[str]], subnet_ids: frozenset[str] | None = None
    ) -> tuple[str, ...]:
        """Names of ports for health checks whose address nobody uses.

        :param used: addresses that somebody uses; asked after the ports. :param subnet_ids: look at these alone.
        """
        wanted = None if subnet_ids is None else {names.monitor_port(one) for one in subnet_ids}
        found = [
            port
            for port in self._network.ports()
            if (names.is_monitor_port(port.name) if wanted is None else port.name in wanted)
        ]
        taken = used() if found else frozenset()
        return tuple(port.name for port in found if not any(fixed.address in taken for fixed in port.fixed))

    def release(self, ports: Iterable[str]) -> None:
        """Remove the ports of these names; absent is success."""
        for name in ports:
            self._network.remove_port(name)

    def port(self, port_id: str) -> Port | None:
        """The port of that id, or None."""
        return self._network.port(port_id)

    def held(self, tree: LoadBalancer, vips: tuple[tuple[str, str], ...]) -> tuple[Vip, ...] | None:
        """The VIPs that the load balancer has, if they are those that the tree wants; else None.

        :param vips: address and port id of each, the primary one first.
        """
        wanted = [
            (tree.vip_address, tree.vip_subnet_id),
            *((one.ip_address, one.subnet_id) for one in tree.additional_vips),
        ]
        if len(vips) != len(wanted) or tree.vip_port_id not in (None, vips[0][1]):
            return None
        found = []
        for (address, port_id), (wish, subnet_id) in zip(vips, wanted, strict=True):
            subnet = self._subnet(subnet_id) if subnet_id is not None else self._subnet_of(port_id, address)
            if subnet is None or wish not in (None, address) or not _has(subnet, address):
                return None
            found.append(Vip(address, port_id, subnet))
        return tuple(found)

    def look(self, tree: LoadBalancer, vips: tuple[Vip, ...]) -> tuple[Place, tuple[str, ...]]:
        """All that the tree finds without making anything, and the subnets that have no port for health checks."""
        place = self._without_monitors(tree, vips)
        probed = [subnet.id for subnet in probed_subnets(tree, place)]
        ports = {one: self._network.port(names.monitor_port(one)) for one in probed}
        found = {one: address for one, port in ports.items() if port and (address := port.address_in(one))}
        return replace(place, monitor_addresses=found), tuple(one for one in probed if one not in found)

    def _subnet_of(self, port_id: str, address: str) -> Subnet | None:
        port = self._network.port(port_id)
        fixed = port.fixed if port is not None else ()
        return next((self._subnet(one.subnet_id) for one in fixed if one.address == address), None)

    def _monitor_address(self, subnet: Subnet) -> str:
        port = self._ensured(names.monitor_port(subnet.id), subnet, None)
        return self._vip(port, subnet).address

    def _primary(self, tree: LoadBalancer, addresses: tuple[str, ...]) -> Vip:
        if tree.vip_port_id is not None:
            return self._brought(tree.vip_port_id, tree)
        name = names.vip_port(tree.id)
        subnet = self._vip_subnet(tree)
        held = self._network.port(name)
        if held is not None and held.fixed and _moves(held.fixed[0], subnet, tree.vip_address):
            raise PermanentError(
                f"the VIP of a load balancer cannot be moved from {held.fixed[0].address}; make another load balancer",
                object_id=tree.id,
            )
        wish = tree.vip_address or (_first(subnet, addresses[:1]) if held is None else None)
        return self._vip(self._ensured(name, subnet, wish), subnet)

    def _brought(self, port_id: str, tree: LoadBalancer) -> Vip:
        """The VIP of a port that its owner has made."""
        port = self._network.port(port_id)
        if port is None:
            raise PermanentError(f"there is no port {port_id} for the VIP", object_id=tree.id)
        for fixed in port.fixed:
            if fixed.address is not None and tree.vip_address in (None, fixed.address):
                return Vip(fixed.address, port.id, self._subnet(fixed.subnet_id))
        raise PermanentError(f"the port {port_id} does not have the VIP {tree.vip_address}", object_id=tree.id)

    def _vip_subnet(self, tree: LoadBalancer) -> Subnet:
        """The one that the tree names; else the first of its network that has the address, or is IPv4."""
        if tree.vip_subnet_id is not None:
            subnet = self._subnet(tree.vip_subnet_id)
            if tree.vip_network_id not in (None, subnet.network_id):
                raise PermanentError("vip_subnet_id is not on vip_network_id", object_id=tree.id)
            return subnet
        subnets = self._network.network(tree.vip_network_id or "").subnets
        if tree.vip_address is not None:
            subnets = tuple(one for one in subnets if _has(one, tree.vip_address))
        if not subnets:
            raise PermanentError("the VIP's network has no subnet for it", object_id=tree.id)
        return min(subnets, key=lambda one: family(one.cidr))

    def _ensured(self, name: str, subnet: Subnet, address: str | None) -> Port:
        fixed = (FixedAddress(subnet.id, address),)
        return self._network.ensure_port(PortRequest(name, subnet.network_id, fixed, bound=False))

    @staticmethod
    def _vip(port: Port, subnet: Subnet) -> Vip:
        address = port.address_in(subnet.id)
        if address is None:
            raise PermanentError(f"the port {port.name} has no address in the subnet {subnet.id}")
        return Vip(address, port.id, subnet)

    def _additional_ports(self, load_balancer_id: str, held: Iterable[str]) -> tuple[Port, ...]:
        """Ports of additional VIPs: those that rows know of, and those that a run which broke off has left."""
        found = {port.name: port for one in held if (port := self._network.port(one)) is not None}
        absent = 0
        for number in count(1):
            port = self._network.port(names.additional_vip_port(load_balancer_id, number))
            if port is not None:
                found[port.name] = port
            absent = 0 if port is not None else absent + 1
            if absent > _GAP:
                break
        ours = (port for name, port in found.items() if names.load_balancer_of(name) == load_balancer_id)
        return tuple(ours)


def _free_numbers(held: Iterable[Port], load_balancer_id: str) -> Iterator[int]:
    taken = {port.name for port in held}
    return (number for number in count(1) if names.additional_vip_port(load_balancer_id, number) not in taken)


def probed_members(tree: LoadBalancer) -> Iterator[Member]:
    """Members that are to be probed."""
    for pool in tree.pools:
        if monitored(pool):
            yield from (member for member in pool.members if member.admin_state_up)


def probed_subnets(tree: LoadBalancer, place: Place) -> tuple[Subnet, ...]:
    """The subnets of members that are to be probed, each once."""
    found = (place.subnet_of(member) for member in probed_members(tree))
    return tuple({subnet.id: subnet for subnet in found if subnet is not None}.values())


def same_vips(one: LoadBalancer, other: LoadBalancer) -> bool:
    """Whether both trees have the same VIPs."""

    def vips(tree: LoadBalancer) -> tuple[str | None, str | None, str | None, str | None, tuple[AdditionalVip, ...]]:
        primary = (tree.vip_address, tree.vip_subnet_id, tree.vip_network_id, tree.vip_port_id)
        return (*primary, tree.additional_vips)

    return vips(one) == vips(other)


def _first(subnet: Subnet, addresses: Iterable[str]) -> str | None:
    """The first of the addresses that the subnet has."""
    return next((one for one in addresses if _has(subnet, one)), None)


def _has(subnet: Subnet, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(subnet.cidr)


def _moves(held: FixedAddress, subnet: Subnet, wanted: str | None) -> bool:
    return held.subnet_id != subnet.id or (wanted is not None and held.address != wanted)
