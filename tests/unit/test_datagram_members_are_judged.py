"""Health of members of UDP pools: the table of turns, who is probed, and what a probe's answer means."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bundles import ident

from lbdrivers_amphora.agent.probes import Probe, judged, request
from lbdrivers_amphora.nftables.checks import TRANSITIONS, Health, Standing, Target, probed, still_down, targets
from lbdrivers_amphora.nftables.ir import Balance, Configuration, HttpProbe, Member, Monitor, Pool, ProbeKind, Service

UP, DOWN = Standing.UP, Standing.DOWN


def monitor(kind: ProbeKind = ProbeKind.UDP_CONNECT, rise: int = 2, fall: int = 3, timeout: int = 1) -> Monitor:
    http = HttpProbe() if kind is ProbeKind.HTTP else None
    return Monitor(kind, 5, timeout, rise, fall, http)


def history(outcomes: str, watch: Monitor) -> list[Standing]:
    """Standings after each probe; ``+`` is a good one."""
    health, found = Health(), []
    for outcome in outcomes:
        health = probed(health, outcome == "+", watch)
        found.append(health.standing)
    return found


def test_the_table_says_something_of_every_case() -> None:
    assert set(TRANSITIONS) == {(standing, good) for standing in Standing for good in (True, False)}


@pytest.mark.parametrize(
    ("outcomes", "standings"),
    [
        ("---", [UP, UP, DOWN]),
        ("--+--", [UP] * 5),
        ("---++", [UP, UP, DOWN, DOWN, UP]),
        ("---+-+", [UP, UP, DOWN, DOWN, DOWN, DOWN]),
        ("---+++---", [UP, UP, DOWN, DOWN, UP, UP, UP, UP, DOWN]),
    ],
)
def test_so_many_in_a_row_turn_a_member(outcomes: str, standings: list[Standing]) -> None:
    assert history(outcomes, monitor()) == standings


@given(st.text("+-", max_size=40), st.integers(1, 10), st.integers(1, 10))
def test_a_turn_has_its_reason_in_the_probes_before_it(outcomes: str, rise: int, fall: int) -> None:
    found = [UP, *history(outcomes, monitor(rise=rise, fall=fall))]
    for position, (before, after) in enumerate(itertools.pairwise(found), 1):
        if before is not after:
            needed, sign = (fall, "-") if after is DOWN else (rise, "+")
            assert outcomes[:position].endswith(sign * needed)


# --- who is probed

ONE = Member(ident("one"), "192.0.2.1", 53)
MOVED = Member(ident("one"), "192.0.2.9", 53)
ELSEWHERE = Member(ident("two"), "192.0.2.2", 53, probe_address="192.0.2.3", probe_port=80)
DISABLED = Member(ident("off"), "192.0.2.4", 53, enabled=False)


def behind(*members: Member, watch: Monitor | None = monitor()) -> Configuration:  # noqa: B008 - a frozen value
    pool = Pool(ident("pool"), Balance.ROUND_ROBIN, members, monitor=watch)
    services = tuple(Service(ident(f"listener {port}"), ("192.0.2.100",), port, pool=pool) for port in (53, 54))
    return Configuration(ident("tree"), services)


def test_enabled_members_are_probed_once_where_they_want_to_be() -> None:
    assert targets(behind(ONE, ELSEWHERE, DISABLED)) == {
        ONE.id: Target("192.0.2.1", 53, monitor()),
        ELSEWHERE.id: Target("192.0.2.3", 80, monitor()),
    }
    assert targets(behind(ONE, watch=None)) == {}


def test_who_was_down_stays_so_where_it_is_probed_as_before() -> None:
    down = frozenset({ONE.id, ELSEWHERE.id})
    slower = Monitor(ProbeKind.UDP_CONNECT, 60, 2, 1, 1)
    assert still_down(down, behind(ONE, ELSEWHERE), behind(ONE, watch=slower)) == {ONE.id}
    assert still_down(down, behind(ONE), behind(MOVED)) == frozenset()
    assert still_down(down, behind(ONE), behind(ONE, watch=None)) == frozenset()


# --- what an answer means


@pytest.mark.parametrize(
    ("line", "good", "words"),
    [
        (b"HTTP/1.0 200 OK\r\n", True, "status 200"),
        (b"HTTP/1.1 204\r\n", True, "status 204"),
        (b"HTTP/1.1 302 Found\r\n", False, "status 302"),
        (b"", False, "the answer is no HTTP"),
        (b"HTTP/1.1\r\n", False, "the answer is no HTTP"),
        (b"HTTP/1.1 2000 OK\r\n", False, "the answer is no HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", False, "the answer is no HTTP"),
        (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n", False, "the answer is no HTTP"),
    ],
)
def test_a_status_line_is_judged(line: bytes, good: bool, words: str) -> None:
    assert judged(HttpProbe(codes=((200, 200), (203, 204))), line) == (good, words)


def test_the_request_is_what_the_monitor_says() -> None:
    text = request(HttpProbe("HEAD", "/x", "1.1", "www.example.com"), Target("192.0.2.1", 53, monitor()))
    assert text.startswith(b"HEAD /x HTTP/1.1\r\nHost: www.example.com\r\n")
    assert text.endswith(b"\r\n\r\n")
    assert b"Host: [2001:db8::1]\r\n" in request(HttpProbe(), Target("2001:db8::1", 53, monitor()))


def ask(kind: ProbeKind, port: int, times: int = 1) -> list[tuple[bool, str]]:
    """Probe loopback so many times with one probe."""

    async def several() -> list[tuple[bool, str]]:
        with contextlib.closing(Probe(Target("127.0.0.1", port, monitor(kind)))) as probe:
            return [await probe.ask() for _ in range(times)]

    return asyncio.run(several())


@contextlib.contextmanager
def bound(kind: socket.SocketKind) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, kind) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def test_silence_is_a_good_answer_to_a_datagram_and_an_icmp_error_is_not() -> None:
    with bound(socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        assert ask(ProbeKind.UDP_CONNECT, port) == [(True, "silent")]
        assert server.recv(10) == b"", "an empty datagram"
    assert ask(ProbeKind.UDP_CONNECT, port, 2) == [(False, "refused")] * 2


def test_who_answers_a_datagram_is_good_at_once() -> None:
    with bound(socket.SOCK_DGRAM) as server:

        def answer() -> None:
            for _ in range(2):
                server.sendto(b"?", server.recvfrom(10)[1])

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask(ProbeKind.UDP_CONNECT, server.getsockname()[1], 2) == [(True, "answered")] * 2
        thread.join()


@pytest.mark.parametrize("kind", [ProbeKind.TCP, ProbeKind.HTTP])
def test_a_port_that_nobody_listens_on_is_bad(kind: ProbeKind) -> None:
    with bound(socket.SOCK_STREAM) as server:
        assert ask(kind, server.getsockname()[1]) == [(False, "refused")]
        server.listen()
        assert ask(ProbeKind.TCP, server.getsockname()[1]) == [(True, "connected")]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", (True, "status 200")),
        (b"x" * 100_000, (False, "the answer is no HTTP")),
        (b"", (False, "the answer is no HTTP")),
    ],
)
def test_an_answer_of_any_kind_is_judged(answer: bytes, outcome: tuple[bool, str]) -> None:
    with bound(socket.SOCK_STREAM) as server:
        server.listen()

        def serve() -> None:
            client = server.accept()[0]
            with client, contextlib.suppress(OSError):
                client.recv(10_000)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert ask(ProbeKind.HTTP, server.getsockname()[1]) == [outcome]
        thread.join()


def test_an_answer_that_never_comes_is_bad() -> None:
    with bound(socket.SOCK_STREAM) as server:
        server.listen()
        assert ask(ProbeKind.HTTP, server.getsockname()[1]) == [(False, "timeout")]
