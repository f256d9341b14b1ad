"""A tree becomes rows of the northbound database.

Law: pure, and total on what ``capabilities.check`` lets through. OVN says once for a row how all its pools
balance: so there is a row for each protocol, as in the established layout, and a further one for pools that
balance in another way. ``interpret`` is the way back.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lbdrivers.model.infra import Subnet
from lbdrivers.model.resources import DATAGRAM_POOLS, Algorithm, HealthMonitor, Listener, LoadBalancer, Member, Pool
from lbdrivers.model.status import OperatingStatus
from lbdrivers.model.values import family
from lbdrivers_ovn import names
from lbdrivers_ovn.external_ids import Content, ListenerEntry, MemberEntry, PoolEntry, encode
from lbdrivers_ovn.rows import (
    BY_ADDRESS,
    BY_FLOW,
    CHECK_DISABLED,
    CHECK_MONITOR,
    CHECK_POOL,
    CHECK_VIP,
    Balance,
    HealthCheckRow,
    LoadBalancerRow,
)
from lbdrivers_ovn.topology import Attachments, Topology, attachments, floating

#: Seconds that a client stays with its member when its owner says nothing (ovn-octavia-provider's default).
DEFAULT_AFFINITY_TIMEOUT = 360


@dataclass(frozen=True)
class Vip:
    """A VIP as it was given: its address, the port that reserves it, and where that is."""

    address: str
    port_id: str
    subnet: Subnet


@dataclass(frozen=True)
class Place:
    """What a tree finds around it, from the network driver.

    :param vips: the primary VIP, then the additional ones.
    :param subnets: by id, every subnet that members name.
    :param monitor_addresses: subnet id -> where its health checks come from.
    """

    vips: tuple[Vip, ...]
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    monitor_addresses: Mapping[str, str] = field(default_factory=dict)

    def subnet_of(self, member: Member) -> Subnet | None:
        """The member's subnet: the one that it names, else that of a VIP with its address in it."""
        if member.subnet_id is not None:
            return self.subnets.get(member.subnet_id)
        address = ipaddress.ip_address(member.address)
        of_vips = (vip.subnet for vip in self.vips)
        return next((one for one in of_vips if address in ipaddress.ip_network(one.cidr)), None)


def translate(
    tree: LoadBalancer, place: Place, topology: Topology, recorded: Mapping[str, str]
) -> tuple[LoadBalancerRow, ...]:
    """The rows of the tree; at least one.

    :param recorded: member id -> status of a monitored member, as last heard; who is not in it counts as ONLINE.
    """
    return tuple(_Translation(tree, place, topology, recorded).rows())


def with_port(address: str, port: int) -> str:
    """As OVN writes an address with a port."""
    return f"[{address}]:{port}" if family(address) == "IPv6" else f"{address}:{port}"


def balance(pool: Pool) -> Balance:
    """How the pool's row has to balance. What members speak over TCP is all the same: nobody looks at it."""
    persistence = pool.session_persistence
    timeout = None if persistence is None else persistence.persistence_timeout or DEFAULT_AFFINITY_TIMEOUT
    fields = BY_ADDRESS if pool.lb_algorithm is Algorithm.SOURCE_IP else BY_FLOW
    return Balance(transport(pool), fields, timeout)


def transport(pool: Pool) -> str:
    """The protocol that OVN balances for the pool: tcp, udp or sctp."""
    return pool.protocol.value.lower() if pool.protocol in DATAGRAM_POOLS else "tcp"


def monitored(pool: Pool) -> bool:
    """Whether its members are probed."""
    return pool.healthmonitor is not None and pool.healthmonitor.admin_state_up


class _Translation:
    def __init__(self, tree: LoadBalancer, place: Place, topology: Topology, recorded: Mapping[str, str]) -> None:
        self._tree = tree
        self._place = place
        self._topology = topology
        self._recorded = recorded
        self._attachments = self._attached()
        routers = self._attachments.routers
        self._floating = {vip.address: floating(topology, routers, vip.address) for vip in place.vips}

    def _subnets(self, pools: Iterable[Pool]) -> list[Subnet]:
        """Of each VIP, and of each member of these pools."""
        found = (self._place.subnet_of(member) for pool in pools for member in pool.members)
        return [vip.subnet for vip in self._place.vips] + [subnet for subnet in found if subnet is not None]

    def _attached(self) -> Attachments:
        places = ((names.switch(subnet.network_id), subnet.cidr) for subnet in self._subnets(self._tree.pools))
        return attachments(self._topology, places, frozenset(family(vip.address) for vip in self._place.vips))

    def _references(self, pools: list[Pool]) -> dict[str, int]:
        """The layout counts for each row alone, so that whoever takes a member from it knows when it was the last."""
        counts = Counter(names.switch(subnet.network_id) for subnet in self._subnets(pools))
        return {switch: count for switch, count in counts.items() if switch in self._attachments.references}

    def rows(self) -> Iterator[LoadBalancerRow]:
        pools: dict[Balance, list[Pool]] = {}
        for pool in self._tree.pools:
            pools.setdefault(balance(pool), []).append(pool)
        listeners: dict[Balance, list[Listener]] = {}
        for listener in self._tree.listeners:
            listeners.setdefault(self._balance_of(listener, pools), []).append(listener)
        shared = self._shared()
        for each in dict.fromkeys((*pools, *listeners)) or (Balance(),):
            yield self._row(each, listeners.get(each, []), pools.get(each, []), shared)

    def _balance_of(self, listener: Listener, pools: Mapping[Balance, list[Pool]]) -> Balance:
        """That of its pool; without one, of the first pool of its protocol, else the plain one."""
        if listener.default_pool_id is not None:
            return balance(self._tree.pool(listener.default_pool_id))
        protocol = listener.protocol.transport.lower()
        return next((one for one in pools if one.protocol == protocol), Balance(protocol))

    def _shared(self) -> Content:
        """What every row says alike."""
        primary, *additional = self._place.vips
        return Content(
            vip=primary.address,
            vip_port_id=primary.port_id,
            enabled=self._tree.admin_state_up,
            additional_vips=tuple(vip.address for vip in additional),
            additional_vip_port_ids=tuple(vip.port_id for vip in additional),
            vip_fip=self._floating[primary.address],
            additional_vip_fips=tuple(filter(None, (self._floating[vip.address] for vip in additional))),
            routers=tuple(sorted(self._attachments.routers)),
        )

    def _row(self, each: Balance, listeners: list[Listener], pools: list[Pool], shared: Content) -> LoadBalancerRow:
        content = replace(
            shared,
            switch_references=self._references(pools),
            listeners=tuple(
                ListenerEntry(one.id, one.protocol_port, one.default_pool_id, one.admin_state_up) for one in listeners
            ),
            pools=tuple(PoolEntry(one.id, self._entries(one), one.admin_state_up) for one in pools),
            member_statuses={member.id: self._status(pool, member).value for pool in pools for member in pool.members},
            monitors=tuple(pool.healthmonitor.id for pool in pools if pool.healthmonitor is not None),
        )
        return LoadBalancerRow(
            name=self._tree.id,
            balance=each,
            vips=dict(self._vips(listeners)),
            external_ids=encode(content),
            ip_port_mappings=dict(mapping for pool in pools for mapping in self._mappings(pool)),
            health_checks=tuple(check for pool in pools for check in self._checks(pool, listeners)),
            switches=self._attachments.switches,
            routers=self._attachments.routers,
        )

    def _entries(self, pool: Pool) -> tuple[MemberEntry, ...]:
        found = []
        for member in pool.members:
            subnet = self._place.subnet_of(member)
            subnet_id = subnet.id if subnet is not None else ""
            found.append(MemberEntry(member.id, member.address, member.protocol_port, subnet_id))
        return tuple(found)

    def _status(self, pool: Pool, member: Member) -> OperatingStatus:
        if not member.admin_state_up:
            return OperatingStatus.OFFLINE
        if not monitored(pool):
            return OperatingStatus.NO_MONITOR
        if self._probe(member) is None:
            return OperatingStatus.ERROR  # nobody can be asked: its address is no port's
        known = self._recorded.get(member.id)
        return OperatingStatus.ERROR if known == OperatingStatus.ERROR else OperatingStatus.ONLINE

    def _addresses(self) -> Iterator[str]:
        """Every address of clients: VIPs, then floating IPs of IPv4."""
        for vip in self._place.vips:
            yield vip.address
        for vip in self._place.vips:
            external = self._floating[vip.address]
            if external and family(external) == "IPv4":
                yield external

    def _vips(self, listeners: list[Listener]) -> Iterator[tuple[str, str]]:
        if not self._tree.admin_state_up:
            return
        for listener in listeners:
            if not listener.admin_state_up or listener.default_pool_id is None:
                continue
            pool = self._tree.pool(listener.default_pool_id)
            if not pool.admin_state_up:
                continue
            serving = [member for member in pool.members if member.admin_state_up]
            for address in self._addresses():
                same = [one for one in serving if family(one.address) == family(address)]
                if same:
                    targets = ",".join(with_port(one.address, one.protocol_port) for one in same)
                    yield with_port(address, listener.protocol_port), targets

    def _probe(self, member: Member) -> tuple[str, str] | None:
        """An entry of ip_port_mappings: who is probed, through which port and from where."""
        subnet = self._place.subnet_of(member)
        source = self._place.monitor_addresses.get(subnet.id) if subnet is not None else None
        port = self._topology.ports.get(member.address)
        if source is None or port is None:
            return None
        if family(member.address) == "IPv6":
            return f"[{member.address}]", f"{port}:[{source}]"
        return member.address, f"{port}:{source}"

    def _mappings(self, pool: Pool) -> Iterator[tuple[str, str]]:
        if monitored(pool):
            for member in pool.members:
                probe = self._probe(member) if member.admin_state_up else None
                if probe is not None:
                    yield probe

    def _checks(self, pool: Pool, listeners: list[Listener]) -> Iterator[HealthCheckRow]:
        monitor = pool.healthmonitor
        if monitor is None:
            return
        ports = [one.protocol_port for one in listeners if one.default_pool_id == pool.id]
        for address in self._addresses():
            vips = [with_port(address, port) for port in ports] if monitor.admin_state_up else []
            for vip in vips or [""]:
                yield _check(monitor, pool, address, vip)


def _check(monitor: HealthMonitor, pool: Pool, address: str, vip: str) -> HealthCheckRow:
    options = {
        "interval": str(monitor.delay),
        "timeout": str(monitor.timeout),
        "success_count": str(monitor.max_retries),
        "failure_count": str(monitor.max_retries_down),
    }
    ids = {CHECK_MONITOR: monitor.id, CHECK_POOL: pool.id, CHECK_VIP: address}
    return HealthCheckRow(vip, options, ids if monitor.admin_state_up else ids | {CHECK_DISABLED: "True"})
