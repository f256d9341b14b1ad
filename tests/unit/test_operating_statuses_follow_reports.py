"""Operating statuses out of what amphorae report: one table of cases."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from lbdrivers.drivers.amphora import ApplianceReport, DaemonState, MemberState, PoolState
from lbdrivers.drivers.provider import Statistics
from lbdrivers.model.resources import (
    Algorithm,
    CompareType,
    HealthMonitor,
    L7Policy,
    L7Rule,
    Listener,
    ListenerProtocol,
    LoadBalancer,
    Member,
    MonitorType,
    PolicyAction,
    Pool,
    PoolProtocol,
    RuleType,
)
from lbdrivers.model.status import OperatingStatus as Status
from lbdrivers_amphora.decide.health import operating_statuses, total_statistics

LOAD_BALANCER, LISTENER, POOL, MONITOR, FIRST, SECOND = (str(uuid.UUID(int=number)) for number in range(1, 7))


def tree(admin_state_up: bool = True, listener_up: bool = True) -> LoadBalancer:
    members = tuple(
        Member(id=member, address=f"192.0.2.{number}", protocol_port=80)
        for number, member in enumerate((FIRST, SECOND), 1)
    )
    monitor = HealthMonitor(id=MONITOR, type=MonitorType.HTTP, delay=1, timeout=1, max_retries=1)
    pool = Pool(
        id=POOL,
        protocol=PoolProtocol.HTTP,
        lb_algorithm=Algorithm.ROUND_ROBIN,
        members=members,
        healthmonitor=monitor,
    )
    listener = Listener(
        id=LISTENER,
        protocol=ListenerProtocol.HTTP,
        protocol_port=80,
        default_pool_id=POOL,
        admin_state_up=listener_up,
    )
    return LoadBalancer(
        id=LOAD_BALANCER,
        vip_subnet_id=str(uuid.UUID(int=99)),
        admin_state_up=admin_state_up,
        listeners=(listener,),
        pools=(pool,),
    )


def report(first: str = "UP", second: str = "UP", pool: str = "UP", listener: str | None = "OPEN", vip: bool = True):
    return ApplianceReport(
        amphora_id="a",
        haproxy=DaemonState.RUNNING,
        keepalived=DaemonState.RUNNING,
        holds_vip=vip,
        listeners={} if listener is None else {LISTENER: (listener, Statistics())},
        pools={f"{POOL}:{LISTENER}": PoolState(pool, {FIRST: MemberState(first), SECOND: MemberState(second)})},
        revisions={},
    )


@pytest.mark.parametrize(
    ("reports", "load_balancer", "listener", "pool", "first"),
    [
        pytest.param([report()], Status.ONLINE, Status.ONLINE, Status.ONLINE, Status.ONLINE, id="all well"),
        pytest.param(
            [report(first="DOWN")], Status.DEGRADED, Status.ONLINE, Status.DEGRADED, Status.ERROR, id="one of two down"
        ),
        pytest.param(
            [report(first="DOWN 1/2")], Status.DEGRADED, Status.ONLINE, Status.DEGRADED, Status.ERROR, id="coming up"
        ),
        pytest.param(
            [report("DOWN", "DOWN", "DOWN")], Status.ERROR, Status.ONLINE, Status.ERROR, Status.ERROR, id="pool down"
        ),
        pytest.param([report(first="DRAIN")], Status.ONLINE, Status.ONLINE, Status.ONLINE, Status.DRAINING, id="drain"),
        pytest.param([report(first="MAINT")], Status.ONLINE, Status.ONLINE, Status.ONLINE, Status.OFFLINE, id="maint"),
        pytest.param(
            [report(first="no check")], Status.ONLINE, Status.ONLINE, Status.ONLINE, Status.NO_MONITOR, id="no check"
        ),
        pytest.param(
            [report(listener="FULL")], Status.DEGRADED, Status.DEGRADED, Status.ONLINE, Status.ONLINE, id="full"
        ),
        pytest.param(
            [report(listener=None)], Status.ERROR, Status.ERROR, Status.ONLINE, Status.ONLINE, id="listener missing"
        ),
        pytest.param([], Status.ERROR, Status.OFFLINE, Status.OFFLINE, Status.OFFLINE, id="nobody answers"),
        pytest.param(
            [report(first="DOWN", vip=False), report()],
            Status.ONLINE,
            Status.ONLINE,
            Status.ONLINE,
            Status.ONLINE,
            id="who holds the VIP is believed",
        ),
    ],
)
def test_statuses(reports, load_balancer, listener, pool, first) -> None:
    statuses = operating_statuses(tree(), reports)
    assert (statuses[LOAD_BALANCER], statuses[LISTENER], statuses[POOL], statuses[FIRST]) == (
        load_balancer,
        listener,
        pool,
        first,
    )


def test_every_resource_has_a_status() -> None:
    wanted = {resource.id for _, resource in tree().walk()}
    assert set(operating_statuses(tree(), [report()])) == wanted
    assert set(operating_statuses(tree(), [])) == wanted


def test_what_is_switched_off_is_offline() -> None:
    assert operating_statuses(tree(listener_up=False), [report(listener=None)])[LISTENER] is Status.OFFLINE
    assert operating_statuses(tree(admin_state_up=False), [report(listener=None)])[LOAD_BALANCER] is Status.OFFLINE


def test_policies_and_rules_are_online_unless_switched_off() -> None:
    policy, rule, off = (str(uuid.UUID(int=number)) for number in range(20, 23))
    made = L7Policy(
        id=policy,
        action=PolicyAction.REJECT,
        rules=tuple(
            L7Rule(id=one, type=RuleType.PATH, compare_type=CompareType.EQUAL_TO, value="/", admin_state_up=one != off)
            for one in (rule, off)
        ),
    )
    whole = tree()
    listener = whole.listeners[0].model_copy(update={"l7policies": (made,)})
    statuses = operating_statuses(whole.model_copy(update={"listeners": (listener,)}), [report()])
    assert (statuses[policy], statuses[rule], statuses[off]) == (Status.ONLINE, Status.ONLINE, Status.OFFLINE)


def test_what_is_reported_in_unknown_words_is_an_error() -> None:
    statuses = operating_statuses(tree(), [report(first="ON FIRE", pool="?", listener="?")])
    assert (statuses[FIRST], statuses[POOL], statuses[LISTENER]) == (Status.ERROR, Status.ERROR, Status.ERROR)


def test_what_is_switched_off_stays_offline_whatever_its_pools_do() -> None:
    assert operating_statuses(tree(admin_state_up=False), [report("DOWN")])[LOAD_BALANCER] is Status.OFFLINE


def test_statistics_of_several_amphorae_are_summed() -> None:
    one, two = Statistics(1, 10, 100, 0, 5), Statistics(2, 20, 200, 1, 7)
    assert total_statistics(({"x": one}, {"x": two, "y": one})) == {"x": Statistics(3, 30, 300, 1, 12), "y": one}


def test_a_pool_without_members_is_online_and_one_that_nobody_uses_is_not() -> None:
    """HAProxy calls a backend UP that has no servers, and knows nothing of a pool that no listener needs."""
    (full,) = tree().pools
    empty = tree().model_copy(update={"pools": (full.model_copy(update={"members": ()}),)})
    told = replace(report(), pools={f"{POOL}:{LISTENER}": PoolState("UP", {})})
    statuses = operating_statuses(empty, [told])
    assert (statuses[POOL], statuses[LOAD_BALANCER]) == (Status.ONLINE, Status.ONLINE)
    statuses = operating_statuses(empty, [replace(told, pools={})])
    assert (statuses[POOL], statuses[LOAD_BALANCER]) == (Status.OFFLINE, Status.ONLINE)
