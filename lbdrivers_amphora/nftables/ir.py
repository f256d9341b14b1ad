"""What an appliance shall do with datagrams: services, each a listener with the pool behind it.

Law: plain frozen values, the same on both ends of the wire (``document``). They say what is wanted;
which rules do it is the business of ``rules``, and which members are down that of the agent.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Balance(enum.StrEnum):
    """How a flow finds its member. nftables knows how many flows passed, not how many a member has
    now, so that there is no LEAST_CONNECTIONS."""

    ROUND_ROBIN = "ROUND_ROBIN"
    SOURCE_IP = "SOURCE_IP"
    SOURCE_IP_PORT = "SOURCE_IP_PORT"


class ProbeKind(enum.StrEnum):
    UDP_CONNECT = "UDP-CONNECT"
    TCP = "TCP"
    HTTP = "HTTP"


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """The request of a HTTP probe. ``codes`` are ranges of statuses, both ends included.

    :param version: ``1.0`` or ``1.1``; ``host`` None sends the member's address.
    """

    method: str = "GET"
    path: str = "/"
    version: str = "1.0"
    host: str | None = None
    codes: tuple[tuple[int, int], ...] = ((200, 200),)


@dataclass(frozen=True, slots=True)
class Monitor:
    """How members are probed: every ``delay`` seconds, each within ``timeout`` seconds.

    :param fall: failed probes after which a member is down; ``rise`` good ones bring it up.
    """

    kind: ProbeKind
    delay: int
    timeout: int
    rise: int
    fall: int
    http: HttpProbe | None = None


@dataclass(frozen=True, slots=True)
class Affinity:
    """Clients of one network stay at one member until none of them began a flow for ``timeout`` seconds.

    :param prefix4: bits of an IPv4 address that make the network; ``prefix6`` of an IPv6 one.
    """

    timeout: int
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class Member:
    """A server of datagrams.

    :param weight: 0 takes no new flows and keeps those that it has (drain).
    :param backup: serves only while no other member can.
    :param probe_address: where it is probed when that is elsewhere; likewise ``probe_port``.
    """

    id: str
    address: str
    port: int
    weight: int = 1
    enabled: bool = True
    backup: bool = False
    probe_address: str | None = None
    probe_port: int | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    id: str
    balance: Balance
    members: tuple[Member, ...] = ()
    affinity: Affinity | None = None
    monitor: Monitor | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One UDP listener that is up.

    :param addresses: the VIPs, of either family; each reaches the members of its own.
    :param limit: flows at a time, or None for any number.
    :param allowed: CIDRs of the clients that may come; empty lets everybody in.
    :param pool: None when there is none, or it is disabled: datagrams are refused.
    """

    listener_id: str
    addresses: tuple[str, ...]
    port: int
    limit: int | None = None
    allowed: tuple[str, ...] = ()
    pool: Pool | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every service of one load balancer."""

    load_balancer_id: str
    services: tuple[Service, ...] = ()


def family(address: str) -> int:
    """4 or 6, of an address or a network."""
    return 6 if ":" in address else 4
