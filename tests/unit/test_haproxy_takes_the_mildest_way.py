"""From one configuration to another: which runtime commands, or why not; and what HAProxy's answers mean."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.bundles import bundle, facts, ident, listener, member, monitor, policy, pool, rule, tree

from lbdrivers.model.resources import Member
from lbdrivers_amphora.haproxy import server_state
from lbdrivers_amphora.haproxy.answers import failures, lingering
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.process import Process, read
from lbdrivers_amphora.haproxy.render import LONGEST_LINE, render
from lbdrivers_amphora.haproxy.transition import Nothing, Reload, Restart, Runtime, transition
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.word import Word

A, B = member("a"), member("b", "192.0.2.2")
BACKEND = f"{ident('pool')}:{ident('listener')}"
NAME_A, NAME_B = f"{BACKEND}/{A.id}", f"{BACKEND}/{B.id}"


def configuration(*members: Member, limit: int = -1, path: str = "/var/lib/octavia", **fields: object) -> Configuration:
    target = pool(members=members or (A,), **fields)
    entry = listener(default_pool_id=target.id, connection_limit=limit)
    return translate(bundle(tree((entry,), (target,))), facts(path))


PROBE = {"healthmonitor": monitor()}
PING = {"healthmonitor": monitor("PING")}
COOKIE = {"session_persistence": {"type": "HTTP_COOKIE"}}


def changed(**fields: object) -> Member:
    return A.model_copy(update=fields)


@pytest.mark.parametrize(
    ("running", "wanted", "commands"),
    [
        (configuration(A), configuration(A), ()),
        (configuration(A, B), configuration(B, A), ()),
        (configuration(A), configuration(changed(weight=5)), (f"set server {NAME_A} weight 5",)),
        (
            configuration(A, B),
            configuration(changed(weight=0), B.model_copy(update={"weight": 9})),
            (f"set server {NAME_B} weight 9", f"set server {NAME_A} weight 0"),
        ),
        (configuration(A), configuration(changed(admin_state_up=False)), (f"set server {NAME_A} state maint",)),
        (configuration(changed(admin_state_up=False)), configuration(A), (f"set server {NAME_A} state ready",)),
        (
            configuration(A, B),
            configuration(A),
            (f"set server {NAME_B} state maint", f"del server {NAME_B}"),
        ),
        (
            configuration(A),
            configuration(changed(protocol_port=81)),
            (f"set server {NAME_A} addr 192.0.2.1 port 81",),
        ),
        (
            configuration(A, **PROBE),
            configuration(changed(monitor_port=90), **PROBE),
            (f"set server {NAME_A} check-addr 192.0.2.1 port 90",),
        ),
        (
            configuration(A, limit=5),
            configuration(A, limit=7),
            (f"set maxconn frontend {ident('listener')} 7",),
        ),
        (
            configuration(A),
            configuration(A, limit=7),
            (f"set maxconn frontend {ident('listener')} 7",),
        ),
    ],
)
def test_runtime_commands(running: Configuration, wanted: Configuration, commands: tuple[str, ...]) -> None:
    found = transition(running, wanted)
    assert found == (Runtime(commands) if commands else Nothing())


@pytest.mark.parametrize("probe", [{}, PROBE])
def test_a_new_server_serves_after_its_last_command(probe: dict[str, object]) -> None:
    found = transition(configuration(A, **probe), configuration(A, B, **probe))
    assert isinstance(found, Runtime)
    assert found.commands[0].startswith(f"add server {NAME_B} 192.0.2.2:80 weight 1")
    assert found.commands[-1] == f"enable server {NAME_B}"
    assert (f"enable health {NAME_B}" in found.commands) == bool(probe)


@pytest.mark.parametrize(
    ("running", "wanted", "words"),
    [
        (configuration(A), configuration(A, lb_algorithm="LEAST_CONNECTIONS"), "the backend .* differs: balance"),
        (configuration(A), configuration(A, path="/elsewhere"), "the process settings differ"),
        (configuration(A, limit=5), configuration(A), "connection limit"),
        (configuration(A), configuration(changed(backup=True)), "changes its backup"),
        (configuration(A, **PROBE), configuration(A, healthmonitor=monitor(delay=9)), "checked in another way"),
        (configuration(A, **PING), configuration(A, B, **PING), "checked by a program"),
        (configuration(A, **PING), configuration(changed(monitor_address="192.0.2.9"), **PING), "program that checks"),
        (configuration(A), translate(bundle(tree((listener("other", 81),))), facts()), "is new"),
        (configuration(A), translate(bundle(tree()), facts()), "goes away"),
    ],
)
def test_what_needs_a_reload(running: Configuration, wanted: Configuration, words: str) -> None:
    found = transition(running, wanted)
    assert isinstance(found, Reload)
    assert re.search(words, found.reason), found.reason


def test_a_server_that_lingers_keeps_its_name() -> None:
    found = transition(configuration(A), configuration(A, B), Process(lingering=frozenset({(BACKEND, B.id)})))
    assert isinstance(found, Reload) and "connections of before" in found.reason


def test_another_load_balancer_is_a_restart() -> None:
    other = replace(configuration(A), load_balancer_id="another")
    assert isinstance(transition(configuration(A), other), Restart)


def test_a_name_that_stands_twice_is_no_state_to_start_from() -> None:
    once = configuration(A)
    twice = replace(once, frontends=once.frontends * 2)
    found = transition(twice, once)
    assert isinstance(found, Reload) and "one name" in found.reason


def test_a_word_that_could_be_a_command_is_carried_as_one_word_or_not_at_all() -> None:
    backend = configuration(A).backends[0]

    def with_server(name: str) -> Configuration:
        hostile = backend.servers[0]._replace(name=Word(name))
        return replace(configuration(A), backends=(replace(backend, servers=(*backend.servers, hostile)),))

    found = transition(configuration(A), with_server("x;shutdown"))
    assert isinstance(found, Runtime)
    assert found.commands[-1] == f"enable server {BACKEND}/x\\;shutdown"
    assert isinstance(transition(configuration(A), with_server("x\nshutdown")), Reload)


def test_a_lost_connection_limit_becomes_that_of_the_process() -> None:
    found = transition(configuration(A, limit=5), configuration(A), read("Name: x\nMaxconn: 1479\n", ""))
    assert found == Runtime((f"set maxconn frontend {ident('listener')} 1479",))


def test_a_new_server_gets_its_cookie_by_an_address_that_changes() -> None:
    found = transition(configuration(A, **COOKIE), configuration(A, B, **COOKIE))
    assert isinstance(found, Runtime)
    assert found.commands[0].startswith(f"add server {NAME_B} 192.0.2.2:79 ")
    assert found.commands[1:] == (f"set server {NAME_B} addr 192.0.2.2 port 80", f"enable server {NAME_B}")


def with_rules(*values: str, cidrs: tuple[str, ...] = ()) -> Configuration:
    rules = (rule(str(number), "HEADER", "EQUAL_TO", value, key="x") for number, value in enumerate(values))
    entry = listener(l7policies=(policy("p", "REJECT", *rules),), allowed_cidrs=cidrs)
    return translate(bundle(tree((entry,))), facts())


def test_values_of_rules_are_exchanged_at_once() -> None:
    lists = "# id (file) description\n2 () acl 'req.hdr' file 'x' line 9. curr_ver=4 next_ver=5 entry_cnt=1\n"
    found = transition(with_rules("a", "b"), with_rules("a", "-c d"), read("", lists))
    assert found == Runtime(("prepare acl #2", "add acl @6 #2 -c\\ d", "commit acl @6 #2"))


def test_allowed_networks_are_exchanged_at_once() -> None:
    found = transition(with_rules("a", cidrs=("10.0.0.0/8",)), with_rules("a", cidrs=("10.1.0.0/16", "10.2.0.0/16")))
    assert found == Runtime(
        ("prepare acl #1", "add acl @1 #1 10.1.0.0/16", "add acl @1 #1 10.2.0.0/16", "commit acl @1 #1")
    )


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        (with_rules("a"), with_rules("a", "b")),
        (with_rules("a"), with_rules("a", cidrs=("10.0.0.0/8",))),
        (with_rules("a"), with_rules("a payload <<")),
    ],
)
def test_other_rules_need_a_reload(running: Configuration, wanted: Configuration) -> None:
    assert isinstance(transition(running, wanted), Reload)


@pytest.mark.parametrize(
    ("command", "answer", "good", "waits"),
    [
        ("add server b/s 1.2.3.4:80", "New server registered.", True, False),
        ("add server b/s 1.2.3.4:80", "Already exists a server with the same name", False, False),
        ("del server b/s", "Server deleted.", True, False),
        ("del server b/s", "No such server.", True, False),
        ("del server b/s", "Server still has connections attached to it, cannot remove it.", True, True),
        ("del server b/s", "Permission denied", False, False),
        ("set server b/s weight 3", "", True, False),
        ("set server b/s weight 3", "Backend is using a static LB algorithm", False, False),
        ("set server b/s addr 1.2.3.4 port 80", "IP changed from '1.1.1.1' to '1.2.3.4'", True, False),
        ("set server b/s addr 1.2.3.4 port 80", "Invalid addr", False, False),
        ("prepare acl #1", "New version created: 1", True, False),
        ("prepare acl #1", "Unknown ACL identifier.", False, False),
        ("add acl @1 #1 a\\ addr\\ b", "", True, False),
        ("add acl @1 #1 (", "regex '(' is invalid", False, False),
        ("enable server b/s", None, False, False),
    ],
)
def test_answers(command: str, answer: str | None, good: bool, waits: bool) -> None:
    answers = [] if answer is None else [answer]
    assert bool(failures([command], answers)) != good
    assert lingering([command], answers) == (frozenset({("b", "s")}) if waits else frozenset())


def state_row(name: str = A.id, **fields: object) -> str:
    values = dict.fromkeys(server_state._FIELDS, "0") | {
        "be_name": BACKEND,
        "srv_name": name,
        "srv_addr": "192.0.2.1",
        "srv_port": "80",
        "srv_op_state": "2",
        "srv_check_state": "6",
        "srv_check_health": "4",
        "srv_uweight": "77",
    }
    return " ".join(str(value) for value in (values | fields).values())


def saved(*rows: str) -> str:
    return "\n".join(("1", server_state._HEADER, *rows)) + "\n"


def fields_of(text: str) -> dict[str, str] | None:
    lines = text.splitlines()
    return dict(zip(server_state._FIELDS, lines[2].split(), strict=True)) if len(lines) > 2 else None


def test_learned_health_is_carried_and_nothing_else() -> None:
    row = fields_of(server_state.carry(saved(state_row()), configuration(changed(weight=3), **PROBE)))
    assert row is not None
    assert (row["srv_check_health"], row["srv_uweight"], row["srv_iweight"]) == ("4", "3", "3")


@pytest.mark.parametrize(("state", "health", "kept"), [("2", "99", "4"), ("2", "0", "2"), ("0", "9", "1")])
def test_counters_stay_in_the_range_of_their_state(state: str, health: str, kept: str) -> None:
    row = fields_of(
        server_state.carry(saved(state_row(srv_op_state=state, srv_check_health=health)), configuration(A, **PROBE))
    )
    assert row is not None and row["srv_check_health"] == kept


@pytest.mark.parametrize(
    "row",
    [
        state_row("unknown"),
        state_row(srv_op_state="1"),
        state_row(srv_admin_state="1"),
        state_row(srv_check_state="2"),
        state_row(srv_addr="192.0.2.9"),
        state_row(srv_port="81"),
        "too short",
        "# comment",
    ],
)
def test_what_is_not_sure_starts_afresh(row: str) -> None:
    assert fields_of(server_state.carry(saved(row), configuration(A, **PROBE))) is None


@pytest.mark.parametrize("text", ["", "2\nx\n"])
def test_without_a_dump_there_is_an_empty_one(text: str) -> None:
    assert server_state.carry(text, configuration(A, **PROBE)) == saved()


def test_servers_without_checks_or_in_maintenance_start_afresh() -> None:
    assert fields_of(server_state.carry(saved(state_row()), configuration(A))) is None
    assert (
        fields_of(server_state.carry(saved(state_row()), configuration(changed(admin_state_up=False), **PROBE))) is None
    )


def test_a_line_that_haproxy_would_cut_is_refused() -> None:
    made = configuration(A)
    words = (Word("tcp-request"), *(Word("x") for _ in range(LONGEST_LINE)))
    longer = replace(made, frontends=(replace(made.frontends[0], lines=(*made.frontends[0].lines, words)),))
    with pytest.raises(ValueError, match="more than HAProxy reads"):
        render(longer)
