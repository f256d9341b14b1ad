"""Interface files: what an interface of the appliance shall have, as value and as JSON; and the difference.

Law: pure. The file's form is that of the amphora agent (addresses, routes, rules, scripts), so that a
rebooted appliance restores its networking from it. ``difference`` touches only what is ours: permanent
addresses, static routes, rules with a source that neither kernel nor keepalived made.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lbdrivers_amphora.wire.fields import Fields
from lbdrivers_amphora.wire.plugging import FixedIp, PlugNetwork, Route, VipAddress, VipNetwork

#: Routing table of traffic that starts from a VIP.
VIP_TABLE = 1
#: The kernel's main table.
MAIN_TABLE = 254

_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


class Address(NamedTuple):
    """An address on an interface. ``owned`` False: somebody else (keepalived) adds and removes it;
    None: an ordinary one."""

    address: str
    prefix: int
    owned: bool | None = None


class InterfaceRoute(NamedTuple):
    """A route out of the interface; ``link`` is scope link, ``onlink`` skips the gateway's lookup."""

    destination: str
    gateway: str | None = None
    source: str | None = None
    table: int = MAIN_TABLE
    onlink: bool = False
    link: bool = False

    @property
    def key(self) -> tuple[str, str | None, str | None, int]:
        """What makes two routes the same one."""
        return (self.destination, self.gateway, self.source, self.table)


class SourceRule(NamedTuple):
    """Traffic from that source looks up that table."""

    source: str
    prefix: int
    table: int


@dataclass(frozen=True)
class InterfaceFile:
    """All that one interface shall have. ``kind`` is "lo", "vip" or "backend".

    Without addresses a "backend" asks the network for them (DHCP and router advertisements), which
    ``automatic`` states.
    """

    name: str
    kind: str
    addresses: tuple[Address, ...] = ()
    routes: tuple[InterfaceRoute, ...] = ()
    rules: tuple[SourceRule, ...] = ()
    mtu: int | None = None
    automatic: bool = False
    is_sriov: bool = False

    @property
    def announced(self) -> tuple[str, ...]:
        """Addresses that are this interface's own: whoever had them before has them no more."""
        return tuple(address.address for address in self.addresses if address.owned is not False)

    @property
    def vips(self) -> tuple[str, ...]:
        """The VIPs, the primary one first."""
        return tuple(address.address for address in self.addresses if address.owned is not None)


LOOPBACK = InterfaceFile("lo", "lo", (Address("127.0.0.1", 8),))


def vip_interface(name: str, network: VipNetwork, fixed: Sequence[FixedIp] = (), *, owns_vip: bool) -> InterfaceFile:
    """The interface of the VIPs.

    :param owns_vip: True in SINGLE: the appliance itself adds VIPs, and their table and rules.
    """
    addresses: list[Address] = []
    routes: list[InterfaceRoute] = []
    rules: list[SourceRule] = []
    if network.vrrp_ip:
        addresses.append(Address(network.vrrp_ip, ipaddress.ip_network(network.vips[0].subnet_cidr).prefixlen))
    for vip in network.vips:
        host = ipaddress.ip_address(vip.ip_address).max_prefixlen
        addresses.append(Address(vip.ip_address, host, owns_vip))
        routes += _vip_routes(vip, owns_vip)
        if owns_vip:
            rules.append(SourceRule(vip.ip_address, host, VIP_TABLE))
    for one in fixed:
        addresses.append(_fixed_address(one))
        if one.gateway:
            routes += _default_routes(one.gateway, owns_vip)
        routes += _host_routes(one.host_routes, MAIN_TABLE)
    return InterfaceFile(
        name,
        "vip",
        _unique(addresses),
        tuple({route.key: route for route in routes}.values()),
        tuple(dict.fromkeys(rules)),
        network.mtu,
        automatic=not network.vrrp_ip and not fixed,
        is_sriov=network.is_sriov,
    )


def _unique(addresses: Iterable[Address]) -> tuple[Address, ...]:
    return tuple({(entry.address, entry.prefix): entry for entry in addresses}.values())


def _default_routes(gateway: str, owns_vip: bool) -> list[InterfaceRoute]:
    default = InterfaceRoute(_DEFAULT[ipaddress.ip_address(gateway).version], gateway, onlink=True)
    return [default, default._replace(table=VIP_TABLE)] if owns_vip else [default]


def _host_routes(routes: Iterable[Route], table: int) -> list[InterfaceRoute]:
    return [InterfaceRoute(route.destination, route.nexthop, table=table, onlink=True) for route in routes]


def _vip_routes(vip: VipAddress, owns_vip: bool) -> list[InterfaceRoute]:
    routes = _default_routes(vip.gateway, owns_vip) if vip.gateway else []
    routes.append(InterfaceRoute(vip.subnet_cidr, link=True))
    if owns_vip:
        routes.append(InterfaceRoute(vip.subnet_cidr, source=vip.ip_address, table=VIP_TABLE, link=True))
    # In both topologies: table 1 is used by whoever holds the VIP.
    return routes + _host_routes(vip.host_routes, MAIN_TABLE) + _host_routes(vip.host_routes, VIP_TABLE)


def _fixed_address(fixed: FixedIp) -> Address:
    return Address(fixed.ip_address, ipaddress.ip_network(fixed.subnet_cidr).prefixlen)


def backend_interface(name: str, request: PlugNetwork) -> InterfaceFile:
    """The interface of a member network. Its gateway is not used: there is one default route, the VIP's."""
    return InterfaceFile(
        name,
        "backend",
        _unique(_fixed_address(fixed) for fixed in request.fixed_ips),
        tuple(route for fixed in request.fixed_ips for route in _host_routes(fixed.host_routes, MAIN_TABLE)),
        mtu=request.mtu,
        automatic=not request.fixed_ips,
        is_sriov=request.is_sriov,
    )


def render(file: InterfaceFile) -> bytes:
    """The JSON text of the interface file."""
    addresses: list[dict[str, object]] = [
        {"address": entry.address, "prefixlen": entry.prefix}
        | ({} if entry.owned is None else {"octavia_owned": entry.owned})
        for entry in file.addresses
    ]
    if file.automatic:
        addresses.insert(0, {"dhcp": True, "ipv6auto": True})
    content: dict[str, object] = {
        "name": file.name,
        "if_type": file.kind,
        "addresses": addresses,
        "routes": [_route_json(route) for route in file.routes],
        "rules": [{"src": rule.source, "src_len": rule.prefix, "table": rule.table} for rule in file.rules],
        "scripts": {"up": [], "down": []},
        "is_sriov": file.is_sriov,
    }
    if file.mtu:
        content["mtu"] = file.mtu
    return json.dumps(content, indent=1).encode()


def _route_json(route: InterfaceRoute) -> dict[str, object]:
    content: dict[str, object] = {"dst": route.destination}
    if route.gateway:
        content["gateway"] = route.gateway
    if route.onlink:
        content["flags"] = ["onlink"]
    if route.link:
        content["scope"] = "link"
    if route.source:
        content["prefsrc"] = route.source
    if route.table != MAIN_TABLE:
        content["table"] = route.table
    return content


def parse(text: bytes) -> InterfaceFile:
    """The value of an interface file. :raises Malformed: when the text is none."""
    source = Fields.of_text(text, "interface file")
    switches = source.each("addresses", lambda entry: entry.switch("dhcp") or entry.switch("ipv6auto"))
    entries = source.each("addresses", _parse_address)
    return InterfaceFile(
        source.text("name"),
        source.text("if_type"),
        tuple(entry for entry in entries if entry is not None),
        source.each("routes", _parse_route),
        source.each("rules", lambda rule: SourceRule(rule.text("src"), rule.number("src_len"), rule.number("table"))),
        source.number_or_none("mtu"),
        automatic=any(switches),
        is_sriov=source.switch("is_sriov"),
    )


def _parse_address(source: Fields) -> Address | None:
    address = source.text_or_none("address")
    if address is None:
        return None
    owned = source.switch("octavia_owned") if "octavia_owned" in source.names() else None
    return Address(address, source.number("prefixlen"), owned)


def _parse_route(source: Fields) -> InterfaceRoute:
    return InterfaceRoute(
        source.text("dst"),
        source.text_or_none("gateway"),
        source.text_or_none("prefsrc"),
        source.number("table", MAIN_TABLE),
        "onlink" in source.texts("flags"),
        source.text_or_none("scope") == "link",
    )


@dataclass(frozen=True)
class Present:
    """What an interface has now, as far as it is ours to change."""

    addresses: tuple[Address, ...] = ()
    routes: tuple[InterfaceRoute, ...] = ()
    rules: tuple[SourceRule, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What to add and to delete, each in the order in which it works."""

    add_addresses: tuple[Address, ...] = ()
    delete_addresses: tuple[Address, ...] = ()
    add_routes: tuple[InterfaceRoute, ...] = ()
    delete_routes: tuple[InterfaceRoute, ...] = ()
    add_rules: tuple[SourceRule, ...] = ()
    delete_rules: tuple[SourceRule, ...] = ()


def difference(file: InterfaceFile, present: Present) -> Difference:
    """How to get from what is there to what the file says.

    An address that is owned by somebody else is neither added nor deleted.
    """
    wanted = {(entry.address, entry.prefix): entry for entry in file.addresses}
    there = {(entry.address, entry.prefix): entry for entry in present.addresses}
    wanted_routes = {route.key: route for route in file.routes}
    present_routes = {route.key: route for route in present.routes}
    keep_strangers = file.automatic
    return Difference(
        tuple(entry for key, entry in wanted.items() if key not in there and entry.owned is not False),
        () if keep_strangers else tuple(entry for key, entry in there.items() if key not in wanted),
        # Routes on the link first: a gateway is reached through them.
        tuple(
            sorted(
                (route for key, route in wanted_routes.items() if key not in present_routes),
                key=lambda route: not route.link,
            )
        ),
        tuple(route for key, route in present_routes.items() if key not in wanted_routes),
        tuple(rule for rule in file.rules if rule not in present.rules) if file.kind == "vip" else (),
        tuple(rule for rule in present.rules if rule not in file.rules) if file.kind == "vip" else (),
    )
