"""Network interfaces of the appliance, by netlink: listing, moving, setting up.

Law: the only file of the agent that knows pyroute2. What has to change is decided by the pure
``interfaces.difference``; here it is read and carried out. Adding what is there is no error.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lbdrivers_amphora.agent.announce import announce
from lbdrivers_amphora.agent.effects import Finished, Link
from lbdrivers_amphora.agent.interfaces import (
    MAIN_TABLE,
    Address,
    Difference,
    InterfaceFile,
    InterfaceRoute,
    Present,
    SourceRule,
    difference,
)
from lbdrivers_amphora.agent.namespace import Namespace

_LOG = logging.getLogger(__name__)

#: rtnetlink(7), linux/rtnetlink.h, linux/if_addr.h.
_PROTOCOL_STATIC = 4
_PROTOCOL_KERNEL, _PROTOCOL_KEEPALIVED = 2, 18
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_FLAG_NODAD, _FLAG_PERMANENT = 0x02, 0x80
_FLAG_ONLINK = 4
_LINK_UP = 1
#: Priority of rules for traffic that starts from a VIP; the same that keepalived is told to use.
_RULE_PRIORITY = 100
_FAMILY = {4: 2, 6: 10}
#: Seconds between announcements of an address: soon, for a switch whose port has just come up may not
#: forward yet; and after the interval of RFC 5227, section 2.3.
_ANNOUNCE_AGAIN = (0.1, 2.0)
_DEFAULTS = ("0.0.0.0/0", "::/0")


@contextmanager
def _netlink() -> Iterator[Any]:
    """An rtnetlink socket in the calling thread's namespace."""
    with IPRoute() as netlink:
        yield netlink


def _indices(netlink: Any) -> dict[str, int]:
    return {link.get("ifname"): link["index"] for link in netlink.get_links()}


class Links:
    """The interfaces of the main namespace (the agent's own) and of the one of traffic."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def _inside(self, work: Callable[[Any], Any]) -> Any:
        def visit() -> Any:
            with _netlink() as netlink:
                return work(netlink)

        return self._namespace.inside(visit)

    def list(self) -> tuple[Link, ...]:
        with _netlink() as netlink:
            outside = tuple(_links(netlink, inside=False))
        return outside + tuple(self._inside(lambda inner: list(_links(inner, inside=True))))

    def move(self, mac: str, name: str) -> None:
        """Into the namespace of traffic, under its new name from the first moment on.

        An interface that holds the name and has nothing to do with a wanted one is renamed away first.
        """
        descriptor = os.open(self._namespace.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with _netlink() as netlink:
                index = next(link["index"] for link in netlink.get_links() if link.get("address") == mac)
                netlink.link("set", index=index, state="down")
                netlink.link("set", index=index, net_ns_fd=descriptor, ifname=name)
        finally:
            os.close(descriptor)

    def release(self, name: str) -> None:
        """Down, and back to the main namespace under a name that nobody uses there."""
        with _netlink() as netlink:
            taken = set(_indices(netlink))
        free = next(f"unplugged{number}" for number in range(len(taken) + 1) if f"unplugged{number}" not in taken)
        descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        def work(netlink: Any) -> None:
            index = _indices(netlink).get(name)
            if index is not None:
                netlink.link("set", index=index, state="down")
                netlink.flush_addr(index=index)
                netlink.link("set", index=index, net_ns_fd=descriptor, ifname=free)

        try:
            self._inside(work)
        finally:
            os.close(descriptor)

    def addresses(self) -> dict[str, str]:
        """Address -> interface, inside."""

        def work(netlink: Any) -> dict[str, str]:
            names = {index: name for name, index in _indices(netlink).items()}
            return {str(entry.get("address")): names[entry["index"]] for entry in netlink.get_addr()}

        found: dict[str, str] = self._inside(work)
        return found

    def counters(self) -> dict[str, tuple[int, int]]:
        """Bytes sent and received by interface, inside."""

        def work(netlink: Any) -> dict[str, tuple[int, int]]:
            found: dict[str, tuple[int, int]] = {}
            for link in netlink.get_links():
                figures = link.get("stats64") or {}
                found[link.get("ifname")] = (int(figures.get("tx_bytes", 0)), int(figures.get("rx_bytes", 0)))
            return found

        result: dict[str, tuple[int, int]] = self._inside(work)
        return result

    def apply(self, file: InterfaceFile) -> Finished:
        """Make addresses, routes and rules those of the file."""
        try:
            self._inside(lambda netlink: _apply(netlink, file))
        except (NetlinkError, OSError, StopIteration) as error:
            return Finished(ok=False, words=f"{file.name}: {error}")
        return Finished(ok=True)

    def announce(self, addresses: tuple[str, ...]) -> None:
        """Those of the addresses that are on an interface inside; now, and again in the background."""
        if addresses:
            self._announce(addresses)
            threading.Thread(target=self._repeat, args=(addresses,), name="announce", daemon=True).start()

    def _repeat(self, addresses: tuple[str, ...]) -> None:
        for pause in _ANNOUNCE_AGAIN:
            time.sleep(pause)
            self._announce(addresses)

    def _announce(self, addresses: tuple[str, ...]) -> None:

        def work(netlink: Any) -> None:
            links = {link["index"]: (link.get("ifname"), link.get("address")) for link in netlink.get_links()}
            for entry in netlink.get_addr():
                name, mac = links[entry["index"]]
                if entry.get("address") in addresses and name != "lo" and mac:
                    announce(name, mac, entry.get("address"))

        try:
            self._inside(work)
        except (NetlinkError, OSError) as error:
            _LOG.warning("announcing %s: %s", ", ".join(addresses), error)


def _links(netlink: Any, *, inside: bool) -> Iterator[Link]:
    for link in netlink.get_links():
        if link.get("ifname") != "lo" and link.get("address"):
            yield Link(link.get("ifname"), link.get("address"), inside)


def _apply(netlink: Any, file: InterfaceFile) -> None:
    link = next(link for link in netlink.get_links() if link.get("ifname") == file.name)
    index = link["index"]
    if file.mtu and link.get("mtu") != file.mtu:
        netlink.link("set", index=index, mtu=file.mtu)
    if file.automatic:
        _accept_advertisements(file.name)
    if not link["flags"] & _LINK_UP:
        netlink.link("set", index=index, state="up")
    _carry_out(netlink, index, difference(file, _present(netlink, index)))


def _accept_advertisements(name: str) -> None:
    """Addresses by router advertisement; DHCP is for images that bring a client."""
    for option, value in (("accept_ra", "2"), ("autoconf", "1")):
        with suppress(OSError):
            (Path("/proc/sys/net/ipv6/conf") / name / option).write_text(value)


def _present(netlink: Any, index: int) -> Present:
    addresses = [
        Address(entry.get("address"), entry["prefixlen"])
        for entry in netlink.get_addr(index=index)
        if entry.get("flags", entry["flags"]) & _FLAG_PERMANENT and not _link_local(entry.get("address"))
    ]
    routes = [
        _route(entry)
        for family in _FAMILY.values()
        for entry in netlink.get_routes(family=family, oif=index)
        if entry["proto"] == _PROTOCOL_STATIC and entry.get("oif") == index
    ]
    rules = [
        SourceRule(entry.get("src"), entry["src_len"], entry.get("table"))
        for family in _FAMILY.values()
        for entry in netlink.get_rules(family=family)
        if entry.get("src") and entry.get("protocol") not in (_PROTOCOL_KERNEL, _PROTOCOL_KEEPALIVED)
    ]
    return Present(tuple(addresses), tuple(routes), tuple(rules))


def _link_local(address: str) -> bool:
    return ipaddress.ip_address(address).is_link_local


def _route(entry: Any) -> InterfaceRoute:
    version = 4 if entry["family"] == _FAMILY[4] else 6
    destination = entry.get("dst")
    return InterfaceRoute(
        _DEFAULTS[version == 6] if destination is None else f"{destination}/{entry['dst_len']}",
        entry.get("gateway"),
        entry.get("prefsrc"),
        entry.get("table", MAIN_TABLE),
    )


def _carry_out(netlink: Any, index: int, changes: Difference) -> None:
    for rule in changes.delete_rules:
        with _tolerating(errno.ENOENT):
            netlink.rule("del", **_rule_arguments(rule))
    for route in changes.delete_routes:
        with _tolerating(errno.ESRCH):
            netlink.route("del", **_route_arguments(route, index))
    for address in changes.delete_addresses:
        arguments = {"index": index, "address": address.address, "prefixlen": address.prefix}
        with _tolerating(errno.EADDRNOTAVAIL):
            netlink.addr("del", **arguments)
    for address in changes.add_addresses:
        arguments = {"index": index, "address": address.address, "prefixlen": address.prefix}
        if ipaddress.ip_address(address.address).version == 6:
            # The network gave us the address, nobody else has a right to it; and a VIP may for a
            # moment still be on the amphora that this one replaces.
            arguments["flags"] = _FLAG_NODAD
        with _tolerating(errno.EEXIST):
            netlink.addr("add", **arguments)
    for route in changes.add_routes:
        with _tolerating(errno.EEXIST):
            netlink.route("add", **_route_arguments(route, index))
    for rule in changes.add_rules:
        with _tolerating(errno.EEXIST):
            netlink.rule("add", **_rule_arguments(rule))


@contextmanager
def _tolerating(expected: int) -> Iterator[None]:
    """That it is so already is no error."""
    try:
        yield
    except NetlinkError as error:
        if error.code != expected:
            raise


def _route_arguments(route: InterfaceRoute, index: int) -> Mapping[str, object]:
    arguments: dict[str, object] = {
        "family": _FAMILY[ipaddress.ip_network(route.destination).version],
        "dst": route.destination,
        "oif": index,
        "table": route.table,
        "proto": _PROTOCOL_STATIC,
        "scope": _SCOPE_LINK if route.link else _SCOPE_UNIVERSE,
    }
    if route.gateway:
        arguments["gateway"] = route.gateway
    if route.onlink:
        arguments["flags"] = _FLAG_ONLINK
    if route.source:
        arguments["prefsrc"] = route.source
    return arguments


def _rule_arguments(rule: SourceRule) -> Mapping[str, object]:
    return {
        "family": _FAMILY[ipaddress.ip_address(rule.source).version],
        "src": rule.source,
        "src_len": rule.prefix,
        "table": rule.table,
        "priority": _RULE_PRIORITY,
    }
