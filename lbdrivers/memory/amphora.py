"""Appliances that take their configuration and report that all is well; see ``lbdrivers.drivers.amphora``.

The living appliance of the highest priority holds the VIP, so that a failover can be watched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from lbdrivers.drivers.amphora import (
    ApplianceReport,
    Bundle,
    DaemonState,
    Facts,
    Interface,
    MemberState,
    PoolState,
    Topology,
)
from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.provider import Mildness, Statistics
from lbdrivers.errors import TemporaryError
from lbdrivers.memory.cloud import Cloud, StoredAppliance
from lbdrivers.memory.faults import Faults
from lbdrivers.model.changes import Created, Deleted, Kind, Updated, diff
from lbdrivers.model.infra import Machine, MachineStatus
from lbdrivers.model.resources import Listener, LoadBalancer, Member, Pool
from lbdrivers.model.secret import Secret


class MemoryAmphoraDriver:
    """Implements ``AmphoraDriver`` on the memory cloud."""

    contract = 1

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._faults = faults or Faults()

    def facts(self, machine: Machine, amphora_id: str) -> Facts:
        """See ``AmphoraDriver.facts``."""
        with self._faults.around("facts", machine, amphora_id):
            self._appliance(machine, amphora_id)
        return Facts(
            hostname=machine.name,
            api_version="1.0",
            haproxy_version="2.6.12-memory",
            keepalived_version="2.2.7-memory",
            capabilities=frozenset({"runtime", "statistics", "nftables"}),
        )

    def plug(self, machine: Machine, amphora_id: str, interfaces: tuple[Interface, ...]) -> None:
        """See ``AmphoraDriver.plug``."""
        with self._faults.around("plug", machine, amphora_id, interfaces):
            appliance = self._appliance(machine, amphora_id)
            arrived = {port.mac for port in self.cloud.ports.all() if port.machine == machine.name}
            missing = [interface.mac for interface in interfaces if interface.mac not in arrived]
            if missing:
                raise TemporaryError("a port has not arrived yet", f"{machine.name} has no port {', '.join(missing)}")
            self._store(replace(appliance, interfaces=interfaces))

    def configure(self, machine: Machine, bundle: Bundle) -> Mildness:
        """See ``AmphoraDriver.configure``."""
        with self._faults.around("configure", machine, bundle):
            old = self._appliance(machine, bundle.amphora_id)
            digest = _digest(bundle)
            mildness = _mildness(old, bundle, digest)
            if mildness is not Mildness.NOTHING:
                new = replace(
                    old,
                    load_balancer=bundle.load_balancer,
                    digest=digest,
                    role=bundle.own.role,
                    priority=bundle.own.priority,
                    reloads=old.reloads + (mildness is Mildness.RELOAD),
                )
                self._store(new)
            return mildness

    def report(self, machine: Machine, amphora_id: str) -> ApplianceReport:
        """See ``AmphoraDriver.report``."""
        with self._faults.around("report", machine, amphora_id):
            appliance = self._appliance(machine, amphora_id)
            tree = appliance.load_balancer
            running = DaemonState.RUNNING if tree is not None else DaemonState.STOPPED
            return ApplianceReport(
                amphora_id=amphora_id,
                haproxy=running,
                keepalived=running,
                holds_vip=self._holds_vip(appliance),
                listeners={listener.id: ("OPEN", Statistics()) for listener in _serving(tree)},
                pools=_pool_states(tree),
                revisions={"haproxy.cfg": appliance.digest, "keepalived.conf": appliance.digest} if tree else {},
                haproxy_pids=(appliance.reloads + 1,) if tree else (),
            )

    def rotate_certificate(self, machine: Machine, amphora_id: str, pem: Secret) -> None:
        """See ``AmphoraDriver.rotate_certificate``."""
        with self._faults.around("rotate_certificate", machine, amphora_id, pem):
            appliance = self._appliance(machine, amphora_id)
            self._store(replace(appliance, certificates=appliance.certificates + 1))

    def reconfigure(self, machine: Machine, amphora_id: str, config: Secret) -> None:
        """See ``AmphoraDriver.reconfigure``."""
        with self._faults.around("reconfigure", machine, amphora_id, config):
            appliance = self._appliance(machine, amphora_id)
            self._store(replace(appliance, agent_configuration=config.reveal().decode()))

    def revisions(self, bundle: Bundle, facts: Facts) -> Mapping[str, str]:
        """See ``Foreteller.revisions``."""
        del facts
        digest = _digest(bundle)
        return {"haproxy.cfg": digest, "keepalived.conf": digest}

    def _appliance(self, machine: Machine, amphora_id: str) -> StoredAppliance:
        """Who answers there. :raises TemporaryError: when nobody does, or somebody else."""
        found = self.cloud.machines.get(machine.name)
        if found is None or found.status is not MachineStatus.RUNNING:
            raise TemporaryError("an amphora does not answer", f"the machine {machine.name} is not running")
        fresh = StoredAppliance(machine.name, amphora_id)
        appliance = self.cloud.appliances.change(machine.name, lambda old: old or fresh)
        if appliance.amphora_id != amphora_id:
            raise TemporaryError(
                "an amphora does not answer", f"{machine.name} is {appliance.amphora_id}, not {amphora_id}"
            )
        return appliance

    def _store(self, appliance: StoredAppliance) -> None:
        self.cloud.appliances.change(appliance.machine, lambda _old: appliance)

    def _holds_vip(self, appliance: StoredAppliance) -> bool:
        if appliance.load_balancer is None:
            return False
        running = {one.name for one in self.cloud.machines.all() if one.status is MachineStatus.RUNNING}
        rivals = [
            one
            for one in self.cloud.appliances.all()
            if one.machine in running
            and one.load_balancer is not None
            and one.load_balancer.id == appliance.load_balancer.id
        ]
        winner = max(rivals, key=lambda one: (one.priority, one.amphora_id))
        return winner.amphora_id == appliance.amphora_id


def _digest(bundle: Bundle) -> str:
    sha = hashlib.sha256(bundle.load_balancer.model_dump_json().encode())
    sha.update(repr((bundle.amphora_id, bundle.topology, bundle.peers, bundle.vips, bundle.timers)).encode())
    for name, content in sorted(bundle.tls.contents.items()):
        sha.update(name.encode() + b"\0" + content.reveal())
    if bundle.vrrp_password is not None and bundle.topology is Topology.ACTIVE_STANDBY:
        sha.update(bundle.vrrp_password.reveal())
    return sha.hexdigest()


def _mildness(old: StoredAppliance, bundle: Bundle, digest: str) -> Mildness:
    if old.digest == digest:
        return Mildness.NOTHING
    if old.load_balancer is None:
        return Mildness.RESTART
    changes = diff(old.load_balancer, bundle.load_balancer)
    members_only = all(
        isinstance(change, Created | Updated | Deleted) and change.kind is Kind.MEMBER for change in changes
    )
    return Mildness.RUNTIME if changes and members_only else Mildness.RELOAD


def _serving(tree: LoadBalancer | None) -> Iterator[Listener]:
    if tree is not None and tree.admin_state_up:
        yield from (listener for listener in tree.listeners if listener.admin_state_up)


def _pool_states(tree: LoadBalancer | None) -> Mapping[str, PoolState]:
    if tree is None:
        return {}
    return {
        f"{pool_id}:{listener.id}": PoolState("UP", _member_states(tree.pool(pool_id)))
        for listener in _serving(tree)
        for pool_id in listener.pool_ids()
    }


def _member_states(pool: Pool) -> Mapping[str, MemberState]:
    checked = pool.healthmonitor is not None and pool.healthmonitor.admin_state_up
    return {member.id: MemberState(_member_word(member, checked)) for member in pool.members}


def _member_word(member: Member, checked: bool) -> str:
    if not member.admin_state_up:
        return "MAINT"
    if member.weight == 0:
        return "DRAIN"
    return "UP" if checked else "no check"
