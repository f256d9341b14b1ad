"""A removed machine ends at once, yet its keepalived tells the others that they may take over."""

from __future__ import annotations

import socket
import time

from support.local_site import a_site

from lbdrivers_amphora.site.guests import Guest, Plug

CONFIGURATION = b"""global_defs {
    router_id web
    vrrp_version 3
}
vrrp_instance web {
    interface eth0
    virtual_router_id 1
    priority 100
    advert_int 0.1
    virtual_ipaddress {
        10.211.0.99
    }
}
"""
KEEPALIVED = ("/usr/sbin/keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", "/etc/test.conf")
ETHERTYPE_IPV4 = 0x0800
#: Protocol number in the IPv4 header, and the priority in VRRP's (RFC 5798, section 5.1); no IP options.
PROTOCOL, VRRP, PRIORITY = 14 + 9, 112, 14 + 20 + 2
#: keepalived stays for a whole second after its farewell; so long a removal must not take.
LINGERING = 1.0


def priority(listener: socket.socket) -> int:
    """Priority in the next VRRP advertisement on the wire."""
    while True:
        frame = listener.recv(2048)
        if frame[PROTOCOL] == VRRP:
            return frame[PRIORITY]


def test_removal_does_not_wait_for_keepalived_but_hears_its_farewell() -> None:
    with a_site(KEEPALIVED) as site:
        guest = Guest(site.site, "witness").ensure([Plug("management-subnet")])
        listener = guest.in_namespace(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_IPV4))
        with listener:
            listener.settimeout(20)
            site.compute.ensure(site.request("web", {"/etc/test.conf": CONFIGURATION}))
            assert priority(listener) == 100
            began = time.monotonic()
            site.compute.remove("web")
            assert time.monotonic() - began < LINGERING
            listener.settimeout(1)
            heard = [priority(listener)]
            while heard[-1]:
                heard.append(priority(listener))  # a timeout means that there was no farewell
            assert set(heard[:-1]) <= {100}
