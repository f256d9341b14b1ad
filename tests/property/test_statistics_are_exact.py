"""Laws of statistics out of heartbeats: see lbdrivers_amphora/decide/counting.py."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from lbdrivers.drivers.provider import Statistics
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.agent import beat
from lbdrivers_amphora.decide.counting import Counted, count_all, latest
from lbdrivers_amphora.health.inbox import Inbox
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings
from lbdrivers_amphora.wire import heartbeat
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.heartbeat import Form, Heartbeat, ListenerBeat
from lbdrivers_amphora.wire.report import ListenerReport, Report, Totals

AMPHORA = str(uuid.UUID(int=7))
SETTINGS = HeartbeatSettings(("x:1",), key=Secret(b"m" * 32))
KEY = SETTINGS.key_of(AMPHORA).reveal()


@dataclass
class Appliance:
    """Serves, beats, restarts and forgets; the network loses, repeats and delays what it sends."""

    served: int = 0
    counted: int = 0
    epoch: int = 1
    sequence: int = 0
    sent: list[bytes] = field(default_factory=list)

    def beat(self) -> bytes:
        totals = Totals(0, self.counted, 2 * self.counted, 0, self.counted)
        said = Heartbeat(AMPHORA, self.epoch, self.sequence, {"l": ListenerBeat("OPEN", totals)}, {})
        self.sequence += 1
        datagram = heartbeat.seal_own(said, KEY)
        self.sent.append(datagram)
        return datagram

    def restart(self, *, forgets: bool) -> None:
        self.epoch, self.sequence = self.epoch + 1, 0
        if forgets:
            self.counted = 0


#: what happens: serve so much; a beat that arrives, is lost; an old one that arrives (again); a restart.
events = st.lists(
    st.tuples(st.just("serve"), st.integers(1, 50))
    | st.tuples(st.sampled_from(("beat", "lose")), st.just(0))
    | st.tuples(st.just("repeat"), st.integers(0, 30))
    | st.tuples(st.sampled_from(("restart", "forget")), st.just(0)),
    max_size=60,
)


@given(events)
def test_totals_never_fall_and_end_at_what_was_served(history: list[tuple[str, int]]) -> None:
    appliance, inbox = Appliance(), Inbox(SETTINGS)
    inbox.know([AMPHORA])
    counted: dict[str, Counted] = {}
    lost = 0

    def arrive(datagram: bytes) -> None:
        nonlocal counted
        heard = inbox.take(datagram)
        if isinstance(heard, Heartbeat):
            before = _total(counted)
            counted = count_all(counted, heard)
            assert _total(counted) >= before

    for what, number in [*history, ("beat", 0)]:
        if what == "serve":
            appliance.served += number
            appliance.counted += number
        elif what == "beat":
            arrive(appliance.beat())
        elif what == "lose":
            appliance.beat()
        elif what == "repeat" and appliance.sent:
            arrive(appliance.sent[number % len(appliance.sent)])
        elif what == "restart":
            appliance.restart(forgets=False)
        elif what == "forget":
            # What no datagram told is lost with the file; it is all that may be missing.
            lost += appliance.served - lost - _total(counted)
            appliance.restart(forgets=True)
        # A beat that begins anew below what was heard is told apart from one that grew past it only by its size.
    assert _total(counted) <= appliance.served
    if "forget" not in {what for what, _ in history}:
        assert _total(counted) == appliance.served


def _total(counted: dict[str, Counted]) -> int:
    return counted["l"].statistics.total_connections if counted else 0


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_deltas_are_added(steps: list[int]) -> None:
    counted: dict[str, Counted] = {}
    for step in steps:
        said = Heartbeat(AMPHORA, 0, 0, {"l": ListenerBeat("OPEN", Totals(3, step, step, 0, step))}, {}, 3)
        counted = count_all(counted, said)
    if steps:
        assert counted["l"].statistics == Statistics(3, sum(steps), sum(steps), 0, sum(steps))


@given(st.lists(st.tuples(st.sampled_from(list(Form)), st.integers(0, 50), st.booleans()), max_size=30))
def test_an_amphora_that_changes_over_goes_on_counting(history: list[tuple[Form, int, bool]]) -> None:
    """From one form to the other and back, its agent started anew or not; totals are what was served.

    Requests are told in our form alone; the next one makes good for what was not told in the other.
    """
    counted: dict[str, Counted] = {}
    sender, served = beat.Sender(1), 0
    for form, more, restarted in history:
        served += more
        if restarted:
            sender = beat.Sender(sender.epoch + 1, sent=sender.sent)
        totals = Totals(1, 10 * served, 20 * served, 0, served, 3 * served)
        said = Report(AMPHORA, "RUNNING", "STOPPED", True, {"l": ListenerReport("OPEN", totals)}, {}, {})
        settings = SETTINGS if form is Form.OWN else replace(SETTINGS, form=form)
        key = settings.key_of(AMPHORA).reveal().decode()
        datagram, sender = beat.seal(sender, AgentConfig(AMPHORA, heartbeat_key=key, heartbeat_form=form), said)
        inbox = Inbox(settings)
        inbox.know([AMPHORA])
        heard = inbox.take(datagram)
        assert isinstance(heard, Heartbeat)
        requests = 3 * served if form is Form.OWN else counted["l"].statistics.requests if counted else 0
        counted = count_all(counted, heard)
        assert counted["l"].statistics == Statistics(1, 10 * served, 20 * served, 0, served, requests)


def test_a_listener_that_is_gone_keeps_its_totals_at_rest() -> None:
    counted = {"l": Counted(last=Totals(5, 10, 20, 1, 7))}
    after = count_all(counted, Heartbeat(AMPHORA, 1, 0, {}, {}))
    assert after["l"].statistics == Statistics(0, 10, 20, 1, 7)


accounts = st.lists(
    st.dictionaries(st.sampled_from("ab"), st.builds(Statistics, *[st.integers(0, 100)] * 5), max_size=2),
    max_size=4,
)


@given(accounts)
def test_the_latest_of_several_accounts_is_at_least_each(parts: list[dict[str, Statistics]]) -> None:
    found = latest(parts)
    for part in parts:
        for name, one in part.items():
            at_rest = [replace(each, active_connections=0) for each in (found[name], one)]
            assert all(getattr(at_rest[0], f) >= getattr(at_rest[1], f) for f in vars(at_rest[0]))
    assert latest([found, *parts]) == found
