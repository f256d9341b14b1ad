"""Reloads are never lost, keep what clients are at for as long as it can be kept, and leave two generations at most."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.bundles import bundle, facts, listener, member, pool, tree
from support.haproxy import Haproxy, free_port, loopback, request, web_servers
from support.patience import eventually

from lbdrivers.drivers.amphora import Vip
from lbdrivers_amphora.agent import haproxy_process, processes
from lbdrivers_amphora.agent.effects import Finished
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.translate_rules import words

pytestmark = pytest.mark.usefixtures("each_haproxy")

_VIP, _MEMBER = loopback(0), loopback(1)
_PORT, _MEMBER_PORT = free_port(_VIP), free_port(_MEMBER)


def _configuration(haproxy: Haproxy, hard_stop: str = "10m") -> Configuration:
    target = pool(members=(member("m", _MEMBER, _MEMBER_PORT),))
    made = tree((listener(port=_PORT, default_pool_id=target.id),), (target,))
    configuration = translate(bundle(made, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(haproxy.base)))
    limits = {"hard-stop-after": words(f"hard-stop-after {hard_stop}")}
    return replace(configuration, process=tuple(limits.get(line[0], line) for line in configuration.process))


@pytest.fixture
def haproxy() -> Iterator[Haproxy]:
    with web_servers([_MEMBER], _MEMBER_PORT), Haproxy() as running:
        running.start(_configuration(running))
        yield running


@pytest.fixture
def grace(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds that an old generation has at least; shorter than in earnest."""
    monkeypatch.setattr(haproxy_process, "GRACE_SECONDS", 1.5)
    return 1.5


def _reload(haproxy: Haproxy) -> Finished:
    return haproxy_process.reload(
        haproxy.master, str(haproxy.socket), str(haproxy.master_socket), words=lambda: haproxy.log
    )


def _workers(haproxy: Haproxy) -> set[int]:
    """Pids of all generations, as the kernel knows them: children of the master that stay."""
    return set(eventually(lambda: processes.children(haproxy.master), lambda pids: len(pids) <= 2, limit=1))


@contextlib.contextmanager
def _busy() -> Iterator[socket.socket]:
    """A client in the middle of its request."""
    with socket.create_connection((_VIP, _PORT), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        yield client


def _answer(client: socket.socket) -> bytes:
    """What the client gets when it ends its request; nothing when it was cut off."""
    try:
        client.sendall(b"Connection: close\r\n\r\n")
        return client.recv(12)
    except OSError:
        return b""


def test_no_reload_is_lost_however_fast_they_come(haproxy: Haproxy) -> None:
    seen = {haproxy.worker()}
    begin = time.monotonic()
    for _ in range(20):
        done = _reload(haproxy)
        assert done.ok, done.words
        seen.add(haproxy.worker())
        assert len(_workers(haproxy)) <= 2
        assert request(_VIP, _PORT).startswith(b"HTTP/1.1 200")
    assert len(seen) == 21
    # A lost signal costs 1.5 s each; a good reload some 0.06 s on a machine that does nothing else.
    assert time.monotonic() - begin < 20 * haproxy_process.RESEND_SECONDS


def test_what_a_client_is_at_lives_over_a_reload(haproxy: Haproxy) -> None:
    with _busy() as client:
        assert _reload(haproxy).ok
        assert len(_workers(haproxy)) == 2
        assert _answer(client) == b"HTTP/1.1 200"
    assert eventually(lambda: len(_workers(haproxy)), lambda count: count == 1) == 1


def test_a_second_reload_waits_for_the_first_and_ends_it_when_its_grace_is_over(haproxy: Haproxy, grace: float) -> None:
    with _busy() as first, _busy() as second:
        assert _reload(haproxy).ok
        with _busy() as third:
            begin = time.monotonic()
            assert _reload(haproxy).ok
            assert time.monotonic() - begin > grace / 2
            assert len(_workers(haproxy)) == 2
            assert not _answer(first).endswith(b" 200") and not _answer(second).endswith(b" 200")
            assert _answer(third) == b"HTTP/1.1 200"


def test_a_second_reload_goes_on_as_soon_as_the_first_is_over(haproxy: Haproxy) -> None:
    with _busy() as client:
        assert _reload(haproxy).ok
        assert _answer(client) == b"HTTP/1.1 200"
    begin = time.monotonic()
    assert _reload(haproxy).ok
    assert time.monotonic() - begin < haproxy_process.GRACE_SECONDS - 1


def test_old_processes_end_at_the_hard_stop(haproxy: Haproxy) -> None:
    haproxy.write(_configuration(haproxy, hard_stop="1s"))
    assert _reload(haproxy).ok
    with _busy() as client:
        old = _workers(haproxy)
        assert _reload(haproxy).ok
        assert eventually(lambda: _workers(haproxy) & old, lambda left: not left) == set()
        assert not _answer(client).endswith(b" 200")


def test_refused_reloads_cut_nobody_off(haproxy: Haproxy) -> None:
    """Nor does the good one after them, though HAProxy counts them all."""
    configuration = _configuration(haproxy)
    with socket.create_server((_VIP, 0)) as taken, _busy() as client:
        port = taken.getsockname()[1]
        bad = f"\nfrontend second\n    mode http\n    timeout client 1s\n    bind {_VIP}:{port}\n"
        (haproxy.base / "haproxy.cfg").write_text(render(configuration) + bad)
        refused = _reload(haproxy)
        assert not refused.ok and "Address already in use" in refused.words
        haproxy.write(configuration)
        assert _reload(haproxy).ok
        assert _answer(client) == b"HTTP/1.1 200"


def test_a_master_that_is_gone_is_told() -> None:
    with Haproxy() as running:
        running.start(_configuration(running))
        worker = int(running.worker().split()[1])
        processes.terminate(running.master)
        assert eventually(lambda: processes.identity(worker) is None)
        done = _reload(running)
        assert not done.ok and "HAProxy ended" in done.words
