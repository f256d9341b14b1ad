"""Runtime commands lead a running HAProxy to where a fresh start of the wanted file would be."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import pytest
from support.bundles import bundle, facts, ident, listener, member, monitor, policy, pool, rule, tree
from support.haproxy import PINGING, Haproxy, free_port, loopback, request, web_servers
from support.patience import eventually

from lbdrivers.drivers.amphora import Vip
from lbdrivers.model.resources import Member, Pool
from lbdrivers_amphora.haproxy.answers import failures, lingering
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.process import Process, read
from lbdrivers_amphora.haproxy.stats import parse_statistics
from lbdrivers_amphora.haproxy.transition import Reload, Runtime, transition
from lbdrivers_amphora.haproxy.translate import translate

pytestmark = pytest.mark.usefixtures("each_haproxy")

_VIP = loopback(0)
_ADDRESSES = [loopback(number) for number in range(1, 7)]


@dataclass(frozen=True)
class _Site:
    port: int
    member_port: int


@pytest.fixture(scope="module")
def site() -> Iterator[_Site]:
    member_port = free_port(_ADDRESSES[0])
    with web_servers(_ADDRESSES, member_port):
        yield _Site(free_port(_VIP), member_port)


def _configuration(haproxy: Haproxy, site: _Site, *pools: Pool, **fields: object) -> Configuration:
    """One listener that leads to all the pools, each by a policy of its own."""
    policies = tuple(
        policy(
            f"to {each.name}",
            "REDIRECT_TO_POOL",
            rule(f"if {each.name}", "PATH", "EQUAL_TO", f"/{each.id}"),
            redirect_pool_id=each.id,
            position=number + 1,
        )
        for number, each in enumerate(pools)
    )
    entry = listener("l", site.port, l7policies=policies, **fields)
    return translate(bundle(tree((entry,), pools), vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(haproxy.base)))


_States = dict[tuple[str, str], tuple[str, ...]]


def _state(haproxy: Haproxy) -> _States:
    """What the configuration decides about each server, and whether it is up."""
    rows = [line.split() for line in haproxy.ask("show servers state").splitlines()[2:] if line]
    statistics = parse_statistics(haproxy.ask("show stat"))
    found = {}
    for row in rows:
        status = statistics.backends[row[1]].servers[row[3]].status
        configured, enabled = int(row[13]) & 2, int(row[13]) & 4
        found[row[1], row[3]] = (row[4], row[18], row[7], status, str(configured), str(enabled))
    return found


#: name -> members of a pool before and after, as (numbers, fields).
_CHANGES: dict[str, tuple[tuple[tuple[int, ...], dict[str, object]], tuple[tuple[int, ...], dict[str, object]]]] = {
    "first members": (((), {}), ((0, 1), {})),
    "one more": (((0,), {}), ((0, 1), {})),
    "one less": (((0, 1), {}), ((1,), {})),
    "all gone": (((0, 1), {}), ((), {})),
    "all others": (((0, 1), {}), ((2, 3), {})),
    "another order": (((0, 1, 2), {}), ((2, 0, 1), {})),
    "weight": (((0, 1), {}), ((0, 1), {"weight": 7})),
    "drained": (((0, 1), {}), ((0, 1), {"weight": 0})),
    "filled again": (((0, 1), {"weight": 0}), ((0, 1), {})),
    "disabled": (((0, 1), {}), ((0, 1), {"admin_state_up": False})),
    "enabled": (((0, 1), {"admin_state_up": False}), ((0, 1), {})),
    "added disabled": (((), {}), ((0,), {"admin_state_up": False})),
    "added as backup": (((), {}), ((0,), {"backup": True})),
    "added with a weight": (((), {}), ((0,), {"weight": 256})),
}


@pytest.mark.parametrize("kind", [None, "TCP", "HTTP", "HTTPS", "TLS-HELLO", "PING"])
def test_every_change_of_members(site: _Site, kind: str | None) -> None:
    """With every algorithm, in pools that change together."""

    def pools(moment: int) -> list[Pool]:
        found = []
        for algorithm, (name, change) in product(("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"), _CHANGES.items()):
            if kind == "PING" and set(change[1][0]) != set(change[0][0]):
                continue  # who comes or goes is a reload there
            numbers, fields = change[moment]
            title = f"{name} {algorithm}"
            members = tuple(
                member(f"{title} {n}", _ADDRESSES[n], site.member_port, monitor_port=site.member_port, **fields)
                for n in numbers
            )
            # A program for each ping: on a busy machine one of them may take longer than its second.
            failures = 3 if kind == "PING" else 1
            check = monitor(kind, id=ident(f"check {title}"), max_retries_down=failures) if kind else None
            found.append(pool(title, members=members, lb_algorithm=algorithm, healthmonitor=check))
        return found

    if kind == "PING":
        _reaches(site, pools(0), pools(1), PINGING, {"UP", "DRAIN", "MAINT"})
    else:
        _reaches(site, pools(0), pools(1))


def test_a_member_checked_by_a_program_comes_and_goes_by_a_reload(site: _Site) -> None:
    with Haproxy() as running:
        before = _configuration(running, site, pool("p", healthmonitor=monitor("PING")))
        members = (member("m", _ADDRESSES[0], site.member_port),)
        after = _configuration(running, site, pool("p", healthmonitor=monitor("PING"), members=members))
        assert isinstance(transition(before, after), Reload)
        assert isinstance(transition(after, before), Reload)


def _reaches(
    site: _Site, before: list[Pool], after: list[Pool], launcher: Sequence[str] = (), words: set[str] | None = None
) -> None:
    """:param words: statuses that checks must come to; None: whatever they find, the same in both processes."""

    def same(pair: tuple[_States, _States]) -> bool:
        return pair[0] == pair[1] and words in (None, {status for _, _, _, status, _, _ in pair[0].values()})

    with Haproxy(launcher) as running, Haproxy(launcher) as fresh:
        running.start(_configuration(running, site, *before))
        worker = running.worker()
        found = transition(_configuration(running, site, *before), _configuration(running, site, *after))
        assert isinstance(found, Runtime), found
        answers = running.apply(found.commands)
        assert failures(found.commands, answers) == ()
        assert running.worker() == worker
        fresh.start(_configuration(fresh, site, *after))
        # Seen at one moment: members that fail their checks go down in each process in its own time.
        seen, wanted = eventually(lambda: (_state(running), _state(fresh)), same, limit=60)
        assert same((seen, wanted)), (seen, wanted)


@pytest.mark.parametrize("kind", [None, "TCP"])
def test_members_move_to_other_addresses(site: _Site, kind: str | None) -> None:
    check = monitor(kind) if kind else None
    other = site.member_port + 1

    def moved(address: str, port: int, **fields: object) -> list[Pool]:
        return [pool("p", members=(member("m", address, port, **fields),), healthmonitor=check)]

    with web_servers(_ADDRESSES[:2], other):
        _reaches(site, moved(_ADDRESSES[0], site.member_port), moved(_ADDRESSES[1], site.member_port))
        _reaches(site, moved(_ADDRESSES[0], site.member_port), moved(_ADDRESSES[0], other))
        if check is not None:
            watched = {"monitor_address": _ADDRESSES[2], "monitor_port": site.member_port}
            _reaches(site, moved(_ADDRESSES[0], other), moved(_ADDRESSES[0], other, **watched))
            _reaches(site, moved(_ADDRESSES[0], other, **watched), moved(_ADDRESSES[1], other))


def test_connection_limits_come_change_and_go(site: _Site) -> None:
    with Haproxy() as running:
        running.start(_configuration(running, site))

        def limit() -> str:
            row = next(line for line in running.ask("show stat").splitlines() if ",FRONTEND," in line)
            return row.split(",")[6]

        steps = (-1, 100, 200, -1)
        without = limit()
        for before, after in pairwise(steps):
            old, new = (_configuration(running, site, connection_limit=one) for one in (before, after))
            _carry_out(running, old, new)
            assert limit() == (without if after == -1 else str(after))


def _carry_out(running: Haproxy, before: Configuration, after: Configuration) -> None:
    found = transition(before, after, read(running.ask("show info"), running.ask("show acl")))
    assert isinstance(found, Runtime), found
    assert failures(found.commands, running.apply(found.commands)) == ()


def _cookie(answer: bytes) -> str | None:
    found = re.search(rb"(?i)set-cookie: (SRV=[0-9a-f]{16});", answer)
    return found[1].decode() if found else None


def test_a_cookie_leads_to_its_member_while_others_come_and_go(site: _Site) -> None:
    """And on both appliances of a pair; with its member gone, it leads to another one."""

    def having(haproxy: Haproxy, *numbers: int) -> Configuration:
        members = tuple(member(f"m{number}", _ADDRESSES[number], site.member_port) for number in numbers)
        target = pool("p", members=members, session_persistence={"type": "HTTP_COOKIE"})
        entry = listener("l", site.port, default_pool_id=target.id)
        return translate(bundle(tree((entry,), (target,)), vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(haproxy.base)))

    def served(cookie: str) -> tuple[str, str | None]:
        """Which member answers, and the other cookie that HAProxy gives, if it does."""
        answer = request(_VIP, site.port, f"GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n")
        return answer.partition(b"\r\n\r\n")[2].split(b"\n")[0].decode(), _cookie(answer)

    with Haproxy() as running:
        running.start(having(running, 0, 1))
        cookies: dict[str, str] = {}
        for _ in range(2):
            answer = request(_VIP, site.port)
            given = _cookie(answer)
            assert given is not None
            cookies[answer.partition(b"\r\n\r\n")[2].split(b"\n")[0].decode()] = given
        assert set(cookies) == set(_ADDRESSES[:2])
        worker = running.worker()
        _carry_out(running, having(running, 0, 1), having(running, 0, 1, 2))
        for address, cookie in cookies.items():
            assert {served(cookie) for _ in range(4)} == {(address, None)}
        new = {cookie for cookie in (_cookie(request(_VIP, site.port)) for _ in range(6)) if cookie}
        (third,) = new - set(cookies.values())
        assert served(third) == (_ADDRESSES[2], None)
        _carry_out(running, having(running, 0, 1, 2), having(running, 1, 2))
        assert served(third) == (_ADDRESSES[2], None)
        address, other = served(cookies[_ADDRESSES[0]])
        assert address in _ADDRESSES[1:3] and other in {cookies[_ADDRESSES[1]], third}
        assert running.worker() == worker
    # The other appliance has read the file, and never saw a command.
    with Haproxy() as other_appliance:
        other_appliance.start(having(other_appliance, 1, 2))
        assert served(third) == (_ADDRESSES[2], None)
        assert served(cookies[_ADDRESSES[1]]) == (_ADDRESSES[1], None)


def test_a_member_that_is_still_used_lingers_and_its_return_is_a_reload(site: _Site) -> None:
    members = (member("m", _ADDRESSES[0], site.member_port),)
    with Haproxy() as running:
        full = _tcp(running, site, members)
        empty = _tcp(running, site, ())
        running.start(full)
        with socket.create_connection((_VIP, site.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(10) == b"HTTP/1.1 2"
            found = transition(full, empty)
            assert isinstance(found, Runtime)
            answers = running.apply(found.commands)
            assert failures(found.commands, answers) == ()
            backend = full.backends[0]
            left = lingering(found.commands, answers)
            assert left == {(backend.name, backend.servers[0].name)}
            assert isinstance(transition(empty, full, Process(lingering=left)), Reload)
            # The connection of before goes on.
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(10)
        # Without a client it can be removed, and then come back at run time.
        answers = eventually(
            lambda: running.apply(found.commands[-1:]), lambda answers: not lingering(found.commands[-1:], answers)
        )
        assert failures(found.commands[-1:], answers) == ()
        assert isinstance(transition(empty, full), Runtime)


def _tcp(haproxy: Haproxy, site: _Site, members: tuple[Member, ...]) -> Configuration:
    target = pool("p", protocol="TCP", members=members)
    entry = listener("l", site.port, protocol="TCP", default_pool_id=target.id)
    return translate(bundle(tree((entry,), (target,)), vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(haproxy.base)))


def test_refused_commands_are_failures(site: _Site) -> None:
    with Haproxy() as running:
        running.start(_configuration(running, site, pool("p", members=(member("m", _ADDRESSES[0], 80),))))
        backend = _configuration(running, site, pool("p")).backends[0].name
        commands = (
            f"add server {backend}/{ident('m')} 127.0.0.1:80",
            f"add server {backend}/x 127.0.0.1:80 resolvers x",
            f"enable server {backend}/unknown",
            f"set server {backend}/unknown addr 127.0.0.1 port 80",
            f"del server {backend}/{ident('m')}",
            "set maxconn frontend unknown 4",
        )
        answers = running.apply(commands)
        assert len(failures(commands, answers)) == len(commands), answers
        assert lingering(commands, answers) == frozenset()
        assert failures(("enable server a/b",), ()) == ("enable server a/b: no answer",)
