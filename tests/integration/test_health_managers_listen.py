"""Listeners on real sockets: one, several on one port, one that dies, one that is flooded."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lbdrivers import settings
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.health.listener import Batch, Crew, Listener
from lbdrivers_amphora.health.load import Load
from lbdrivers_amphora.health.receiver import BATCH, Receiver
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings, ManagerSettings, read_manager
from lbdrivers_amphora.wire.heartbeat import Heartbeat, seal_own

FLEET = [str(uuid.UUID(int=number)) for number in range(1, 41)]
KEY = "a-key-of-these-tests-alone-0123456789"


@pytest.fixture
def wanted(tmp_path) -> tuple[ManagerSettings, HeartbeatSettings]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = tmp_path / "health.conf"
    file.write_text(
        f"[health_manager]\nbind_port = {port}\ncontroller_ip_port_list = 127.0.0.1:{port}\nheartbeat_key = {KEY}\n"
    )
    return read_manager(settings.load([file], tmp_path))


def sealed(amphora_id: str, sequence: int, key: HeartbeatSettings) -> bytes:
    return seal_own(Heartbeat(amphora_id, 1, sequence, {}, {}), key.key_of(amphora_id).reveal())


def send(port: int, datagrams: list[bytes]) -> None:
    """Each from a port of its own, as each amphora has one."""
    for datagram in datagrams:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, ("127.0.0.1", port))


def collect(listen: Callable[[], list[Batch]], enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    found: list[Batch] = []
    deadline = time.monotonic() + 20
    while not enough(found):
        assert time.monotonic() < deadline, found[-3:]
        found += listen()
    return found


def beats(found: list[Batch]) -> set[tuple[str, int]]:
    return {(beat.amphora_id, beat.sequence) for batch in found for beat in batch.beats}


def test_one_listener(wanted) -> None:
    manager, heartbeats = wanted
    listener = Listener(manager, heartbeats, None, lambda: 77.0)
    try:
        listener.know(frozenset(FLEET))
        first = listener.listen()
        assert first.listening and first.news.startswith("listening at 127.0.0.1")
        send(manager.bind_port, [sealed(one, 0, heartbeats) for one in FLEET] + [b"noise"])
        found = collect(lambda: [listener.listen()], lambda found: len(beats(found)) == len(FLEET))
        assert found[-1].wall == 77.0
        last = collect(lambda: [listener.listen()], lambda found: "other_form" in found[-1].counts if found else False)
        assert last[-1].counts == {"accepted": len(FLEET), "other_form": 1}
    finally:
        listener.close()


def test_an_address_that_is_not_ours_is_a_trouble(wanted) -> None:
    manager, heartbeats = wanted
    batch = Listener(replace(manager, bind_ip="192.0.2.1"), heartbeats, None, time.time).listen()
    assert not batch.listening and "cannot listen at 192.0.2.1" in batch.trouble


@contextmanager
def a_crew(wanted, number: int) -> Iterator[Crew]:
    manager, heartbeats = wanted
    crew = Crew(number, lambda: Listener(manager, heartbeats, None, time.time))
    try:
        crew.know(frozenset(FLEET))
        collect(
            lambda: [batch for _, batch in crew.listen()], lambda found: sum(one.listening for one in found) > number
        )
        yield crew
    finally:
        crew.close()


def test_several_share_a_port_and_hand_everything_on(wanted) -> None:
    with a_crew(wanted, 3) as crew:
        send(wanted[0].bind_port, [sealed(one, 0, wanted[1]) for one in FLEET])
        speakers: set[int] = set()

        def listen() -> list[Batch]:
            found = crew.listen()
            speakers.update(number for number, batch in found if batch.beats)
            return [batch for _, batch in found]

        collect(listen, lambda found: len(beats(found)) == len(FLEET))
        assert len(speakers) > 1


def test_one_that_dies_is_started_again_and_silence_is_judged_anew(wanted) -> None:
    with a_crew(wanted, 2) as crew:
        victim = crew.pids()[0]
        os.kill(victim, signal.SIGKILL)
        found = collect(
            lambda: [batch for _, batch in crew.listen()], lambda found: any("died" in one.trouble for one in found)
        )
        assert found and victim not in crew.pids()
        sequence = iter(range(10**6))

        def listen() -> list[Batch]:
            send(wanted[0].bind_port, [sealed(one, number, wanted[1]) for number in [next(sequence)] for one in FLEET])
            return [batch for _, batch in crew.listen()]

        collect(listen, lambda found: {name for name, _ in beats(found)} == set(FLEET))


def test_what_the_kernel_had_no_room_for_is_a_trouble(wanted) -> None:
    manager, heartbeats = wanted
    listener = Listener(manager, heartbeats, None, time.time)
    try:
        listener.listen()
        noise = b"\0" * 60000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(2 * manager.buffer_bytes // len(noise) + 200):
                sender.sendto(noise, ("127.0.0.1", manager.bind_port))
        collect(lambda: [listener.listen()], lambda found: any("found no room" in one.trouble for one in found))
    finally:
        listener.close()


def test_a_receiver_takes_no_more_than_a_batch_at_one_time() -> None:
    receiver = Receiver("127.0.0.1", 0, 8 << 20)
    try:
        send(receiver.port, [b"x"] * (BATCH + 5))
        assert (len(receiver.receive(1)), len(receiver.receive(1)), receiver.receive(0)) == (BATCH, 5, [])
        assert receiver.lost == 0
    finally:
        receiver.close()


def test_overload_begins_and_ends_with_several_batches() -> None:
    load = Load()
    assert [load.note(BATCH) for _ in range(16)] == [False] * 15 + [True]
    assert load.changed
    assert [load.note(n) for n in (10, 10, 10, BATCH, 10, 10, 10, 10)] == [True] * 7 + [False]


def test_secrets_do_not_show(wanted) -> None:
    assert KEY not in repr(wanted[1]) and isinstance(wanted[1].key, Secret)
