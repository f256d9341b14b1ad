"""``lbdrivers top``: rates are those between measurements, every picture fits, and a terminal is given back."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import draw_top
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lbdrivers.cli.top.rates import SPAN, Meter, Rates, Series
from lbdrivers.cli.top.view import Order, Picture, View, pressed, report, screen, trend
from lbdrivers.drivers.provider import Appliance, Observation, Statistics

ROOT = Path(__file__).parents[2]
PLAIN = View()
DOCUMENT = """
loadbalancer:
  name: web
  provider: memory
  vip_subnet_id: 11111111-1111-4111-8111-111111111111
"""


def drawn(picture: Picture, view: View = PLAIN, width: int = 140, height: int = 24) -> list[str]:
    """The lines of a screen."""
    console = Console(file=io.StringIO(), width=width, height=height)
    with console.capture() as capture:
        console.print(screen(picture, view, width, height))
    return capture.get().splitlines()


def totals(connections: int) -> Statistics:
    return Statistics(1, 10 * connections, 100 * connections, 0, connections, 5 * connections)


# --- rates


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=20), st.floats(1, 1e6))
def test_a_steady_stream_has_its_rate_however_it_is_measured(gaps: list[float], rate: float) -> None:
    series, moment, total = Series(), 1000.0, 0.0
    for gap in gaps:
        series = series.note(moment, totals(int(total)), moment)
        moment, total = moment + gap, total + gap * rate
    series = series.note(moment, totals(int(total)), moment)
    found = series.rates(moment)
    assert found is not None
    span = series.points[-1][0] - series.points[0][0]
    assert found.connections == pytest.approx(rate, abs=1.01 / span)
    assert found.bytes_in == pytest.approx(10 * found.connections) and found.bytes_out == pytest.approx(
        100 * found.connections
    )


def test_looks_between_two_heartbeats_are_no_news() -> None:
    series = Series()
    for second in range(25):
        beat = second - second % 10
        series = series.note(5000.0 + beat, totals(50 * beat), float(second))
        assert series.rates(float(second)) == (None if second < 10 else Rates(50.0, 500.0, 5000.0, 0.0, 250.0)), (
            f"after {second} s"
        )


def test_what_is_measured_often_is_smoothed_and_forgotten() -> None:
    series = Series()
    for step in range(100):
        series = series.note(step / 10, totals(step), step / 10)
    assert SPAN <= series.points[-1][0] - series.points[0][0] < SPAN + 0.2


def test_one_that_is_not_measured_any_more_has_no_rate() -> None:
    series = Series().note(0.0, totals(0), 0.0).note(10.0, totals(100), 10.0)
    assert series.rates(10.0 + 2 * 10 + SPAN) == Rates(10.0, 100.0, 1000.0, 0.0, 50.0)
    assert series.rates(10.1 + 2 * 10 + SPAN) is None


@pytest.mark.parametrize(("moment", "connections"), [(20.0, 40), (5.0, 300)], ids=["totals fell", "clock set back"])
def test_what_cannot_be_begins_anew(moment: float, connections: int) -> None:
    series = Series().note(0.0, totals(0), 0.0).note(10.0, totals(100), 10.0)
    series = series.note(moment, totals(connections), 11.0)
    assert series.rates(11.0) is None
    assert series.note(moment + 10, totals(connections + 10), 21.0).rates(21.0) == Rates(1.0, 10.0, 100.0, 0.0, 5.0)


def test_a_pair_that_speaks_in_turn_is_summed_without_a_wave() -> None:
    """Each of its amphorae has carried a part, and speaks at its own times."""
    entry = draw_top._entry(0)
    meter, seen = Meter(), set()
    for second in range(60):
        both = tuple(
            Appliance(name, name, "ALLOCATED", None, None, "", totals(rate * beat), 7000.0 + beat)
            for name, rate, phase in (("one", 30, 0), ("two", 12, 5))
            if (beat := second - (second + phase) % 10) >= 0
        )
        found = Observation(
            True, statistics={"all": sum((one.statistics for one in both), Statistics())}, appliances=both
        )
        meter, (reading,) = meter.look([entry], {entry.id: found}, float(second))
        if second > 30:
            assert reading.rates is not None
            seen.add(reading.rates.connections)
    assert seen == {42.0}


def test_one_look_that_fails_forgets_nothing() -> None:
    entry = draw_top._entry(0)
    meter = Meter()
    for second, connections in ((0, 0), (1, 10), (2, None), (3, 30)):
        found = None if connections is None else Observation(True, statistics={"all": totals(connections)})
        meter, (reading,) = meter.look([entry], {entry.id: found}, float(second))
    assert reading.rates == Rates(10.0, 100.0, 1000.0, 0.0, 50.0) and reading.trend == (10.0, 10.0)


# --- the picture


@pytest.mark.parametrize("width", [60, 80, 90, 110, 132, 140, 250])
@pytest.mark.parametrize("height", [8, 12, 24, 60])
def test_it_fits_every_screen(width: int, height: int) -> None:
    lines = drawn(draw_top.picture(), View(), width, height)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "12:01:00 UTC" in lines[0] and lines[-1].startswith("q quit")


def test_it_says_what_there_is() -> None:
    lines = drawn(draw_top.picture())
    assert "4 load balancers ◐ 1 ✖ 1 ● 2" in lines[0] and "6 appliances ● 5 ✖ 1" in lines[0]
    rows = {line.split()[0]: line for line in lines[4:] if line.split()}
    assert "● ONLINE" in rows["shop"] and "✖ ERROR" in rows["wiki"]
    (holder, *_) = [line for line in lines if "◀ VIP" in line]
    assert holder.startswith("├ MASTER") and "192.0.2.10" in holder and holder.split()[-1] == "s"
    assert any("no machine can be booted" in line for line in lines)
    assert any("silent for 77 s" in line for line in lines)


def test_a_name_moves_no_cursor() -> None:
    picture = draw_top.picture()
    evil = replace(picture.readings[0], entry=replace(picture.readings[0].entry, name="a\x1b[2Jb [red]c"))
    lines = drawn(replace(picture, readings=(evil,)))
    assert any("a\\x1b[2Jb [red]c" in line for line in lines) and not any("\x1b" in line for line in lines)


def test_keys_change_what_is_seen() -> None:
    picture, view = draw_top.picture(), View()
    assert not any("BACKUP b54cda26 " in line for line in drawn(picture, pressed(view, "a"))[4:9])
    view = pressed(view, "s")
    assert view.order is Order.CONNECTIONS
    names = [line.split()[0] for line in drawn(picture, pressed(view, "a"))[4:8]]
    assert names == ["shop", "api", "mail", "wiki"]
    assert [line.split()[0] for line in drawn(picture, View(Order.STATUS, appliances=False))[4:8]][:2] == [
        "mail",
        "wiki",
    ]
    for _ in range(len(Order) - 1):
        view = pressed(view, "s")
    assert view == View()
    assert pressed(view, "x") == view and pressed(view, "q").ended
    scrolled = drawn(picture, pressed(pressed(View(), "down"), "down"), height=12)
    assert scrolled[4].startswith("└ BACKUP 78dde6c4") and "3-" in scrolled[-1]
    beyond = drawn(picture, View(first=1000), height=12)
    assert any(line.startswith("wiki") for line in beyond)
    assert pressed(View(first=3), "page up").first == 0 == pressed(View(first=3), "home").first


def test_trouble_that_many_have_is_told_once() -> None:
    picture = draw_top.picture()
    dumb = [
        replace(
            one,
            observation=replace(
                one.observation,
                appliances=tuple(
                    replace(each, remark="no health manager is listening") for each in one.observation.appliances
                ),
            ),
        )
        for one in picture.readings
        if one.observation is not None
    ]
    lines = drawn(Picture(tuple(dumb), picture.at, "the database is away"))
    assert [line for line in lines if "no health manager" in line] == ["◐ 6 appliances: no health manager is listening"]
    assert "✖ the database is away" in lines


def test_trends_reach_their_height() -> None:
    assert trend([0, 1, 50, 100]).plain == " ▁▄█"
    assert trend([0, 0]).plain == "  " and trend([]).plain == ""


def test_the_report_is_whole() -> None:
    console = Console(file=io.StringIO(), width=240)
    with console.capture() as capture:
        console.print(report(draw_top.picture(), 240))
    text = capture.get()
    assert "q quit" not in text and text.count("ALLOCATED") == 5 and "silent for 77 s" in text


def test_the_picture_in_the_docs_is_what_is_drawn() -> None:
    """By its words: how the library writes SVG is its own matter."""
    kept = (ROOT / "docs" / "top.svg").read_text()
    assert draw_top.words(kept) == draw_top.words(draw_top.page()), f"write it anew with: {draw_top.COMMAND}"
    ElementTree.fromstring(kept)
    assert "url(http" not in kept and "@import" not in kept


# --- the command


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command on a state folder with one load balancer."""
    folder = tmp_path_factory.mktemp("top")
    (folder / "web.yaml").write_text(DOCUMENT)
    made = [sys.executable, "-m", "lbdrivers", "--state", str(folder / "state")]
    subprocess.run([*made, "apply", str(folder / "web.yaml")], check=True, capture_output=True, timeout=60)
    return made


def test_where_nobody_watches_it_reports_once(command: list[str]) -> None:
    quick = ["top", "--interval", "0.1"]
    done = subprocess.run([*command, *quick], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 load balancer ● 1" in done.stdout and "\x1b" not in done.stdout and "web" in done.stdout
    done = subprocess.run([*command, *quick, "--json"], capture_output=True, text=True, timeout=60, check=False)
    (found,) = json.loads(done.stdout)["loadbalancers"]
    assert found["name"] == "web" and found["rates"] == {
        "connections": 0.0,
        "bytes_in": 0.0,
        "bytes_out": 0.0,
        "request_errors": 0.0,
        "requests": 0.0,
    }
    assert [one["role"] for one in found["appliances"]] == ["STANDALONE"]


class Terminal:
    """A pseudo terminal with the command in it."""

    def __init__(self, command: list[str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        # Its own, so that Ctrl-C reaches it and nobody else.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color"},
        )
        self.shown = ""

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def until(self, condition: Callable[[], bool], limit: float = 30.0) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, repr(self.shown[-3000:])
            if select.select([self._ours], [], [], 0.05)[0]:
                self.shown += os.read(self._ours, 65536).decode(errors="replace")

    def mode(self) -> list[object]:
        """Of the terminal, as termios has it."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal(command: list[str]) -> Iterator[Terminal]:
    made = Terminal([*command, "top", "--interval", "0.2"])
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("end", ["q", *(pytest.param(one, marks=pytest.mark.long) for one in ("SIGTERM", "Ctrl-C"))])
def test_in_a_terminal_it_lives_until_it_is_told_to_end(terminal: Terminal, end: str) -> None:
    terminal.until(lambda: "\x1b[?1049h" in terminal.shown and "◀ VIP" in terminal.shown)
    assert terminal.mode() != terminal.before  # keys come one by one
    terminal.press(b"s\x1b[B")
    terminal.until(lambda: "order: connections/s" in terminal.shown)
    terminal.press(b"a")
    terminal.until(lambda: "show appliances" in terminal.shown)
    if end == "SIGTERM":
        terminal.process.terminate()
    else:
        terminal.press(b"q" if end == "q" else b"\x03")
    terminal.until(lambda: terminal.process.poll() is not None)
    assert terminal.process.returncode == 0
    terminal.until(lambda: terminal.shown.rstrip().endswith(("\x1b[?1049l", "\x1b[?25h")))
    assert terminal.mode() == terminal.before
    assert "Traceback" not in terminal.shown
