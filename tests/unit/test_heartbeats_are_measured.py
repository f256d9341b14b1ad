"""What the agent's heartbeats say, when there are none, and what the sender remembers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbdrivers_amphora.agent import beat, effects
from lbdrivers_amphora.agent.effects import Effect
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.wire import heartbeat
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.heartbeat import Form
from lbdrivers_amphora.wire.report import ListenerReport, MemberReport, PoolReport, Report, Totals

AMPHORA = "a1c1ba86-6f99-4f60-b469-a4a29d7384c5"
CONFIG = AgentConfig(AMPHORA, heartbeat_key="k" * 32)
LAYOUT = Layout(CONFIG)
REPORT = Report(
    AMPHORA,
    "RUNNING",
    "STOPPED",
    holds_vip=True,
    listeners={"l": ListenerReport("OPEN", Totals(1, 20, 30, 4, 5))},
    pools={"p:l": PoolReport("UP", {"m": MemberReport("UP", "L4OK"), "n": MemberReport("DOWN", "L4CON")})},
    revisions={},
)


@dataclass
class Table:
    """An appliance that has files and, perhaps, keepalived; no load balancer."""

    files: dict[str, bytes] = field(default_factory=dict)
    keepalived: bool = False

    def perform(self, effect: Effect[Any]) -> Any:
        match effect:
            case effects.ReadFile(path):
                return self.files.get(path)
            case effects.Exists(path):
                return path in self.files
            case effects.ListFolder():
                return ()
            case effects.ServicePid():
                return 7 if self.keepalived else None
            case effects.ListAddresses():
                return {}
            case _:
                raise AssertionError(f"nothing here asks for {effect}")


@pytest.mark.parametrize(
    ("configured", "running", "speaks"),
    [(False, False, True), (True, True, True), (True, False, False)],
    ids=["needs none", "runs", "should run and does not"],
)
def test_without_the_keepalived_that_should_run_it_is_silent(configured: bool, running: bool, speaks: bool) -> None:
    files = {LAYOUT.keepalived_config: b"vrrp_instance x {}"} if configured else {}
    report = effects.run(beat.measure(LAYOUT), Table(files, running).perform)
    assert (report is not None) is speaks


def test_our_form_says_totals_and_who_holds_the_vip() -> None:
    config = replace(CONFIG, heartbeat_form=Form.OWN)
    datagram, after = beat.seal(beat.Sender(9, 3), config, REPORT)
    assert heartbeat.is_authentic_own(datagram, config.heartbeat_key.encode())
    said = heartbeat.open_own(datagram, heartbeat.header_of(datagram))
    assert (said.epoch, said.sequence, after.sequence) == (9, 3, 4)
    assert said.holds_vip is True and not said.deltas
    assert said.listeners["l"].counters == Totals(1, 20, 30, 4, 5)
    assert said.pools["p:l"].members == {"m": "UP", "n": "DOWN"}


def test_octavias_form_says_what_was_counted_since() -> None:
    sender = beat.Sender(9, sent={"l": Totals(7, 20, 10, 0, 6)})
    datagram, after = beat.seal(sender, CONFIG, REPORT)
    stream = heartbeat.stream_octavia(datagram, CONFIG.heartbeat_key.encode())
    assert stream is not None
    said = heartbeat.open_octavia(stream)
    # Fewer connections in all than were told before: counting has begun anew.
    assert said.deltas and said.listeners["l"].counters == Totals(1, 0, 20, 4, 5)
    assert after.sent == {"l": Totals(1, 20, 30, 4, 5)}


counted = st.lists(st.integers(0, 1000), min_size=1, max_size=20)


@given(counted)
def test_deltas_add_up_to_what_was_counted(steps: list[int]) -> None:
    total, received, sent = 0, 0, dict[str, Totals]()
    for step in steps:
        total += step
        now = {"l": Totals(bytes_in=total)}
        received += beat.deltas(now, sent)["l"].bytes_in
        sent = now
    assert received == total


@pytest.mark.parametrize(
    ("file", "now", "epoch"),
    [
        pytest.param(None, 1000.7, 1000, id="first life"),
        pytest.param(b'{"epoch": 900, "sent": {}}', 1000.0, 1000, id="the clock went on"),
        pytest.param(b'{"epoch": 900, "sent": {}}', 5.0, 901, id="the clock was set back"),
        pytest.param(b"{", 1000.0, 1000, id="a broken file"),
    ],
)
def test_each_life_has_a_later_epoch(file: bytes | None, now: float, epoch: int) -> None:
    files = {} if file is None else {LAYOUT.heartbeat: file}
    assert effects.run(beat.next_life(LAYOUT, now), Table(files).perform).epoch == epoch


def test_what_was_sent_is_known_in_the_next_life() -> None:
    before = beat.Sender(5, 77, {"l": Totals(1, 2, 3, 4, 5)})
    after = effects.run(beat.next_life(LAYOUT, 0), Table({LAYOUT.heartbeat: before.to_json()}).perform)
    assert after == beat.Sender(6, 0, before.sent)


def test_destinations() -> None:
    texts = ("192.0.2.1:5555", "[2001:db8::1]:5556", "controller:5557", "192.0.2.1", ":1", "x:0", "x:70000", "")
    assert beat.destinations(texts) == (
        (("192.0.2.1", 5555), ("2001:db8::1", 5556), ("controller", 5557)),
        ("192.0.2.1", ":1", "x:0", "x:70000", ""),
    )
