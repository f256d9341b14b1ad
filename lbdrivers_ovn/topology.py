"""Logical switches and routers as values, and where a load balancer has to be attached.

Law: pure. A load balancer is attached to the switches of its VIPs and members, to every router with an interface on
their subnets, and to every other switch behind those routers; never to a provider network's switch, where
it would break the way back of floating IPs (ovn-octavia-provider's rule).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbdrivers.model.values import family


@dataclass(frozen=True)
class Interface:
    """A router's port on a switch.

    :param networks: addresses of the port with their prefix lengths.
    :param gateway: whether it is bound to gateway chassis: the way out, not an interface of a network.
    """

    router: str
    switch: str
    networks: tuple[str, ...]
    gateway: bool = False


@dataclass(frozen=True)
class Translation:
    """A NAT row of type dnat_and_snat: a floating IP.

    :param external_mac: set, with ``logical_port``, where the chassis of that port translates; empty where the router's
        gateway does.
    """

    uuid: str
    router: str
    external_address: str
    logical_address: str
    external_mac: str = ""
    logical_port: str = ""
    external_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Topology:
    """The part of the northbound database around a load balancer.

    :param switches: those that are there, of the names that were asked for or are behind a router.
    :param provider_switches: those of them that are a provider network's.
    :param ports: address -> name of the logical switch port that has it, of the addresses that were asked for.
    """

    switches: frozenset[str] = frozenset()
    provider_switches: frozenset[str] = frozenset()
    interfaces: tuple[Interface, ...] = ()
    translations: tuple[Translation, ...] = ()
    ports: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attachments:
    """Where a load balancer belongs.

    :param references: switch -> number of VIPs and members on it.
    """

    switches: frozenset[str]
    routers: frozenset[str]
    references: Mapping[str, int]


def attachments(topology: Topology, places: Iterable[tuple[str, str]], families: frozenset[str]) -> Attachments:
    """Where a load balancer belongs.

    :param places: switch and CIDR of each VIP and each member, as often as there are any.
    :param families: "IPv4" and "IPv6", as its VIPs are.
    """
    places = tuple(places)
    usable = topology.switches - topology.provider_switches
    references = Counter(switch for switch, _ in places if switch in usable)
    inside = [one for one in topology.interfaces if not one.gateway]
    spans = {(switch, ipaddress.ip_network(cidr)) for switch, cidr in places if cidr}
    routers = frozenset(one.router for one in inside if any(_serves(one, *span) for span in spans))
    behind = frozenset(
        one.switch
        for one in inside
        if one.router in routers and one.switch in usable and {family(text) for text in one.networks} & families
    )
    return Attachments(frozenset(references) | behind, routers, dict(references))


def _serves(interface: Interface, switch: str, span: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return interface.switch == switch and any(
        ipaddress.ip_interface(text).network == span for text in interface.networks
    )


def floating(topology: Topology, routers: frozenset[str], address: str) -> str:
    """The floating IP of an address behind one of the routers; empty when it has none."""
    found = (
        one.external_address
        for one in topology.translations
        if one.logical_address == address and one.router in routers
    )
    return min(found, default="")
