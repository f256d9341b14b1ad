"""Tells neighbours where an address is: gratuitous ARP (RFC 826, 5227) and unsolicited NA (RFC 4861).

Law: frames are built by pure functions; sending never fails a request, since an announcement only
shortens what caches would get wrong.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct

_LOG = logging.getLogger(__name__)

_BROADCAST = b"\xff" * 6
_ETHERTYPE_ARP = 0x0806
_ICMPV6_ADVERTISEMENT = 136
#: Router and override bits (RFC 4861, 4.4): neighbours replace what they know.
_ADVERTISEMENT_FLAGS = 0xA0000000
_TARGET_LINK_ADDRESS = 2
_ALL_NODES = "ff02::1"
_HOP_LIMIT = 255


def mac_bytes(mac: str) -> bytes:
    """Six bytes of a MAC address in colon notation."""
    return bytes.fromhex(mac.replace(":", ""))


def arp_frame(mac: str, address: str) -> bytes:
    """An Ethernet frame that asks everybody for our own address."""
    own, ip = mac_bytes(mac), ipaddress.IPv4Address(address).packed
    header = _BROADCAST + own + struct.pack("!H", _ETHERTYPE_ARP)
    return header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + ip + _BROADCAST + ip


def advertisement(mac: str, address: str) -> bytes:
    """An ICMPv6 neighbour advertisement; the kernel fills in the checksum."""
    target = ipaddress.IPv6Address(address).packed
    head = struct.pack("!BBHI", _ICMPV6_ADVERTISEMENT, 0, 0, _ADVERTISEMENT_FLAGS)
    return head + target + struct.pack("!BB", _TARGET_LINK_ADDRESS, 1) + mac_bytes(mac)


def announce(interface: str, mac: str, address: str) -> None:
    """Send from within the namespace of the interface; a failure is only logged."""
    try:
        if ipaddress.ip_address(address).version == 4:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
                packets.bind((interface, _ETHERTYPE_ARP))
                packets.send(arp_frame(mac, address))
            return
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as messages:
            messages.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
            messages.bind((address, 0, 0, socket.if_nametoindex(interface)))
            messages.sendto(advertisement(mac, address), (_ALL_NODES, 0, 0, socket.if_nametoindex(interface)))
    except OSError as error:
        _LOG.warning("announcing %s on %s: %s", address, interface, error)
