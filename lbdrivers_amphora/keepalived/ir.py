"""The intermediate representation of keepalived.conf: one VRRP instance.

Law: plain frozen values; the text follows from them alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbdrivers.model.secret import Secret


@dataclass(frozen=True)
class Route:
    """A route that comes and goes with the VIPs. ``source`` prefers an address, ``gateway`` None is on-link.

    :param destination: a CIDR, or ``default``.
    """

    destination: str
    gateway: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Rule:
    """Packets from this host (CIDR) use the VIPs' routing table."""

    source: str


@dataclass(frozen=True)
class TrackScript:
    """How keepalived asks whether HAProxy works: every ``interval`` seconds, whole ones only."""

    path: str
    interval: int
    fall: int
    rise: int


@dataclass(frozen=True)
class Configuration:
    """One VRRP instance with everything that moves with it.

    :param name: of the instance, and of this router in keepalived's own messages.
    :param version: of VRRP, 2 or 3.
    :param advertisement_interval: seconds, as keepalived reads them.
    :param peers: VRRP addresses of the other amphorae.
    :param addresses: VIPs of the family of ``source``; ``excluded`` the others.
    :param down_file: says 1 while HAProxy is dead, and 0 else; None where the agent keeps none.
    :param script_security: False where root's files are not root's own: in an unprivileged user
        namespace keepalived would refuse every script.
    :param password: VRRP version 2 only.
    """

    load_balancer_id: str
    name: str
    interface: str
    version: int
    priority: int
    advertisement_interval: str
    garp_refresh_interval: int
    garp_refresh_count: int
    source: str
    peers: tuple[str, ...]
    addresses: tuple[str, ...]
    excluded: tuple[str, ...]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]
    script: TrackScript
    down_file: str | None = None
    script_security: bool = True
    password: Secret | None = None
