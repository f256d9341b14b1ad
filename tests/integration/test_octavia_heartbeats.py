"""Heartbeats between us and Octavia 19.0.0: its receiver reads ours, ours reads its sender's."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lbdrivers import settings
from lbdrivers_amphora.agent import beat
from lbdrivers_amphora.health.listener import Listener
from lbdrivers_amphora.heartbeat_settings import read_manager
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.heartbeat import Heartbeat, ListenerBeat, PoolBeat
from lbdrivers_amphora.wire.report import ListenerReport, MemberReport, PoolReport, Report, Totals

SCRIPT = Path(__file__).parents[1] / "support" / "octavia_heartbeats.py"
KEY = "a-key-of-these-tests-alone-0123456789"
AMPHORA = "a1c1ba86-6f99-4f60-b469-a4a29d7384c5"
REPORT = Report(
    AMPHORA,
    "RUNNING",
    "STOPPED",
    holds_vip=True,
    listeners={"l": ListenerReport("OPEN", Totals(1, 20, 30, 4, 5))},
    pools={"p:l": PoolReport("UP", {"m": MemberReport("UP"), "n": MemberReport("no check")})},
    revisions={},
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("octavia")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    found = str(folder / "bin" / "python")
    wanted = ("octavia==19.0.0", "SQLAlchemy>=2.0.30,<2.1")
    subprocess.run([found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], check=True)
    yield found


def test_its_receiver_reads_ours(python: str) -> None:
    command = [python, "-W", "ignore", str(SCRIPT), "receive", KEY, "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        config = AgentConfig(AMPHORA, heartbeat_key=KEY)
        first, sender = beat.seal(beat.Sender(1), config, REPORT)
        more = replace(REPORT, listeners={"l": ListenerReport("FULL", Totals(2, 25, 37, 4, 9))})
        second, _ = beat.seal(sender, config, more)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            for datagram in (first, second):
                ours.sendto(datagram, ("127.0.0.1", port))
        found = [json.loads(receiver.stdout.readline()) for _ in range(2)]
    for message, source in found:
        assert source == "127.0.0.1"
        assert abs(message.pop("recv_time") - time.time()) < 60
    pools = {"p:l": {"status": "UP", "members": {"m": "UP", "n": "no check"}}}
    stats = [
        {"tx": 30, "rx": 20, "conns": 1, "totconns": 5, "ereq": 4},
        {"tx": 7, "rx": 5, "conns": 2, "totconns": 4, "ereq": 0},
    ]
    assert [message for message, _ in found] == [
        {
            "id": AMPHORA,
            "seq": sequence,
            "listeners": {"l": {"status": status, "stats": stats[sequence]}},
            "pools": pools,
            "ver": 3,
        }
        for sequence, status in enumerate(("OPEN", "FULL"))
    ]


def test_ours_reads_its_senders(python: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = tmp_path / "health.conf"
    file.write_text(
        f"[health_manager]\nbind_port = {port}\ncontroller_ip_port_list = 127.0.0.1:{port}\nheartbeat_key = {KEY}\n"
        "heartbeat_form = octavia\n"
    )
    listener = Listener(*read_manager(settings.load([file], tmp_path)), None, time.time)
    try:
        listener.know(frozenset({AMPHORA}))
        assert listener.listen().listening
        stats = {"tx": 30, "rx": 20, "conns": 1, "totconns": 5, "ereq": 4}
        message = {
            "id": AMPHORA,
            "seq": 41,
            "listeners": {"l": {"status": "OPEN", "stats": stats}},
            "pools": {"p:l": {"status": "DOWN", "members": {"m": "DOWN"}}},
            "ver": 3,
        }
        command = [python, "-W", "ignore", str(SCRIPT), "send", KEY, f"127.0.0.1:{port}"]
        subprocess.run(command, input=json.dumps(message) + "\n", text=True, check=True)
        deadline, found = time.monotonic() + 20, ()
        while not found:
            assert time.monotonic() < deadline
            found = listener.listen().beats
    finally:
        listener.close()
    wanted = Heartbeat(
        AMPHORA,
        0,
        41,
        {"l": ListenerBeat("OPEN", Totals(1, 20, 30, 4, 5))},
        {"p:l": PoolBeat("DOWN", {"m": "DOWN"})},
        3,
    )
    assert found == (wanted,)
