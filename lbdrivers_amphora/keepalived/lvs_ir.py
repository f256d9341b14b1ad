"""The intermediate representation of one listener's keepalived file: virtual servers of IPVS.

Law: plain frozen values; the text follows from them alone. Every resource of the listener is in it,
disabled ones by their id, as statuses are read from the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class MiscCheck:
    """A program decides: exit status 0 is good. ``timeout`` in seconds, then it is killed.

    :param retries: here and below, failures that are forgiven: the next one counts.
    """

    command: tuple[str, ...]
    timeout: int
    retries: int
    kind: ClassVar[str] = "MISC_CHECK"


@dataclass(frozen=True)
class TcpCheck:
    """A connection that opens within ``timeout`` seconds is good."""

    address: str
    port: int
    timeout: int
    retries: int
    kind: ClassVar[str] = "TCP_CHECK"


@dataclass(frozen=True)
class HttpCheck:
    """An answer with one of the codes is good.

    :param codes: numbers and ranges, as keepalived reads them.
    :param protocol: ``1.0`` or ``1.1``, None for keepalived's default (1.0).
    :param virtual_host: what the request's Host header says, None for the address.
    """

    address: str
    port: int
    timeout: int
    retries: int
    path: str
    codes: tuple[str, ...]
    protocol: str | None = None
    virtual_host: str | None = None
    kind: ClassVar[str] = "HTTP_GET"


Checker = MiscCheck | TcpCheck | HttpCheck


@dataclass(frozen=True)
class RealServer:
    """One member. ``weight`` 0 takes no new connections; ``connection_limit`` None is no limit."""

    member_id: str
    address: str
    port: int
    weight: int
    connection_limit: int | None = None
    checker: Checker | None = None


@dataclass(frozen=True)
class Persistence:
    """A client stays with its member for ``timeout`` seconds after its last connection.

    :param granularity: which clients count as one: a netmask, or for IPv6 a prefix length.
    """

    timeout: int
    granularity: str


@dataclass(frozen=True)
class Monitor:
    """When members are probed: every ``interval`` seconds."""

    monitor_id: str
    interval: int


@dataclass(frozen=True)
class VirtualServer:
    """The listener's addresses of one family and the members behind them.

    :param name: ``ipv4-group`` or ``ipv6-group``.
    :param scheduler: how IPVS chooses; ``flags`` say how exactly.
    :param disabled: ids of members that take no traffic.
    """

    name: str
    addresses: tuple[str, ...]
    port: int
    protocol: str
    scheduler: str
    flags: tuple[str, ...]
    persistence: Persistence | None
    monitor: Monitor | None
    servers: tuple[RealServer, ...]
    disabled: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """The pool behind the listener. A disabled one has no monitor and no members to show."""

    id: str
    enabled: bool


@dataclass(frozen=True)
class Configuration:
    """One keepalived process, for one listener.

    :param namespace: network namespace of traffic, which keepalived joins.
    :param enabled: False for a listener that takes no traffic, by itself or by its load balancer.
    :param script_security: False where root's files are not root's own (an unprivileged user namespace).
    """

    load_balancer_id: str
    listener_id: str
    namespace: str
    enabled: bool
    pool: Pool | None = None
    servers: tuple[VirtualServer, ...] = ()
    script_security: bool = True
