"""Names that other software sees: of logical switches, and of the ports that a load balancer has.

Law: pure, and fixed. They are those of Neutron and of ovn-octavia-provider, so that an existing deployment is
understood, and found again after any crash.
"""

from __future__ import annotations

import uuid

#: Everything that Neutron makes of a network or router with the id that follows.
NEUTRON = "neutron-"
_VIP = "ovn-lb-vip-"
_ADDITIONAL = f"{_VIP}additional-"
_MONITOR = "ovn-lb-hm-"


def switch(network_id: str) -> str:
    """The logical switch of a network."""
    return NEUTRON + network_id


def vip_port(load_balancer_id: str) -> str:
    """The port that reserves the primary VIP."""
    return _VIP + load_balancer_id


def additional_vip_port(load_balancer_id: str, number: int) -> str:
    """The port of an additional VIP; they count from 1."""
    return f"{_ADDITIONAL}{number}-{load_balancer_id}"


def monitor_port(subnet_id: str) -> str:
    """The port whose address the health checks of a subnet come from."""
    return _MONITOR + subnet_id


def is_monitor_port(port: str) -> bool:
    """Whether the port of that name is one for health checks."""
    return port.startswith(_MONITOR)


def load_balancer_of(port: str) -> str | None:
    """Whose VIP the port of that name reserves; None when it is no such port."""
    if not port.startswith(_VIP):
        return None
    rest = port.removeprefix(_VIP)
    if port.startswith(_ADDITIONAL):
        rest = port.removeprefix(_ADDITIONAL).partition("-")[2]
    return rest if is_uuid(rest) else None


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its usual spelling."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
