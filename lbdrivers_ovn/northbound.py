"""The northbound database: rows out of it as values, operations into it.

Law: one transaction a verb. What is decided is decided inside it, on what it reads, and the rows that it changes are
verified: of two writers the later one decides anew, on what the earlier one wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbdrivers_ovn import names
from lbdrivers_ovn.database import Database, Row, Work
from lbdrivers_ovn.difference import (
    AFFINITY,
    HEALTH_CHECK,
    LOAD_BALANCER,
    ROUTER,
    SWITCH,
    Delete,
    Operation,
    difference,
    recorded,
)
from lbdrivers_ovn.external_ids import (
    ADDITIONAL_VIP_FIPS,
    OWNER,
    PORT_FORWARDING,
    ROUTERS,
    SWITCHES,
    VIP,
    VIP_FIP,
    in_layout,
)
from lbdrivers_ovn.floating import centralised
from lbdrivers_ovn.perform import perform
from lbdrivers_ovn.rows import CHECK_MONITOR, Balance, HealthCheckRow, LoadBalancerRow
from lbdrivers_ovn.settings import DatabaseSettings
from lbdrivers_ovn.topology import Topology
from lbdrivers_ovn.wiring import Wiring

_TABLES = {
    LOAD_BALANCER: (
        "name",
        "vips",
        "protocol",
        "health_check",
        "ip_port_mappings",
        "selection_fields",
        "options",
        "external_ids",
    ),
    HEALTH_CHECK: ("vip", "options", "external_ids"),
    SWITCH: ("name", "ports", "load_balancer", "external_ids"),
    "Logical_Switch_Port": ("name", "type", "addresses", "options", "external_ids"),
    ROUTER: ("name", "ports", "load_balancer", "nat", "external_ids"),
    "Logical_Router_Port": ("name", "mac", "networks", "gateway_chassis", "ha_chassis_group", "external_ids"),
    "Gateway_Chassis": ("name",),
    "HA_Chassis_Group": ("name",),
    "NAT": ("type", "external_ip", "logical_ip", "external_mac", "logical_port", "external_ids"),
}
_INDEXED = (LOAD_BALANCER, SWITCH, "Logical_Switch_Port", ROUTER, "Logical_Router_Port")

#: What is wanted, out of the rows that are there and what is around them.
Decision = Callable[[tuple[LoadBalancerRow, ...], Topology], tuple[LoadBalancerRow, ...]]


@dataclass(frozen=True)
class Question:
    """What a decision has to know of the database.

    :param switches: names of the switches that the load balancer's VIPs and members are on.
    :param members: addresses of all its members. :param addresses: of those whose ports it needs.
    :param thorough: whether attachments are looked for on every switch and router, not only where they ought to be.
    """

    switches: frozenset[str]
    addresses: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    thorough: bool = True


@dataclass(frozen=True)
class Answer:
    """Rows before and after; ``operations`` is empty when nothing had to be done."""

    before: tuple[LoadBalancerRow, ...]
    after: tuple[LoadBalancerRow, ...]
    operations: tuple[Operation, ...]


class Northbound:
    """OVN's northbound database."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._wiring = Wiring()
        self.database = Database(settings, "OVN_Northbound", _TABLES, _INDEXED, self._wiring.heard)

    def reconcile(self, load_balancer_id: str, question: Question, decide: Decision) -> Answer:
        """Make the rows of the load balancer those that ``decide`` wants.

        :raises TemporaryError: when the database does not answer; what ``decide`` raises passes.
        """

        def work(at: Work) -> Answer:
            answer = self._answer(at, load_balancer_id, question, decide)
            perform(at, answer.operations)
            return answer

        return self.database.run(work)

    def plan(self, load_balancer_id: str, question: Question, decide: Decision) -> Answer:
        """The same without doing it."""
        return self.database.look(lambda at: self._answer(at, load_balancer_id, question, decide))

    def _answer(self, at: Work, load_balancer_id: str, question: Question, decide: Decision) -> Answer:
        topology = self._wiring.around(at, question.switches, question.addresses)
        before = tuple(_load_balancers(at, load_balancer_id, topology, question.thorough))
        after = decide(before, topology)
        floats = any({VIP_FIP, ADDITIONAL_VIP_FIPS} & row.external_ids.keys() for row in after)
        members = question.members if floats else frozenset()
        operations = (
            *difference(before, after),
            *centralised(topology.translations, load_balancer_id, members),
        )
        return Answer(before, after, operations)

    def record(self, load_balancer_id: str, statuses: Mapping[str, str]) -> bool:
        """Write what is heard of members into their rows, for whoever reads these; whether anything was new.

        :param statuses: member id -> operating status.
        """

        def work(at: Work) -> bool:
            before = tuple(_load_balancers(at, load_balancer_id, Topology(), False))
            operations = tuple(recorded(before, statuses))
            perform(at, operations)
            return bool(operations)

        return self.database.run(work)

    def probing(self, addresses: frozenset[str]) -> frozenset[str]:
        """Ids of the load balancers that have members of these addresses probed."""

        def work(at: Work) -> frozenset[str]:
            found = ((row.name, {one.strip("[]") for one in row.ip_port_mappings}) for row in at.rows(LOAD_BALANCER))
            return frozenset(name for name, probed in found if probed & addresses)

        return self.database.look(work)

    def rows(self, load_balancer_id: str) -> tuple[LoadBalancerRow, ...]:
        """The rows of the load balancer."""
        return self.database.look(lambda at: tuple(_load_balancers(at, load_balancer_id, Topology(), True)))

    def remove(self, load_balancer_id: str) -> tuple[LoadBalancerRow, ...]:
        """Delete the rows of the load balancer; those that there were."""

        def work(at: Work) -> tuple[LoadBalancerRow, ...]:
            found = tuple(_load_balancers(at, load_balancer_id, Topology(), False))
            perform(at, [Delete(row.uuid) for row in found])
            perform(at, centralised(self._wiring.translations(at), load_balancer_id, frozenset()))
            return found

        return self.database.run(work)

    def known(self) -> frozenset[str]:
        """Ids of every load balancer that has rows."""
        return self.database.look(
            lambda at: frozenset(
                row.name for row in at.rows(LOAD_BALANCER) if _is_ours(row) and names.is_uuid(row.name)
            )
        )

    def monitor_addresses(self) -> frozenset[str]:
        """Every address from which members of anybody's are probed."""

        def work(at: Work) -> frozenset[str]:
            probes = (text for row in at.rows(LOAD_BALANCER) for text in row.ip_port_mappings.values())
            return frozenset(text.partition(":")[2].strip("[]") for text in probes)

        return self.database.look(work)


def _is_ours(row: Row) -> bool:
    """Whether the row has the layout; a port forwarding of Neutron's has not."""
    return VIP in row.external_ids and row.external_ids.get(OWNER) != PORT_FORWARDING


def _load_balancers(at: Work, name: str, topology: Topology, thorough: bool) -> Iterator[LoadBalancerRow]:
    for row in at.find(LOAD_BALANCER, name):
        if _is_ours(row):
            yield _load_balancer(at, row, topology, thorough)


def _load_balancer(at: Work, row: Row, topology: Topology, thorough: bool) -> LoadBalancerRow:
    external_ids = row.external_ids
    timeout = row.options.get(AFFINITY, "")
    protocol = row.protocol[0] if row.protocol else ""
    checks = (one for one in row.health_check if CHECK_MONITOR in one.external_ids)
    switches = {*topology.switches, *_words(external_ids.get(SWITCHES, ""))}
    routers = {*(one.router for one in topology.interfaces), *external_ids.get(ROUTERS, "").split(",")}
    return LoadBalancerRow(
        name=row.name,
        balance=Balance(protocol, frozenset(row.selection_fields), int(timeout) if timeout.isdigit() else None),
        vips=row.vips,
        external_ids={key: value for key, value in external_ids.items() if in_layout(key)},
        ip_port_mappings=row.ip_port_mappings,
        health_checks=tuple(HealthCheckRow(one.vip, one.options, one.external_ids, str(one.uuid)) for one in checks),
        switches=_attached(at, SWITCH, row, None if thorough else switches),
        routers=_attached(at, ROUTER, row, None if thorough else routers),
        uuid=str(row.uuid),
    )


def _words(text: str) -> list[str]:
    """Names in a JSON object of counts, whatever else is wrong with it."""
    return text.split('"')[1::2]


def _attached(at: Work, table: str, row: Row, candidates: Iterable[str] | None) -> frozenset[str]:
    places = at.rows(table) if candidates is None else (one for name in candidates for one in at.find(table, name))
    uuid = str(row.uuid)
    return frozenset(one.name for one in places if at.refers(one, "load_balancer", uuid))
