"""OVN's rows by themselves: what is read of them, what is refused, and which statuses follow. No database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.bundles import ident, listener, member, monitor, pool, tree
from support.ovn_rows import SUBNETS, TOPOLOGY, place, rows

from lbdrivers.errors import InvalidInput, UnsupportedError
from lbdrivers.model.infra import Port
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus
from lbdrivers_ovn import names
from lbdrivers_ovn.capabilities import refuse, refuse_families
from lbdrivers_ovn.external_ids import MEMBER_STATUS, MONITORS, SWITCHES, decode
from lbdrivers_ovn.interpret import interpret
from lbdrivers_ovn.network.layout import PORT, port_of
from lbdrivers_ovn.statuses import Monitor, operating_statuses

ONLINE, OFFLINE, ERROR = OperatingStatus.ONLINE, OperatingStatus.OFFLINE, OperatingStatus.ERROR
DEGRADED, NO_MONITOR = OperatingStatus.DEGRADED, OperatingStatus.NO_MONITOR
FIRST, SECOND = "10.212.32.10", "10.212.48.7"
SUBNET = next(identity for identity, one in SUBNETS.items() if one.cidr.startswith("10.212.16."))


def balanced(probed: bool = True, up: bool = True, second: dict[str, Any] | None = None, **fields: Any) -> LoadBalancer:
    """Two members behind one listener."""
    check = monitor("TCP", delay=5, timeout=3) if probed else None
    values = {"protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "healthmonitor": check} | fields
    target = pool("p", members=(member("m", FIRST), member("n", **({"address": SECOND} | (second or {})))), **values)
    front = listener("l", 80, protocol="TCP", default_pool_id=target.id, admin_state_up=up)
    return tree((front,), (target,), vip_subnet_id=SUBNET, name="web")


def said(address: str, status: str) -> Monitor:
    return Monitor("port", address, 80, "tcp", status)


@pytest.mark.parametrize(
    ("given", "heard", "members", "above"),
    [
        (balanced(), {}, (ONLINE, ONLINE), ONLINE),
        (balanced(), {FIRST: "online", SECOND: ""}, (ONLINE, ONLINE), ONLINE),
        (balanced(), {FIRST: "offline", SECOND: "online"}, (ERROR, ONLINE), DEGRADED),
        (balanced(), {FIRST: "offline", SECOND: "error"}, (ERROR, ERROR), ERROR),
        (balanced(second={"admin_state_up": False}), {FIRST: "error"}, (ERROR, OFFLINE), ERROR),
        (balanced(probed=False), {FIRST: "error"}, (NO_MONITOR, NO_MONITOR), ONLINE),
        (balanced(second={"address": "10.212.48.99"}), {}, (ONLINE, ERROR), DEGRADED),
        (balanced(admin_state_up=False), {}, (ONLINE, ONLINE), OFFLINE),
        (balanced(up=False), {}, (ONLINE, ONLINE), OFFLINE),
    ],
)
def test_statuses(
    given: LoadBalancer, heard: dict[str, str], members: tuple[OperatingStatus, ...], above: OperatingStatus
) -> None:
    monitors = [said(address, status) for address, status in heard.items()]
    found = operating_statuses(given, monitors, frozenset({FIRST, SECOND}))
    assert (found[ident("m")], found[ident("n")]) == members
    assert found[ident("p")] is above
    # What is switched off is nobody's trouble above it, unless it is itself switched off there.
    below = OFFLINE if not given.listeners[0].admin_state_up else ONLINE if above is OFFLINE else above
    assert found[ident("l")] is below
    assert found[given.id] is (ONLINE if below is OFFLINE else below)


def test_a_load_balancer_that_is_switched_off_is_offline_with_what_serves() -> None:
    off = tree(balanced().listeners, balanced().pools, vip_subnet_id=SUBNET, admin_state_up=False)
    found = operating_statuses(off, (), frozenset({FIRST, SECOND}))
    assert {found[off.id], found[ident("l")], found[ident("p")]} == {OFFLINE}


def test_what_no_feature_has_a_name_for_is_refused_by_name() -> None:
    def keeping(seconds: int) -> LoadBalancer:
        kept = {"type": "SOURCE_IP", "persistence_timeout": seconds}
        target = pool("p", protocol="UDP", lb_algorithm="SOURCE_IP_PORT", session_persistence=kept)
        return tree((listener("l", 53, protocol="UDP", default_pool_id=target.id),), (target,))

    refuse("ovn", keeping(65535))
    with pytest.raises(UnsupportedError, match="65535 seconds at most; lower persistence_timeout of the pool p"):
        refuse("ovn", keeping(65536))
    with pytest.raises(UnsupportedError, match="listener-http"):
        refuse("ovn", tree((listener("l"),)))


def test_a_member_of_a_family_without_a_vip_is_refused_by_name() -> None:
    given = balanced(second={"address": "fd00:212:48::7"})
    with pytest.raises(UnsupportedError, match=r"no IPv6 member from an IPv4 VIP \(member n\)"):
        refuse_families("ovn", given, place(given))
    refuse_families("ovn", balanced(), place(balanced()))


def test_names_are_read_as_they_are_made() -> None:
    one = ident("tree")
    assert names.load_balancer_of(names.vip_port(one)) == one
    assert names.load_balancer_of(names.additional_vip_port(one, 12)) == one
    for other in ("port", names.vip_port("web"), names.vip_port(one.upper()), names.monitor_port(one)):
        assert names.load_balancer_of(other) is None
    assert names.is_monitor_port(names.monitor_port(one)) and not names.is_monitor_port(names.vip_port(one))
    assert names.switch(one) == f"neutron-{one}"


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        (SWITCHES, "nonsense", "JSON object"),
        (SWITCHES, "[]", "JSON object"),
        (SWITCHES, '{"neutron-1": "one"}', "JSON object"),
        (MEMBER_STATUS, '{"m": 1}', "JSON object"),
        (MONITORS, '{"a": 1}', "JSON list of ids"),
        (MONITORS, "[1]", "JSON list of ids"),
        ("listener_1", "eighty:", "<port>:"),
        ("pool_1", "member_1_nowhere:80_s", "member_<id>_<address>:<port>"),
    ],
)
def test_keys_that_cannot_be_read_are_refused_with_row_value_and_remedy(key: str, value: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        content = decode({key: value}, "Load_Balancer web (tcp)")
        tuple(content.listeners), tuple(content.pools)
    (problem,) = caught.value.problems
    assert (problem.path, problem.value) == (f"Load_Balancer web (tcp) external_ids:{key}", value)
    assert remedy in problem.remedy


def test_rows_that_stand_for_no_load_balancer_are_refused() -> None:
    whole = rows(balanced(), TOPOLOGY)
    assert interpret(whole, SUBNET).listeners[0].protocol_port == 80
    check = replace(whole[0].health_checks[0], options={"interval": "often"})
    with pytest.raises(InvalidInput, match=r"options:interval: is not a number \(got often\)"):
        interpret((replace(whole[0], health_checks=(check,)), *whole[1:]), SUBNET)
    ids = {key: value.replace("80:", "0:") if key.startswith("listener_") else value
           for key, value in whole[0].external_ids.items()}  # fmt: skip
    with pytest.raises(InvalidInput, match=r"listeners\.0\.protocol_port.*mend the row"):
        interpret((replace(whole[0], external_ids=ids), *whole[1:]), SUBNET)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"id": 1}'])
def test_ports_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Logical_Switch_Port web external_ids:lbdrivers:port: is no port"):
        port_of("web", {PORT: text})
    made = '{"id": "1", "name": "web", "network_id": "2", "mac": "02:00:00:00:00:01", "fixed": []}'
    assert port_of("web", {PORT: made}) == Port("1", "web", "2", "02:00:00:00:00:01", ())
