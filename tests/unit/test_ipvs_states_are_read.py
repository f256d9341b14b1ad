"""What IPVS says of listeners, matched with keepalived's files, in the words of HAProxy."""

from __future__ import annotations

from support.bundles import bundle, facts, ident, listener, member, monitor, pool, tree

from lbdrivers.drivers.amphora import Vip
from lbdrivers.model.resources import Listener, Member
from lbdrivers_amphora.keepalived import lvs_render, lvs_translate
from lbdrivers_amphora.keepalived.lvs_states import RealServer, counted, describe, reports, services, totals
from lbdrivers_amphora.wire.report import Totals

VIPS = (Vip("10.2.0.100", "10.2.0.0/24"), Vip("2001:db8::10", "2001:db8::/64"))
#: As ipvsadm 1.31 lists.
TABLE = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
UDP  10.2.0.100:5353 wrr
  -> 10.3.0.11:5353               Masq    3      0          60
  -> 10.3.0.12:5353               Masq    0      1          20
UDP  [2001:db8::10]:5353 wrr persistent 360
  -> [2001:db8::11]:5353          Masq    1      0          4
"""
STATS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
UDP  10.2.0.100:5353                    80       80       80     2320     3280
  -> 10.3.0.11:5353                     60       60       60     1740     2460
UDP  [2001:db8::10]:5353                 4        4        4      200      300
TCP  10.2.0.100:80                       9        9        9      900      900
"""
ONE, TWO = member("one", "10.3.0.11", 5353, weight=3), member("two", "10.3.0.12", 5353)
DEAD, OFF = member("dead", "10.3.0.13", 5353), member("off", "10.3.0.14", 5353, admin_state_up=False)
SIX = member("six", "2001:db8::11", 5353)


def written(*members: Member, checked: bool = True, front: dict[str, object] | None = None) -> tuple[Listener, str]:
    watch = monitor("UDP-CONNECT", delay=3) if checked else None
    each = pool(protocol="UDP", members=members, healthmonitor=watch)
    one = listener("dns", 5353, protocol="UDP", default_pool_id=each.id, **(front or {}))
    made = bundle(tree((one,), (each,)), vips=VIPS)
    return one, lvs_render.render(lvs_translate.translate(made, facts(), one))


def test_a_file_is_read_back() -> None:
    _, text = written(ONE, OFF, SIX)
    found = describe(text)
    assert found.enabled and found.checked
    assert found.entries == {("10.2.0.100", 5353), ("2001:db8::10", 5353)}
    assert found.pool_id == ident("pool")
    assert found.members == {ONE.id: ("10.3.0.11", 5353), SIX.id: ("2001:db8::11", 5353)}
    assert found.disabled == (OFF.id,)


def test_a_disabled_listener_reports_nothing() -> None:
    one, text = written(ONE, front={"admin_state_up": False})
    assert not describe(text).enabled
    assert reports([(one.id, text)], TABLE, {}) == ({}, {})


def test_the_kernels_table_is_read() -> None:
    found = services(TABLE)
    assert found["10.2.0.100", 5353] == {
        ("10.3.0.11", 5353): RealServer(3, 60),
        ("10.3.0.12", 5353): RealServer(0, 21),
    }
    assert found["2001:db8::10", 5353] == {("2001:db8::11", 5353): RealServer(1, 4)}
    assert services("") == {}
    assert counted(STATS)["10.2.0.100", 5353] == Totals(0, 2320, 3280, 0, 80)


def test_reports_are_in_the_words_of_haproxy() -> None:
    one, text = written(ONE, TWO, DEAD, OFF, SIX)
    counters = totals({one.id: describe(text)}, STATS)
    listeners, pools = reports([(one.id, text)], TABLE, counters)
    assert listeners[one.id].status == "OPEN"
    assert listeners[one.id].totals == Totals(85, 2520, 3580, 0, 84), "over both families"
    (state,) = pools.values()
    assert list(pools) == [f"{ident('pool')}:{one.id}"]
    assert state.status == "UP"
    words = {name: found.status for name, found in state.members.items()}
    assert words == {ONE.id: "UP", TWO.id: "DRAIN", DEAD.id: "DOWN", OFF.id: "MAINT", SIX.id: "UP"}


def test_without_a_monitor_nobody_is_down() -> None:
    one, text = written(ONE, DEAD, checked=False)
    (state,) = reports([(one.id, text)], TABLE, {})[1].values()
    assert (state.status, {found.status for found in state.members.values()}) == ("UP", {"no check"})


def test_a_pool_of_which_nobody_is_left_is_down() -> None:
    one, text = written(DEAD)
    (state,) = reports([(one.id, text)], TABLE, {})[1].values()
    assert (state.status, [found.status for found in state.members.values()]) == ("DOWN", ["DOWN"])
    (state,) = reports([(one.id, text)], "", {})[1].values()
    assert state.status == "DOWN"
