"""The OVN provider: load balancers carried out by Open vSwitch itself, described in the northbound database.

Law: level-triggered. Every verb reads what is there, decides (pure), and writes the difference in one transaction; the
rows are all that is remembered, so a new process, or another controller of the same layout, goes on from there.
"""

from __future__ import annotations

from dataclasses import replace

from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.drivers.network import Network
from lbdrivers.drivers.provider import Deviation, Mildness, Observation, Orphan, PlannedAction
from lbdrivers.errors import UnsupportedError
from lbdrivers.features import Feature
from lbdrivers.model.infra import FixedAddress, Port
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_ovn import drift, names
from lbdrivers_ovn.capabilities import FEATURES, refuse, refuse_families
from lbdrivers_ovn.database import Listener
from lbdrivers_ovn.difference import told
from lbdrivers_ovn.external_ids import Content
from lbdrivers_ovn.interpret import contents, interpret
from lbdrivers_ovn.network.driver import OvnNetwork
from lbdrivers_ovn.northbound import Answer, Decision, Northbound, Question
from lbdrivers_ovn.places import Places, probed_members, probed_subnets, same_vips
from lbdrivers_ovn.rows import CHECK_POOL, LoadBalancerRow
from lbdrivers_ovn.settings import read
from lbdrivers_ovn.southbound import Southbound
from lbdrivers_ovn.statuses import operating_statuses
from lbdrivers_ovn.translate import Place, Vip, translate


class OvnProvider:
    """Implements ``Provider``, ``Planner``, ``Inspector`` and ``VipReserver`` by rows of OVN."""

    contract = CONTRACT
    name = "ovn"

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._settings = read(context.configuration)
        self._southbound = Southbound(self._settings.southbound)
        self._loaded: tuple[Places, Northbound] | None = None

    def features(self) -> frozenset[Feature]:
        """See the contract."""
        return FEATURES

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """See the contract. With ``applied``, attachments are looked for where they ought to be; without, on every
        switch and router."""
        refuse(self.name, desired)
        rows = self._northbound.rows(desired.id)
        hinted = applied is not None and same_vips(applied, desired)
        vips = self._held_vips(desired, rows) if hinted else None
        held = _additional_ports(rows)
        if vips is None:
            vips = self._places.reserved(desired, held, _addresses(rows))
        place = self._places.place(desired, vips)
        refuse_families(self.name, desired, place)
        answer = self._reconciled(desired, place, not hinted)
        if not hinted:
            self._places.released(desired, held)
        if left := _probed_subnets(answer.before) - place.monitor_addresses.keys():
            self._release_monitors(left)

    def plan(self, desired: LoadBalancer, applied: LoadBalancer | None) -> tuple[PlannedAction, ...]:
        """See ``Planner``. Everything is looked at, whatever was applied."""
        del applied
        refuse(self.name, desired)
        subject = f"load balancer {desired.name or desired.id}"
        vips = self._held_vips(desired, self._northbound.rows(desired.id))
        if vips is None:
            return (PlannedAction(subject, "reserve VIPs and make rows", Mildness.RUNTIME),)
        place, missing = self._places.look(desired, vips)
        refuse_families(self.name, desired, place)
        answer = self._northbound.plan(desired.id, _question(desired, place, True), _decision(desired, place))
        texts = [f"make a port for health checks in the subnet {subnet_id}" for subnet_id in missing]
        texts += map(told, answer.operations)
        return tuple(PlannedAction(subject, text, Mildness.RUNTIME) for text in dict.fromkeys(texts))

    def deviations(self, applied: LoadBalancer) -> tuple[Deviation, ...]:
        """See ``Inspector``: what an apply would write, as it ought to be and as it is."""
        subject = f"load balancer {applied.name or applied.id}"
        rows = self._northbound.rows(applied.id)
        vips = self._held_vips(applied, rows)
        if vips is None:
            found = ", ".join(_addresses(rows)) or drift.NONE
            return (drift.deviation(subject, "rows of the VIPs", drift.THERE, found),)
        ports = ((vip, self._places.port(vip.port_id)) for vip in vips)
        told = [one for vip, port in ports for one in drift.port_deviations(subject, vip.address, vip.port_id, port)]
        place, missing = self._places.look(applied, vips)
        told += (
            drift.deviation(subject, f"port {names.monitor_port(one)}", drift.THERE, drift.NONE) for one in missing
        )
        answer = self._northbound.plan(applied.id, _question(applied, place, True), _decision(applied, place))
        return (*told, *drift.row_deviations(subject, answer.before, answer.operations))

    def orphans(self) -> tuple[Orphan, ...]:
        """See ``Inspector``: ports for health checks that come from nowhere any more."""
        idle = self._places.idle_monitors(self._northbound.monitor_addresses)
        return tuple(Orphan("port", name, "no health check comes from it") for name in idle)

    def remove_orphans(self) -> tuple[Orphan, ...]:
        """See ``Inspector``. Whoever makes a health check meanwhile sees that its port is gone, and makes it anew."""
        found = self.orphans()
        self._places.release(one.name for one in found)
        return found

    def remove(self, load_balancer_id: str) -> None:
        """See the contract."""
        rows = self._northbound.remove(load_balancer_id)
        # Its VIP's port goes last: as long as it is there, a removal that broke off is known, and done again.
        if any(row.health_checks for row in rows) or (not rows and self._places.is_reserved(load_balancer_id)):
            self._release_monitors()
        self._places.remove(load_balancer_id, _additional_ports(rows))

    def observe(self, load_balancer_id: str) -> Observation:
        """See the contract. OVN counts nothing of a load balancer, so there are no statistics."""
        rows = self._northbound.rows(load_balancer_id)
        if not rows:
            return Observation(exists=self._places.is_reserved(load_balancer_id))
        content = contents(rows)[0]
        tree = interpret(rows, _NOWHERE, _subnets(content))
        probed = _probed(rows)
        monitors = self._southbound.monitors(probed) if probed else ()
        return Observation(
            exists=True,
            vip_addresses=_addresses(rows),
            operating=operating_statuses(tree, monitors, probed),
        )

    def known(self) -> frozenset[str]:
        """See the contract. What broke off at its very beginning has a VIP port and nothing else."""
        return self._northbound.known() | self._places.known()

    def failover(self, load_balancer_id: str) -> None:
        """See the contract: there is no appliance that could be replaced."""
        text = f"the provider {self.name} does not support {Feature.FAILOVER}: it has no appliances"
        raise UnsupportedError(text, object_id=load_balancer_id)

    def reserve_vip(self, tree: LoadBalancer) -> Port:
        """See ``VipReserver``. The additional VIPs have ports of their own; here all are told as one."""
        rows = self._northbound.rows(tree.id)
        primary, *additional = self._places.reserved(tree, _additional_ports(rows), _addresses(rows))
        fixed = tuple(FixedAddress(vip.subnet.id, vip.address) for vip in (primary, *additional))
        return Port(primary.port_id, names.vip_port(tree.id), primary.subnet.network_id, "", fixed)

    # -- for the agent -----------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> None:
        """Tell of every change in the databases from the next connection on; see ``Database.subscribe``."""
        self._northbound.database.subscribe(listener)
        self._southbound.database.subscribe(listener)

    def listen(self) -> None:
        """Connect to the databases, so that changes are heard. :raises TemporaryError: when one does not answer."""
        self._northbound.known()
        self._southbound.monitors(frozenset())

    def record(self, addresses: frozenset[str]) -> frozenset[str]:
        """Write what OVN's monitors say of members with these addresses into the rows, where others of the same layout
        look for it; ids of the load balancers for which it was new."""
        new = set()
        for load_balancer_id in self._northbound.probing(addresses):
            statuses = {one: status.value for one, status in self.observe(load_balancer_id).operating.items()}
            if self._northbound.record(load_balancer_id, statuses):
                new.add(load_balancer_id)
        return frozenset(new)

    # -- how it is done ----------------------------------------------------------------------

    @property
    def _places(self) -> Places:
        return self._drivers()[0]

    @property
    def _northbound(self) -> Northbound:
        return self._drivers()[1]

    def _drivers(self) -> tuple[Places, Northbound]:
        if self._loaded is None:
            network: Network = self._context.load("lbdrivers.networks", self._settings.network_driver)
            # One connection does for both where they share the database.
            northbound = (
                network.northbound if isinstance(network, OvnNetwork) else Northbound(self._settings.northbound)
            )
            self._loaded = Places(network), northbound
        return self._loaded

    def _held_vips(self, tree: LoadBalancer, rows: tuple[LoadBalancerRow, ...]) -> tuple[Vip, ...] | None:
        """The VIPs as the rows have them; None where they are not those of the tree. They stay while the load balancer
        lives, so that mostly no port has to be asked."""
        if not rows:
            return None
        content = contents(rows)[0]
        ports = (content.vip_port_id, *content.additional_vip_port_ids)
        return self._places.held(tree, tuple(zip(_addresses(rows), ports, strict=False)))

    def _release_monitors(self, subnet_ids: frozenset[str] | None = None) -> None:
        """Remove ports for health checks that nobody needs, of these subnets or of all."""
        self._places.release(self._places.idle_monitors(self._northbound.monitor_addresses, subnet_ids))

    def _reconciled(self, tree: LoadBalancer, place: Place, thorough: bool) -> Answer:
        """The rows as the tree wants them."""
        while True:
            answer = self._northbound.reconcile(tree.id, _question(tree, place, thorough), _decision(tree, place))
            if not _more_probes(answer):
                return answer
            # Somebody who saw no probe yet may have removed the port that this one comes from.
            addresses = self._places.monitor_addresses(probed_subnets(tree, place))
            if addresses == place.monitor_addresses:
                return answer
            place = replace(place, monitor_addresses=addresses)


#: Subnets are in no row; to tell statuses none is needed.
_NOWHERE = "00000000-0000-0000-0000-000000000000"


def _subnets(content: Content) -> tuple[str, ...]:
    """A subnet for each additional VIP, each another one."""
    return tuple(f"{_NOWHERE[:-12]}{number:012x}" for number, _ in enumerate(content.additional_vips, start=1))


def _decision(tree: LoadBalancer, place: Place) -> Decision:
    return lambda rows, topology: translate(tree, place, topology, _recorded(rows))


def _more_probes(answer: Answer) -> bool:
    before, after = (
        {item for row in rows for item in row.ip_port_mappings.items()} for rows in (answer.before, answer.after)
    )
    return not after <= before


def _probed_subnets(rows: tuple[LoadBalancerRow, ...]) -> frozenset[str]:
    """Subnets of the members of pools that have health checks."""
    pools = {check.external_ids.get(CHECK_POOL) for row in rows for check in row.health_checks}
    found = (pool for content in contents(rows) for pool in content.pools if pool.id in pools)
    return frozenset(member.subnet_id for pool in found for member in pool.members)


def _question(tree: LoadBalancer, place: Place, thorough: bool) -> Question:
    members = [member for pool in tree.pools for member in pool.members]
    subnets = [vip.subnet for vip in place.vips] + [one for member in members if (one := place.subnet_of(member))]
    return Question(
        switches=frozenset(names.switch(subnet.network_id) for subnet in subnets),
        addresses=frozenset(member.address for member in probed_members(tree)),
        members=frozenset(member.address for member in members),
        thorough=thorough,
    )


def _additional_ports(rows: tuple[LoadBalancerRow, ...]) -> tuple[str, ...]:
    """Ids of the ports of additional VIPs, as the rows have them."""
    return contents(rows)[0].additional_vip_port_ids if rows else ()


def _addresses(rows: tuple[LoadBalancerRow, ...]) -> tuple[str, ...]:
    """The VIPs, as the rows have them: the primary one first."""
    if not rows:
        return ()
    content = contents(rows)[0]
    return (content.vip, *content.additional_vips)


def _recorded(rows: tuple[LoadBalancerRow, ...]) -> dict[str, str]:
    """Statuses of members that are probed, as last heard."""
    probed = _probed(rows)
    return {
        member.id: content.member_statuses[member.id]
        for content in contents(rows)
        for pool in content.pools
        for member in pool.members
        if member.address in probed and member.id in content.member_statuses
    }


def _probed(rows: tuple[LoadBalancerRow, ...]) -> frozenset[str]:
    """Addresses that OVN is told to probe."""
    return frozenset(address.strip("[]") for row in rows for address in row.ip_port_mappings)
