"""Which datagrams count: each reason to drop one, its place in the order of checks, and its price."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest

from lbdrivers.model.secret import Secret
from lbdrivers_amphora.health.inbox import Drop, Inbox
from lbdrivers_amphora.heartbeat_keys import Way
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings
from lbdrivers_amphora.wire import heartbeat
from lbdrivers_amphora.wire.heartbeat import Form, Header, Heartbeat, ListenerBeat, PoolBeat

KNOWN, STRANGER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
OWN = HeartbeatSettings(("x:1",), key=Secret(b"m" * 32))
SHARED = replace(OWN, form=Form.OCTAVIA)


def beat(amphora_id: str = KNOWN, epoch: int = 5, sequence: int = 0, members: int = 2) -> Heartbeat:
    states = {str(uuid.UUID(int=1000 + n)): "UP" for n in range(members)}
    return Heartbeat(amphora_id, epoch, sequence, {"l": ListenerBeat("OPEN")}, {"p:l": PoolBeat("UP", states)})


def sealed(said: Heartbeat, key_of: str | None = None) -> bytes:
    return heartbeat.seal_own(said, OWN.key_of(key_of or said.amphora_id).reveal())


def inbox(settings: HeartbeatSettings = OWN, floors: dict[str, tuple[int, int]] | None = None) -> Inbox:
    made = Inbox(settings)
    made.know([KNOWN], floors)
    return made


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        pytest.param(sealed(beat(STRANGER)), Drop.UNKNOWN, id="of nobody we know"),
        pytest.param(sealed(beat(), key_of=STRANGER), Drop.FORGED, id="with another's key"),
        pytest.param(sealed(beat())[:-1] + b"\0", Drop.FORGED, id="changed"),
        pytest.param(sealed(beat())[:20], Drop.MALFORMED, id="cut off"),
        pytest.param(b"LBD\x01", Drop.MALFORMED, id="a mark and nothing else"),
        pytest.param(b"", Drop.OTHER_FORM, id="empty"),
        pytest.param(heartbeat.seal_octavia(beat(), b"m" * 32), Drop.OTHER_FORM, id="of the other form"),
    ],
)
def test_dropped(datagram: bytes, reason: Drop) -> None:
    made = inbox()
    assert made.take(datagram) is None
    assert (made.accepted, dict(made.dropped)) == (0, {reason: 1})


def test_repeated_and_overtaken() -> None:
    made = inbox()
    first, second, third = (sealed(beat(sequence=n)) for n in range(3))
    assert made.take(first) == beat(sequence=0)
    assert made.take(third) == beat(sequence=2)
    assert made.take(second) is None
    assert [made.take(one) for one in (first, second, third)] == [None] * 3
    assert dict(made.dropped) == {Drop.OVERTAKEN: 1, Drop.REPLAYED: 3}


def test_a_forged_one_does_not_use_up_its_number() -> None:
    made = inbox()
    assert made.take(sealed(beat(sequence=9), key_of=STRANGER)) is None
    assert made.take(sealed(beat(sequence=9))) == beat(sequence=9)


def test_an_earlier_life_is_over() -> None:
    made = inbox()
    made.take(sealed(beat(epoch=6)))
    assert made.take(sealed(beat(epoch=5, sequence=99))) is None


def test_what_was_heard_before_a_restart_is_not_heard_again() -> None:
    made = inbox(floors={KNOWN: (5, 7), STRANGER: (1, 1)})
    assert made.take(sealed(beat(sequence=7))) is None
    assert made.take(sealed(beat(sequence=6))) is None
    assert made.take(sealed(beat(sequence=8))) == beat(sequence=8)


def test_one_that_is_gone_is_not_known_any_more() -> None:
    made = inbox()
    made.take(sealed(beat()))
    made.know([STRANGER])
    assert made.take(sealed(beat(sequence=1))) is None
    assert made.take(sealed(beat(STRANGER))) == beat(STRANGER)


@pytest.mark.parametrize("settings", [OWN, SHARED], ids=["own", "octavia"])
def test_who_has_a_key_of_ours_and_is_not_known_is_remembered_for_once(settings: HeartbeatSettings) -> None:
    made = inbox(settings)
    foreign = replace(settings, key=Secret(b"x" * 32))
    for way, who in ((settings, STRANGER), (settings, KNOWN), (foreign, str(uuid.UUID(int=3)))):
        made.take(spoken(way, beat(who)))
    assert made.take_strangers() == {STRANGER}
    assert made.take_strangers() == frozenset()
    for number in range(2000):
        made.take(spoken(settings, beat(str(uuid.UUID(int=10 + number)))))
    assert len(made.take_strangers()) == 1000


def test_under_overload_life_is_enough() -> None:
    assert inbox().take(sealed(beat()), alive_only=True) == Header(KNOWN, 5, 0)
    assert inbox().take(sealed(beat(), key_of=STRANGER), alive_only=True) is None


def test_octavias_form() -> None:
    made = inbox(SHARED)
    said = replace(beat(epoch=0), version=3)
    good = heartbeat.seal_octavia(said, b"m" * 32)
    assert made.take(good) == said
    assert made.take(heartbeat.seal_octavia(said, b"x" * 32)) is None
    assert made.take(heartbeat.seal_octavia(replace(said, amphora_id=STRANGER), b"m" * 32)) is None
    assert made.take(sealed(beat())) is None
    assert dict(made.dropped) == {Drop.FORGED: 1, Drop.UNKNOWN: 1, Drop.OTHER_FORM: 1}


# --- while amphorae change over

OTHER_KEY = Secret(b"n" * 32)
TO_OWN = replace(OWN, key=OTHER_KEY, previous=SHARED)
TO_OTHER_KEY = replace(OWN, key=OTHER_KEY, previous=OWN)
TO_OCTAVIA = replace(SHARED, key=OTHER_KEY, previous=OWN)
TO_OTHER_SHARED_KEY = replace(SHARED, key=OTHER_KEY, previous=SHARED)


def spoken(settings: HeartbeatSettings, said: Heartbeat, key_of: str | None = None) -> bytes:
    """In the way of these settings."""
    key = settings.key_of(key_of or said.amphora_id).reveal()
    if settings.form is Form.OWN:
        return heartbeat.seal_own(said, key)
    return heartbeat.seal_octavia(replace(said, version=3), key)


@pytest.mark.parametrize("settings", [OWN, TO_OTHER_KEY], ids=["one key", "two keys"])
@pytest.mark.parametrize("reason", ["unknown", "forged", "replayed", "cut off"])
def test_a_bad_one_costs_no_more_than_a_good_one(reason: str, settings: HeartbeatSettings) -> None:
    """Processor time of this thread, the least of several: what others do on the machine must not matter."""

    def cost(datagrams: list[bytes], prepared: Inbox) -> float:
        began = time.thread_time()
        for one in datagrams:
            prepared.take(one)
        return time.thread_time() - began

    good = [spoken(settings, beat(sequence=n, members=50)) for n in range(100)]
    bad = {
        "unknown": [spoken(settings, beat(STRANGER, sequence=n, members=50)) for n in range(100)],
        "forged": [spoken(settings, beat(sequence=n, members=50), key_of=STRANGER) for n in range(100)],
        "replayed": [good[0]] * 100,
        "cut off": [one[:-40] for one in good],
    }[reason]
    assert min(cost(bad, inbox(settings)) for _ in range(5)) <= min(cost(good, inbox(settings)) for _ in range(5))


@pytest.mark.parametrize("settings", [TO_OWN, TO_OTHER_KEY, TO_OCTAVIA], ids=["form", "key", "back"])
def test_both_ways_count_until_the_amphora_was_told(settings: HeartbeatSettings) -> None:
    assert settings.previous is not None
    made = Inbox(settings)
    made.know([KNOWN], untold=[KNOWN])
    assert made.take(spoken(settings.previous, beat(sequence=0))) is not None
    assert made.take(spoken(settings, beat(sequence=1))) is not None
    made.know([KNOWN])
    assert made.take(spoken(settings.previous, beat(sequence=2))) is None
    assert made.take(spoken(settings, beat(sequence=3))) is not None
    assert made.accepted == 3
    outdated = Drop.FORGED if settings is TO_OTHER_KEY else Drop.OUTDATED
    assert dict(made.dropped) == {outdated: 1}


@pytest.mark.parametrize("settings", [TO_OWN, TO_OTHER_KEY, TO_OCTAVIA], ids=["form", "key", "back"])
@pytest.mark.parametrize("told", [True, False])
def test_nobody_without_a_key_gets_in_meanwhile(settings: HeartbeatSettings, told: bool) -> None:
    """In neither form, for neither of them, whether it was told or not."""
    made = Inbox(settings)
    made.know([KNOWN], untold=() if told else [KNOWN])
    foreign = Secret(b"x" * 32)
    for form in Form:
        for said in (beat(), beat(STRANGER)):
            assert made.take(spoken(replace(settings, form=form, key=foreign), said)) is None
    assert made.take(spoken(settings, beat(STRANGER))) is None
    assert made.accepted == 0


@pytest.mark.parametrize("settings", [TO_OWN, TO_OTHER_KEY, TO_OCTAVIA, TO_OTHER_SHARED_KEY])
def test_a_zombie_is_remembered_whichever_way_it_was_told(settings: HeartbeatSettings) -> None:
    """It was removed before anybody could tell it the current one; a key of nobody's is nobody's."""
    assert settings.previous is not None
    made = Inbox(settings)
    made.know([KNOWN])
    for way in (settings, settings.previous):
        assert made.take(spoken(way, beat(STRANGER))) is None
        assert made.take_strangers() == {STRANGER}
        assert made.take(spoken(replace(way, key=Secret(b"x" * 32)), beat(STRANGER))) is None
        assert made.take_strangers() == frozenset()
    assert made.dropped[Drop.UNKNOWN] >= 2 and made.accepted == 0


def test_a_key_of_one_speaks_for_nobody_else_meanwhile() -> None:
    made = Inbox(TO_OTHER_KEY)
    made.know([KNOWN, STRANGER], untold=[STRANGER])
    for settings in (TO_OTHER_KEY, OWN):
        assert made.take(spoken(settings, beat(KNOWN), key_of=STRANGER)) is None
        assert made.take(spoken(settings, beat(STRANGER), key_of=KNOWN)) is None
    assert made.accepted == 0


def test_what_was_said_with_the_previous_key_is_not_heard_again_with_it() -> None:
    made = Inbox(TO_OTHER_KEY)
    made.know([KNOWN], untold=[KNOWN])
    recorded = spoken(OWN, beat(sequence=4))
    assert made.take(recorded) is not None
    assert made.take(spoken(TO_OTHER_KEY, beat(sequence=5))) is not None
    assert made.take(recorded) is None
    assert made.take(spoken(OWN, beat(sequence=5))) is None


def test_a_key_that_is_no_key_is_told_from_all_others() -> None:
    ways = (OWN, SHARED, TO_OWN, replace(SHARED, key=OTHER_KEY))
    assert len({one.fingerprint for one in ways}) == len(ways)
    assert not any(b"m".hex() * 4 in one.fingerprint or "m" * 4 in one.fingerprint for one in ways)
    assert HeartbeatSettings().fingerprint == ""


@pytest.mark.parametrize(
    ("told", "alone", "changing"),
    [
        pytest.param("", Way.CURRENT, Way.PREVIOUS, id="before anybody wrote it down"),
        pytest.param(TO_OWN.fingerprint, Way.CURRENT, Way.CURRENT, id="the current one"),
        pytest.param(SHARED.fingerprint, Way.OTHER, Way.PREVIOUS, id="the previous one"),
        pytest.param(OWN.fingerprint, Way.OTHER, Way.OTHER, id="another one"),
    ],
)
def test_who_was_told_which_way(told: str, alone: Way, changing: Way) -> None:
    assert (replace(TO_OWN, previous=None).way(told), TO_OWN.way(told)) == (alone, changing)
