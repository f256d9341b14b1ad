"""Laws of the heartbeat's datagram: see lbdrivers_amphora/wire/heartbeat.py and wire/replay.py."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import uuid
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lbdrivers_amphora.wire import heartbeat, replay
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.heartbeat import Heartbeat, ListenerBeat, PoolBeat
from lbdrivers_amphora.wire.replay import ReplayWindow
from lbdrivers_amphora.wire.report import Totals

KEY, OTHER_KEY = b"k" * 32, b"o" * 32

ids = st.uuids().map(str)
counts = st.integers(0, 2**63 - 1)
words = st.text(min_size=1, max_size=64)
totals = st.builds(Totals, counts, counts, counts, counts, counts)
own_totals = st.builds(replace, totals, requests=counts)
listeners = st.dictionaries(ids, st.builds(ListenerBeat, words, totals), max_size=4)
own_listeners = st.dictionaries(ids, st.builds(ListenerBeat, words, own_totals), max_size=4)
pools = st.dictionaries(ids, st.builds(PoolBeat, words, st.dictionaries(ids, words, max_size=5)), max_size=4)
own_beats = st.builds(
    Heartbeat, ids, counts, counts, own_listeners, pools, st.just(2), st.sampled_from((None, True, False))
)
octavia_beats = st.builds(Heartbeat, ids, st.just(0), counts, listeners, pools, st.sampled_from((2, 3)))


def open_own(datagram: bytes, key: bytes = KEY) -> Heartbeat | None:
    """As a receiver does it, step by step."""
    if heartbeat.form_of(datagram) is not heartbeat.Form.OWN:
        return None
    header = heartbeat.header_of(datagram)
    return heartbeat.open_own(datagram, header) if heartbeat.is_authentic_own(datagram, key) else None


def open_octavia(datagram: bytes, key: bytes = KEY) -> Heartbeat | None:
    stream = heartbeat.stream_octavia(datagram, key)
    return None if stream is None else heartbeat.open_octavia(stream)


FORMS: tuple[tuple[Callable[[Heartbeat, bytes], bytes], Callable[..., Heartbeat | None]], ...] = (
    (heartbeat.seal_own, open_own),
    (heartbeat.seal_octavia, open_octavia),
)
forms = st.sampled_from(FORMS)
beats = st.builds(
    Heartbeat, ids, st.just(0), counts, listeners, pools, st.just(2), st.none()
)  # what both forms can say


@given(own_beats)
def test_what_was_sealed_in_our_form_is_read_back(beat: Heartbeat) -> None:
    assert open_own(heartbeat.seal_own(beat, KEY)) == beat


@given(octavia_beats)
def test_what_was_sealed_in_octavias_form_is_read_back(beat: Heartbeat) -> None:
    assert open_octavia(heartbeat.seal_octavia(beat, KEY)) == beat


@given(forms, beats)
def test_another_key_opens_nothing(form, beat: Heartbeat) -> None:
    seal, open_ = form
    assert open_(seal(beat, OTHER_KEY)) is None


@given(forms, beats, st.data())
def test_no_changed_datagram_is_believed(form, beat: Heartbeat, data: st.DataObject) -> None:
    seal, open_ = form
    sealed = bytearray(seal(beat, KEY))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Malformed):
        assert open_(bytes(sealed)) is None


@given(forms, beats, st.data())
def test_no_part_of_a_datagram_is_believed(form, beat: Heartbeat, data: st.DataObject) -> None:
    seal, open_ = form
    sealed = seal(beat, KEY)
    begin = data.draw(st.integers(0, len(sealed)))
    end = data.draw(st.integers(begin, len(sealed)))
    part = sealed[begin:end]
    if part == sealed:
        return
    with contextlib.suppress(Malformed):
        assert open_(part) is None


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda tail: b"LBD\x01" + tail))
def test_noise_is_dropped(noise: bytes) -> None:
    for _, open_ in FORMS:
        with contextlib.suppress(Malformed):
            assert open_(noise) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "id": ids | json_values,
        "seq": counts | json_values,
        "ver": st.integers(-1, 4) | json_values,
        "vip": json_values,
        "listeners": st.dictionaries(ids, st.fixed_dictionaries({"status": words, "stats": json_values})) | json_values,
        "pools": st.dictionaries(ids, st.fixed_dictionaries({"status": words, "members": json_values})) | json_values,
    },
)


@given(messages | json_values)
@example({"id": "a", "ver": 3, "listeners": {"l": {"status": "OPEN", "stats": {"tx": -1}}}})
@example({"id": "a", "ver": 3, "listeners": {"l": {"status": "OPEN", "stats": {"tx": True}}}})
@example({"id": "a", "ver": 3, "pools": {"p": {"status": "UP", "members": {"m": 1}}}})
@example({"id": "a", "ver": 3, "pools": {"p": {"status": "UP", "members": {"m": "x" * 65}}}})
@example({"id": "a", "ver": 3, "pools": {"p" * 129: {"status": "UP", "members": {}}}})
@example({"id": "a", "ver": 3, "pools": {"p": {"status": "UP", "members": {"m\0": "UP"}}}})
@example({"id": "a", "ver": 3, "listeners": {"l\0": {"status": "OPEN", "stats": {}}}})
def test_an_authentic_sender_says_a_message_or_is_refused(message: object) -> None:
    """A broken-in appliance has its key; what it says is a typed value or Malformed, never another error."""
    stream = zlib.compress(json.dumps(message).encode())
    try:
        beat = heartbeat.open_octavia(stream)
    except Malformed:
        return
    names = [*beat.listeners, *beat.pools, *(name for pool in beat.pools.values() for name in pool.members)]
    # What is written to a database by them: no NUL, nothing that a terminal would obey.
    assert all(name.isascii() and name.isprintable() and len(name) <= 128 for name in names)
    said = [*beat.listeners.values(), *beat.pools.values()]
    assert all(isinstance(entry.status, str) and entry.status for entry in said)
    assert all(type(word) is str for pool in beat.pools.values() for word in pool.members.values())
    assert all(min(vars(listener.counters).values()) >= 0 for listener in beat.listeners.values())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b" " * (64 << 20), id="zip bomb"),
        pytest.param(b"[" * 100_000, id="brackets within brackets"),
        pytest.param(b'{"seq": ' + b"9" * 5000 + b"}", id="a number without end"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
    ],
)
def test_hostile_texts_are_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        heartbeat.open_octavia(zlib.compress(text, 9))


def test_a_bomb_is_not_unpacked_beyond_the_bound() -> None:
    bomb = zlib.compress(b" " * (64 << 20), 9)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            heartbeat.open_octavia(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * heartbeat.MAXIMUM_TEXT
    finally:
        tracemalloc.stop()


@given(own_beats, ids)
def test_nobody_speaks_for_another_amphora(beat: Heartbeat, other: str) -> None:
    """The header names the key; a message of somebody else below it is refused."""
    sealed = heartbeat.seal_own(beat, KEY)
    header = heartbeat._HEADER.pack(heartbeat._MARK, uuid.UUID(other).bytes, beat.epoch, beat.sequence)
    body = header + sealed[heartbeat._HEADER.size : -32]
    forged = body + heartbeat.hmac.digest(KEY, body, "sha256")
    if other == beat.amphora_id:
        assert open_own(forged) == beat
    else:
        with pytest.raises(Malformed):
            open_own(forged)


def test_what_does_not_fit_is_refused_by_its_sender() -> None:
    members = {str(uuid.uuid4()): "UP" for _ in range(6000)}
    huge = Heartbeat(str(uuid.uuid4()), 1, 0, {}, {"p:l": PoolBeat("UP", members)})
    for seal, _ in FORMS:
        with pytest.raises(Malformed):
            seal(huge, KEY)


# --- replay

numbers = st.tuples(st.integers(0, 3), st.integers(0, 200))


@given(st.lists(numbers, max_size=300))
def test_no_number_is_admitted_twice_and_no_epoch_returns(sent: list[tuple[int, int]]) -> None:
    window, admitted = ReplayWindow(), []
    for epoch, sequence in sent:
        after = window.admit(epoch, sequence)
        if after is not None:
            window = after
            admitted.append((epoch, sequence))
    assert len(set(admitted)) == len(admitted)
    assert [epoch for epoch, _ in admitted] == sorted(epoch for epoch, _ in admitted)


@given(st.permutations(range(40)))
def test_within_the_window_every_order_is_admitted(order: list[int]) -> None:
    window: ReplayWindow | None = ReplayWindow()
    for sequence in order:
        assert window is not None
        window = window.admit(5, sequence)
    assert window is not None
    assert window.is_newest(5, 39)


@given(st.integers(replay.WIDTH, 10**6))
def test_behind_the_window_nothing_is_admitted(behind: int) -> None:
    window = ReplayWindow().admit(0, 2 * 10**6)
    assert window is not None
    assert window.admit(0, 2 * 10**6 - behind) is None


@given(own_beats)
def test_a_listeners_counters_are_totals_in_our_form(beat: Heartbeat) -> None:
    with pytest.raises(Malformed):
        heartbeat.seal_own(replace(beat, version=3), KEY)
