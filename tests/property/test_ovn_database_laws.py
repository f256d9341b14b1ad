"""Whatever a load balancer was, in the database it becomes what is wanted, and nobody else's rows and keys are touched.

On a real ovsdb-server: what is written is read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ovn import AROUND, OvnCloud, ovn_cloud
from support.ovn_rows import TOPOLOGY, place, rows

from lbdrivers.model.infra import FixedAddress, PortRequest
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.edits import histories
from lbdrivers.testing.strategies import trees
from lbdrivers_ovn.capabilities import FEATURES
from lbdrivers_ovn.database import Work
from lbdrivers_ovn.northbound import Answer, Northbound, Question
from lbdrivers_ovn.rows import LoadBalancerRow
from lbdrivers_ovn.topology import Topology

FOREIGN_KEYS = {"owner": "somebody", "neutron:revision_number": "7"}
_FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def cloud() -> Iterator[OvnCloud]:
    """The packaged networks, and in them what belongs to others."""
    with ovn_cloud() as made:
        network = made.network()
        network.ensure_port(PortRequest("keeper", network.networks()[0].id, (FixedAddress(AROUND.vip_subnet_id),)))
        ovn = made.ovn
        ovn.nbctl("lb-add", "foreign", "192.0.2.1:80", "192.0.2.2:80")
        for switch in TOPOLOGY.switches:
            ovn.nbctl("ls-lb-add", switch, "foreign")
        yield made


@pytest.fixture(scope="module")
def northbound(cloud: OvnCloud) -> Northbound:
    return cloud.network().northbound


def brought(northbound: Northbound, tree: LoadBalancer, thorough: bool) -> Answer:
    question = Question(TOPOLOGY.switches, thorough=thorough)
    return northbound.reconcile(tree.id, question, lambda _rows, _topology: rows(tree))


def as_set(found: tuple[LoadBalancerRow, ...]) -> list[LoadBalancerRow]:
    """Rows without an order, their health checks, too."""

    def ordered(row: LoadBalancerRow) -> LoadBalancerRow:
        return replace(row, health_checks=tuple(sorted(row.health_checks, key=lambda check: (check.key, check.uuid))))

    return sorted(map(ordered, found), key=lambda row: repr(row.balance.protocol) + repr(sorted(row.external_ids)))


def foreign(cloud: OvnCloud) -> str:
    return cloud.ovn.nbctl("list", "Load_Balancer", "foreign")


@_FEW
@given(history=histories(FEATURES, AROUND), thorough=st.booleans())
def test_rows_of_one_tree_become_those_of_another(
    cloud: OvnCloud, northbound: Northbound, history: tuple[LoadBalancer, ...], thorough: bool
) -> None:
    before = foreign(cloud)
    try:
        for tree in history:
            brought(northbound, tree, thorough)
            found = northbound.rows(tree.id)
            assert as_set(found) == as_set(rows(tree))
            transactions = northbound.database.transactions
            assert not brought(northbound, tree, thorough).operations
            assert northbound.database.transactions == transactions
    finally:
        northbound.remove(history[0].id)
    assert not northbound.rows(history[0].id)
    assert foreign(cloud) == before


@_FEW
@given(old=trees(FEATURES, AROUND), data=st.data())
def test_what_others_have_put_beside_it_stays(
    cloud: OvnCloud, northbound: Northbound, old: LoadBalancer, data: st.DataObject
) -> None:
    new = data.draw(trees(FEATURES, AROUND, old.id))

    def add(at: Work) -> None:
        for row in at.find("Load_Balancer", old.id):
            for key, value in FOREIGN_KEYS.items():
                row.setkey("external_ids", key, value)
            row.setkey("options", "hairpin_snat_ip", "192.0.2.9")

    try:
        brought(northbound, old, True)
        northbound.database.run(add)
        kept = {row.uuid for row in northbound.rows(old.id)}
        brought(northbound, new, True)
        kept &= {row.uuid for row in northbound.rows(new.id)}
        assert kept or rows(old)[0].balance.protocol, "the row without a protocol was not used"

        def look(at: Work) -> list[tuple[dict[str, str], dict[str, str]]]:
            found = (row for row in at.find("Load_Balancer", old.id) if str(row.uuid) in kept)
            return [(row.external_ids, row.options) for row in found]

        for external_ids, options in northbound.database.run(look):
            assert FOREIGN_KEYS.items() <= external_ids.items()
            assert options["hairpin_snat_ip"] == "192.0.2.9"
    finally:
        northbound.remove(old.id)


def test_the_wanted_place_is_the_one_that_the_driver_makes(cloud: OvnCloud, northbound: Northbound) -> None:
    """The topology of these tests is that of the database."""
    question = Question(TOPOLOGY.switches)
    seen: list[Topology] = []
    tree = LoadBalancer.model_validate(
        {"id": "00000000-0000-4000-8000-000000000001", "vip_subnet_id": AROUND.vip_subnet_id}
    )

    def decide(found: tuple[LoadBalancerRow, ...], topology: Topology) -> tuple[LoadBalancerRow, ...]:
        seen.append(topology)
        return found

    northbound.plan(tree.id, question, decide)
    assert seen[0].switches == TOPOLOGY.switches
    assert set(seen[0].interfaces) == set(TOPOLOGY.interfaces)
    assert place(tree).vips[0].subnet.cidr == "10.212.16.0/20"
