"""The agent's programs, carried out on a table instead of a machine: what is asked, what is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.appliance_table import AMPHORA, GOOD, Table
from support.bundles import bundle, facts, ident, listener, member, pool, tree

from lbdrivers_amphora.agent import balancers, core, effects
from lbdrivers_amphora.agent.effects import Effect, Finished, Link
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, md5
from lbdrivers_amphora.agent.vrrp import haproxy_check
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.agent_config import ACTIVE_STANDBY, AgentConfig
from lbdrivers_amphora.wire.plugging import FixedIp, PlugNetwork, PlugVip, UnplugNetwork, VipAddress, VipNetwork

_BALANCER = ident("tree")
_MAC = "02:00:00:00:00:01"


@dataclass
class Machine(Table):
    """With links, and what its daemons answer."""

    links: tuple[Link, ...] = ()
    check: Finished = GOOD
    reload: Finished = GOOD
    answers: Callable[[str], str] = lambda command: "1\n# header\n" if command.startswith("show") else ""

    def other(self, effect: Effect[Any]) -> Any:
        match effect:
            case effects.RunProgram():
                return self.check
            case effects.AskHaproxy(_, commands):
                return tuple(map(self.answers, commands))
            case effects.AskWorkers() | effects.CountTotals() | effects.ListAddresses():
                return {}
            case effects.AwaitHaproxy() | effects.SignalService() | effects.ApplyInterface():
                return Finished(ok=True)
            case effects.ReloadHaproxy():
                return self.reload
            case effects.ListLinks():
                return self.links
            case effects.MoveLink(mac, name):
                self.links = tuple(Link(name, mac, inside=True) if link.mac == mac else link for link in self.links)
            case effects.ReleaseLink(name):
                self.links = tuple(
                    Link("x", link.mac, inside=False) if link.name == name else link for link in self.links
                )
        return None


def text(*ports: int, listeners: int = 1) -> bytes:
    each = pool(members=tuple(member(f"m{port}", "192.0.2.1", port) for port in ports))
    fronts = tuple(listener(f"l{number}", 80 + number, default_pool_id=each.id) for number in range(listeners))
    return render(translate(bundle(tree(fronts, (each,))), facts())).encode()


def running(*ports: int, **fields: Any) -> Machine:
    table = Machine(**fields)
    assert table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, text(*ports))).status == 202
    assert table.ask(routes.ActOnBalancer(_BALANCER, "start")).status == 202
    return table


def change(table: Machine, content: bytes) -> Response:
    assert table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, content)).status == 202
    return table.ask(routes.ActOnBalancer(_BALANCER, "reload"))


def body(response: Response) -> dict[str, Any]:
    assert isinstance(response.body, dict)
    return response.body


def test_an_upload_starts_nothing() -> None:
    table = Machine()
    response = table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, text(1)))
    assert (response.status, body(response)) == (202, {"message": "OK"})
    assert table.running == set()
    (check,) = table.did(effects.RunProgram)
    assert check.command[:4] == ("/usr/sbin/haproxy", "-c", "-L", "l_Ustq0qE-h-_Q1dlXLXBAiWR8U")


def test_a_refused_file_leaves_the_old_one_where_it_was() -> None:
    table = running(1)
    before = table.files[table.layout.haproxy_config(_BALANCER)]
    table.check = Finished(ok=False, words="[ALERT] no")
    response = table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, b"nonsense"))
    assert (response.status, body(response)["details"]) == (400, "[ALERT] no")
    assert table.files[table.layout.haproxy_config(_BALANCER)] == before
    assert table.layout.haproxy_config(_BALANCER) + ".new-failed" in table.files


def test_of_a_new_member_haproxy_checks_that_member_alone() -> None:
    table = running(1)
    assert table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, text(1, 2))).status == 202
    (check,) = table.did(effects.RunProgram)
    assert table.layout.haproxy_excerpt(_BALANCER) in check.command
    part = next(one.content for one in table.did(effects.WriteFile) if one.path.endswith(".excerpt"))
    assert (part.count(b"    server "), text(1, 2).count(b"    server ")) == (1, 2)
    assert table.layout.haproxy_excerpt(_BALANCER) not in table.files
    assert table.files[table.layout.haproxy_config(_BALANCER)] == text(1, 2)


def test_what_haproxy_dislikes_about_a_new_member_it_says_of_the_whole_file() -> None:
    table = running(1)
    table.check = Finished(ok=False, words="[ALERT] no")
    assert table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, text(1, 2))).status == 400
    checked = [check.command for check in table.did(effects.RunProgram)]
    assert [table.layout.haproxy_new(_BALANCER) in command for command in checked] == [False, True]
    assert table.files[table.layout.haproxy_config(_BALANCER)] == text(1)


def test_beside_a_new_certificate_a_new_member_is_not_checked_alone() -> None:
    table = running(1)
    table.ask(routes.PutCertificate(_BALANCER, "abc.pem", b"one"))
    assert table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, text(1, 2))).status == 202
    (check,) = table.did(effects.RunProgram)
    assert table.layout.haproxy_new(_BALANCER) in check.command


def test_group_lines_give_way_to_the_appliances_own() -> None:
    table = Machine()
    sent = b"global\n    daemon\n    group nogroup\n    maxconn 5\n"
    response = table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, sent))
    assert table.files[table.layout.haproxy_config(_BALANCER)] == b"global\n    daemon\n    maxconn 5\n"
    # Of the bytes as received.
    assert response.etag == md5(sent)


def test_a_new_member_is_a_matter_of_commands() -> None:
    table = running(1)
    table.answers = lambda command: "New server registered." if command.startswith("add") else ""
    response = change(table, text(1, 2))
    assert body(response)["transition"] == "runtime"
    assert any(command.startswith("add server") for command in body(response)["commands"])
    assert table.did(effects.ReloadHaproxy) == []
    assert table.files[table.layout.haproxy_applied(_BALANCER)] == text(1, 2)


def test_a_command_that_fails_becomes_a_reload() -> None:
    table = running(1)
    table.answers = lambda command: "Permission denied" if command.startswith("add") else ""
    response = change(table, text(1, 2))
    assert (body(response)["transition"], body(response)["commands"]) == ("reload", [])
    assert len(table.did(effects.ReloadHaproxy)) == 1
    assert table.files[table.layout.haproxy_applied(_BALANCER)] == text(1, 2)


def test_an_unchanged_file_does_nothing() -> None:
    table = running(1)
    response = change(table, text(1))
    assert body(response)["transition"] == "nothing"
    assert table.did(effects.ReloadHaproxy) == table.did(effects.RunProgram) == []


def test_a_new_listener_is_a_reload() -> None:
    assert body(change(running(1), text(1, listeners=2)))["transition"] == "reload"


def test_a_reload_that_fails_brings_the_last_good_file_back() -> None:
    table = running(1)
    table.reload = Finished(ok=False, words="cannot bind")
    response = change(table, text(1, listeners=2))
    assert (response.status, body(response)["details"]) == (500, "cannot bind")
    assert table.files[table.layout.haproxy_config(_BALANCER)] == text(1)
    assert table.files[table.layout.haproxy_applied(_BALANCER)] == text(1)


def test_a_foreign_file_is_reloaded_once() -> None:
    table = running(1)
    foreign = b"global\n    daemon\nfrontend x\n    mode tcp\n    bind 10.0.0.9:80\n"
    assert body(change(table, foreign))["transition"] == "reload"
    (announced,) = table.did(effects.Announce)
    assert announced.addresses == ("10.0.0.9",)
    assert body(change(table, foreign))["transition"] == "nothing"


def test_a_changed_certificate_is_a_reload() -> None:
    table = running(1)
    path = f"{table.layout.config.base_cert_dir}/{_BALANCER}/abc.pem"
    wanted = text(1) + f"# {path}\n".encode()
    table.ask(routes.PutCertificate(_BALANCER, "abc.pem", b"one"))
    change(table, wanted)
    assert body(change(table, wanted))["transition"] == "nothing"
    table.ask(routes.PutCertificate(_BALANCER, "abc.pem", b"two"))
    assert body(change(table, wanted))["transition"] == "reload"
    assert table.ask(routes.GetCertificate(_BALANCER, "abc.pem")).etag is not None


def test_a_reload_of_what_does_not_run_starts_it() -> None:
    table = Machine()
    table.ask(routes.UploadHaproxy(AMPHORA, _BALANCER, text(1)))
    response = table.ask(routes.ActOnBalancer(_BALANCER, "reload"))
    assert body(response)["transition"] == "restart"
    assert body(response)["details"] == f"Configuration file is valid\nhaproxy daemon for {_BALANCER} started"


def test_what_is_applied_is_told_without_a_look_at_members() -> None:
    table = running(1)
    alone = table.ask(routes.GetRevisions())
    assert table.did(effects.AskWorkers) == table.did(effects.AskHaproxy) == []
    whole = table.ask(routes.GetStatistics())
    assert body(alone) == {name: body(whole)[name] for name in body(alone)}
    assert body(alone)["revisions"] == {"haproxy.cfg": md5(text(1))}
    assert (body(alone)["haproxy"], body(alone)["keepalived"]) == ("RUNNING", "STOPPED")


def test_a_file_that_differs_from_what_runs_is_no_revision() -> None:
    """Uploaded and never applied, or changed by hand: the next start would read it, so that it has to be sent again."""
    table = running(1)
    table.files[table.layout.haproxy_config(_BALANCER)] = text(1, 2)
    assert body(table.ask(routes.GetRevisions()))["revisions"] == {}
    table.files[table.layout.haproxy_config(_BALANCER)] = text(1)
    assert body(table.ask(routes.GetRevisions()))["revisions"] == {"haproxy.cfg": md5(text(1))}


def test_unknown_load_balancers() -> None:
    table = Machine()
    response = table.ask(routes.ActOnBalancer(_BALANCER, "reload"))
    assert (response.status, body(response)["message"]) == (404, "Loadbalancer Not Found")
    assert table.ask(routes.GetHaproxy(_BALANCER)).status == 404
    assert table.ask(routes.DeleteListeners(_BALANCER)).status == 200


def test_deleting_leaves_nothing() -> None:
    table = running(1)
    table.ask(routes.PutCertificate(_BALANCER, "abc.pem", b"one"))
    assert table.ask(routes.DeleteListeners(_BALANCER)).status == 200
    assert table.running == set()
    assert not any(_BALANCER in name for name in table.files)


def test_the_check_of_a_pair_knows_every_balancer() -> None:
    table = running(1, layout=Layout(AgentConfig(AMPHORA, loadbalancer_topology=ACTIVE_STANDBY)))
    path = f"{table.layout.check_scripts}/haproxy_check_script.sh"
    assert f"{_BALANCER}.pid".encode() in table.files[path]
    assert table.did(effects.Announce) == []
    table.ask(routes.ActOnBalancer(_BALANCER, "stop"))
    assert table.files[path].decode() == haproxy_check([])


def test_listeners_are_listed_with_their_types() -> None:
    cfg = (
        "global\nfrontend a\n    mode http\n    bind 1.2.3.4:443 ssl crt-list /x\n"
        "frontend b\n    mode tcp\nfrontend prometheus-internal\n    mode http\nbackend c\n    mode http\n"
    )
    assert balancers.frontends(cfg) == [
        {"status": "ACTIVE", "uuid": "a", "type": "TERMINATED_HTTPS"},
        {"status": "ACTIVE", "uuid": "b", "type": "TCP"},
    ]


def test_addresses_on_bind_lines() -> None:
    cfg = "    bind 10.0.0.1:80\n    bind [fd00::1]:80 ssl\n    bind 127.0.0.1:9101\n    bind 10.0.0.1:81\n"
    assert balancers.bound_addresses(cfg) == ("10.0.0.1", "fd00::1")


def test_a_vip_is_plugged_once() -> None:
    table = Machine(links=(Link("port", _MAC, inside=False),))
    vip = VipAddress("fd00::1", "fd00::/64")
    request = PlugVip(_MAC, VipNetwork((vip,)))
    response = table.ask(request)
    assert response.status == 202
    assert body(response)["details"] == "VIPs plugged on interface eth1: fd00:0000:0000:0000:0000:0000:0000:0001"
    assert table.files[table.layout.plugged_interfaces] == f"{_MAC} eth1\n".encode()
    assert table.ask(request).status == 409


def test_a_link_that_has_not_come_is_looked_for() -> None:
    table = Machine()
    response = table.ask(PlugNetwork(_MAC))
    assert (response.status, body(response)) == (404, {"details": "No suitable network interface found"})
    assert len(table.did(effects.RescanBus)) == 1


def test_member_interfaces_take_the_first_free_name() -> None:
    table = Machine(
        links=(
            Link("eth1", "02:00:00:00:00:0a", inside=True),
            Link("eth2", "02:00:00:00:00:0b", inside=True),
            Link("port", _MAC, inside=False),
        )
    )
    assert body(table.ask(PlugNetwork(_MAC)))["details"] == "Plugged on interface eth3"
    assert body(table.ask(PlugNetwork(_MAC)))["details"] == "Updated existing interface eth3"
    assert table.ask(UnplugNetwork(_MAC)).status == 200
    assert table.ask(UnplugNetwork(_MAC)).status == 200
    assert b"eth3" not in table.files[table.layout.plugged_interfaces]
    assert table.layout.interface("eth3") not in table.files


def test_links_of_an_earlier_life_are_restored() -> None:
    table = Machine(links=(Link("port", _MAC, inside=False),))
    table.ask(PlugNetwork(_MAC, (FixedIp("10.1.0.5", "10.1.0.0/24"),)))
    table.links = (Link("port", _MAC, inside=False),)
    table.done.clear()
    assert effects.run(core.boot(table.layout, unprivileged=True), table.perform) == ()
    assert table.links == (Link("eth2", _MAC, inside=True),)
    assert [effect.file.name for effect in table.did(effects.ApplyInterface)] == ["eth2"]
    assert table.files[table.layout.user_group] == b"global\n"
    assert table.files[table.layout.ping_wrapper].startswith(b"#!/bin/sh\n")


def test_a_new_configuration_must_be_this_amphoras() -> None:
    table = Machine()
    mine = f"[amphora_agent]\namphora_id = {AMPHORA}\n".encode()
    assert table.ask(routes.PutConfig(mine)).status == 202
    assert len(table.did(effects.Reconfigure)) == 1
    for wrong in (b"[amphora_agent]\namphora_id = other\n", b"nonsense", b"\xff"):
        response = table.ask(routes.PutConfig(wrong))
        assert response.status == 500
        assert body(response)["message"] == "Unable to update amphora-agent configuration."
        assert table.did(effects.Reconfigure) == []


_UNSERVED = {routes.PutInterfaceRules}


def test_every_route_has_a_program() -> None:
    assert core.served() == set(routes.ROUTES) - _UNSERVED
