"""The amphora contract: how the provider speaks to one appliance.

Law: each verb hands over the whole desired state of its subject and is idempotent; the driver
finds the mildest way from what runs to what is wanted.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from lbdrivers.drivers.provider import Mildness, Statistics
from lbdrivers.model.infra import HostRoute, Machine
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers.model.tls import DEFAULT_POLICY, TlsPolicy


class Topology(enum.StrEnum):
    SINGLE = "SINGLE"
    ACTIVE_STANDBY = "ACTIVE_STANDBY"


class Role(enum.StrEnum):
    MASTER = "MASTER"
    BACKUP = "BACKUP"
    STANDALONE = "STANDALONE"


@dataclass(frozen=True)
class Facts:
    """What an appliance says of itself.

    :param haproxy_version: such as "2.6.12-1+deb12u1".
    :param base_path: folder that holds configuration, sockets and pid files (``/var/lib/octavia``).
    :param log_socket: datagram socket for HAProxy's logs, or None when nothing reads logs there.
    :param haproxy_user: user that HAProxy drops to, or None where no other user exists (an
        unprivileged user namespace).
    :param isolated_cpus: whether all CPUs but the first are kept free for traffic (tuned's profile
        ``amphora``).
    :param memory: of the appliance, in kB; 0 when it is not known.
    :param capabilities: what it can do beyond the REST API 1.0 ("runtime", "statistics", ...).
    """

    hostname: str
    api_version: str
    haproxy_version: str
    keepalived_version: str
    base_path: str = "/var/lib/octavia"
    certificate_path: str = "/var/lib/octavia/certs"
    log_socket: str | None = "/run/rsyslog/octavia/log"
    haproxy_user: str | None = "nobody"
    cpu_count: int = 1
    isolated_cpus: bool = False
    memory: int = 0
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Vip:
    """A VIP as an appliance sees it: address and the subnet around it."""

    address: str
    cidr: str
    gateway: str | None = None
    host_routes: tuple[HostRoute, ...] = ()


@dataclass(frozen=True)
class InterfaceAddress:
    """An address of a plugged port with its subnet."""

    address: str
    cidr: str
    gateway: str | None = None
    host_routes: tuple[HostRoute, ...] = ()


@dataclass(frozen=True)
class Interface:
    """One plugged port as the appliance must set it up. ``vips`` is empty for member networks."""

    mac: str
    mtu: int
    addresses: tuple[InterfaceAddress, ...]
    vips: tuple[Vip, ...] = ()


@dataclass(frozen=True)
class Peer:
    """One amphora of the load balancer, as its fellows need to know it. ``priority`` is VRRP's."""

    amphora_id: str
    vrrp_address: str
    role: Role
    priority: int


@dataclass(frozen=True)
class VrrpTimers:
    """Timers of VRRP and of its HAProxy check, in seconds; ``version`` of VRRP is 2 or 3."""

    version: int = 3
    advertisement_interval: float = 0.1
    check_interval: float = 1.0
    check_fall: int = 2
    check_rise: int = 2
    garp_refresh_interval: float = 5
    garp_refresh_count: int = 2


class TlsPart(enum.StrEnum):
    """What a reference to a secret is used as."""

    CERTIFICATE = "certificate"
    AUTHORITIES = "authorities"
    REVOCATIONS = "revocations"


@dataclass(frozen=True)
class TlsFiles:
    """What a load balancer's references to secrets became: files of an appliance, named by their content.

    :param contents: file name -> PEM.
    :param names: (use, reference) -> file name.
    """

    contents: Mapping[str, Secret] = field(default_factory=dict)
    names: Mapping[tuple[TlsPart, str], str] = field(default_factory=dict)

    def name(self, part: TlsPart, reference: str) -> str:
        """The file of that reference. :raises KeyError: when it was not fetched."""
        return self.names[part, reference]


@dataclass(frozen=True)
class TrafficOptions:
    """What an operator decides for the traffic of every load balancer. Timeouts in milliseconds, for
    listeners that say 0.

    :param connection_logging: whether each connection, or request, is logged.
    :param log_format: of such a line, in HAProxy's language; ``{{ project_id }}`` and ``{{ lb_id }}``
        are replaced.
    :param user_log_facility: number of syslog's local facility (0 to 7) of connections, likewise
        ``administrative_log_facility`` of HAProxy itself.
    :param stick_table_size: entries of each table of persistence; k, m and g multiply by 1024.
    :param connection_limit: connections that a process makes room for where no listener asks for more.
    :param tls: what listeners and pools speak that do not say it themselves.
    """

    connection_logging: bool = True
    log_format: str = (
        "{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U %[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc"
    )
    user_log_facility: int = 0
    administrative_log_facility: int = 1
    stick_table_size: str = "10k"
    connection_limit: int = 50_000
    timeout_client_data: int = 50_000
    timeout_member_connect: int = 5_000
    timeout_member_data: int = 50_000
    timeout_tcp_inspect: int = 0
    tls: TlsPolicy = DEFAULT_POLICY


@dataclass(frozen=True)
class Bundle:
    """The whole desired configuration of one appliance.

    :param peers: every amphora of the load balancer, this one included, in a stable order.
    :param vips: the primary VIP first, then the additional ones sorted by address.
    :param tls: the files of every reference in the tree that is in effect.
    :param vrrp_password: for VRRP version 2 only; eight characters at most.
    """

    load_balancer: LoadBalancer
    amphora_id: str
    topology: Topology
    peers: tuple[Peer, ...]
    vips: tuple[Vip, ...]
    timers: VrrpTimers = VrrpTimers()
    tls: TlsFiles = field(default_factory=TlsFiles)
    vrrp_password: Secret | None = None
    options: TrafficOptions = TrafficOptions()

    @property
    def own(self) -> Peer:
        """This appliance among the peers."""
        return next(peer for peer in self.peers if peer.amphora_id == self.amphora_id)


class DaemonState(enum.StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


@dataclass(frozen=True)
class MemberState:
    """A server as HAProxy reports it: ``UP``, ``DOWN``, ``DRAIN``, ``MAINT``, ``no check``..."""

    status: str
    detail: str = ""


@dataclass(frozen=True)
class PoolState:
    """A backend as HAProxy reports it; ``members`` by member id."""

    status: str
    members: Mapping[str, MemberState]


@dataclass(frozen=True)
class ApplianceReport:
    """What an appliance measures: the content of a heartbeat, asked for on demand.

    :param listeners: status word (OPEN, FULL) and totals since the amphora's creation, by listener id.
    :param pools: by "<pool id>:<listener id>".
    :param holds_vip: whether the primary VIP is on one of its interfaces.
    :param revisions: file name -> MD5 of what is applied (``haproxy.cfg``, ``keepalived.conf``).
    :param certificate_expires: end of the certificate that the agent showed, in seconds since the epoch;
        None when the driver does not see it.
    """

    amphora_id: str
    haproxy: DaemonState
    keepalived: DaemonState
    holds_vip: bool
    listeners: Mapping[str, tuple[str, Statistics]]
    pools: Mapping[str, PoolState]
    revisions: Mapping[str, str]
    haproxy_pids: tuple[int, ...] = ()
    certificate_expires: float | None = None


class AmphoraDriver(Protocol):
    """Speaks to appliances. ``machine`` says where it is, ``amphora_id`` who must answer there."""

    contract: int

    def facts(self, machine: Machine, amphora_id: str) -> Facts:
        """:raises TemporaryError: while the agent does not answer yet."""
        ...

    def plug(self, machine: Machine, amphora_id: str, interfaces: tuple[Interface, ...]) -> None:
        """Make the appliance's interfaces be exactly these (the management interface is not among
        them); one whose port has not arrived yet is a TemporaryError."""
        ...

    def configure(self, machine: Machine, bundle: Bundle) -> Mildness:
        """Make HAProxy and keepalived do what the bundle says, in the mildest way that suffices.

        :returns: how it was done; ``Mildness.NOTHING`` when it was so already.
        :raises PermanentError: when a daemon refuses the configuration, with its own words; what
            ran before keeps running.
        """
        ...

    def report(self, machine: Machine, amphora_id: str) -> ApplianceReport:
        """What the appliance measures right now. :raises TemporaryError: when it does not answer."""
        ...

    def rotate_certificate(self, machine: Machine, amphora_id: str, pem: Secret) -> None:
        """Give the agent a new server certificate without touching traffic."""
        ...

    def reconfigure(self, machine: Machine, amphora_id: str, config: Secret) -> None:
        """Give the agent a new configuration of its own without touching traffic.

        :raises PermanentError: when the agent refuses it.
        """
        ...


@runtime_checkable
class Foreteller(Protocol):
    """Optional, beside AmphoraDriver: says what a report will show once a bundle is applied."""

    def revisions(self, bundle: Bundle, facts: Facts) -> Mapping[str, str]:
        """The revisions of an appliance that is as the bundle wants it. Asks nobody."""
        ...
