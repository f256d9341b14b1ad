"""Heartbeats: what an amphora says of itself in one UDP datagram, in two forms.

Law: pure; ``parse`` of what was sealed is what was sealed, and everything else is :class:`Malformed`.
A datagram is authenticated before a byte of it is unpacked, and unpacked to a bounded length, so that a
bad one costs no more than a good one of its size.

OCTAVIA is the datagram of Octavia's agents, byte for byte: a zlib stream of JSON, then the HMAC-SHA256
of the stream in lower-case hex. Everybody has the same key, nothing tells a repeated datagram from a new
one, and counters are deltas, lost with their datagram.

OWN puts a header before the stream: mark, amphora's id, epoch, sequence number. The HMAC (32 raw bytes)
is over header and stream, with a key that this amphora alone has; counters are totals, so that the next
datagram makes good for a lost one. A zlib stream never begins like the mark (RFC 1950: the low half of
its first byte is 8).
"""

from __future__ import annotations

import enum
import hmac
import json
import struct
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.report import Totals

#: What UDP over IPv4 carries at most (RFC 768, RFC 791).
MAXIMUM_DATAGRAM = 65507
#: Bytes of unpacked JSON: some ten thousand members.
MAXIMUM_TEXT = 1 << 20
#: Message version of Octavia from which on counters are deltas; before, they are totals.
DELTAS = 3
_TOTALS = 2

_MARK = b"LBD\x01"
_HEADER = struct.Struct("!4s16sQQ")
_HEX, _RAW = 64, 32
_LONGEST_WORD, _LONGEST_NAME = 64, 128
_LARGEST = 1 << 63
#: Names of the counters, in the order of the fields of ``Totals``; the last one is in the form OWN alone.
_COUNTERS = ("conns", "rx", "tx", "ereq", "totconns", "requests")


class Form(enum.StrEnum):
    """The two forms of a datagram."""

    OCTAVIA = "octavia"
    OWN = "lbdrivers"


@dataclass(frozen=True)
class ListenerBeat:
    """A listener: HAProxy's status word and counters; bytes as seen by the client."""

    status: str
    counters: Totals = field(default_factory=Totals)


@dataclass(frozen=True)
class PoolBeat:
    """A pool behind one listener: HAProxy's word for it, and for each member by its id."""

    status: str
    members: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heartbeat:
    """One message.

    :param epoch: grows with each life of the agent; 0 in the form OCTAVIA.
    :param sequence: counts messages of a life from 0.
    :param pools: by "<pool id>:<listener id>"; a UDP pool of Octavia's by its bare id.
    :param version: Octavia's message version; ``deltas`` says what it means for counters.
    :param holds_vip: whether the primary VIP is on this amphora; None from Octavia's agents.
    """

    amphora_id: str
    epoch: int
    sequence: int
    listeners: Mapping[str, ListenerBeat]
    pools: Mapping[str, PoolBeat]
    version: int = _TOTALS
    holds_vip: bool | None = None

    @property
    def deltas(self) -> bool:
        """Whether counters count since the message before, not since the amphora's creation."""
        return self.version >= DELTAS


@dataclass(frozen=True, slots=True)
class Header:
    """What the form OWN says in the clear, to find the key by and to refuse what is repeated."""

    amphora_id: str
    epoch: int
    sequence: int


# --- sealing


def seal_octavia(beat: Heartbeat, key: bytes) -> bytes:
    """The datagram in the form OCTAVIA.

    :raises Malformed: when it does not fit into one datagram.
    """
    stream = _packed(_message(beat, _octavias_counters) | {"ver": beat.version})
    return _fitting(stream + hmac.new(key, stream, "sha256").hexdigest().encode())


def seal_own(beat: Heartbeat, key: bytes) -> bytes:
    """The datagram in the form OWN; counters must be totals.

    :raises Malformed: when it does not fit into one datagram, or the id is no UUID.
    """
    if beat.deltas:
        raise Malformed("heartbeat: counters must be totals in this form")
    try:
        identity = uuid.UUID(beat.amphora_id).bytes
    except ValueError as error:
        raise Malformed(f"heartbeat: {beat.amphora_id!r} is no UUID") from error
    message = _message(beat, _own_counters) | {"ver": beat.version, "vip": beat.holds_vip}
    sealed = _HEADER.pack(_MARK, identity, beat.epoch, beat.sequence) + _packed(message)
    return _fitting(sealed + hmac.digest(key, sealed, "sha256"))


def _message(beat: Heartbeat, counters: Callable[[Totals], dict[str, int]]) -> dict[str, object]:
    return {
        "id": beat.amphora_id,
        "seq": beat.sequence,
        "listeners": {
            name: {"status": listener.status, "stats": counters(listener.counters)}
            for name, listener in beat.listeners.items()
        },
        "pools": {name: {"status": pool.status, "members": dict(pool.members)} for name, pool in beat.pools.items()},
    }


def _octavias_counters(counted: Totals) -> dict[str, int]:
    return {
        "tx": counted.bytes_out,
        "rx": counted.bytes_in,
        "conns": counted.active_connections,
        "totconns": counted.total_connections,
        "ereq": counted.request_errors,
    }


def _own_counters(counted: Totals) -> dict[str, int]:
    return _octavias_counters(counted) | {"requests": counted.requests}


def _packed(message: Mapping[str, object]) -> bytes:
    return zlib.compress(json.dumps(message).encode(), 9)


def _fitting(datagram: bytes) -> bytes:
    if len(datagram) > MAXIMUM_DATAGRAM:
        raise Malformed(f"heartbeat: {len(datagram)} bytes do not fit into a datagram of {MAXIMUM_DATAGRAM}")
    return datagram


# --- opening


def form_of(datagram: bytes) -> Form:
    """Which form the datagram claims to have."""
    return Form.OWN if datagram.startswith(_MARK) else Form.OCTAVIA


def header_of(datagram: bytes) -> Header:
    """What the form OWN says in the clear; nothing of it is proved yet.

    :raises Malformed: when the datagram is too short to have one.
    """
    if not _HEADER.size + _RAW < len(datagram) <= MAXIMUM_DATAGRAM:
        raise Malformed(f"heartbeat: {len(datagram)} bytes")
    _, identity, epoch, sequence = _HEADER.unpack_from(datagram)
    text = identity.hex()
    return Header(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}", epoch, sequence)


def is_authentic_own(datagram: bytes, key: bytes) -> bool:
    """Whether header and stream were sealed with this key."""
    return hmac.compare_digest(hmac.digest(key, datagram[:-_RAW], "sha256"), datagram[-_RAW:])


def open_own(datagram: bytes, header: Header) -> Heartbeat:
    """The message of an authentic datagram of the form OWN that has this header.

    :raises Malformed: when it is none, or speaks for another amphora than its header.
    """
    source = _unpacked(datagram[_HEADER.size : -_RAW])
    beat = _heartbeat(source, header.epoch)
    if (beat.amphora_id, beat.sequence) != (header.amphora_id, header.sequence) or beat.deltas:
        raise Malformed(f"heartbeat: the message is not the one that its header of {header.amphora_id} promises")
    return beat


def stream_octavia(datagram: bytes, key: bytes) -> bytes | None:
    """The stream of the form OCTAVIA if it was sealed with this key, else None.

    The HMAC stands in hex; in senders before Octavia's Queens as raw bytes.
    """
    if not _RAW < len(datagram) <= MAXIMUM_DATAGRAM:
        return None
    stream = datagram[:-_HEX]
    if hmac.compare_digest(hmac.digest(key, stream, "sha256").hex().encode(), datagram[-_HEX:]):
        return stream
    stream = datagram[:-_RAW]
    return stream if hmac.compare_digest(hmac.digest(key, stream, "sha256"), datagram[-_RAW:]) else None


def open_octavia(stream: bytes) -> Heartbeat:
    """The message of an authentic stream of the form OCTAVIA.

    :raises Malformed: when it is none.
    """
    return _heartbeat(_unpacked(stream), 0)


def _unpacked(stream: bytes) -> dict[str, Any]:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(stream, MAXIMUM_TEXT)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise Malformed(f"heartbeat: cut off, or more than {MAXIMUM_TEXT} bytes unpacked")
        if unpacker.unused_data:
            raise Malformed("heartbeat: something follows the stream")
        message = json.loads(text.decode())
    except zlib.error as error:
        raise Malformed(f"heartbeat: not a zlib stream: {error}") from error
    except (ValueError, RecursionError) as error:  # RecursionError: brackets within brackets
        raise error if isinstance(error, Malformed) else Malformed(f"heartbeat: not JSON: {error}") from error
    return _object(message, "message")


def _heartbeat(source: dict[str, Any], epoch: int) -> Heartbeat:
    version = _number(source.get("ver", 0), "ver")
    listeners = _object(source.get("listeners", {}), "listeners")
    pools = _object(source.get("pools", {}), "pools") if version >= _TOTALS else _nested_pools(listeners)
    vip = source.get("vip")
    if vip is not None and not isinstance(vip, bool):
        raise Malformed(f"vip: expected bool, got {type(vip).__name__}")
    return Heartbeat(
        amphora_id=_word(source.get("id"), "id", _LONGEST_NAME).lower(),
        epoch=epoch,
        sequence=_number(source.get("seq", 0), "seq"),
        listeners=_named(listeners, "listeners", _listener),
        pools=_named(pools, "pools", _pool),
        version=version,
        holds_vip=vip,
    )


def _nested_pools(listeners: Mapping[str, Any]) -> dict[str, Any]:
    """Before message version 2 each listener had its pools inside."""
    return {
        f"{pool}:{listener}": content
        for listener, entry in listeners.items()
        for pool, content in _object(_object(entry, listener).get("pools", {}), f"{listener}.pools").items()
    }


def _named(source: Mapping[str, Any], where: str, read: Callable[[str, dict[str, Any]], Any]) -> dict[str, Any]:
    found = {}
    for name, entry in source.items():
        if len(name) > _LONGEST_NAME or not (name.isascii() and name.isprintable()):
            raise Malformed(f"{where}: a name is longer than {_LONGEST_NAME} characters, or not plain ASCII")
        found[name] = read(name, _object(entry, name))
    return found


def _listener(name: str, source: dict[str, Any]) -> ListenerBeat:
    stats = _object(source.get("stats", {}), f"{name}.stats")
    counted = [_number(stats.get(counter, 0), counter) for counter in _COUNTERS]
    return ListenerBeat(_word(source.get("status"), f"{name}.status", _LONGEST_WORD), Totals(*counted))


def _pool(name: str, source: dict[str, Any]) -> PoolBeat:
    members = _object(source.get("members", {}), f"{name}.members")
    # The one part that may be long: checked all at once, in C.
    if members:
        if set(map(type, members.values())) != {str}:
            raise Malformed(f"{name}.members: expected words")
        if max(map(len, members.values())) > _LONGEST_WORD or max(map(len, members)) > _LONGEST_NAME:
            raise Malformed(f"{name}.members: a name or word is too long")
        if not (names := "".join(members)).isascii() or not names.isprintable():
            raise Malformed(f"{name}.members: a name is not plain ASCII")
    return PoolBeat(_word(source.get("status"), f"{name}.status", _LONGEST_WORD), members)


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{where}: expected an object, got {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _number(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise Malformed(f"{where}: expected a whole number from 0 on, got {str(value)[:30]}")
    return value


def _word(value: object, where: str, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Malformed(f"{where}: expected a word of at most {longest} characters")
    return value
