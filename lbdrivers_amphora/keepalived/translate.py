"""The tree's bundle and the appliance's facts -> configuration of keepalived.

Law: pure. The instance is named after the load balancer; who is master is settled by priority and
by who was first (``nopreempt``), never by a ``state`` line, which would cancel it.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator

from lbdrivers.drivers.amphora import Bundle, Facts, Vip
from lbdrivers_amphora.keepalived.ir import Configuration, Route, Rule, TrackScript

#: Routing table of the VIPs, on the appliance (Octavia's constant; the agent's interface files use it too).
TABLE = 1
#: Capability of an agent that keeps a down file for each load balancer.
DEATH_NOTICE = "death-notice"
#: Characters of a VRRP version 2 password (RFC 2338, section 5.3.10).
PASSWORD_LENGTH = 8


def translate(bundle: Bundle, facts: Facts, interface: str) -> Configuration:
    """What keepalived on this appliance has to do.

    :param interface: name of the interface that carries the VIPs on this appliance.
    :raises ValueError: when the password of version 2 is longer than VRRP carries.
    """
    own, timers = bundle.own, bundle.timers
    # Version 2 knows neither IPv6 nor intervals below a second (RFC 3768, section 5.3.7).
    version = 3 if _family(own.vrrp_address) == 6 else timers.version
    interval = timers.advertisement_interval if version == 3 else max(1, math.ceil(timers.advertisement_interval))
    password = bundle.vrrp_password if version == 2 else None
    if password is not None and len(password.reveal()) > PASSWORD_LENGTH:
        raise ValueError(f"the VRRP password has more than {PASSWORD_LENGTH} characters, and the rest would be cut off")
    return Configuration(
        load_balancer_id=bundle.load_balancer.id,
        name=bundle.load_balancer.id.replace("-", ""),
        interface=interface,
        version=version,
        priority=own.priority,
        advertisement_interval=_number(interval),
        garp_refresh_interval=math.ceil(timers.garp_refresh_interval),
        garp_refresh_count=timers.garp_refresh_count,
        source=own.vrrp_address,
        peers=tuple(peer.vrrp_address for peer in bundle.peers if peer.amphora_id != bundle.amphora_id),
        addresses=tuple(vip.address for vip in bundle.vips if _family(vip.address) == _family(own.vrrp_address)),
        excluded=tuple(vip.address for vip in bundle.vips if _family(vip.address) != _family(own.vrrp_address)),
        routes=tuple(route for vip in bundle.vips for route in _routes(vip)),
        rules=tuple(Rule(str(ipaddress.ip_network(vip.address))) for vip in bundle.vips),
        script=TrackScript(
            f"{facts.base_path}/vrrp/check_script.sh",
            max(1, math.ceil(timers.check_interval)),
            timers.check_fall,
            timers.check_rise,
        ),
        down_file=_down_file(bundle, facts),
        script_security=facts.haproxy_user is not None,
        password=password,
    )


def _down_file(bundle: Bundle, facts: Facts) -> str | None:
    if DEATH_NOTICE not in facts.capabilities:
        return None
    return f"{facts.base_path}/vrrp/{bundle.load_balancer.id}.down"


def _routes(vip: Vip) -> Iterator[Route]:
    yield Route(vip.cidr, source=vip.address)
    if vip.gateway is not None:
        yield Route("default", gateway=vip.gateway)
    for route in vip.host_routes:
        yield Route(route.destination, gateway=route.nexthop)


def _family(address: str) -> int:
    return ipaddress.ip_address(address).version


def _number(value: float) -> str:
    """Without exponent or trailing zeros: 0.1, 1, 0.03."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
