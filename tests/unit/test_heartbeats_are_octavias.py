"""Octavia's datagram to the byte, its older message versions, and keys."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib

import pytest

from lbdrivers.errors import InvalidInput
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.heartbeat_keys import amphora_key, check_key
from lbdrivers_amphora.wire import heartbeat
from lbdrivers_amphora.wire.heartbeat import Heartbeat, ListenerBeat, PoolBeat
from lbdrivers_amphora.wire.report import Totals

AMPHORA = "a1c1ba86-6f99-4f60-b469-a4a29d7384c5"
KEY = b"insecure"


def test_the_datagram_to_the_byte() -> None:
    text = b'{"id": "%s", "seq": 0, "listeners": {}, "pools": {}, "ver": 3}' % AMPHORA.encode()
    stream = zlib.compress(text, 9)
    expected = stream + hmac.new(KEY, stream, hashlib.sha256).hexdigest().encode()
    assert heartbeat.seal_octavia(Heartbeat(AMPHORA, 0, 0, {}, {}, 3), KEY) == expected


def test_the_whole_message_as_octavia_has_it() -> None:
    beat = Heartbeat(
        AMPHORA,
        0,
        7,
        {"l": ListenerBeat("OPEN", Totals(1, 2, 3, 4, 5))},
        {"p:l": PoolBeat("UP", {"m": "no check"})},
        3,
    )
    sealed = heartbeat.seal_octavia(beat, KEY)
    assert json.loads(zlib.decompress(sealed[:-64])) == {
        "id": AMPHORA,
        "seq": 7,
        "listeners": {
            "l": {"status": "OPEN", "stats": {"tx": 3, "rx": 2, "conns": 1, "totconns": 5, "ereq": 4}},
        },
        "pools": {"p:l": {"status": "UP", "members": {"m": "no check"}}},
        "ver": 3,
    }


def opened(message: object, *, raw: bool = False) -> Heartbeat:
    stream = zlib.compress(json.dumps(message).encode())
    mac = hmac.new(KEY, stream, hashlib.sha256)
    found = heartbeat.stream_octavia(stream + (mac.digest() if raw else mac.hexdigest().encode()), KEY)
    assert found == stream
    return heartbeat.open_octavia(found)


def test_the_hmac_of_old_senders_is_raw() -> None:
    assert opened({"id": AMPHORA, "seq": 1, "ver": 3}, raw=True).sequence == 1


@pytest.mark.parametrize("version", [{}, {"ver": 1}], ids=["before versions", "version 1"])
def test_before_version_2_pools_are_inside_listeners(version: dict[str, int]) -> None:
    nested = {"l": {"status": "OPEN", "stats": {"rx": 9}, "pools": {"p": {"status": "UP", "members": {"m": "UP"}}}}}
    beat = opened({"id": AMPHORA, "seq": 1, "listeners": nested, **version})
    assert beat.pools == {"p:l": PoolBeat("UP", {"m": "UP"})}
    assert beat.listeners["l"].counters == Totals(bytes_in=9)
    assert not beat.deltas


@pytest.mark.parametrize(("version", "deltas"), [(2, False), (3, True), (4, True)])
def test_from_version_3_on_counters_are_deltas(version: int, deltas: bool) -> None:
    assert opened({"id": AMPHORA, "ver": version}).deltas is deltas


def test_our_form_is_never_taken_for_octavias() -> None:
    assert heartbeat.form_of(heartbeat.seal_own(Heartbeat(AMPHORA, 1, 0, {}, {}), KEY)) is heartbeat.Form.OWN
    for level in range(10):
        assert heartbeat.form_of(zlib.compress(b"{}", level)) is heartbeat.Form.OCTAVIA


def test_the_mac_is_the_one_of_the_standard() -> None:
    """HMAC-SHA256 of nothing with Octavia's example key, from its documentation."""
    assert hmac.digest(KEY, b"", "sha256").hex() == "e4dcf9c5ea488d783c0d467ca0a7baaec6119c3190054deb8966a169e9cd62db"


def test_each_amphora_has_a_key_of_its_own() -> None:
    master = Secret(b"m" * 32)
    first, second = (amphora_key(master, name) for name in (AMPHORA, AMPHORA.replace("a1", "b1")))
    assert first.reveal() != second.reveal()
    assert first.reveal() == amphora_key(Secret(b"m" * 32), AMPHORA.upper()).reveal()
    assert len(first.reveal()) == 64


def test_the_key_is_the_one_of_rfc_5869() -> None:
    """Extract with a salt of zeros, then one block of expand."""
    master, info = b"m" * 40, b"lbdrivers heartbeat 1 " + AMPHORA.encode()
    extracted = hmac.digest(bytes(32), master, "sha256")
    assert (
        amphora_key(Secret(master), AMPHORA).reveal() == hmac.digest(extracted, info + b"\x01", "sha256").hex().encode()
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "is not set"),
        ("insecure", "example"),
        ("insecure-key-do-not-use-this-key", "example"),
        ("a" * 40, "example"),
        ("0123456789abcdef", "has 16 characters"),
    ],
)
def test_weak_keys_are_refused(key: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refusal:
        check_key(key, weak_allowed=False)
    assert key == "" or key not in str(refusal.value)


def test_weak_keys_are_taken_when_allowed() -> None:
    assert check_key("insecure", weak_allowed=True).reveal() == b"insecure"
    with pytest.raises(InvalidInput):
        check_key("", weak_allowed=True)
