"""The agent hears of the death of a daemon at once, and tells who tracks it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbdrivers_amphora.agent import processes
from lbdrivers_amphora.agent.effects import Service
from lbdrivers_amphora.agent.services import tell_down, unit


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def identity(process: subprocess.Popen[bytes]) -> str:
    found = processes.identity(process.pid)
    assert found is not None
    return found


def test_a_death_ends_the_wait_long_before_its_time(sleeper: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    threading.Timer(0.05, sleeper.kill).start()
    processes.await_death([identity(sleeper)], 60)
    assert time.monotonic() - began < 30


def test_without_a_death_the_wait_takes_its_time(sleeper: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    processes.await_death([identity(sleeper)], 0.1)
    assert time.monotonic() - began >= 0.09


def test_one_that_is_dead_or_whose_number_is_anothers_ends_the_wait_at_once(sleeper: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    processes.await_death([identity(sleeper), f"{sleeper.pid}-1"], 60)
    processes.await_death(["4194304-1"], 60)
    assert time.monotonic() - began < 30


def test_the_down_file_says_how_it_is(tmp_path: Path) -> None:
    path = tmp_path / "vrrp" / "x.down"
    service = Service("x", ("x",), "x.pid", "x.log", down_file=str(path))
    for down, text in ((False, "0\n"), (True, "1\n"), (True, "1\n"), (False, "0\n")):
        tell_down(service, down=down)
        assert path.read_text() == text
    tell_down(Service("y", ("y",), "y.pid", "y.log"), down=True)
    assert list(tmp_path.iterdir()) == [path.parent]


def test_systemd_keeps_the_down_file_too(tmp_path: Path) -> None:
    service = Service("x", ("x",), "x.pid", "x.log", down_file="/var/lib/octavia/vrrp/x.down")
    text = unit(service, tmp_path)
    assert 'ExecStartPost=/bin/sh -c "echo 0 > /var/lib/octavia/vrrp/x.down"\n' in text
    assert 'ExecStopPost=/bin/sh -c "echo 1 > /var/lib/octavia/vrrp/x.down"\n' in text
    assert "Post=" not in unit(Service("y", ("y",), "y.pid", "y.log"), tmp_path)
