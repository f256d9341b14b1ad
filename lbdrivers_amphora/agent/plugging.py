"""Network interfaces of the appliance: plugging VIPs and member networks in and out.

Law: pure. The interface of the VIPs is eth1, members' are eth2 and on; each has a file from which
a rebooted appliance restores it. Plugging what is plugged updates it; unplugging what is absent succeeds.
"""

from __future__ import annotations

import ipaddress

from lbdrivers_amphora.agent.effects import (
    Announce,
    ApplyInterface,
    Finished,
    Link,
    ListAddresses,
    ListFolder,
    ListLinks,
    MoveLink,
    Program,
    ReadFile,
    ReleaseLink,
    Remove,
    RescanBus,
    WriteFile,
    do,
)
from lbdrivers_amphora.agent.interfaces import InterfaceFile, backend_interface, parse, render, vip_interface
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, failure, success
from lbdrivers_amphora.wire.agent_config import ACTIVE_STANDBY
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.plugging import PlugNetwork, PlugVip, UnplugNetwork
from lbdrivers_amphora.wire.routes import FindInterface

VIP_INTERFACE = "eth1"
_FIRST_MEMBER_INTERFACE = 2

_NO_LINK = Response(404, {"details": "No suitable network interface found"})


def _find(mac: str) -> Program[Link | None]:
    """The link of that MAC, the one inside first; None leaves the kernel looking for new devices."""
    links = yield from do(ListLinks())
    found = sorted((link for link in links if link.mac == mac), key=lambda link: not link.inside)
    if not found:
        yield from do(RescanBus())
        return None
    return found[0]


def _apply(layout: Layout, file: InterfaceFile) -> Program[Finished]:
    yield from do(WriteFile(layout.interface(file.name), render(file), 0o644))
    return (yield from _set_up(file))


def _set_up(file: InterfaceFile) -> Program[Finished]:
    """Make the interface what the file says; neighbours that knew its addresses elsewhere are told."""
    outcome = yield from do(ApplyInterface(file))
    if outcome.ok:
        yield from do(Announce(file.announced))
    return outcome


def _note(layout: Layout, mac: str, name: str | None) -> Program[None]:
    """Keep ``plugged_interfaces`` right, one line per MAC; None forgets the MAC."""
    text = (yield from do(ReadFile(layout.plugged_interfaces))) or b""
    known = dict(line.split()[:2] for line in text.decode().splitlines() if len(line.split()) >= 2)
    known.pop(mac, None)
    if name is not None:
        known[mac] = name
    lines = "".join(f"{key} {value}\n" for key, value in known.items())
    yield from do(WriteFile(layout.plugged_interfaces, lines.encode(), 0o644))


def plug_vip(layout: Layout, request: PlugVip) -> Program[Response]:
    """Take the link of that MAC as the interface of the VIPs."""
    link = yield from _find(request.mac_address)
    if link is None:
        return _NO_LINK
    if link.inside:
        return failure(409, "Interface already exists")
    owns = layout.config.loadbalancer_topology != ACTIVE_STANDBY
    file = vip_interface(VIP_INTERFACE, request.network, owns_vip=owns)
    yield from _note(layout, request.mac_address, VIP_INTERFACE)
    yield from do(MoveLink(request.mac_address, VIP_INTERFACE))
    outcome = yield from _apply(layout, file)
    if not outcome.ok:
        return failure(500, "Error plugging VIP", outcome.words)
    addresses = ", ".join(ipaddress.ip_address(vip).exploded for vip in file.vips)
    return success(202, f"VIPs plugged on interface {VIP_INTERFACE}: {addresses}")


def plug_network(layout: Layout, request: PlugNetwork) -> Program[Response]:
    """Take the link of that MAC as a member interface, or update the one that it is."""
    link = yield from _find(request.mac_address)
    if link is None:
        return _NO_LINK
    name = link.name if link.inside else (yield from _free_name())
    file = _network_file(layout, name, request)
    if not link.inside:
        yield from _note(layout, request.mac_address, name)
        yield from do(MoveLink(request.mac_address, name))
    outcome = yield from _apply(layout, file)
    if not outcome.ok:
        return failure(500, f"Error plugging {'vip' if request.vip_network else 'network'}", outcome.words)
    if link.inside:
        return success(202, f"Updated existing interface {name}")
    return success(202, f"Plugged on interface {name}")


def _network_file(layout: Layout, name: str, request: PlugNetwork) -> InterfaceFile:
    if request.vip_network is None:
        return backend_interface(name, request)
    owns = layout.config.loadbalancer_topology != ACTIVE_STANDBY
    return vip_interface(name, request.vip_network, request.fixed_ips, owns_vip=owns)


def _free_name() -> Program[str]:
    links = yield from do(ListLinks())
    taken = {link.name for link in links if link.inside}
    number = _FIRST_MEMBER_INTERFACE
    while f"eth{number}" in taken:
        number += 1
    return f"eth{number}"


def unplug(layout: Layout, request: UnplugNetwork) -> Program[Response]:
    """Give the link back to the main namespace, where the hypervisor takes it away."""
    links = yield from do(ListLinks())
    name = next((link.name for link in links if link.inside and link.mac == request.mac_address), None)
    yield from _note(layout, request.mac_address, None)
    if name is None:
        return success(200)
    yield from do(ReleaseLink(name))
    yield from do(Remove(layout.interface(name)))
    return success(200, f"Unplugged interface {name}")


def find_interface(request: FindInterface) -> Program[Response]:
    """Name of the interface that has the address."""
    addresses = yield from do(ListAddresses())
    name = addresses.get(request.ip_address)
    if name is None:
        return failure(404, "Error interface not found for IP address")
    return success(200, interface=name)


def interface_files(layout: Layout) -> Program[tuple[InterfaceFile, ...]]:
    """Every interface file that can be read; a damaged one counts as absent."""
    folder = layout.config.agent_server_network_dir
    found: list[InterfaceFile] = []
    for name in (yield from do(ListFolder(folder))):
        text = (yield from do(ReadFile(f"{folder}/{name}"))) if name.endswith(".json") else None
        try:
            if text is not None:
                found.append(parse(text))
        except Malformed:
            continue
    return tuple(found)


def restore(layout: Layout) -> Program[tuple[str, ...]]:
    """At the agent's start: links that were plugged before a reboot go back to work. Gives what failed."""
    text = yield from do(ReadFile(layout.plugged_interfaces))
    if not text:
        return ()
    links = {link.mac: link for link in (yield from do(ListLinks()))}
    failed: list[str] = []
    files = {file.name: file for file in (yield from interface_files(layout))}
    for line in text.decode().splitlines():
        mac, _, name = line.partition(" ")
        link, file = links.get(mac), files.get(name.strip())
        if link is None or link.inside or file is None:
            continue
        yield from do(MoveLink(mac, file.name))
        outcome = yield from _set_up(file)
        failed += [] if outcome.ok else [f"{file.name}: {outcome.words}"]
    return tuple(failed)


def plugged() -> Program[dict[str, str]]:
    """MAC -> name of every link inside."""
    return {link.mac: link.name for link in (yield from do(ListLinks())) if link.inside}
