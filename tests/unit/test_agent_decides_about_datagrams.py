"""The agent's programs for datagrams on a table instead of a kernel: what it is told, what becomes of flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.appliance_table import AMPHORA, Table
from support.bundles import ident

from lbdrivers_amphora.agent import datagrams, effects
from lbdrivers_amphora.agent.effects import Effect, Finished
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, md5
from lbdrivers_amphora.nftables import checks, document, rules
from lbdrivers_amphora.nftables.ir import Balance, Configuration, Member, Monitor, Pool, ProbeKind, Service
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.agent_config import ACTIVE_STANDBY, AgentConfig
from lbdrivers_amphora.wire.report import ListenerReport, Totals

BALANCER, LISTENER = ident("tree"), ident("listener")
ONE, TWO = (Member(ident(name), f"192.0.2.{number}", 53) for number, name in enumerate(("one", "two"), 1))
MONITOR = Monitor(ProbeKind.UDP_CONNECT, 3, 2, 2, 2)
LVS = b"virtual_server_group ipv4-group {\n    10.0.0.9 53\n    10.0.0.8 53\n}\n"


def wanted(*members: Member, monitor: Monitor | None = None, port: int = 53, **fields: Any) -> Configuration:
    pool = Pool(ident("pool"), Balance.ROUND_ROBIN, members, monitor=monitor)
    return Configuration(BALANCER, (Service(LISTENER, ("10.0.0.9",), port, pool=pool, **fields),))


@dataclass
class Kernel(Table):
    """With a kernel that holds datagram tables.

    :param refused: beginnings of nft's commands that the kernel refuses.
    """

    revision: str | None = None
    paths: frozenset[str] = frozenset({"nftables"})
    refused: tuple[str, ...] = ()
    ipvsadm: bool = True

    def put(self, configuration: Configuration) -> Response:
        return self.ask(routes.PutDatagrams(BALANCER, configuration))

    @property
    def told(self) -> list[str]:
        """What nft was told, one text a transaction."""
        return [one.content.decode() for one in self.did(effects.WriteFile) if one.path.endswith("change.nft")]

    def other(self, effect: Effect[Any]) -> Any:
        match effect:
            case effects.AskDataPaths():
                return self.paths
            case effects.RunProgram(command, _, _):
                return self._program(command)
            case effects.CountDatagrams():
                return effects.TableCounts(self.revision, {LISTENER: Totals(0, 1, 2, 3, 4)})
            case effects.CountServices():
                return ("", {LISTENER: Totals(0, 1, 2, 3, 4)}) if self.ipvsadm else None
            case effects.CountFlows():
                return dict.fromkeys(rules.flow_marks(wanted(ONE, TWO)).values(), 5)
            case effects.AskProbes():
                return {ONE.id: "silent"}
        return None

    def _program(self, command: tuple[str, ...]) -> Finished:
        """nft as far as it matters here: a transaction is taken whole, or refused and nothing happens."""
        if command[0] != "nft" or not command[2].endswith("change.nft"):
            return Finished(ok=True)
        text = self.files[command[2]].decode()
        if text.startswith(self.refused) and self.refused:
            return Finished(ok=False, words="Error: no")
        added = [
            line.split()[-1] for line in text.splitlines() if line.startswith("add counter") and "revision" in line
        ]
        self.revision = added[-1] if added else (None if "delete table" in text else self.revision)
        return Finished(ok=True)


def balancing(*members: Member, **fields: Any) -> Kernel:
    table = Kernel()
    assert table.put(wanted(*members, **fields)).status == 202
    return table


def body(response: Response) -> Mapping[str, Any]:
    assert isinstance(response.body, Mapping)
    return response.body


def test_the_first_time_the_whole_table_is_written_and_neighbours_are_told() -> None:
    table = Kernel()
    response = table.put(wanted(ONE, monitor=MONITOR))
    assert (response.status, body(response)["transition"]) == (202, "runtime")
    (text,) = table.told
    assert text.startswith(f"add table inet lbdrivers-{BALANCER}\ndelete table")
    assert table.revision == rules.revision_of(rules.table(wanted(ONE, monitor=MONITOR)))
    assert table.did(effects.Forward) == [effects.Forward(enabled=True)]
    assert table.did(effects.Announce) == [effects.Announce(("10.0.0.9",))]
    (probe,) = table.did(effects.Probe)
    assert probe.targets == {ONE.id: checks.Target("192.0.2.1", 53, MONITOR)}


def test_in_a_pair_keepalived_tells_the_neighbours() -> None:
    table = Kernel(Layout(AgentConfig(AMPHORA, loadbalancer_topology=ACTIVE_STANDBY)))
    table.put(wanted(ONE))
    assert table.did(effects.Announce) == []


def test_the_same_again_tells_the_kernel_nothing() -> None:
    table = balancing(ONE)
    response = table.put(wanted(ONE))
    assert (body(response)["transition"], table.told) == ("nothing", [])


def test_a_change_is_the_difference() -> None:
    table = balancing(ONE)
    assert body(table.put(wanted(ONE, TWO)))["transition"] == "runtime"
    (text,) = table.told
    assert "add table" not in text
    assert "192.0.2.2" in text and "192.0.2.1" not in text
    assert table.did(effects.EndFlows) == []


@pytest.mark.parametrize("kernel", [None, "", "revision-of-somebody-else"])
def test_a_kernel_that_holds_something_else_gets_the_whole_table(kernel: str | None) -> None:
    table = balancing(ONE)
    table.revision = kernel
    table.put(wanted(ONE, TWO))
    (text,) = table.told
    assert text.startswith("add table")


def test_a_difference_that_the_kernel_refuses_becomes_the_whole_table() -> None:
    table = balancing(ONE)
    table.refused = ("add counter",)
    assert table.put(wanted(ONE, TWO)).status == 202
    assert [text.split()[1] for text in table.told] == ["counter", "table"]


def test_what_the_kernel_refuses_leaves_the_last_good_rules() -> None:
    table = balancing(ONE)
    before = (table.revision, table.files[table.layout.datagrams_applied(BALANCER)])
    table.refused = ("add",)
    response = table.put(wanted(ONE, TWO))
    assert (response.status, body(response)["details"]) == (400, "Error: no")
    assert (table.revision, table.files[table.layout.datagrams_applied(BALANCER)]) == before
    assert table.did(effects.EndFlows) == table.did(effects.Probe) == []


def test_without_nftables_the_remedy_is_said_and_nothing_done() -> None:
    table = Kernel(paths=frozenset())
    response = table.put(wanted(ONE))
    assert response.status == 501
    assert "nf_tables" in body(response)["details"]
    assert table.files == {}


def test_flows_end_where_their_member_may_get_nothing_more() -> None:
    marks = rules.flow_marks(wanted(ONE, TWO))
    for then in (wanted(ONE), wanted(ONE, replace(TWO, enabled=False))):
        table = balancing(ONE, TWO)
        table.put(then)
        assert table.did(effects.EndFlows) == [effects.EndFlows((marks[LISTENER, TWO.id],))]
    table = balancing(ONE, TWO)
    table.put(wanted(ONE, replace(TWO, weight=0)))
    assert table.did(effects.EndFlows) == [], "a drained member keeps what it has"


def test_flows_that_came_before_the_listener_are_judged_anew() -> None:
    table = Kernel()
    table.put(wanted(ONE))
    assert table.did(effects.EndFlows) == [effects.EndFlows(entries=(("10.0.0.9", 53),))]
    table.put(wanted(ONE, port=54))
    assert table.did(effects.EndFlows) == [effects.EndFlows(entries=(("10.0.0.9", 54),))]


def test_a_member_that_goes_down_loses_its_flows_and_comes_back() -> None:
    table = balancing(ONE, TWO, monitor=MONITOR)
    target = checks.Target("192.0.2.2", 53, MONITOR)
    marks = rules.flow_marks(wanted(ONE, TWO))
    assert table.run(datagrams.turned(table.layout, BALANCER, {TWO.id: target})).ok
    assert table.did(effects.EndFlows) == [effects.EndFlows((marks[LISTENER, TWO.id],))]
    (text,) = table.told
    assert "delete element" in text
    # An edit does not forget who is down; a member that was moved gets a fresh chance.
    table.put(wanted(ONE, replace(TWO, weight=5), monitor=MONITOR))
    assert table.did(effects.Probe)[0].down == {TWO.id}
    table.put(wanted(ONE, replace(TWO, address="192.0.2.9"), monitor=MONITOR))
    assert table.did(effects.Probe)[0].down == frozenset()
    # What is heard late of its old place does not count.
    table.run(datagrams.turned(table.layout, BALANCER, {TWO.id: target}))
    assert table.told == []
    assert table.run(datagrams.turned(table.layout, BALANCER, {})).ok


def test_turns_of_what_is_gone_are_nobodys() -> None:
    assert Kernel().run(datagrams.turned(Kernel().layout, BALANCER, {})) == Finished(ok=True)


def test_removed_rules_are_gone_with_their_flows_and_absent_ones_are_success() -> None:
    table = balancing(ONE)
    assert table.ask(routes.DeleteDatagrams(BALANCER)).status == 200
    assert (table.revision, [path for path in table.files if "datagrams" in path]) == (None, [])
    assert table.did(effects.EndFlows) == [effects.EndFlows(tuple(rules.flow_marks(wanted(ONE)).values()))]
    assert table.did(effects.Forward) == [effects.Forward(enabled=False)]
    assert table.ask(routes.DeleteDatagrams(BALANCER)).status == 200
    assert table.told == []


def test_what_is_applied_can_be_asked_for() -> None:
    table = balancing(ONE)
    response = table.ask(routes.GetDatagrams(BALANCER))
    assert response == Response(200, document.render(wanted(ONE)), md5(document.render(wanted(ONE))))
    assert table.ask(routes.GetDatagrams(ident("another"))).status == 404


def test_a_new_life_finds_its_rules_and_a_rebooted_kernel_gets_them_again() -> None:
    table = balancing(ONE, monitor=MONITOR)
    assert table.run(datagrams.restore(table.layout)) == ()
    assert table.told == []
    assert len(table.did(effects.Probe)) == 1
    table.revision = None
    assert table.run(datagrams.restore(table.layout)) == ()
    assert len(table.told) == 1


def test_a_record_that_cannot_be_read_is_told() -> None:
    table = Kernel(files={Kernel().layout.datagrams_applied(BALANCER): b"{"})
    (trouble,) = table.run(datagrams.restore(table.layout))
    assert "applied.json cannot be read" in trouble
    assert table.put(wanted(ONE)).status == 202


def test_reports_are_in_the_words_of_haproxy() -> None:
    down = replace(TWO, weight=0)
    table = balancing(ONE, down, monitor=MONITOR, limit=5)
    found = table.run(datagrams.reports(table.layout))
    assert found.listeners[LISTENER].status == "FULL"
    assert found.listeners[LISTENER].totals == Totals(10, 1, 2, 3, 4)
    pool = found.pools[f"{ident('pool')}:{LISTENER}"]
    assert (pool.status, {name: member.status for name, member in pool.members.items()}) == (
        "UP",
        {ONE.id: "UP", TWO.id: "DRAIN"},
    )
    assert pool.members[ONE.id].detail == "silent"
    assert found.revisions == {datagrams.REVISION: md5(document.render(wanted(ONE, down, monitor=MONITOR, limit=5)))}
    table.revision = "revision-of-somebody-else"
    told = table.run(datagrams.reports(table.layout))
    assert (told.listeners, told.revisions) == (found.listeners, {}), "they serve, but nobody knows which rules"
    table.revision = None
    assert table.run(datagrams.reports(table.layout)) == datagrams.Reports(), "without rules nothing is served"


# --- keepalived and IPVS


def ipvs() -> Kernel:
    table = Kernel(paths=frozenset({"ipvs"}))
    assert table.ask(routes.PutUdpListener(AMPHORA, LISTENER, LVS)).status == 200
    return table


def test_without_ipvs_a_listener_of_keepalived_is_refused_with_a_remedy() -> None:
    table = Kernel()
    response = table.ask(routes.PutUdpListener(AMPHORA, LISTENER, LVS))
    assert response.status == 501
    assert "load the module ip_vs" in body(response)["details"]
    assert table.files == {}


def test_with_ipvs_a_listener_has_a_keepalived_of_its_own() -> None:
    table = ipvs()
    assert table.running == set()
    response = table.ask(routes.ActOnBalancer(LISTENER, "reload"))
    assert (response.status, body(response)["details"]) == (202, f"keepalivedlvs listener {LISTENER} restarted")
    assert table.running == {f"octavia-keepalivedlvs-{LISTENER}"}
    assert table.did(effects.Announce) == [effects.Announce(("10.0.0.9", "10.0.0.8"))]
    assert table.ask(routes.GetUdpListener(LISTENER)).body == LVS
    told = table.run(datagrams.reports(table.layout))
    assert told.revisions == {f"octavia-keepalivedlvs-{LISTENER}.conf": md5(LVS)}
    assert told.listeners == {LISTENER: ListenerReport("OPEN", Totals(0, 1, 2, 3, 4))}
    table.ipvsadm = False
    assert table.run(datagrams.reports(table.layout)) == replace(told, listeners={}), "nobody can tell"
    assert table.ask(routes.ListListeners()).body == [{"status": "ACTIVE", "uuid": LISTENER, "type": "UDP"}]
    assert table.ask(routes.ActOnBalancer(LISTENER, "stop")).status == 202
    assert table.ask(routes.ListListeners()).body == [{"status": "OFFLINE", "uuid": LISTENER, "type": "UDP"}]


def test_a_removed_listener_of_keepalived_leaves_nothing() -> None:
    table = ipvs()
    table.ask(routes.ActOnBalancer(LISTENER, "start"))
    assert table.ask(routes.DeleteListeners(LISTENER)).status == 200
    assert table.running == set()
    assert [path for path in table.files if LISTENER in path] == []
    assert table.ask(routes.GetUdpListener(LISTENER)).status == 404
