"""A provider that makes load balancers of nothing; see ``lbdrivers.drivers.provider`` for the laws.

It goes from what it holds to what is wanted change by change, as a backend with calls per object does;
interrupted between two changes it keeps what was done, and the next apply completes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.profiles import ProfileKind, ProfileSchema, capabilities, read, validate
from lbdrivers.drivers.provider import (
    Appliance,
    Deviation,
    Mildness,
    Observation,
    Orphan,
    PlannedAction,
    Remedy,
    Statistics,
    check_tree,
)
from lbdrivers.errors import PermanentError
from lbdrivers.features import ALL, Feature
from lbdrivers.memory.cloud import Cloud, StoredLoadBalancer, derived_id
from lbdrivers.memory.faults import Faults
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.model.changes import Change, Created, Kind, Ordered, apply_changes, diff
from lbdrivers.model.infra import FixedAddress, Port, PortRequest
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer, Member, Pool
from lbdrivers.model.status import OperatingStatus
from lbdrivers.model.values import Text

_VIP_PORT = "memory-vip-"


class MemoryProvider:
    """Every protocol of ``lbdrivers.drivers.provider`` that needs no appliance, on the memory cloud."""

    contract = 1
    name = "memory"

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._network = MemoryNetwork(context)
        self._faults = faults or Faults()

    def features(self) -> frozenset[Feature]:
        """See ``Provider.features``: all that there are."""
        return ALL

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """See ``Provider.apply``. What it holds is known exactly, so the hint is not needed."""
        check_tree(self.name, self, desired)
        with self._faults.around("apply", desired, applied):
            held = self.cloud.load_balancers.get(desired.id)
            old = held.tree if held is not None else None
            addresses = tuple(one.address for one in self._reserved(desired).fixed if one.address is not None)
            changes = diff(old, desired)
            done = 0
            try:
                for change in changes:
                    with self._faults.around("change", change):
                        done += 1
            finally:
                self._keep(desired.id, apply_changes(old, changes[:done]), addresses)

    def profile_capabilities(self, kind: ProfileKind) -> Mapping[str, str]:
        """See ``ProfileSchemas.profile_capabilities``."""
        return capabilities(_SCHEMAS[kind])

    def validate_profile(self, kind: ProfileKind, data: ProviderData) -> None:
        """See ``ProfileSchemas.validate_profile``."""
        validate(kind, _SCHEMAS, data)

    def remove(self, load_balancer_id: str) -> None:
        """See ``Provider.remove``."""
        with self._faults.around("remove", load_balancer_id):
            self._network.remove_port(_vip_port(load_balancer_id))
            self.cloud.load_balancers.remove(load_balancer_id)

    def observe(self, load_balancer_id: str) -> Observation:
        """See ``Provider.observe``."""
        with self._faults.around("observe", load_balancer_id):
            held = self.cloud.load_balancers.get(load_balancer_id)
        if held is None:
            return Observation(exists=False)
        return Observation(
            exists=True,
            vip_addresses=held.addresses,
            operating=operating_statuses(held.tree),
            statistics={listener.id: Statistics() for listener in held.tree.listeners},
            appliances=_appliances(held),
        )

    def known(self) -> frozenset[str]:
        """See ``Provider.known``."""
        with self._faults.around("known"):
            # An apply that broke off at its very beginning has left a VIP port and nothing else.
            reserved = (port.name for port in self._network.ports() if port.name.startswith(_VIP_PORT))
            return self.cloud.load_balancers.ids() | {name.removeprefix(_VIP_PORT) for name in reserved}

    def failover(self, load_balancer_id: str) -> None:
        """See ``Provider.failover``."""
        with self._faults.around("failover", load_balancer_id):

            def replaced(held: StoredLoadBalancer | None) -> StoredLoadBalancer:
                if held is None:
                    raise PermanentError(f"there is no load balancer {load_balancer_id}")
                return replace(held, replacements=held.replacements + 1)

            self.cloud.load_balancers.change(load_balancer_id, replaced)

    def plan(self, desired: LoadBalancer, applied: LoadBalancer | None) -> tuple[PlannedAction, ...]:
        """See ``Planner.plan``."""
        with self._faults.around("plan", desired, applied):
            held = self.cloud.load_balancers.get(desired.id)
        return tuple(_planned(change) for change in diff(held.tree if held is not None else None, desired))

    def deviations(self, applied: LoadBalancer) -> tuple[Deviation, ...]:
        """See ``Inspector.deviations``."""
        with self._faults.around("deviations", applied):
            held = self.cloud.load_balancers.get(applied.id)
        planned = map(_planned, diff(held.tree if held is not None else None, applied))
        return tuple(Deviation(one.subject, one.action, "done", "not done", Remedy.APPLY) for one in planned)

    def orphans(self) -> tuple[Orphan, ...]:
        """See ``Inspector.orphans``: all that it holds is load balancers, and their ports are known by their names."""
        return ()

    def remove_orphans(self) -> tuple[Orphan, ...]:
        """See ``Inspector.remove_orphans``."""
        return ()

    def reserve_vip(self, tree: LoadBalancer) -> Port:
        """See ``VipReserver.reserve_vip``."""
        with self._faults.around("reserve_vip", tree):
            return self._reserved(tree)

    def _reserved(self, tree: LoadBalancer) -> Port:
        """The port with the VIPs' addresses; they stay for as long as the load balancer lives."""
        subnet_id = tree.vip_subnet_id or derived_id("vip", tree.vip_network_id or tree.vip_port_id or tree.id)
        network_id = tree.vip_network_id or self._network.subnet(subnet_id).network_id
        fixed = (
            FixedAddress(subnet_id, tree.vip_address),
            *(FixedAddress(vip.subnet_id, vip.ip_address) for vip in tree.additional_vips),
        )
        return self._network.ensure_port(PortRequest(_vip_port(tree.id), network_id, fixed, bound=False))

    def _keep(self, load_balancer_id: str, tree: LoadBalancer | None, addresses: tuple[str, ...]) -> None:
        if tree is None:
            return

        def kept(old: StoredLoadBalancer | None) -> StoredLoadBalancer:
            return StoredLoadBalancer(tree, addresses, old.replacements if old is not None else 0)

        self.cloud.load_balancers.change(load_balancer_id, kept)


def _vip_port(load_balancer_id: str) -> str:
    return _VIP_PORT + load_balancer_id


class MemoryFlavor(ProfileSchema):
    """What a flavor may say here."""

    appliances: int = Field(1, ge=1, le=4, description="How many appliances a load balancer has, 1 to 4.")
    allow_member_sriov: bool = Field(False, description="Whether members may ask for ports with SR-IOV.")


class MemoryZone(ProfileSchema):
    """What an availability zone may say here."""

    compute_zone: Text | None = Field(None, description="Where the appliances are; they show it.")


_SCHEMAS: Mapping[ProfileKind, type[ProfileSchema]] = {
    ProfileKind.FLAVOR: MemoryFlavor,
    ProfileKind.AVAILABILITY_ZONE: MemoryZone,
}


def _appliances(held: StoredLoadBalancer) -> tuple[Appliance, ...]:
    """As many as the flavor says, where the zone says; the first one holds the VIP."""
    flavor = read(ProfileKind.FLAVOR, MemoryFlavor, held.tree.flavor_data)
    zone = read(ProfileKind.AVAILABILITY_ZONE, MemoryZone, held.tree.availability_zone_data).compute_zone
    return tuple(
        Appliance(
            id=derived_id("appliance", held.tree.id, str(held.replacements), *([str(number)] if number else [])),
            role=("BACKUP" if number else "MASTER") if flavor.appliances > 1 else "STANDALONE",
            status="ALLOCATED",
            address=None,
            holds_vip=number == 0,
            remark=f"in the zone {zone}" if zone else "",
        )
        for number in range(flavor.appliances)
    )


def _planned(change: Change) -> PlannedAction:
    match change:
        case Created(kind, _, resource):
            subject, action = f"{kind} {resource.id}", "create"
        case Ordered(kind, parent_id, _):
            subject, action = f"{kind}s of {parent_id}", "put in order"
        case _:
            subject, action = f"{change.kind} {change.id}", type(change).__name__.lower().removesuffix("d")
    return PlannedAction(subject, action, Mildness.RUNTIME if change.kind is Kind.MEMBER else Mildness.RELOAD)


def operating_statuses(tree: LoadBalancer) -> dict[str, OperatingStatus]:
    """Operating status of every resource of a tree on a backend where everything works."""
    serving = [listener for listener in tree.listeners if tree.admin_state_up and listener.admin_state_up]
    used = {pool_id for listener in serving for pool_id in listener.pool_ids()}
    statuses = {resource.id: _administrative(resource.admin_state_up) for _, resource in tree.walk()}
    statuses |= {one.id: _administrative(one in serving) for one in tree.listeners}
    for pool in tree.pools:
        statuses[pool.id] = _administrative(pool.id in used)
        statuses |= {member.id: _member_status(pool, member, pool.id in used) for member in pool.members}
    return statuses


def _administrative(up: bool) -> OperatingStatus:
    return OperatingStatus.ONLINE if up else OperatingStatus.OFFLINE


def _member_status(pool: Pool, member: Member, used: bool) -> OperatingStatus:
    if not used or not member.admin_state_up:
        return OperatingStatus.OFFLINE
    if member.weight == 0:
        return OperatingStatus.DRAINING
    checked = pool.healthmonitor is not None and pool.healthmonitor.admin_state_up
    return OperatingStatus.ONLINE if checked else OperatingStatus.NO_MONITOR
