"""Amphorae as people look at them: by what they answered when asked, or by what was heard of them."""

from __future__ import annotations

import pytest
from support.bundles import ident, listener, member, pool, tree

from lbdrivers.drivers.amphora import ApplianceReport, DaemonState, Role, Topology
from lbdrivers.drivers.provider import Appliance, Statistics
from lbdrivers.model.status import OperatingStatus
from lbdrivers_amphora.decide.appliances import reported, unfinished
from lbdrivers_amphora.decide.counting import Counted
from lbdrivers_amphora.health.findings import Finding, Heard, Listening, Operating
from lbdrivers_amphora.health.observe import GONE, observation
from lbdrivers_amphora.records import Amphora, AmphoraStatus, Balancer, tree_text
from lbdrivers_amphora.wire.report import Totals

POOL = pool("p", members=(member("m"),))
LISTENER = listener("l", default_pool_id=POOL.id)
TREE = tree((LISTENER,), (POOL,))
NOW = 1_000_000.0
LISTENING = Listening("manager", NOW - 1)
BEFORE = Statistics(0, 5, 7, 0, 1)


def amphora(name: str = "one", status: AmphoraStatus = AmphoraStatus.ALLOCATED) -> Amphora:
    fields = {"role": Role.MASTER, "priority": 100, "management_address": "192.0.2.7"}
    return Amphora(id=ident(name), load_balancer_id=TREE.id, status=status, **fields)


def report(haproxy: DaemonState = DaemonState.RUNNING) -> ApplianceReport:
    return ApplianceReport(
        ident("one"), haproxy, DaemonState.RUNNING, holds_vip=True, listeners={}, pools={}, revisions={}
    )


@pytest.mark.parametrize(
    ("said", "proxied", "status", "remark"),
    [
        (report(), True, "ALLOCATED", ""),
        (report(DaemonState.STOPPED), True, "ALLOCATED", "HAProxy is not running"),
        (report(DaemonState.STOPPED), False, "ALLOCATED", ""),
        (None, True, "ERROR", "does not answer; run a failover"),
    ],
)
def test_who_was_asked(said: ApplianceReport | None, proxied: bool, status: str, remark: str) -> None:
    found = reported(amphora(), said, proxied)
    assert (found.status, found.remark, found.address) == (status, remark, "192.0.2.7")
    assert found.holds_vip is (None if said is None else True)


@pytest.mark.parametrize(
    ("status", "remark"),
    [(AmphoraStatus.PENDING_CREATE, "is being built"), (AmphoraStatus.PENDING_DELETE, "is being removed")],
)
def test_who_does_not_serve(status: AmphoraStatus, remark: str) -> None:
    assert unfinished(amphora(status=status)).remark == remark
    assert heard(amphora(status=status)).remark == remark


def balancer(tree_of_it: str | None = None) -> Balancer:
    return Balancer(id=TREE.id, name="", topology=Topology.SINGLE, tree=tree_of_it, vip_addresses=("192.0.2.1",))


def heard(one: Amphora, *found: Heard, listening: tuple[Listening, ...] = (LISTENING,)) -> Appliance:
    known = {each.amphora_id: each for each in found}
    return observation(balancer(), (one,), known, None, listening, NOW).appliances[0]


def beat(age: float = 3.0, **fields: object) -> Heard:
    return Heard(ident("one"), TREE.id, NOW - age, holds_vip=True, **fields)


def test_who_was_heard() -> None:
    found = heard(amphora(), beat())
    assert (found.status, found.holds_vip, found.remark) == ("ALLOCATED", True, "")


def test_who_was_never_heard() -> None:
    assert heard(amphora()).remark == heard(amphora(), beat(age=NOW)).remark == "no heartbeat yet"


def test_who_has_fallen_silent_holds_nothing() -> None:
    found = heard(amphora(), beat(age=70, silent=True))
    assert (found.status, found.holds_vip, found.remark) == ("ERROR", None, "silent for 70 s")


@pytest.mark.parametrize("listening", [(), (Listening("gone", NOW - GONE),)])
def test_nobody_can_be_heard_by_nobody(listening: tuple[Listening, ...]) -> None:
    found = heard(amphora(), beat(), listening=listening)
    assert found.remark == "no health manager is listening; run: lbdrivers health-manager"


def test_statuses_are_those_that_were_written_and_offline_else() -> None:
    operating = Operating(TREE.id, {TREE.id: OperatingStatus.ONLINE, "gone": OperatingStatus.ERROR})
    found = observation(balancer(tree_text(TREE)), (), {}, operating, (LISTENING,), NOW)
    assert found.operating == {TREE.id: OperatingStatus.ONLINE} | dict.fromkeys(
        (POOL.id, POOL.members[0].id, LISTENER.id), OperatingStatus.OFFLINE
    )
    silent = observation(balancer(tree_text(TREE)), (), {}, None, (), NOW)
    assert set(silent.operating.values()) == {OperatingStatus.OFFLINE}
    assert observation(balancer(), (), {}, operating, (), NOW).operating == {}


def test_statistics_are_of_all_that_serve_and_of_those_that_are_gone() -> None:
    gone = balancer().model_copy(update={"retired": {"gone": {LISTENER.id: BEFORE}}})
    counted = {LISTENER.id: Counted(Totals(), Totals(2, 10, 20, 1, 4))}
    found = observation(gone, (amphora(),), {ident("one"): beat(counted=counted)}, None, (), NOW)
    assert found.statistics[LISTENER.id] == Statistics(2, 15, 27, 1, 5)


@pytest.mark.parametrize(
    "finding",
    [
        beat(counted={"l": Counted(Totals(1, 2, 3, 4, 5), Totals(6, 7, 8, 9, 10))}),
        Operating(TREE.id, {TREE.id: OperatingStatus.DEGRADED}),
        Listening("manager", NOW, "the database does not answer", {"taken": 4}),
    ],
)
def test_what_is_written_down_is_read_back(finding: Finding) -> None:
    assert type(finding).read(finding.key, finding.owner, finding.data()) == finding
