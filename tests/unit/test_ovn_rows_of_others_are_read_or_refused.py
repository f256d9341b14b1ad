"""Rows that somebody else wrote in the established layout are read; what cannot be is refused with place and remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.ovn import identity, listener, member, monitor, pool, tree, web
from support.ovn_rows import rows

from lbdrivers.errors import InvalidInput, UnsupportedError
from lbdrivers_ovn import names
from lbdrivers_ovn.capabilities import refuse
from lbdrivers_ovn.difference import Attach, Create, Delete, Detach, difference, recorded, told
from lbdrivers_ovn.external_ids import decode, in_layout
from lbdrivers_ovn.interpret import interpret
from lbdrivers_ovn.rows import HealthCheckRow

L, P, M = identity(1), identity(2), identity(3)


def test_the_worked_example_of_the_layout() -> None:
    content = decode(
        {
            "enabled": "True",
            "neutron:vip": "192.0.2.10",
            "neutron:vip_port_id": identity(9),
            "lr_ref": "neutron-r1,neutron-r2",
            "ls_refs": '{"neutron-n1": 2, "neutron-n2": 1}',
            f"listener_{L}": f"8082:pool_{P}",
            f"listener_{M}:D": "53:",
            f"pool_{P}:D": f"member_{M}_2001:db8::7:80_{identity(4)},member_{L}_192.0.2.31:81_",
            "neutron:member_status": f'{{"{M}": "NO_MONITOR"}}',
            "octavia:healthmonitors": f'["{identity(5)}"]',
            "somebody:else": "stays",
        },
        "row",
    )
    assert content.routers == ("neutron-r1", "neutron-r2")
    assert [(one.port, one.pool_id, one.enabled) for one in content.listeners] == [(8082, P, True), (53, None, False)]
    (found,) = content.pools
    assert not found.enabled
    assert [(one.address, one.port) for one in found.members] == [("2001:db8::7", 80), ("192.0.2.31", 81)]
    assert content.monitors == (identity(5),)
    assert not in_layout("somebody:else")


def test_oddities_of_the_peer_are_understood() -> None:
    """A default pool that was taken away leaves the word None; a disabled one may be named with its suffix."""
    content = decode({f"listener_{L}": "80:pool_None", f"listener_{M}": f"81:pool_{P}:D"}, "row")
    assert [one.pool_id for one in content.listeners] == [None, P]


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("ls_refs", "[]", "JSON object"),
        ("ls_refs", '{"a": "b"}', "JSON object"),
        ("ls_refs", "{", "JSON object"),
        ("neutron:member_status", '{"a": 1}', "JSON object"),
        ("octavia:healthmonitors", "{}", "JSON list"),
        ("octavia:healthmonitors", "[1]", "JSON list"),
        (f"listener_{L}", "http:", "<port>:"),
        (f"pool_{P}", "member_x", "member_<id>"),
        (f"pool_{P}", "member_x_nowhere:80_s", "member_<id>"),
        (f"pool_{P}", "member_x_192.0.2.1:eighty_s", "member_<id>"),
    ],
)
def test_what_cannot_be_read_is_refused_by_place(key: str, value: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode({key: value}, "Load_Balancer x (tcp)")
    (problem,) = caught.value.problems
    assert problem.path == f"Load_Balancer x (tcp) external_ids:{key}"
    assert value in problem.value
    assert remedy in problem.remedy


def test_rows_that_make_no_tree_are_refused() -> None:
    (row,) = rows(web(member(31, "10.212.32.11")))
    keys = {key: value.replace(":80_", ":0_") for key, value in row.external_ids.items()}
    with pytest.raises(InvalidInput, match=r"pools\.0\.members\.0\.protocol_port.*mend the row"):
        interpret((replace(row, external_ids=keys),), identity(7))


def test_options_of_health_checks_are_read_or_refused() -> None:
    watched = tree([pool(10, [member(31, "10.212.32.11")], healthmonitor=monitor(12))], [listener(20, 80, 10)])
    (row,) = rows(watched)
    (check,) = row.health_checks
    bare = replace(row, health_checks=(replace(check, options={}),))
    found = interpret((bare,), identity(7)).pools[0].healthmonitor
    assert found is not None
    assert (found.delay, found.timeout, found.max_retries, found.max_retries_down) == (5, 20, 1, 1)
    odd = replace(row, health_checks=(replace(check, options={"interval": "often"}),))
    with pytest.raises(InvalidInput, match=r"options:interval: is not a number \(got often\)"):
        interpret((odd,), identity(7))


def test_a_health_check_that_two_writers_have_made_goes_once() -> None:
    watched = tree([pool(10, [member(31, "10.212.32.11")], healthmonitor=monitor(12))], [listener(20, 80, 10)])
    (row,) = rows(watched)
    (check,) = row.health_checks
    twice = (replace(check, uuid="1"), replace(check, uuid="2"))
    present = replace(row, uuid="row", health_checks=twice)
    assert [told(one) for one in difference([present], [row])] == ["remove a health check"]
    assert not difference([replace(present, health_checks=twice[:1])], [row])


def test_operations_are_told() -> None:
    watched = tree([pool(10, [], healthmonitor=monitor(12))])
    (row,) = rows(watched)
    assert told(Create(row)) == "make a row for tcp"
    assert told(Delete("row")) == "remove a row"
    assert told(Attach("row", "Logical_Switch", "s")) == "attach to the switch s"
    assert told(Detach("row", "Logical_Router", "r")) == "detach from the router r"
    (change, *_) = difference([replace(row, uuid="row", health_checks=())], [row])
    assert told(change) == "add a health check of nothing yet"


def test_statuses_are_recorded_where_they_differ() -> None:
    (row,) = rows(web(member(31, "10.212.32.11"), member(32, "10.212.32.12")))
    stored = replace(row, uuid="row")
    assert not tuple(recorded([stored], {identity(31): "NO_MONITOR", identity(99): "ERROR"}))
    (operation,) = recorded([stored], {identity(31): "ERROR"})
    assert told(operation) == "change external_ids of a Load_Balancer"


def test_names_of_ports() -> None:
    for name in (names.vip_port(L), names.additional_vip_port(L, 1), names.additional_vip_port(L, 12)):
        assert names.load_balancer_of(name) == L
    for name in ("ovn-lb-vip-somebody", names.monitor_port(P), "guest"):
        assert names.load_balancer_of(name) is None
    assert names.is_monitor_port(names.monitor_port(P))


def test_a_check_is_known_by_what_it_stands_for() -> None:
    one = HealthCheckRow("192.0.2.1:80", {}, {"octavia:pool_id": P})
    assert one.key == HealthCheckRow("192.0.2.1:80", {"interval": "5"}, {"octavia:pool_id": P}, "uuid").key


def test_limits_without_a_feature_are_refused_by_the_pool() -> None:
    sticky = {"type": "SOURCE_IP", "persistence_timeout": 65536}
    with pytest.raises(UnsupportedError, match="65535 seconds") as caught:
        refuse("ovn", tree([pool(10, [], "UDP", session_persistence=sticky)]))
    assert caught.value.object_id == identity(10)
    refuse("ovn", tree([pool(10, [], "UDP", session_persistence=sticky | {"persistence_timeout": 65535})]))
