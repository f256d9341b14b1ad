"""The programs by which keepalived checks UDP and SCTP members, run as keepalived runs them, on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.haproxy import loopback

from lbdrivers_amphora.agent.lvs_checks import UDP_CHECK, health_checker

# A port of this process: raw sockets hear what everybody on the host says.
_PORT = 1024 + os.getpid() % 60_000
_ADDRESSES = {socket.AF_INET: loopback(0), socket.AF_INET6: "::1"}
_CHUNKS = {
    "accepts": struct.pack("!BBHLLHHL", 2, 0, 20, 0x0A0B0C0D, 1, 1, 1, 1),
    "refuses": b"\x06\x00\x00\x04",
    "babbles": b"\x03\x00\x00\x04",
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in (("udp_check.sh", UDP_CHECK), ("amphora-health-checker", health_checker())):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    return tmp_path


def _status(*command: str) -> int:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, timeout=60, env=environment).returncode


@contextlib.contextmanager
def _answering(server: socket.socket, react: Callable[[bytes, socket.socket, object], None]) -> Iterator[None]:
    """The reaction to every packet, in a thread."""
    server.settimeout(0.05)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                packet, sender = server.recvfrom(65535)
            except TimeoutError:
                continue
            react(packet, server, sender)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("family", _ADDRESSES)
@pytest.mark.parametrize("answers", [True, False])
def test_a_udp_member_may_answer_or_be_silent(programs: Path, family: socket.AddressFamily, answers: bool) -> None:
    address = _ADDRESSES[family]

    def react(_packet: bytes, server: socket.socket, sender: object) -> None:
        if answers:
            server.sendto(b"y", sender)  # type: ignore[arg-type] # what recvfrom gave

    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, 0))
        with _answering(server, react):
            assert _status(str(programs / "udp_check.sh"), address, str(server.getsockname()[1])) == 0


@pytest.mark.parametrize("family", _ADDRESSES)
def test_a_udp_port_that_nobody_has_is_down(programs: Path, family: socket.AddressFamily) -> None:
    address = _ADDRESSES[family]
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
    assert _status(str(programs / "udp_check.sh"), address, str(port)) == 1


def _sctp(programs: Path, address: str) -> int:
    return _status(str(programs / "amphora-health-checker"), "sctp", "-t", "1", address, str(_PORT))


@pytest.mark.parametrize(("manner", "status"), [("accepts", 0), ("refuses", 1), ("babbles", 3)])
@pytest.mark.parametrize("family", _ADDRESSES)
def test_an_sctp_member_is_asked_for_an_association(
    programs: Path, family: socket.AddressFamily, manner: str, status: int
) -> None:
    address = _ADDRESSES[family]
    heard: list[tuple[int, int]] = []

    def react(packet: bytes, server: socket.socket, sender: object) -> None:
        sctp = packet[20:] if family == socket.AF_INET else packet
        source, target, tag = struct.unpack("!HHL", sctp[:8])
        if target != _PORT:
            return
        heard.append((sctp[12], tag))
        if sctp[12] == 1:
            (initiate,) = struct.unpack("!L", sctp[16:20])
            reply = struct.pack("!HHLL", target, source, initiate, 0) + _CHUNKS[manner]
            server.sendto(reply, sender)  # type: ignore[arg-type] # what recvfrom gave

    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP) as server:
        server.bind((address, 0))
        with _answering(server, react):
            assert _sctp(programs, address) == status
            if manner == "accepts":
                # What began is ended, under the tag that the member gave.
                deadline = time.monotonic() + 20
                while (6, 0x0A0B0C0D) not in heard and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert (6, 0x0A0B0C0D) in heard


def test_an_sctp_member_that_is_silent_is_told_from_one_that_is_not_there(programs: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as server:
        server.bind((loopback(2), 0))
        assert _sctp(programs, loopback(2)) == 2
    assert _sctp(programs, loopback(3)) == 1
